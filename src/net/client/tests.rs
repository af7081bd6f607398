//! The client against raw sockets on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What a server does with a connection, once it has read a request.
#[derive(Clone)]
enum Script {
    /// Writes this and closes.
    Answer(Vec<u8>),
    /// Writes this for each request and keeps the connection.
    KeepAlive(Vec<u8>),
    /// Writes this and then nothing more, for ever.
    Stall(Vec<u8>),
}

/// A server of one script; counts connections and keeps the requests.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (count, journal) = (Arc::clone(&connections), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(play(stream, script.clone(), Arc::clone(&journal)));
            }
        });
        Self { port, connections, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn request(&self) -> String {
        self.requests.lock().unwrap().last().unwrap().clone()
    }
}

async fn play(mut stream: TcpStream, script: Script, journal: Arc<Mutex<Vec<String>>>) {
    loop {
        let Some(request) = read_request(&mut stream).await else { return };
        journal.lock().unwrap().push(request);
        match &script {
            Script::Answer(bytes) => {
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Script::KeepAlive(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Script::Stall(bytes) => {
                let _ = stream.write_all(bytes).await;
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Reads one request with its body.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length: ").and_then(|length| length.parse().ok())
            });
            if body.len() >= length.unwrap_or(0_usize) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn settings(allow_loopback: bool) -> Settings {
    Settings {
        policy: HostPolicy { allow_loopback, ..HostPolicy::default() },
        connect_timeout: Duration::from_secs(5),
        deadline: Duration::from_secs(10),
        user_agent: "orgkey/0.1".into(),
        clock: || UnixMillis(0),
    }
}

fn client() -> HttpClient {
    HttpClient::new(&settings(true)).unwrap()
}

fn impatient_client() -> HttpClient {
    HttpClient::new(&Settings { deadline: Duration::from_millis(150), ..settings(true) }).unwrap()
}

fn post(url: String, purpose: Purpose) -> Request {
    let form = vec![("grant_type", "refresh_token".into()), ("refresh_token", "5Aep+ x".into())];
    Request { method: Method::Post, url, purpose, form, bearer: None }
}

fn get(url: String) -> Request {
    let bearer = Some("00Dx!token".into());
    Request { method: Method::Get, url, purpose: Purpose::Question, form: vec![], bearer }
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn a_form_is_posted_and_the_answer_is_read() {
    let answer = b"HTTP/1.1 400 Bad\r\nContent-Type: Application/JSON; charset=UTF-8\r\nContent-Length: 2\r\n\r\n{}";
    let server = Server::start(Script::Answer(answer.to_vec())).await;
    let response = client().send(post(server.url("/token"), Purpose::Exchange)).await.unwrap();
    assert_eq!((response.status, response.content_type.as_str()), (400, "application/json"));
    assert_eq!(response.body.as_slice(), b"{}");
    let request = server.request().to_ascii_lowercase();
    assert!(request.starts_with("post /token http/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"), "{request}");
    assert!(request.contains("user-agent: orgkey/0.1\r\n"), "{request}");
    assert!(
        !request.contains("accept-encoding") && !request.contains("authorization"),
        "{request}"
    );
    assert!(request.ends_with("grant_type=refresh_token&refresh_token=5aep%2b+x"), "{request}");
}

#[tokio::test]
async fn a_bearer_token_goes_into_the_header() {
    let server = Server::start(Script::Answer(ok("{}"))).await;
    client().send(get(server.url("/limits"))).await.unwrap();
    assert!(server.request().to_ascii_lowercase().contains("authorization: bearer 00dx!token\r\n"));
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let target = Server::start(Script::Answer(ok("{}"))).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
            target.url("/elsewhere")
        );
        let server = Server::start(Script::Answer(head.into_bytes())).await;
        let response = client().send(get(server.url("/limits"))).await.unwrap();
        assert_eq!(response.status, status);
        assert_eq!(response.location, Some(target.url("/elsewhere")));
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn an_answer_beyond_the_cap_is_refused_announced_or_not() {
    let announced = ok(&"x".repeat(EXCHANGE_LIMIT + 1));
    let mut silent = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    silent.extend(std::iter::repeat_n(b'x', EXCHANGE_LIMIT + 1));
    let endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nx".to_vec();
    for answer in [announced, silent, endless] {
        let server = Server::start(Script::Answer(answer)).await;
        let error = client().send(post(server.url("/"), Purpose::Exchange)).await.unwrap_err();
        assert_eq!((error.failure, error.sent), (TransportFailure::TooLarge(EXCHANGE_LIMIT), true));
    }
    let server = Server::start(Script::Answer(ok(&"x".repeat(EXCHANGE_LIMIT + 1)))).await;
    assert!(client().send(get(server.url("/"))).await.is_ok(), "a question may be longer");
}

#[tokio::test]
async fn an_answer_that_breaks_off_may_have_been_acted_on() {
    for answer in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"acc\r\n".to_vec(),
        b"HTTP/1.1 200".to_vec(),
        Vec::new(),
    ] {
        let server = Server::start(Script::Answer(answer)).await;
        let error = client().send(post(server.url("/"), Purpose::Exchange)).await.unwrap_err();
        assert_eq!((error.failure, error.sent), (TransportFailure::Interrupted, true));
        assert_eq!(server.connections(), 1, "an exchange is never sent twice");
    }
}

#[tokio::test]
async fn a_refused_connection_means_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{port}/token?secret=hunter2");
    let error = client().send(post(url, Purpose::Exchange)).await.unwrap_err();
    assert!(matches!(error.failure, TransportFailure::Connect(_)), "{error:?}");
    assert!(!error.sent);
    assert_eq!(error.host, format!("127.0.0.1:{port}"));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_means_that_nothing_was_sent() {
    let server = Server::start(Script::Answer(ok("{}"))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let url = format!("https://127.0.0.1:{port}/token");
    let error = client().send(post(url, Purpose::Exchange)).await.unwrap_err();
    assert!(matches!(error.failure, TransportFailure::Tls(TlsProblem::NoTls, _)), "{error:?}");
    assert!(!error.sent);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_deadline_covers_silence_and_a_body_that_never_ends() {
    for bytes in [b"".as_slice(), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"] {
        let server = Server::start(Script::Stall(bytes.to_vec())).await;
        let error =
            impatient_client().send(post(server.url("/"), Purpose::Exchange)).await.unwrap_err();
        assert_eq!((error.failure, error.sent), (TransportFailure::Timeout(1), true));
    }
}

#[tokio::test]
async fn a_host_outside_the_policy_is_refused_before_any_socket() {
    let server = Server::start(Script::Answer(ok("{}"))).await;
    let strict = HttpClient::new(&settings(false)).unwrap();
    let mut refused = vec![server.url("/")];
    for host in
        ["evil.example", "acme.my.salesforce.com.evil.example", "user:pw@acme.my.salesforce.com"]
    {
        refused.push(format!("https://{host}/services/oauth2/token"));
    }
    refused.push("http://acme.my.salesforce.com/".into());
    refused.push("no address".into());
    for url in refused {
        let error = strict.send(post(url, Purpose::Exchange)).await.unwrap_err();
        assert!(matches!(error.failure, TransportFailure::Refused(_)), "{error:?}");
        assert!(!error.sent);
    }
    assert_eq!(server.connections(), 0);
    assert!(strict.clients.lock().await.is_empty(), "no client was even made");
}

#[tokio::test]
async fn an_exchange_has_a_connection_of_its_own_and_questions_share_one() {
    let server = Server::start(Script::KeepAlive(ok("{}"))).await;
    let client = client();
    for _ in 0..3 {
        client.send(post(server.url("/"), Purpose::Exchange)).await.unwrap();
    }
    assert_eq!(server.connections(), 3);
    for _ in 0..3 {
        client.send(get(server.url("/"))).await.unwrap();
    }
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn names_below_localhost_reach_this_machine() {
    let server = Server::start(Script::Answer(ok("{}"))).await;
    let url = format!("http://acme--uat.sandbox.my.localhost:{}/", server.port);
    assert_eq!(client().send(get(url)).await.unwrap().status, 200);
    assert!(server.request().contains("acme--uat.sandbox.my.localhost"));
}

#[tokio::test]
async fn a_token_that_fits_no_header_is_refused_unsent() {
    let server = Server::start(Script::Answer(ok("{}"))).await;
    let mut request = get(server.url("/"));
    request.bearer = Some("a\r\nX-Evil: 1".into());
    let error = client().send(request).await.unwrap_err();
    assert!(matches!(error.failure, TransportFailure::Refused(_)), "{error:?}");
    assert_eq!((error.sent, server.connections()), (false, 0));
}

#[test]
fn settings_that_let_nothing_pass_are_refused() {
    let zero = Settings { deadline: Duration::ZERO, ..settings(true) };
    assert_eq!(HttpClient::new(&zero).unwrap_err(), ClientError::TimeLimit);
    let agent = Settings { user_agent: "a\nb".into(), ..settings(true) };
    assert_eq!(HttpClient::new(&agent).unwrap_err(), ClientError::UserAgent);
}

/// Tells the child of the next test which loopback address to ask.
const CHILD: &str = "ORGKEY_TEST_LOOPBACK_URL";

#[tokio::test]
async fn the_proxy_of_the_environment_is_used_but_never_for_loopback() {
    if let Ok(loopback_url) = std::env::var(CHILD) {
        return ask_both_ways(loopback_url).await;
    }
    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let proxy = Server::start(Script::Answer(refusal.to_vec())).await;
    let direct = Server::start(Script::Answer(ok("{}"))).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    {
        child.env(name, format!("http://user:hunter2@127.0.0.1:{}", proxy.port));
    }
    let name = "the_proxy_of_the_environment_is_used_but_never_for_loopback";
    let child = child
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env(CHILD, direct.url("/"))
        .arg(name)
        .output()
        .await
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
    assert!(proxy.request().starts_with("CONNECT acme.my.salesforce.com:443 "));
    assert_eq!((proxy.connections(), direct.connections()), (1, 1));
}

/// The child: the environment names a proxy that refuses.
async fn ask_both_ways(loopback_url: String) {
    let client = client();
    assert_eq!(client.send(get(loopback_url)).await.unwrap().status, 200);
    let url = "https://acme.my.salesforce.com/services/oauth2/token".to_owned();
    let error = client.send(post(url, Purpose::Exchange)).await.unwrap_err();
    assert!(
        matches!(&error.failure, TransportFailure::Proxy(proxy) if proxy.starts_with("127.0.0.1:")),
        "{error:?}"
    );
    assert!(!error.sent && !error.to_string().contains("hunter2"));
}
