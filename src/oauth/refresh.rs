//! Refreshing an access token: RFC 6749 section 6, and Salesforce OAuth facts 3.3.
//!
//! With Refresh Token Rotation the answer holds a new refresh token and the old one is dead; what
//! keeps that from losing tokens is the engine's order of steps, not this file.

use secrecy::SecretString;

use super::Client;
use crate::domain::host::LoginUrl;
use crate::domain::http::Request;

/// The request. No scope is sent: Salesforce keeps the granted ones.
pub(crate) fn request(
    login_url: &LoginUrl,
    client: &Client<'_>,
    refresh_token: &SecretString,
) -> Request {
    let form =
        vec![("grant_type", "refresh_token".into()), ("refresh_token", refresh_token.clone())];
    client.spend(login_url, form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::http::Purpose;
    use crate::oauth::testing::form;

    #[test]
    fn a_refresh_sends_the_token_and_the_client_and_no_scope() {
        let client = Client { client_id: "3MVG9", client_secret: None };
        let login = LoginUrl::from_stored("https://acme.my.salesforce.com".into());
        let request = request(&login, &client, &"5Aep861x".into());
        assert_eq!(
            form(&request),
            ["grant_type=refresh_token", "refresh_token=5Aep861x", "client_id=3MVG9"]
        );
        assert_eq!(request.purpose, Purpose::Exchange);
    }
}
