//! Requests that a browser, or anything else on the machine, can send.

use std::net::{TcpStream, UdpSocket};

use proptest::prelude::*;
use secrecy::ExposeSecret;
use tokio::net::TcpStream as Stream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

const CODE: &str = "aPrxInventedInventedInvented==";

/// An attempt whose state is `mine`.
fn attempt(port: u16, seen: impl Fn() + Send + Sync + 'static) -> Attempt {
    Attempt {
        redirect: LoopbackRedirect::parse(&format!("http://localhost:{port}/OauthRedirect"))
            .unwrap(),
        authorization_url: "https://acme.my.salesforce.com/services/oauth2/authorize?state=mine"
            .into(),
        judge: Box::new(|target| {
            if target.matches("state=").count() != 1 || !target.contains("state=mine") {
                Judgement::OtherAttempt
            } else if target.contains("error=") {
                Judgement::Answer(Some("the person <b>said</b> no".into()))
            } else if target.contains("code=") {
                Judgement::Answer(None)
            } else {
                Judgement::Nothing
            }
        }),
        seen: Box::new(seen),
    }
}

fn door() -> Door {
    Door { attempt: attempt(1717, || {}), is_taken: AtomicBool::new(false) }
}

/// A listener on a free port, what it took in the end, and whether anybody was seen.
async fn open() -> (u16, JoinHandle<SecretString>, watch::Receiver<bool>) {
    loop {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let Ok(listener) = LoopbackListener::bind(port).await else { continue };
        let (sender, seen) = watch::channel(false);
        let attempt = attempt(port, move || {
            let _ = sender.send_replace(true);
        });
        return (port, tokio::spawn(listener.serve(attempt)), seen);
    }
}

/// How many of the two loopback addresses this machine has.
fn families() -> usize {
    if UdpSocket::bind("[::1]:0").is_ok() { 2 } else { 1 }
}

/// What comes back for these bytes, to the end of the connection.
async fn send(address: (&str, u16), bytes: &[u8]) -> String {
    let mut stream = Stream::connect(address).await.unwrap();
    // Whoever is let go early does not read all of it.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(port: u16, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    send(("127.0.0.1", port), request.as_bytes()).await
}

#[tokio::test]
async fn a_request_by_another_name_is_sent_away_and_not_counted() {
    let (port, taken, mut seen) = open().await;
    let redirect = format!("/OauthRedirect?code={CODE}&state=mine");
    let hosts = [
        format!("Host: evil.example:{port}\r\n"),
        "Host: localhost\r\n".to_owned(),
        format!("Host: localhost.evil.example:{port}\r\n"),
        format!("Host: 127.0.0.1:{}\r\n", port ^ 1),
        format!("Host: [::1]:{port}\r\nHost: localhost:{port}\r\n"),
        String::new(),
    ];
    for host in hosts {
        let request = format!("GET {redirect} HTTP/1.1\r\n{host}\r\n");
        let answer = send(("127.0.0.1", port), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{host}: {answer}");
    }
    assert!(!*seen.borrow_and_update(), "nobody came by the right name");
    assert!(!taken.is_finished());
    taken.abort();
}

#[tokio::test]
async fn each_request_is_answered_by_its_path_and_its_state() {
    let (port, taken, mut seen) = open().await;
    let redirect = format!("/OauthRedirect?code={CODE}&state=mine");
    let table = [
        ("/favicon.ico", "404", "nothing here"),
        ("/oauthredirect?code=x&state=mine", "404", "nothing here"),
        ("/OauthRedirect/?code=x&state=mine", "404", "nothing here"),
        ("/OauthRedirect%2F?code=x&state=mine", "404", "nothing here"),
        ("http://localhost/OauthRedirect?code=x&state=mine", "404", "nothing here"),
        ("/OauthRedirect", "400", "another sign-in"),
        ("/OauthRedirect?code=x", "400", "another sign-in"),
        ("/OauthRedirect?code=x&state=other", "400", "another sign-in"),
        ("/OauthRedirect?code=x&state=mine&state=other", "400", "another sign-in"),
        ("/OauthRedirect?state=mine", "400", "no code"),
        ("/ping", "204", "no-store"),
        ("/go", "302", "Location: https://acme.my.salesforce.com/services/oauth2/authorize?"),
    ];
    for (target, status, words) in table {
        let answer = get(port, target).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
        assert!(answer.contains(words), "{target}: {answer}");
        for field in
            ["Cache-Control: no-store", "Referrer-Policy: no-referrer", "Connection: close"]
        {
            assert!(answer.contains(field), "{target}: {answer}");
        }
    }
    assert!(*seen.borrow_and_update());
    let others = [
        ("OPTIONS", "204 ", "Access-Control-Allow-Methods: GET\r\n"),
        ("POST", "405 ", "GET alone"),
        ("HEAD", "405 ", "GET alone"),
    ];
    for (method, status, words) in others {
        let request = format!("{method} {redirect} HTTP/1.1\r\nhost: LOCALHOST:{port}\r\n\r\n");
        let answer = send(("127.0.0.1", port), request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method}: {answer}");
        assert!(answer.contains(words), "{method}: {answer}");
    }
    assert!(!taken.is_finished());

    let answer = get(port, &redirect).await;
    assert!(answer.contains("has the answer") && !answer.contains(CODE), "{answer}");
    assert!(answer.contains("default-src 'none'") && !answer.contains("script"), "{answer}");
    let address = taken.await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "an invented code is compared")]
    let address = address.expose_secret().to_owned();
    assert_eq!(address, format!("http://localhost:{port}{redirect}"));
    assert!(Stream::connect(("127.0.0.1", port)).await.is_err(), "it listens no more");
}

