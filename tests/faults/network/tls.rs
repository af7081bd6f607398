//! Row N17: what can be wrong with TLS, each with its own words and remedy. The certificates and
//! the server are those of `openssl`, the program.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::front::read_message;
use super::{ANA, can, check, pending, save_at, still_pends};
use crate::common::{Home, Simulator, until};

/// A certificate authority of the test's own, which no machine trusts by itself.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Self { folder };
        let text = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={0}/index\nnew_certs_dir={0}\nrand_serial=yes\n\
             default_md=sha256\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n\
             [req]\ndistinguished_name=name\n[name]\n",
            authority.folder.path().display()
        );
        std::fs::write(authority.path("config"), text).unwrap();
        std::fs::write(authority.path("index"), "").unwrap();
        authority.self_signed("ca", "CN=Invented Authority", "CA:TRUE");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split('|')).current_dir(self.folder.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A certificate that signs itself; its key stands in `NAME.key`.
    fn self_signed(&self, name: &str, subject: &str, constraints: &str) {
        let names = "subjectAltName=DNS:acme.my.localhost,DNS:acme.my.salesforce.com";
        self.openssl(&format!(
            "req|-x509|-config|config|-newkey|ec|-pkeyopt|ec_paramgen_curve:P-256|-nodes|-days|30|\
             -keyout|{name}.key|-out|{name}.pem|-subj|/{subject}|-addext|{names}|\
             -addext|basicConstraints=critical,{constraints}"
        ));
    }

    /// A certificate of the authority for a host, for a time; its key stands in `NAME.key`.
    fn issue(&self, name: &str, host: &str, from: &str, to: &str) {
        let extensions = format!("subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(self.path("extensions"), extensions).unwrap();
        self.openssl(&format!(
            "req|-config|config|-newkey|ec|-pkeyopt|ec_paramgen_curve:P-256|-nodes|\
             -keyout|{name}.key|-out|{name}.csr|-subj|/CN={name}"
        ));
        self.openssl(&format!(
            "ca|-config|config|-batch|-notext|-in|{name}.csr|-cert|ca.pem|-keyfile|ca.key|\
             -startdate|{from}|-enddate|{to}|-extfile|extensions|-out|{name}.pem"
        ));
    }

    /// One that is in order, for a host.
    fn issue_valid(&self, name: &str, host: &str) {
        self.issue(name, host, "20200101000000Z", "20991231000000Z");
    }
}

/// `openssl s_server`; what it decrypts is its output, what it encrypts its input.
struct TlsServer {
    child: Child,
    port: u16,
}

impl TlsServer {
    fn start(folder: &Path, name: &str, more: &[&str]) -> Self {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        command.args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")]);
        command.args(more).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        until("openssl to listen", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port }
    }

    /// Passes what arrives on to the simulated Salesforce, and counts the requests.
    fn pass_on(&mut self, simulator: &Simulator) -> Arc<AtomicUsize> {
        let mut requests = self.child.stdout.take().unwrap();
        let mut answers: ChildStdin = self.child.stdin.take().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let (counted, backend) = (Arc::clone(&count), simulator.port);
        std::thread::spawn(move || {
            while let Some(request) = read_message(&mut requests) {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut salesforce = TcpStream::connect(("127.0.0.1", backend)).unwrap();
                salesforce.write_all(&request).unwrap();
                let answer = read_message(&mut salesforce).unwrap_or_default();
                answers.write_all(&answer).unwrap();
                answers.flush().unwrap();
            }
        });
        count
    }

    /// Everything that was decrypted so far, by ending it.
    fn read_all(mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        if let Some(mut output) = self.child.stdout.take() {
            let _ = output.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_openssl(left_out: &str) -> bool {
    can(Command::new("openssl").arg("version"), left_out)
}

/// Completes a set-up at `https://HOST:PORT`, trusting the authority where one is given; nothing
/// may have been decrypted.
#[track_caller]
fn is_refused(server: TlsServer, host: &str, trusted: Option<&Path>, code: &str, words: &[&str]) {
    let mut home = Home::new();
    if let Some(trusted) = trusted {
        home.set("SSL_CERT_FILE", trusted.to_str().unwrap());
    }
    let redirect = pending(&home, &format!("https://{host}:{}", server.port));
    let refused = home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
    check(&refused, 4, code, &[words, &[host]].concat());
    let said = refused.stderr.to_lowercase();
    assert!(!said.contains("--insecure") && !said.contains("ignore"), "no way around: {refused}");
    still_pends(&home);
    assert_eq!(server.read_all(), "", "nothing was sent: {refused}");
}

#[test]
fn n17_each_certificate_that_is_not_in_order_has_its_own_words() {
    if !has_openssl("N17, certificates that are not in order") {
        return;
    }
    let authority = Authority::new();
    let (folder, ca) = (authority.folder.path(), authority.path("ca.pem"));
    let host = "acme.my.localhost";
    authority.issue("expired", host, "20010101000000Z", "20020101000000Z");
    authority.issue("early", host, "20900101000000Z", "20910101000000Z");
    authority.issue_valid("other", "globex.my.localhost");
    authority.issue_valid("good", host);
    authority.self_signed("own", "CN=acme", "CA:FALSE");
    let serve = |name: &str| TlsServer::start(folder, name, &[]);

    let words = ["has expired", " d ago", "this machine's clock", "new certificate"];
    is_refused(serve("expired"), host, Some(&ca), "tls_certificate_expired", &words);
    let words = ["not valid yet", "it begins in ", " d,", "it may be behind"];
    is_refused(serve("early"), host, Some(&ca), "tls_certificate_not_yet_valid", &words);
    let words = ["of another host", "globex.my.localhost", "spelling of the login URL"];
    is_refused(serve("other"), host, Some(&ca), "tls_name_mismatch", &words);
    let words = ["does not trust", "SSL_CERT_FILE", "someone else answers"];
    is_refused(serve("good"), host, None, "tls_issuer_unknown", &words);
    is_refused(serve("own"), host, Some(&ca), "tls_issuer_unknown", &words);
    is_refused(serve("ca"), host, None, "tls_issuer_unknown", &words);
}

#[test]
fn n17_an_old_version_and_no_tls_at_all_have_their_own_words() {
    if !has_openssl("N17, old versions of TLS") {
        return;
    }
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    let host = "acme.my.localhost";
    authority.issue_valid("good", host);
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let server = TlsServer::start(authority.folder.path(), "good", &old);
    let words = ["no TLS 1.2 or newer", "ProtocolVersion", "which proxy"];
    is_refused(server, host, Some(&ca), "tls_version_refused", &words);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    let home = Home::new();
    let redirect = pending(&home, &format!("https://{host}:{port}"));
    let refused = home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
    check(&refused, 4, "tls_missing", &["does not speak TLS on this port", "captive portal"]);
    still_pends(&home);
}

/// Passes bytes on; when one side ends, so does the other.
fn pipe(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    for side in [&from, &to] {
        let _ = side.shutdown(Shutdown::Both);
    }
}

#[test]
fn n17_an_intercepting_proxy_is_named_and_its_authority_can_be_trusted() {
    if !has_openssl("N17, an intercepting proxy") {
        return;
    }
    let authority = Authority::new();
    authority.issue_valid("proxy", "acme.my.salesforce.com");
    let server = TlsServer::start(authority.folder.path(), "proxy", &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let target = server.port;
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let Some(_connect) = read_message(&mut client) else { continue };
            let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pipe(up, down));
            std::thread::spawn(move || pipe(server, client));
        }
    });
    let mut home = Home::new();
    home.set("HTTPS_PROXY", &format!("http://user:hunter2@{proxy}"));
    let redirect = pending(&home, "https://acme.my.salesforce.com");
    let finish =
        |home: &Home| home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
    let refused = finish(&home);
    let through = format!("through the proxy {proxy}");
    let words = ["does not trust", &through, "SSL_CERT_FILE", "company's proxy"];
    check(&refused, 4, "tls_issuer_unknown", &words);
    assert!(!refused.stderr.contains("hunter2"), "{refused}");
    still_pends(&home);

    // With its authority trusted, the code goes through; here nobody answers.
    let text = crate::common::config(crate::common::PUBLIC_APP);
    home.write("config.toml", &text.replace("[network]", "[network]\ndeadline = \"1s\""));
    home.set("SSL_CERT_FILE", authority.path("ca.pem").to_str().unwrap());
    check(&finish(&home), 10, "uncertain", &["did not answer within 1 s", "code may be spent"]);
    let sent = server.read_all();
    assert!(sent.starts_with("POST /services/oauth2/token HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains("grant_type=authorization_code"), "{sent}");
}

#[test]
fn n17_a_certificate_in_order_of_a_trusted_authority_lets_a_whole_sign_in_pass() {
    if !has_openssl("N17, a certificate that is in order") {
        return;
    }
    let authority = Authority::new();
    authority.issue_valid("good", "acme.my.localhost");
    let simulator = Simulator::start();
    let mut server = TlsServer::start(authority.folder.path(), "good", &[]);
    let exchanged = server.pass_on(&simulator);
    let mut home = Home::new();
    home.set("SSL_CERT_FILE", authority.path("ca.pem").to_str().unwrap());
    let login_url = format!("https://acme.my.localhost:{}", server.port);
    save_at(&home, "acme", &login_url);
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = simulator.sign_in(&url.replacen(&login_url, &simulator.url("acme.my"), 1), ANA);
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    home.orgkey(&["test", "acme"]).ok();
    let stored = home.orgkey(&["token", "acme"]).ok().stdout;
    home.orgkey_with(&["token", "acme", "--not", "-"], &stored).ok();
    assert!(exchanged.load(Ordering::SeqCst) >= 2, "the code and the refresh went over TLS");
    assert_eq!(simulator.count("refreshes"), 1);
}

#[test]
fn n17_doctor_names_who_issued_a_certificate_and_which_roots_trust_it() {
    if !has_openssl("N17, who issued a certificate") {
        return;
    }
    let authority = Authority::new();
    authority.issue_valid("good", "acme.my.localhost");
    let simulator = Simulator::start();
    let mut server = TlsServer::start(authority.folder.path(), "good", &[]);
    let _asked = server.pass_on(&simulator);
    let mut home = Home::new();
    save_at(&home, "acme", &format!("https://acme.my.localhost:{}", server.port));
    let tls = |run: &crate::common::Run| {
        let checks = run.json()["checks"].as_array().unwrap().clone();
        let mut checks = checks.into_iter().filter(|check| check["name"] == "tls");
        let found = checks.next().unwrap_or_else(|| panic!("no check of TLS: {run}"));
        assert!(checks.next().is_none(), "{run}");
        ["result", "message", "remedy"].map(|field| found[field].as_str().unwrap().to_owned())
    };
    let host = format!("acme.my.localhost:{}", server.port);
    let [result, message, remedy] = tls(&home.orgkey(&["doctor", "--json"]).expect(8));
    assert_eq!(result, "wrong");
    let words = format!(
        "{host} shows a certificate of Invented Authority, which is none of this system's roots"
    );
    assert_eq!(message, words);
    assert!(remedy.contains("SSL_CERT_FILE"), "{remedy}");

    let roots = authority.path("ca.pem");
    home.set("SSL_CERT_FILE", roots.to_str().unwrap());
    let [result, message, remedy] = tls(&home.orgkey(&["doctor", "--json"]).ok());
    assert_eq!((result.as_str(), remedy.as_str()), ("ok", ""));
    let roots = roots.display();
    let words = format!(
        "{host} shows a certificate of Invented Authority, trusted by the roots of SSL_CERT_FILE ({roots})"
    );
    assert_eq!(message, words);
}
