//! Turns the errors of `reqwest` into [`TransportError`]s: what happened, and whether the request
//! may have left. URLs, headers and bodies stay out of the texts.

use std::error::Error;
use std::time::Duration;

use super::tls;
use crate::domain::http::{TransportError, TransportFailure};
use crate::domain::text;
use crate::domain::time::UnixMillis;

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
    /// Tells when an answer came.
    pub(super) clock: fn() -> UnixMillis,
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
        self.sent(self.too_late())
    }

    /// The deadline, as a failure.
    pub(super) fn too_late(&self) -> TransportFailure {
        TransportFailure::Timeout(seconds(self.deadline))
    }

    /// Nobody answered the attempt to connect.
    pub(super) fn no_connection(&self) -> String {
        format!("no connection within {} s", seconds(self.connect_timeout))
    }

    /// Nobody answered the question for the address.
    pub(super) fn no_dns(&self) -> String {
        format!("DNS did not answer within {} s", seconds(self.connect_timeout))
    }

    /// The name of the host, or of the proxy before it, does not resolve.
    pub(super) fn unknown_host(&self) -> TransportFailure {
        match &self.proxy {
            Some(proxy) => TransportFailure::Proxy(proxy.clone()),
            None => TransportFailure::UnknownHost,
        }
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
        let refusal = causes.iter().find_map(|cause| tls::rustls_error(*cause));
        let is_tunnel = texts.iter().any(|text| text.starts_with("tunnel error"));
        match (&self.proxy, refusal) {
            (Some(proxy), _) if is_tunnel => TransportFailure::Proxy(proxy.clone()),
            (proxy, Some(refusal)) => tls::judge(refusal, proxy.as_deref()),
            (Some(proxy), None) => TransportFailure::Proxy(proxy.clone()),
            _ if causes.iter().any(|cause| tls::is_end(*cause)) => TransportFailure::Cut,
            _ if error.is_dns() => TransportFailure::UnknownHost,
            _ if error.is_timeout() => TransportFailure::Connect(self.no_connection()),
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

fn seconds(span: Duration) -> u64 {
    span.as_secs().max(1)
}