#[tokio::test]
async fn a_refusal_is_an_answer_whose_words_are_no_markup() {
    let (port, taken, _seen) = open().await;
    let answer = get(port, "/OauthRedirect?error=access_denied&state=mine").await;
    assert!(answer.contains("&lt;b&gt;said&lt;/b&gt; no"), "{answer}");
    taken.await.unwrap();
}

#[tokio::test]
async fn of_two_at_once_one_is_taken() {
    let (port, taken, _seen) = open().await;
    let redirect = format!("/OauthRedirect?code={CODE}&state=mine");
    let request = format!("GET {redirect} HTTP/1.1\r\nHost: localhost:{port}\r\n");
    let mut both = [
        Stream::connect(("127.0.0.1", port)).await.unwrap(),
        Stream::connect(("127.0.0.1", port)).await.unwrap(),
    ];
    for stream in &mut both {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    // Both are inside before either ends its head.
    get(port, "/ping").await;
    let mut pages = Vec::new();
    for stream in &mut both {
        stream.write_all(b"\r\n").await.unwrap();
    }
    for stream in &mut both {
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        pages.push(page);
    }
    pages.sort();
    assert!(
        pages[0].starts_with("HTTP/1.1 200 ") && pages[1].starts_with("HTTP/1.1 410 "),
        "{pages:?}"
    );
    taken.await.unwrap();
}

#[tokio::test]
async fn both_loopback_addresses_answer_and_no_other_one_does() {
    let (port, taken, _seen) = open().await;
    let table = [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")];
    for (address, host) in table.into_iter().take(families()) {
        let request = format!("GET /ping HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        let answer = send((address, port), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{address}: {answer}");
    }
    // The address that this machine would send from; nothing is sent.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let outward = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr());
    let mut elsewhere = vec!["127.0.0.2".parse().unwrap()];
    elsewhere.extend(outward.ok().map(|address| address.ip()));
    for address in elsewhere {
        let address = SocketAddr::from((address, port));
        assert!(TcpStream::connect_timeout(&address, TIME_LIMIT).is_err(), "{address}");
    }
    taken.abort();
}

#[tokio::test]
async fn what_is_half_or_too_large_takes_nothing_and_keeps_nobody_out() {
    let (port, taken, _seen) = open().await;
    let redirect = format!("GET /OauthRedirect?code={CODE}&state=mine HTTP/1.1\r\n");
    // Half a request whose sender has gone.
    let mut half = Stream::connect(("127.0.0.1", port)).await.unwrap();
    half.write_all(redirect.as_bytes()).await.unwrap();
    half.shutdown().await.unwrap();
    let mut nothing = String::new();
    half.read_to_string(&mut nothing).await.unwrap();
    assert_eq!(nothing, "");
    // A megabyte of one field, and many fields.
    let large = format!("{redirect}Host: localhost:{port}\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("{redirect}Host: localhost:{port}\r\n{}\r\n", "X: y\r\n".repeat(FIELDS));
    for request in [large, many] {
        let answer = send(("127.0.0.1", port), request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET\r\n\r\n", b"\0\0\0\0"]
    {
        let answer = send(("127.0.0.1", port), bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert!(!taken.is_finished());
    // Silent connections keep nobody out while there are places left.
    let silent = connections(port, CONNECTIONS - 1).await;
    assert!(get(port, "/ping").await.starts_with("HTTP/1.1 204 "));
    drop(silent);
    taken.abort();
}

async fn connections(port: u16, count: usize) -> Vec<Stream> {
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(Stream::connect(("127.0.0.1", port)).await.unwrap());
    }
    open
}

#[tokio::test]
async fn a_port_that_is_half_taken_is_taken() {
    for holder in ["127.0.0.1:0", "[::1]:0"].into_iter().take(families()) {
        let holder = std::net::TcpListener::bind(holder).unwrap();
        let port = holder.local_addr().unwrap().port();
        let refused = LoopbackListener::bind(port).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }
}

proptest! {
    #[test]
    fn no_bytes_break_it_and_none_without_the_state_are_taken(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        words in "(GET|OPTIONS|get) /(OauthRedirect|go|ping|\\PC{0,8})(\\?\\PC{0,40})? HTTP/1.[01]\r\nHost: localhost:1717\r\n\r\n",
    ) {
        let door = door();
        for head in [&bytes[..], words.as_bytes()] {
            let answer = respond(head, &door);
            let mine = words.contains("state=mine");
            prop_assert!(answer.is_none_or(|answer| answer.taken.is_none() || mine));
        }
    }

    #[test]
    fn the_answer_is_taken_at_its_last_byte_and_not_before(cut in 0..90_usize) {
        let head = format!(
            "GET /OauthRedirect?code={CODE}&state=mine HTTP/1.1\r\nHost: localhost:1717\r\n\r\n"
        );
        let door = door();
        let cut = cut.min(head.len() - 1);
        prop_assert!(respond(&head.as_bytes()[..cut], &door).is_none());
        prop_assert!(respond(head.as_bytes(), &door).is_some_and(|answer| answer.taken.is_some()));
        prop_assert!(respond(head.as_bytes(), &door).is_some_and(|answer| answer.taken.is_none()));
    }
}
