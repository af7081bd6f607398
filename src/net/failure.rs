//! Turns the errors of `reqwest` into [`TransportError`]s: what happened, and whether the request
//! may have left. URLs, headers and bodies stay out of the texts.

use std::error::Error;
use std::io;
use std::time::Duration;

use url::Url;

use crate::domain::http::{TransportError, TransportFailure};
use crate::domain::text;

/// What a failure is judged by, beside the error itself.
pub(super) struct Context {
    /// The host that was meant.
    pub(super) host: String,
    /// The proxy on the way, where there is one: its host, without user and password.
    pub(super) proxy: Option<String>,
    /// Longest wait for a connection.
    pub(super) connect_timeout: Duration,
    /// Longest wait for the whole answer.
    pub(super) deadline: Duration,
}

impl Context {
    /// The request never left.
    pub(super) fn unsent(&self, failure: TransportFailure) -> TransportError {
        TransportError { host: self.host.clone(), failure, sent: false }
    }

    /// The request may have left.
    pub(super) fn sent(&self, failure: TransportFailure) -> TransportError {
        TransportError { host: self.host.clone(), failure, sent: true }
    }

    /// The deadline passed.
    pub(super) fn timed_out(&self) -> TransportError {
        self.sent(TransportFailure::Timeout(seconds(self.deadline)))
    }

    /// Judges an error of sending or reading. Only what failed before there was a connection
    /// (name, TCP, proxy, TLS) counts as unsent.
    pub(super) fn judge(&self, error: &reqwest::Error) -> TransportError {
        if error.is_builder() {
            let why = "the request holds characters that none may have";
            return self.unsent(TransportFailure::Refused(why.to_owned()));
        }
        if error.is_connect() || error.is_dns() {
            return self.unsent(self.connecting(error));
        }
        if error.is_timeout() {
            return self.timed_out();
        }
        self.sent(TransportFailure::Interrupted)
    }

    fn connecting(&self, error: &reqwest::Error) -> TransportFailure {
        let causes: Vec<&(dyn Error + 'static)> = causes(error).collect();
        let texts: Vec<String> = causes.iter().map(ToString::to_string).collect();
        let innermost = text::clean_and_mask(texts.last().map_or("", String::as_str));
        let is_tls = causes.iter().any(|cause| is_invalid_data(*cause))
            || texts.iter().any(|text| text.contains("tls handshake"));
        let is_tunnel = texts.iter().any(|text| text.starts_with("tunnel error"));
        match &self.proxy {
            Some(proxy) if is_tunnel || !is_tls => TransportFailure::Proxy(proxy.clone()),
            _ if is_tls => TransportFailure::Tls(innermost),
            _ if error.is_dns() => TransportFailure::UnknownHost,
            _ if error.is_timeout() => TransportFailure::Connect(format!(
                "no connection within {} s",
                seconds(self.connect_timeout)
            )),
            _ => TransportFailure::Connect(innermost),
        }
    }
}

/// The chain of causes, outermost first, without the error itself (whose text has the URL in it).
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// Whether an I/O error, or one wrapped in it, is of data that TLS refused. An `io::Error` hides
/// the error in it from `source()`.
fn is_invalid_data(cause: &(dyn Error + 'static)) -> bool {
    let Some(error) = cause.downcast_ref::<io::Error>() else { return false };
    error.kind() == io::ErrorKind::InvalidData
        || error.get_ref().is_some_and(|inner| is_invalid_data(inner))
}

fn seconds(span: Duration) -> u64 {
    span.as_secs().max(1)
}

/// The proxy for an https host by the environment's words, to be named in a message. `variable`
/// looks an environment variable up.
pub(super) fn proxy_for(host: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let first = |names: &[&str]| {
        names.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()))
    };
    let proxy = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?;
    let exempt = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if exempt.split(',').any(|entry| covers(entry.trim(), host)) {
        return None;
    }
    let with_scheme = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    let url = Url::parse(with_scheme.trim()).ok()?;
    let name = text::clean(url.host_str()?);
    Some(url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}")))
}

/// Whether an entry of `NO_PROXY` covers a host: all, the same, or a domain above it.
fn covers(entry: &str, host: &str) -> bool {
    let domain = entry.trim_start_matches('.').to_ascii_lowercase();
    entry == "*"
        || (!domain.is_empty()
            && host
                .strip_suffix(&domain)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_named_without_its_password_and_only_where_it_is_on_the_way() {
        let table = [
            (None, None, None),
            (
                Some("http://user:hunter2@proxy.acme.example:3128"),
                None,
                Some("proxy.acme.example:3128"),
            ),
            (Some("proxy.acme.example:3128"), None, Some("proxy.acme.example:3128")),
            (Some("http://proxy"), Some("localhost, salesforce.com"), None),
            (Some("http://proxy"), Some(".my.salesforce.com"), None),
            (Some("http://proxy"), Some("*"), None),
            (Some("http://proxy"), Some("lesforce.com,"), Some("proxy")),
            (Some("  "), None, None),
        ];
        for (https_proxy, no_proxy, expected) in table {
            let variable = |name: &str| match name {
                "https_proxy" => https_proxy.map(str::to_owned),
                "NO_PROXY" => no_proxy.map(str::to_owned),
                _ => None,
            };
            assert_eq!(proxy_for("acme.my.salesforce.com", variable).as_deref(), expected);
        }
    }
}
