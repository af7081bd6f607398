//! The ports of redirects to this machine: whether a listener could have them (RFC 8252 section 7.3).

use std::collections::BTreeSet;
use std::io;

use super::{finding, ok};
use crate::domain::app::{App, Flow};
use crate::engine::error::{Error, NotListening};
use crate::engine::outcome::{Finding, Subject, Verdict};
use crate::net::LoopbackListener;
use crate::platform::port::{is_of_this_program, listening_process};

/// Tries each port of the apps' redirect URIs, and lets it go at once. None is told where no app has
/// such a URI.
pub(super) async fn examine(apps: &[App]) -> Vec<Finding> {
    let apps = apps.iter().filter(|app| app.allows(Flow::Loopback));
    let ports: BTreeSet<u16> =
        apps.flat_map(App::loopback_redirects).map(|redirect| redirect.port).collect();
    let mut findings = Vec::new();
    for port in ports {
        findings.push(match LoopbackListener::bind(port).await {
            Ok(_) => ok(Subject::Port, format!("port {port} is free for a redirect to localhost")),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                taken(port, listening_process(port))
            }
            Err(error) => refused(NotListening::PortRefused { port, why: error.to_string() }),
        });
    }
    findings
}

fn taken(port: u16, by: Option<String>) -> Finding {
    match by {
        Some(by) if is_of_this_program(&by) => {
            let words = format!("port {port} is taken by {by}, as by a sign-in that waits there");
            ok(Subject::Port, words)
        }
        by => refused(NotListening::PortTaken { taken: vec![(port, by)] }),
    }
}

/// Paste works all the same.
fn refused(why: NotListening) -> Finding {
    let error = Error::from(why);
    finding(Subject::Port, Verdict::Look, error.message(), error.remedy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_ours_is_no_reason_to_end_anything() {
        let ours = platform_name();
        let found = taken(1717, Some(format!("{ours} (process 7)")));
        assert_eq!((found.verdict, found.remedy.as_str()), (Verdict::Ok, ""));
        for by in [Some("nginx (process 8)".to_owned()), None] {
            let found = taken(1717, by);
            assert_eq!(found.verdict, Verdict::Look);
            assert!(found.message.starts_with("port 1717 is taken by "), "{found:?}");
            assert!(found.remedy.contains("--flow paste"), "{found:?}");
        }
    }

    fn platform_name() -> String {
        std::fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned()
    }
}
