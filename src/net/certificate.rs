//! The certificate that a host shows: who issued it, and whether this machine trusts it. Looked at on
//! a connection of its own, on which nothing is sent.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::client::HttpClient;
use crate::domain::http::{
    Method, Purpose, Request, ShownCertificate, TransportError, TransportFailure,
};
use crate::domain::text;

/// Longest name of an issuer that is told, in characters.
const NAME_LIMIT: usize = 64;
/// `id-at-commonName` and `id-at-organizationName`, as DER has them (RFC 5280 appendix A.1).
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];
/// The tag of a certificate's version, which may be absent.
const VERSION_TAG: u8 = 0xa0;

/// Notes who issued what is shown, and leaves every judgement to the verifier of the system.
#[derive(Debug)]
struct Noting {
    judge: Verifier,
    issuer: Mutex<Option<String>>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.issuer.lock().unwrap_or_else(PoisonError::into_inner) = issuer_of(end_entity);
        self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

impl HttpClient {
    /// What a host shows, `None` where it shows none that can be read; and whether there is a way to
    /// it. Over plain http nothing is tried.
    pub(crate) async fn certificate(
        &self,
        url: &str,
    ) -> (Option<ShownCertificate>, Result<(), TransportError>) {
        let request = Request {
            method: Method::Get,
            url: url.to_owned(),
            purpose: Purpose::Question,
            form: Vec::new(),
            bearer: None,
        };
        let (url, context) = match self.admit(&request) {
            Ok((url, context)) if url.scheme() == "https" => (url, context),
            Ok(_) => return (None, Ok(())),
            Err(error) => return (None, Err(error)),
        };
        let proxy = context.proxy.clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let noted = Arc::new(Mutex::new(None::<Arc<Noting>>));
        let kept = Arc::clone(&noted);
        let trust = move || {
            let judge = Verifier::new(Arc::clone(&provider))?;
            let noting = Arc::new(Noting { judge, issuer: Mutex::default() });
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&noting));
            let builder = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(noting);
            Ok(Arc::new(builder.with_no_client_auth()))
        };
        let way = self.open(&url, context, trust).await.map(|_| ());
        let trusted = match &way {
            Ok(()) => Ok(()),
            Err(TransportError { failure: TransportFailure::Tls(problem, _), .. }) => Err(*problem),
            Err(_) => return (None, way),
        };
        let noting = noted.lock().unwrap_or_else(PoisonError::into_inner).take();
        let issuer = noting
            .and_then(|noting| noting.issuer.lock().unwrap_or_else(PoisonError::into_inner).take());
        (issuer.map(|issuer| ShownCertificate { issuer, proxy, trusted }), way)
    }
}

/// The name of a certificate's issuer (RFC 5280 section 4.1.2.4): what it calls itself, and its
/// organization in brackets. `None` where it does not read.
fn issuer_of(certificate: &[u8]) -> Option<String> {
    let mut whole = certificate;
    let (_, mut certificate) = element(&mut whole)?;
    let (_, mut signed) = element(&mut certificate)?;
    // Version where there is one, serial number, algorithm.
    if element(&mut signed)?.0 == VERSION_TAG {
        element(&mut signed)?;
    }
    element(&mut signed)?;
    let (_, mut issuer) = element(&mut signed)?;
    let (mut common_name, mut organization) = (None, None);
    while !issuer.is_empty() {
        let (_, mut set) = element(&mut issuer)?;
        while !set.is_empty() {
            let (_, mut attribute) = element(&mut set)?;
            let (_, kind) = element(&mut attribute)?;
            let (_, value) = element(&mut attribute)?;
            match kind {
                kind if kind == COMMON_NAME => common_name = Some(shown(value)),
                kind if kind == ORGANIZATION => organization = Some(shown(value)),
                _ => {}
            }
        }
    }
    Some(match (common_name, organization) {
        (Some(name), Some(organization)) => format!("{name} ({organization})"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => "somebody without a name".to_owned(),
    })
}

/// Text that anyone can have put into a certificate.
fn shown(value: &[u8]) -> String {
    let text = text::clean_and_mask(&String::from_utf8_lossy(value));
    text.chars().take(NAME_LIMIT).collect()
}

/// Takes the next element of DER: its tag and its content (X.690 section 8.1).
fn element<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((tag, content))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut bytes = vec![tag];
        if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
            bytes.push(short);
        } else {
            let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
            bytes.extend([0x82, high, low]);
        }
        bytes.extend(content);
        bytes
    }

    fn certificate(version: bool, names: &[([u8; 3], &str)]) -> Vec<u8> {
        let name = names.iter().flat_map(|(kind, value)| {
            let attribute = [der(6, kind), der(0x0c, value.as_bytes())].concat();
            der(0x31, &der(0x30, &attribute))
        });
        let issuer = der(0x30, &name.collect::<Vec<u8>>());
        let version = if version { der(VERSION_TAG, &der(2, &[2])) } else { Vec::new() };
        let rest = der(0x30, &[0; 300]);
        let signed = [version, der(2, &[1]), der(0x30, &[]), issuer, rest].concat();
        der(0x30, &[der(0x30, &signed), der(3, &[0; 64])].concat())
    }

    #[test]
    fn the_issuer_is_told_by_its_names_cleaned_and_cut() {
        let ca = (COMMON_NAME, "Invented CA");
        let company = (ORGANIZATION, "Invented Inc.");
        let read = |names: &[_]| issuer_of(&certificate(true, names));
        assert_eq!(read(&[company, ca]).unwrap(), "Invented CA (Invented Inc.)");
        assert_eq!(issuer_of(&certificate(false, &[ca])).unwrap(), "Invented CA");
        assert_eq!(read(&[([0x55, 4, 6], "DE"), company]).unwrap(), "Invented Inc.");
        assert_eq!(read(&[]).unwrap(), "somebody without a name");
        let long = "x\u{1b}[31m".repeat(100);
        let hostile = read(&[(COMMON_NAME, &long)]).unwrap();
        assert!(!hostile.contains('\u{1b}') && hostile.chars().count() <= NAME_LIMIT, "{hostile}");
    }

    #[test]
    fn what_is_cut_short_is_no_certificate() {
        let whole = certificate(true, &[(COMMON_NAME, "Invented CA")]);
        for end in 0..whole.len() {
            assert_eq!(issuer_of(&whole[..end]), None, "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_name_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = issuer_of(&bytes);
        }

        #[test]
        fn a_changed_byte_does_no_harm(at in 0_usize..500, byte in any::<u8>()) {
            let mut bytes = certificate(true, &[(COMMON_NAME, "Invented CA")]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = issuer_of(&bytes);
        }
    }
}
