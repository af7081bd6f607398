//! What is wrong with TLS, as [`TlsProblem`]: each has another remedy.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, PeerIncompatible};

use crate::domain::http::{TlsProblem, TransportFailure};
use crate::domain::text;
use crate::domain::time::span_in_words;

/// How a connection ends when the other side, or a firewall between, does not want it.
const ENDS: [io::ErrorKind; 4] = [
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::UnexpectedEof,
];

/// Judges what ended a handshake; `proxy` is the one on the way.
pub(super) fn judge_handshake(error: &io::Error, proxy: Option<&str>) -> TransportFailure {
    match rustls_error(error) {
        Some(error) => judge(error, proxy),
        None if is_end(error) => TransportFailure::Cut,
        None => TransportFailure::Tls(TlsProblem::Other, text::clean_and_mask(&error.to_string())),
    }
}

/// Judges an error of the TLS library.
pub(super) fn judge(error: &rustls::Error, proxy: Option<&str>) -> TransportFailure {
    let (problem, why) = read(error);
    let why = text::clean_and_mask(&why);
    TransportFailure::Tls(
        problem,
        match proxy {
            Some(proxy) => format!("{why} (through the proxy {proxy})"),
            None => why,
        },
    )
}

/// Whether a connection ended because the other side wanted it.
pub(super) fn is_end(cause: &(dyn Error + 'static)) -> bool {
    let Some(error) = cause.downcast_ref::<io::Error>() else { return false };
    ENDS.contains(&error.kind()) || error.get_ref().is_some_and(|inner| is_end(inner))
}

/// The error of the TLS library in a cause. An `io::Error` hides the error in it from `source()`.
pub(super) fn rustls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(error) = cause.downcast_ref() {
        return Some(error);
    }
    rustls_error(cause.downcast_ref::<io::Error>()?.get_ref()?)
}

fn read(error: &rustls::Error) -> (TlsProblem, String) {
    let said = error.to_string();
    let said = said.trim_start_matches("invalid peer certificate: ").to_owned();
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::ExpiredContext { time, not_after } => {
                let span = Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs()));
                (
                    TlsProblem::Expired,
                    format!("{} ago, by this machine's clock", span_in_words(span)),
                )
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                let span = Duration::from_secs(not_before.as_secs().saturating_sub(time.as_secs()));
                (
                    TlsProblem::NotYetValid,
                    format!("it begins in {}, by this machine's clock", span_in_words(span)),
                )
            }
            CertificateError::Expired => (TlsProblem::Expired, said),
            CertificateError::NotValidYet => (TlsProblem::NotYetValid, said),
            CertificateError::UnknownIssuer => {
                (TlsProblem::UnknownIssuer, "unknown issuer".to_owned())
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (TlsProblem::WrongName, said)
            }
            // The library below has a word for it, and hands out no type.
            _ if said.contains("CaUsedAsEndEntity") => {
                (TlsProblem::UnknownIssuer, "it is signed by itself".to_owned())
            }
            _ => (TlsProblem::Other, said),
        },
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (TlsProblem::Version, said),
        rustls::Error::InvalidMessage(_) => (TlsProblem::NoTls, said),
        _ => (TlsProblem::Other, said),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;
    use rustls::pki_types::UnixTime;

    use super::*;

    fn told(error: rustls::Error) -> (TlsProblem, String) {
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        match judge_handshake(&wrapped, None) {
            TransportFailure::Tls(problem, why) => (problem, why),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_problem_is_found_in_what_wraps_it() {
        let at = |hours: u64| UnixTime::since_unix_epoch(Duration::from_secs(hours * 3_600));
        let (time, not_after, not_before) = (at(1_000), at(997), at(1_050));
        let table = [
            (
                CertificateError::ExpiredContext { time, not_after }.into(),
                TlsProblem::Expired,
                "3 h ago, by this machine's clock",
            ),
            (
                CertificateError::NotValidYetContext { time, not_before }.into(),
                TlsProblem::NotYetValid,
                "it begins in 2 d, by this machine's clock",
            ),
            (CertificateError::Expired.into(), TlsProblem::Expired, "Expired"),
            (CertificateError::UnknownIssuer.into(), TlsProblem::UnknownIssuer, "unknown issuer"),
            (CertificateError::NotValidForName.into(), TlsProblem::WrongName, "NotValidForName"),
            (
                CertificateError::Other(OtherError(Arc::new(io::Error::other(
                    "CaUsedAsEndEntity",
                ))))
                .into(),
                TlsProblem::UnknownIssuer,
                "it is signed by itself",
            ),
            (CertificateError::BadSignature.into(), TlsProblem::Other, "BadSignature"),
            (
                rustls::Error::AlertReceived(AlertDescription::ProtocolVersion),
                TlsProblem::Version,
                "received fatal alert: ProtocolVersion",
            ),
            (rustls::Error::DecryptError, TlsProblem::Other, "cannot decrypt peer's message"),
        ];
        for (error, problem, why) in table {
            assert_eq!(told(error), (problem, why.to_owned()));
        }
    }

    #[test]
    fn an_end_is_told_from_a_refusal_and_a_proxy_is_named() {
        for kind in ENDS {
            assert_eq!(judge_handshake(&kind.into(), None), TransportFailure::Cut);
        }
        let other = judge_handshake(&io::Error::other("x"), None);
        assert_eq!(other, TransportFailure::Tls(TlsProblem::Other, "x".to_owned()));
        let TransportFailure::Tls(_, why) = judge(&rustls::Error::DecryptError, Some("proxy:3128"))
        else {
            panic!("TLS failed")
        };
        assert!(why.ends_with("(through the proxy proxy:3128)"), "{why}");
    }
}
