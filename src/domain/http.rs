//! An HTTP exchange as plain values: `oauth` builds the request and reads the response, `net`
//! carries them over the wire, and neither knows the other.

use std::time::Duration;

use secrecy::SecretString;

use crate::domain::http_time::ClockOffset;
use crate::domain::time::UnixMillis;

/// The request methods that Salesforce's endpoints need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Reads.
    Get,
    /// Sends a form.
    Post,
}

/// Caps and rules of a request, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Spends a code, a refresh token or another grant: a fresh connection, never sent twice, and
    /// an answer of at most 60 KiB (what an inbox slot holds).
    Exchange,
    /// Anything that may be asked again: at most 256 KiB.
    Question,
}

/// A request. Its `Debug` shows neither form nor bearer token.
pub(crate) struct Request {
    /// How.
    pub(crate) method: Method,
    /// Where; checked against the host policy before the socket is opened. Holds no secret.
    pub(crate) url: String,
    /// What for.
    pub(crate) purpose: Purpose,
    /// `application/x-www-form-urlencoded` body of a POST.
    pub(crate) form: Vec<(&'static str, SecretString)>,
    /// RFC 6750 section 2.1: sent as `Authorization: Bearer`.
    pub(crate) bearer: Option<SecretString>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} {} for {:?}", self.method, self.url, self.purpose)
    }
}

/// A response, read to its end. The body may hold tokens: it is wiped when dropped, and `Debug`
/// shows its length alone.
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The `Content-Type` header, lower case, without parameters; empty when there is none.
    pub(crate) content_type: String,
    /// The `Location` header of a redirect, which is never followed.
    pub(crate) location: Option<String>,
    /// When it came, by this machine's clock.
    pub(crate) received_at: UnixMillis,
    /// The `Date` header: the server's clock.
    pub(crate) date: Option<UnixMillis>,
    /// How long to wait before asking again, by `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// The body.
    pub(crate) body: zeroize::Zeroizing<Vec<u8>>,
}

impl Response {
    /// How far this machine's clock is from the server's, where that is too far.
    pub(crate) fn clock_offset(&self) -> Option<ClockOffset> {
        ClockOffset::between(self.received_at, self.date?)
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, content_type, body, .. } = self;
        write!(formatter, "{status} {content_type} ({} bytes)", body.len())
    }
}

/// Why there is no full response. `sent` tells what a refresh must know: whether the server may
/// have acted on the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} {failure}")]
pub(crate) struct TransportError {
    /// The host that was meant.
    pub(crate) host: String,
    /// What happened.
    pub(crate) failure: TransportFailure,
    /// Whether the request may have left before it failed.
    pub(crate) sent: bool,
}

/// What was wrong with TLS; each has another remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsProblem {
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
    /// No authority that this machine trusts issued it, or it was signed by itself.
    UnknownIssuer,
    /// It is for another host.
    WrongName,
    /// The server speaks no version of TLS that we do.
    Version,
    /// The server speaks no TLS at all.
    NoTls,
    /// Something else.
    Other,
}

/// The certificate that a host showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownCertificate {
    /// Who issued it, as it says; cleaned.
    pub(crate) issuer: String,
    /// The proxy on the way, where there is one.
    pub(crate) proxy: Option<String>,
    /// Whether this machine trusts it for that host.
    pub(crate) trusted: Result<(), TlsProblem>,
}

/// What kept a response from arriving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransportFailure {
    /// The host policy refused the address; nothing was sent.
    #[error("is no host to which tokens are sent: {0}")]
    Refused(String),
    /// The name does not resolve.
    #[error("is not known to DNS")]
    UnknownHost,
    /// No connection.
    #[error("could not be connected: {0}")]
    Connect(String),
    /// The server, or one before it, ended the connection while it was made.
    #[error("closed the connection before anything was sent")]
    Cut,
    /// The certificate or the handshake failed.
    #[error("could not prove over TLS that it is the one: {1}")]
    Tls(TlsProblem, String),
    /// The proxy refused.
    #[error("could not be reached through the proxy {0}")]
    Proxy(String),
    /// The deadline passed, in seconds.
    #[error("did not answer within {0} s")]
    Timeout(u64),
    /// The connection ended before the answer did.
    #[error("closed the connection before its answer was complete")]
    Interrupted,
    /// It answered, but not as RFC 9112 has it.
    #[error("answered with something that is no HTTP")]
    NotHttp,
    /// The answer is larger than the cap, in bytes.
    #[error("answered more than {0} bytes")]
    TooLarge(usize),
}
