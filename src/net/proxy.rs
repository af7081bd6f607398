//! The proxy on the way to a host, by the words of the environment (`HTTPS_PROXY`, `ALL_PROXY`,
//! `NO_PROXY`), read as curl reads them.

use hyper_util::client::proxy::matcher::Matcher;
use secrecy::SecretString;
use url::Url;

use crate::domain::text;

/// A proxy through which a host is reached.
pub(super) struct Proxy {
    /// Its host.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// How it is spoken to: `http`, `https`, or what is not supported.
    pub(super) scheme: String,
    /// The value of `Proxy-Authorization`, where it has user and password.
    pub(super) authorization: Option<SecretString>,
}

impl Proxy {
    /// What it is called in messages: without user and password.
    pub(super) fn shown(&self) -> String {
        let host = text::clean(&self.host);
        match (self.scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// The proxy for an address. The caller leaves this machine's own out.
pub(super) fn proxy_for(url: &Url, matcher: &Matcher) -> Option<Proxy> {
    let intercept = matcher.intercept(&url.as_str().parse().ok()?)?;
    let uri = intercept.uri();
    let scheme = uri.scheme_str().unwrap_or("http").to_owned();
    let usual = if scheme == "https" { 443 } else { 80 };
    Some(Proxy {
        host: uri.host()?.to_owned(),
        port: uri.port_u16().unwrap_or(usual),
        scheme,
        authorization: intercept
            .basic_auth()
            .and_then(|value| value.to_str().ok())
            .map(SecretString::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_named_without_its_password_and_only_where_it_is_on_the_way() {
        let table = [
            ("", "", None),
            ("http://user:hunter2@proxy.acme.example:3128", "", Some("proxy.acme.example:3128")),
            ("proxy.acme.example:3128", "", Some("proxy.acme.example:3128")),
            ("http://proxy", "localhost, salesforce.com", None),
            ("http://proxy", ".my.salesforce.com", None),
            ("http://proxy", "*", None),
            ("http://proxy", "lesforce.com,", Some("proxy")),
            ("https://proxy", "", Some("proxy")),
        ];
        let url = Url::parse("https://acme.my.salesforce.com/services/oauth2/token").unwrap();
        for (proxy, exempt, expected) in table {
            let matcher = Matcher::builder().https(proxy).no(exempt).build();
            let found = proxy_for(&url, &matcher);
            assert_eq!(found.as_ref().map(Proxy::shown).as_deref(), expected, "{proxy} {exempt}");
            assert_eq!(
                found.is_some_and(|proxy| proxy.authorization.is_some()),
                proxy.contains("hunter2")
            );
        }
    }
}
