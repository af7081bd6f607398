//! Revoking a token at Salesforce: RFC 7009, and Salesforce OAuth facts 3.8.

use secrecy::SecretString;

use super::accept_oauth;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::LoginUrl;
use crate::domain::http::{Method, Purpose, Request, Response};

/// How a revocation ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// It was live until now.
    Now,
    /// The server does not know it: nothing is left to revoke.
    AlreadyGone,
}

/// The request. A refresh token takes its access tokens along; an access token ends alone.
pub(crate) fn request(login_url: &LoginUrl, token: &SecretString) -> Request {
    Request {
        method: Method::Post,
        url: login_url.endpoint("/services/oauth2/revoke"),
        purpose: Purpose::Question,
        form: vec![("token", token.clone())],
        bearer: None,
    }
}

/// Reads the answer. `invalid_token` and `unsupported_token_type` mean that it is gone already.
pub(crate) fn response(host: &str, response: &Response) -> Result<Revoked, Fault> {
    let is_page = response.content_type == "text/html" && response.body.contains(&b'<');
    match accept_oauth(host, response) {
        Ok(()) if is_page => Err(super::unreadable(host, response.status, "a web page")),
        Ok(()) => Ok(Revoked::Now),
        Err(fault) if fault.kind == FaultKind::TokenGone => Ok(Revoked::AlreadyGone),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::testing::{answer, form};

    #[test]
    fn a_token_unknown_to_the_server_counts_as_revoked() {
        let table = [
            (200, "", Ok(Revoked::Now)),
            (400, r#"{"error":"invalid_token"}"#, Ok(Revoked::AlreadyGone)),
            (400, "error=unsupported_token_type&error_description=x", Ok(Revoked::AlreadyGone)),
            (503, r#"{"error":"invalid_token"}"#, Err(FaultKind::ServerUnavailable)),
            (400, r#"{"error":"invalid_client"}"#, Err(FaultKind::ClientSecretInvalid)),
            (302, "", Err(FaultKind::LoginHostMoved)),
        ];
        for (status, body, expected) in table {
            let result = response("h", &answer(status, body)).map_err(|fault| fault.kind);
            assert_eq!(result, expected, "{status} {body}");
        }
    }

    #[test]
    fn the_token_is_in_the_form_and_not_in_the_url() {
        let login = LoginUrl::from_stored("https://acme.my.salesforce.com".into());
        let request = request(&login, &"5Aep861x".into());
        assert_eq!(form(&request), ["token=5Aep861x"]);
        assert_eq!(request.url, "https://acme.my.salesforce.com/services/oauth2/revoke");
    }
}
