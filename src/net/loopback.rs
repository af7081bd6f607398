//! The listener of the loopback redirect (RFC 8252 section 7.3): on 127.0.0.1 and `::1` alone, open
//! during one attempt, for one answer.
//!
//! Whatever runs in a browser can send requests here, so each is small, short-lived and answered
//! by its `Host` first; whether an address is the attempt's own is asked of the one who began it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use zeroize::Zeroizing;

use crate::domain::loopback::LoopbackRedirect;

/// Longest head of a request, in bytes.
const HEAD_LIMIT: usize = 8 * 1024;
/// Most fields in it.
const FIELDS: usize = 64;
/// How long a connection may take, from its first byte to the answer.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Connections at a time; a browser opens a few.
const CONNECTIONS: usize = 16;
/// Wait after a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What an address means for the attempt. Its `state` was looked at before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Its answer: a code, or a refusal in words for the page.
    Answer(Option<String>),
    /// Another attempt's, or nobody's.
    OtherAttempt,
    /// Its `state`, and neither a code nor an error.
    Nothing,
}

/// What the listener is open for.
pub(crate) struct Attempt {
    /// The redirect URI.
    pub(crate) redirect: LoopbackRedirect,
    /// Where the short link leads.
    pub(crate) authorization_url: String,
    /// Whose an address is.
    pub(crate) judge: Box<dyn Fn(&str) -> Judgement + Send + Sync>,
    /// Told at each request that came by the right name: the way to here is open.
    pub(crate) seen: Box<dyn Fn() + Send + Sync>,
}

/// The open port.
pub(crate) struct LoopbackListener(Vec<TcpListener>);

impl LoopbackListener {
    /// Opens the port on both loopback addresses; on one where the system has no other.
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        let mut open = Vec::new();
        let mut refused = None;
        for address in [
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ] {
            match TcpListener::bind(address).await {
                Ok(listener) => open.push(listener),
                // A browser takes either for localhost: half a port is somebody else's.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if open.is_empty() => Err(error),
            _ => Ok(Self(open)),
        }
    }

    /// Answers until the attempt's answer has come: the address that the browser was sent to.
    /// Dropped, it closes the port.
    pub(crate) async fn serve(self, attempt: Attempt) -> SecretString {
        let door = Arc::new(Door { attempt, is_taken: AtomicBool::new(false) });
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let (taken, mut arrived) = mpsc::channel(1);
        loop {
            tokio::select! {
                biased;
                Some(address) = arrived.recv() => return address,
                stream = self.accept() => {
                    // Where all are busy, this one is let go: each is over within seconds.
                    let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                    let (door, taken) = (Arc::clone(&door), taken.clone());
                    tokio::spawn(async move {
                        let _permit = permit;
                        let _ = tokio::time::timeout(TIME_LIMIT, door.answer(stream, taken)).await;
                    });
                }
            }
        }
    }

