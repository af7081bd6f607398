//! Asking whether a token is active and when it ends: RFC 7662, and Salesforce OAuth facts 3.9.

use secrecy::SecretString;

use super::{Client, accept_oauth, text_field, unreadable};
use crate::domain::fault::Fault;
use crate::domain::host::LoginUrl;
use crate::domain::http::{Method, Purpose, Request, Response};
use crate::domain::time::UnixMillis;

/// What Salesforce says of a token.
///
/// `active: false` alone condemns nothing: an app sees only its own tokens unless it may
/// introspect all, so a live token may be answered as inactive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Introspection {
    /// Whether it is active, as far as this client may see.
    pub(crate) active: bool,
    /// When it ends if it is not used; it moves as the session slides.
    pub(crate) expires_at: Option<UnixMillis>,
    /// The user's login name.
    pub(crate) username: Option<String>,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
}

/// The question about an access token.
pub(crate) fn request(
    login_url: &LoginUrl,
    client: &Client<'_>,
    access_token: &SecretString,
) -> Request {
    let mut form =
        vec![("token", access_token.clone()), ("token_type_hint", "access_token".into())];
    client.identify(&mut form);
    Request {
        method: Method::Post,
        url: login_url.endpoint("/services/oauth2/introspect"),
        purpose: Purpose::Question,
        form,
        bearer: None,
    }
}

/// Reads the answer; one without `active` is none (RFC 7662 section 2.2).
pub(crate) fn response(host: &str, response: &Response) -> Result<Introspection, Fault> {
    accept_oauth(host, response)?;
    let refuse = |why| unreadable(host, response.status, why);
    let value: serde_json::Value =
        serde_json::from_slice(&response.body).map_err(|_| refuse("no JSON"))?;
    let active = value
        .get("active")
        .and_then(serde_json::Value::as_bool)
        .ok_or_else(|| refuse("no 'active'"))?;
    let scopes = text_field(&value, "scope").unwrap_or_default();
    Ok(Introspection {
        active,
        expires_at: value
            .get("exp")
            .and_then(serde_json::Value::as_i64)
            .filter(|seconds| *seconds > 0)
            .map(|seconds| UnixMillis(seconds.saturating_mul(1000))),
        username: text_field(&value, "username").map(|name| crate::domain::text::clean(&name)),
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fault::FaultKind;
    use crate::oauth::testing::{answer, form};

    #[test]
    fn the_end_of_a_token_is_read_in_seconds() {
        let body = r#"{"active":true,"scope":"api refresh_token","client_id":"3MVG9","username":"svc@acme.com","exp":1795480712,"iat":1795473512}"#;
        let introspection = response("h", &answer(200, body)).unwrap();
        assert!(introspection.active);
        assert_eq!(introspection.expires_at, Some(UnixMillis(1_795_480_712_000)));
        assert_eq!(introspection.username.as_deref(), Some("svc@acme.com"));
        assert_eq!(introspection.scopes, ["api", "refresh_token"]);
        let inactive = response("h", &answer(200, r#"{"active":false}"#)).unwrap();
        assert_eq!((inactive.active, inactive.expires_at), (false, None));
    }

    #[test]
    fn what_is_no_introspection_answer_is_refused() {
        for (status, body, kind) in [
            (200, "{}", FaultKind::NotAnOAuthAnswer),
            (200, "active", FaultKind::NotAnOAuthAnswer),
            (401, r#"{"error":"invalid_client"}"#, FaultKind::ClientSecretInvalid),
            (503, r#"{"active":false}"#, FaultKind::ServerUnavailable),
        ] {
            assert_eq!(response("h", &answer(status, body)).unwrap_err().kind, kind, "{body}");
        }
    }

    #[test]
    fn the_client_says_who_it_is() {
        let login = LoginUrl::from_stored("https://acme.my.salesforce.com".into());
        let client = Client { client_id: "3MVG9", client_secret: None };
        let request = request(&login, &client, &"00Dx!y".into());
        assert_eq!(
            form(&request),
            ["token=00Dx!y", "token_type_hint=access_token", "client_id=3MVG9"]
        );
    }
}
