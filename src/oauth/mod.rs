//! OAuth as Salesforce speaks it, one file per specification: each builds the request and reads
//! the response, and neither opens a socket nor reads a clock nor makes a random number.
//!
//! `net` carries the requests; the engine brings both together. Refusals become
//! [`Fault`]s here, so that nobody else reads an error body.

pub(crate) mod authorization_code;
pub(crate) mod device;
pub(crate) mod identity;
pub(crate) mod introspect;
pub(crate) mod redirect;
pub(crate) mod refresh;
pub(crate) mod rest;
pub(crate) mod revoke;
pub(crate) mod token_response;

use secrecy::SecretString;
use serde_json::Value;

use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::LoginUrl;
use crate::domain::http::{Method, Purpose, Request, Response};

/// Path of the token endpoint.
const TOKEN_ENDPOINT: &str = "/services/oauth2/token";

/// The client of a request to the authorization server (RFC 6749 section 2.3.1): both values go
/// into the form, since an app may be set to ignore HTTP Basic (Salesforce OAuth facts 3).
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    /// Salesforce calls it Consumer Key.
    pub(crate) client_id: &'a str,
    /// Salesforce calls it Consumer Secret; not every app requires it.
    pub(crate) client_secret: Option<&'a SecretString>,
}

impl Client<'_> {
    /// Adds the client's identification to a form.
    fn identify(&self, form: &mut Vec<(&'static str, SecretString)>) {
        form.push(("client_id", self.client_id.into()));
        if let Some(secret) = self.client_secret {
            form.push(("client_secret", secret.clone()));
        }
    }

    /// The request that spends a grant at the token endpoint of a login host.
    fn spend(&self, login_url: &LoginUrl, mut form: Vec<(&'static str, SecretString)>) -> Request {
        self.identify(&mut form);
        Request {
            method: Method::Post,
            url: login_url.endpoint(TOKEN_ENDPOINT),
            purpose: Purpose::Exchange,
            form,
            bearer: None,
        }
    }
}

/// Refuses what is not 200 by the rows of the token endpoint (facts 5.1).
fn accept_oauth(host: &str, response: &Response) -> Result<(), Fault> {
    if response.status == 200 {
        return Ok(());
    }
    Err(crate::domain::fault::classify_token_endpoint(host, response))
}

/// Reads a JSON answer of the API; everything else by the rows of facts 5.2.
fn accept_api(host: &str, response: &Response) -> Result<Value, Fault> {
    if response.status != 200 {
        return Err(crate::domain::fault::classify_api(host, response));
    }
    match serde_json::from_slice::<Value>(&response.body) {
        Ok(value) if value.is_object() || value.is_array() => Ok(value),
        _ => Err(crate::domain::fault::classify_unreadable(host, response)),
    }
}

/// An answer without what it must have.
fn unreadable(host: &str, status: u16, why: &str) -> Fault {
    Fault::new(FaultKind::NotAnOAuthAnswer, host, why, Some(status))
}

/// A text field of a JSON object.
fn text_field(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod testing {
    //! Answers and looks into requests, for the tests of this folder.

    use secrecy::ExposeSecret;

    use crate::domain::http::{Request, Response};
    use crate::domain::time::UnixMillis;

    /// An answer with a JSON body.
    pub(super) fn answer(status: u16, body: &str) -> Response {
        let content_type =
            if body.starts_with(['{', '[']) { "application/json" } else { "text/plain" };
        Response {
            status,
            content_type: content_type.into(),
            location: None,
            received_at: UnixMillis(0),
            date: None,
            retry_after: None,
            body: zeroize::Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    /// The text of a secret.
    #[expect(clippy::disallowed_methods, reason = "a test compares it with an invented value")]
    pub(super) fn shown(secret: &secrecy::SecretString) -> &str {
        secret.expose_secret()
    }

    /// The form of a request as `name=value`.
    pub(super) fn form(request: &Request) -> Vec<String> {
        request.form.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect()
    }
}
