//! Who vouches for the hosts, in words: the issuers of their certificates, and the roots that this
//! machine trusts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{finding, ok};
use crate::domain::http::{ShownCertificate, TlsProblem};
use crate::engine::outcome::{Finding, Subject, Verdict};
use crate::platform::files::shown;

/// The variable that names a file with roots in place of the system's.
const ROOTS: &str = "SSL_CERT_FILE";
/// How a certificate begins in such a file.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What the hosts showed: a line for each issuer that is trusted, and one for each host whose issuer
/// is not. What else is wrong with a certificate is told with its host.
pub(super) fn told(all: &[(&str, &ShownCertificate)]) -> Vec<Finding> {
    let file = std::env::var_os(ROOTS).filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut findings: Vec<Finding> = file.as_deref().and_then(unreadable).into_iter().collect();
    let roots = match &file {
        Some(file) => format!("the roots of {ROOTS} ({})", shown(file)),
        None => "this system's roots".to_owned(),
    };
    let mut trusted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (host, certificate) in all {
        match certificate.trusted {
            Ok(()) => trusted.entry(&certificate.issuer).or_default().push(host),
            Err(TlsProblem::UnknownIssuer) => {
                findings.push(untrusted(host, certificate, &roots));
            }
            Err(_) => {}
        }
    }
    for (issuer, hosts) in trusted {
        let whose = match hosts[..] {
            [host] => format!("{host} shows a certificate"),
            _ => format!("{} hosts show certificates", hosts.len()),
        };
        findings.push(ok(Subject::Tls, format!("{whose} of {issuer}, trusted by {roots}")));
    }
    findings
}

fn untrusted(host: &str, certificate: &ShownCertificate, roots: &str) -> Finding {
    let ShownCertificate { issuer, proxy, .. } = certificate;
    let between = match proxy {
        Some(proxy) => format!("; the proxy {proxy} may look into TLS with a CA of its own"),
        None => String::new(),
    };
    let message =
        format!("{host} shows a certificate of {issuer}, which is none of {roots}{between}");
    let remedy = format!(
        "if that is your company's CA, add it to the system's (update-ca-certificates, update-ca-trust) or set {ROOTS} to a file with it; if not, send nothing there"
    );
    finding(Subject::Tls, Verdict::Wrong, message, remedy)
}

/// A file of roots that holds none leaves nobody to trust.
fn unreadable(file: &Path) -> Option<Finding> {
    let message = match std::fs::read(file) {
        Ok(bytes) if bytes.windows(PEM.len()).any(|window| window == PEM) => return None,
        Ok(_) => format!("{ROOTS} names {}, which holds no certificate", shown(file)),
        Err(error) => format!("{ROOTS} names {}, which can't be read: {error}", shown(file)),
    };
    let remedy = format!("name a file with certificates in PEM, or unset {ROOTS}");
    Some(finding(Subject::Tls, Verdict::Wrong, message, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(issuer: &str, trusted: Result<(), TlsProblem>) -> ShownCertificate {
        ShownCertificate { issuer: issuer.into(), proxy: None, trusted }
    }

    #[test]
    fn each_trusted_issuer_has_a_line_and_each_host_of_another_one_too() {
        let good = certificate("Invented CA", Ok(()));
        let other = certificate("Other CA", Ok(()));
        let expired = certificate("Invented CA", Err(TlsProblem::Expired));
        let mut looked_into = certificate("Proxy CA", Err(TlsProblem::UnknownIssuer));
        looked_into.proxy = Some("proxy:3128".into());
        let all = [("a", &good), ("b", &good), ("c", &other), ("d", &expired), ("e", &looked_into)];
        let found = told(&all);
        let lines: Vec<_> = found.iter().map(|one| (one.verdict, one.message.as_str())).collect();
        let ours = |start: &str, verdict| {
            lines.iter().any(|(found, text)| *found == verdict && text.starts_with(start))
        };
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(ours("2 hosts show certificates of Invented CA, trusted by ", Verdict::Ok));
        assert!(ours("c shows a certificate of Other CA, trusted by ", Verdict::Ok));
        assert!(ours("e shows a certificate of Proxy CA, which is none of ", Verdict::Wrong));
        assert!(found[0].message.contains("the proxy proxy:3128 may look into TLS"), "{found:?}");
    }

    #[test]
    fn a_file_of_roots_without_any_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        assert!(unreadable(&file).unwrap().message.contains("can't be read"));
        std::fs::write(&file, "nothing").unwrap();
        assert!(unreadable(&file).unwrap().message.contains("holds no certificate"));
        std::fs::write(&file, PEM).unwrap();
        assert_eq!(unreadable(&file), None);
    }
}
