//! A request as the rules see it: the place, the parameters, and who it says it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::simulator::host::Place;

/// Decoded name and value pairs of a query or a form, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Decodes `application/x-www-form-urlencoded` text.
    pub(crate) fn decode(encoded: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// Builds a form of pairs.
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The first value of a name; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(candidate, _)| candidate == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// A request.
#[derive(Clone)]
pub(crate) struct Request {
    /// `GET` or another.
    pub(crate) method: String,
    /// Host and path.
    pub(crate) place: Place,
    /// The host as the journal names it, without port.
    pub(crate) host_name: String,
    /// The query.
    pub(crate) query: Form,
    /// The body, where it is a form.
    pub(crate) form: Form,
    /// The `Authorization` header.
    pub(crate) authorization: Option<String>,
    /// The cookie of a logged-in browser.
    pub(crate) browser: Option<String>,
}

impl Request {
    /// The bearer token of the header, or of the parameter `oauth_token` or `access_token`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let header = self.authorization.as_deref().and_then(|value| scheme(value, "bearer"));
        header.or_else(|| self.query.get("oauth_token")).or_else(|| self.form.get("access_token"))
    }

    /// Client ID and client secret, from HTTP Basic or from the form (RFC 6749 section 2.3.1).
    pub(crate) fn client(&self) -> (Option<String>, Option<String>) {
        let basic = self.authorization.as_deref().and_then(|value| scheme(value, "basic"));
        if let Some((id, secret)) = basic.and_then(decode_basic) {
            return (Some(id), Some(secret).filter(|secret| !secret.is_empty()));
        }
        let field = |name| self.form.get(name).map(str::to_owned);
        (field("client_id"), field("client_secret"))
    }
}

/// What follows the scheme of an `Authorization` header, if it is that scheme.
fn scheme<'value>(value: &'value str, wanted: &str) -> Option<&'value str> {
    let (name, rest) = value.split_once(' ')?;
    name.eq_ignore_ascii_case(wanted).then(|| rest.trim())
}

/// The two halves are form-encoded before they are joined (RFC 6749 section 2.3.1).
fn decode_basic(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain = |half: &str| crate::domain::host::percent_decode(&half.replace('+', " "));
    Some((plain(id), plain(secret)))
}