    async fn accept(&self) -> TcpStream {
        loop {
            let accepted = match &self.0[..] {
                [one, other] => tokio::select! {
                    accepted = one.accept() => accepted,
                    accepted = other.accept() => accepted,
                },
                [one] => one.accept().await,
                _ => std::future::pending().await,
            };
            match accepted {
                Ok((stream, _)) => return stream,
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// What all connections share.
struct Door {
    attempt: Attempt,
    is_taken: AtomicBool,
}

impl Door {
    async fn answer(&self, mut stream: TcpStream, taken: mpsc::Sender<SecretString>) {
        let mut head = Zeroizing::new(Vec::with_capacity(HEAD_LIMIT));
        let answer = loop {
            match respond(&head, self) {
                Some(answer) => break answer,
                None if head.len() >= HEAD_LIMIT => break Answer::page(TOO_LARGE),
                None => {}
            }
            let mut limited = (&mut stream).take((HEAD_LIMIT - head.len()) as u64);
            match limited.read_buf(&mut *head).await {
                Ok(1..) => {}
                // Half a request is no request.
                Ok(0) | Err(_) => return,
            }
        };
        if let Some(address) = answer.taken {
            let _ = taken.send(address).await;
        }
        let _ = stream.write_all(answer.bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
        // What the other side still sends is read, so that no reset takes our answer from it.
        let _ = tokio::io::copy(&mut stream.take(1024 * 1024), &mut tokio::io::sink()).await;
    }
}

/// What is sent back, and what was taken.
struct Answer {
    bytes: String,
    taken: Option<SecretString>,
}

/// A fixed page: status line, title and text.
type Page = (&'static str, &'static str);

const DONE: Page = ("200 OK", "orgkey has the answer; you may close this window.");
const TOO_LARGE: Page =
    ("431 Request Header Fields Too Large", "This request is larger than a sign-in needs.");
const MALFORMED: Page = ("400 Bad Request", "This is no request that orgkey understands.");
const WRONG_HOST: Page =
    ("421 Misdirected Request", "orgkey answers to localhost with its own port alone.");
const WRONG_METHOD: Page = ("405 Method Not Allowed", "orgkey takes GET alone.");
const NOT_FOUND: Page = ("404 Not Found", "There is nothing here.");
const OTHER_ATTEMPT: Page = (
    "400 Bad Request",
    "This answer belongs to another sign-in. Open the address that orgkey shows now; it still waits.",
);
const NO_ANSWER: Page = (
    "400 Bad Request",
    "There is no code in this address: the sign-in is not finished. orgkey still waits.",
);
const SECOND: Page =
    ("410 Gone", "orgkey has the answer of this sign-in already; you may close this window.");

impl Answer {
    fn page((status, text): Page) -> Self {
        Self::with_text(status, text)
    }

    fn with_text(status: &str, text: &str) -> Self {
        let text = escaped(text);
        let body = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>orgkey</title><p>{text}</p></html>\n"
        );
        let fields = format!(
            "Content-Type: text/html; charset=utf-8\r\nContent-Security-Policy: default-src 'none'\r\nX-Content-Type-Options: nosniff\r\nContent-Length: {}\r\n",
            body.len()
        );
        Self::new(status, &fields, &body)
    }

    fn new(status: &str, fields: &str, body: &str) -> Self {
        let bytes = format!(
            "HTTP/1.1 {status}\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n{fields}\r\n{body}"
        );
        Self { bytes, taken: None }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Answers a head that is whole; `None` while more of it has to come.
fn respond(head: &[u8], door: &Door) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let malformed = || Some(Answer::page(MALFORMED));
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => return Some(Answer::page(TOO_LARGE)),
        Err(_) => return malformed(),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else { return malformed() };
    let attempt = &door.attempt;
    // A page of another name that was pointed at this machine (DNS rebinding) has no business here.
    if !names_us(request.headers, attempt.redirect.port) {
        return Some(Answer::page(WRONG_HOST));
    }
    (attempt.seen)();
    let path = target.split(['?', '#']).next().unwrap_or_default();
    Some(match (method, path) {
        ("OPTIONS", _) => {
            Answer::new("204 No Content", "Access-Control-Allow-Methods: GET\r\n", "")
        }
        ("GET", path) if path == attempt.redirect.path => redirected(target, door),
        ("GET", "/go") => {
            let fields =
                format!("Location: {}\r\nContent-Length: 0\r\n", attempt.authorization_url);
            Answer::new("302 Found", &fields, "")
        }
        ("GET", "/ping") => Answer::new("204 No Content", "", ""),
        ("GET", _) => Answer::page(NOT_FOUND),
        _ => Answer::page(WRONG_METHOD),
    })
}

/// Whether the one `Host` is ours (RFC 9110 section 7.2).
fn names_us(fields: &[httparse::Header<'_>], port: u16) -> bool {
    let mut hosts = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("host"));
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|name| host.value.eq_ignore_ascii_case(format!("{name}:{port}").as_bytes()))
}

fn redirected(target: &str, door: &Door) -> Answer {
    let port = door.attempt.redirect.port;
    let address = SecretString::from(format!("http://localhost:{port}{target}"));
    match (door.attempt.judge)(target) {
        Judgement::OtherAttempt => Answer::page(OTHER_ATTEMPT),
        Judgement::Nothing => Answer::page(NO_ANSWER),
        Judgement::Answer(_) if door.is_taken.swap(true, Ordering::AcqRel) => Answer::page(SECOND),
        Judgement::Answer(refusal) => {
            let mut answer = match refusal {
                None => Answer::page(DONE),
                Some(words) => Answer::with_text("200 OK", &words),
            };
            answer.taken = Some(address);
            answer
        }
    }
}

#[cfg(test)]
mod tests;
