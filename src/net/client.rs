//! The one HTTP client: hosts checked, redirects not followed, bodies capped, a deadline over all.

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, ClientBuilder};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use super::connection::{OpenConnection, Route};
use super::failure::Context;
use super::proxy::{Proxy, proxy_for};
use super::resolve::{Resolver, addresses};
use super::tls::judge;
use crate::domain::host::{HostPolicy, is_loopback};
use crate::domain::http::{
    Method, Purpose, Request, Response, TlsProblem, TransportError, TransportFailure,
};
use crate::domain::http_time::{parse_date, parse_retry_after};
use crate::domain::text;
use crate::domain::time::UnixMillis;

/// Longest wait for a connection, TLS and proxy included. It stays below the deadline, so that a
/// request which never left is known as such.
pub(crate) const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer of an exchange, in bytes: what an inbox slot holds.
const EXCHANGE_LIMIT: usize = 60 * 1024;
/// Largest other answer, in bytes.
const QUESTION_LIMIT: usize = 256 * 1024;

/// What the configuration says of the wire.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Which hosts may be asked.
    pub(crate) policy: HostPolicy,
    /// For name, TCP, proxy and TLS together.
    pub(crate) connect_timeout: Duration,
    /// For a whole exchange, from the first step to the last byte.
    pub(crate) deadline: Duration,
    /// The `User-Agent` header.
    pub(crate) user_agent: String,
    /// Tells when an answer came.
    pub(crate) clock: fn() -> UnixMillis,
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientError {
    /// It has characters that no header may have.
    #[error("the user agent has characters that no header may have")]
    UserAgent,
    /// A time limit of zero lets nothing pass.
    #[error("the time limits for connecting and answering must be more than 0 s")]
    TimeLimit,
}

/// How a question travels; each way has its own client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    /// This machine: never through a proxy.
    loopback: bool,
    /// Plain http, which needs no trusted roots (reading them costs time).
    plain: bool,
}

/// Carries requests. Its parts are made at their first use.
pub(crate) struct HttpClient {
    settings: Settings,
    user_agent: HeaderValue,
    clients: Mutex<Vec<(Way, Client)>>,
    /// Trust in certificates for exchanges; made at the first of them.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

/// A connection on which one exchange can leave at once. Until then nothing was sent.
pub(crate) struct Connection {
    open: OpenConnection,
    request: Zeroizing<Vec<u8>>,
}

impl Connection {
    /// Sends the request in one write, reads the answer to its end, and gives it to `keep` on the
    /// same thread, before anyone else hears of it.
    pub(crate) async fn send<K: Send + 'static>(
        self,
        keep: impl FnOnce(&Response) -> K + Send + 'static,
    ) -> Result<(Response, K), TransportError> {
        let Self { open, request } = self;
        run_blocking(move || open.send(&request, EXCHANGE_LIMIT, keep)).await
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HttpClient")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl HttpClient {
    /// Checks the settings; nothing is opened or read yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let user_agent =
            HeaderValue::from_str(&settings.user_agent).map_err(|_| ClientError::UserAgent)?;
        if settings.deadline.is_zero() || settings.connect_timeout.is_zero() {
            return Err(ClientError::TimeLimit);
        }
        let mut settings = settings.clone();
        if settings.connect_timeout >= settings.deadline {
            settings.connect_timeout = settings.deadline / 2;
        }
        let (clients, tls) = (Mutex::default(), Arc::default());
        Ok(Self { settings, user_agent, clients, tls })
    }

    /// Opens the connection of an exchange: name, TCP, proxy and TLS, so that whatever fails there
    /// fails before anything is spent. Takes at most the connect timeout, and as much again for the
    /// name.
    pub(crate) async fn connect(&self, request: &Request) -> Result<Connection, TransportError> {
        let (url, context) = self.admit(request)?;
        let encoded = self.encode_exchange(&url, request, &context)?;
        let known = Arc::clone(&self.tls);
        let open = self.open(&url, context, move || trust(&known)).await?;
        Ok(Connection { open, request: encoded })
    }

    /// The same with whom to trust, on which nothing has to be sent.
    pub(super) async fn open(
        &self,
        url: &Url,
        context: Context,
        trust: impl FnOnce() -> Result<Arc<ClientConfig>, rustls::Error> + Send + 'static,
    ) -> Result<OpenConnection, TransportError> {
        let proxy = through(url);
        let found = match &proxy {
            Some(proxy) => addresses(&proxy.host, proxy.port),
            None => addresses(url.host_str().unwrap_or_default(), port_of(url)),
        };
        let addresses = match tokio::time::timeout(context.connect_timeout, found).await {
            Ok(Ok(found)) if !found.is_empty() => found,
            Ok(_) => return Err(context.unsent(context.unknown_host())),
            Err(_) => return Err(context.unsent(TransportFailure::Connect(context.no_dns()))),
        };
        let is_plain = url.scheme() == "http";
        let (host, port) = (url.host_str().unwrap_or_default().to_owned(), port_of(url));
        run_blocking(move || {
            let tls = if is_plain {
                None
            } else {
                Some(trust().map_err(|error| context.unsent(judge(&error, None)))?)
            };
            OpenConnection::open(Route { host, port, proxy, addresses, tls, context })
        })
        .await
    }

    /// The bytes of an exchange's request. The connection serves it alone.
    fn encode_exchange(
        &self,
        url: &Url,
        request: &Request,
        context: &Context,
    ) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        let refuse = || {
            let why = "the request holds characters that none may have";
            context.unsent(TransportFailure::Refused(why.to_owned()))
        };
        let agent = self.user_agent.to_str().map_err(|_| refuse())?;
        let form = Zeroizing::new(encode(&request.form));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (path, host, length) = (url.path(), &context.host, form.len());
        let head = format!(
            "POST {path}{query} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n\
             Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + length));
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(form.as_bytes());
        Ok(bytes)
    }

    /// Sends a request and reads the answer to its end, whatever its status. A redirect is an
    /// answer like others: it is returned and not followed.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, TransportError> {
        if request.purpose == Purpose::Exchange {
            let (response, ()) = self.connect(&request).await?.send(|_| ()).await?;
            return Ok(response);
        }
        let (url, context) = self.admit(&request)?;
        let way = Way { loopback: is_loopback(&url), plain: url.scheme() == "http" };
        let client = self.client(way).await.map_err(|error| {
            let why =
                std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
            context.unsent(TransportFailure::Tls(TlsProblem::Other, text::clean(&why)))
        })?;
        let path = url.path().to_owned();
        let exchange = async {
            match exchange(&client, url.clone(), &request, &context).await {
                Err(error) if may_be_sent_again(&request, &error) => {
                    exchange(&client, url, &request, &context).await
                }
                other => other,
            }
        };
        let answer = tokio::time::timeout(self.settings.deadline, exchange)
            .await
            .unwrap_or_else(|_| Err(context.timed_out()));
        match &answer {
            Ok(response) => {
                tracing::debug!(host = context.host, path, status = response.status, "answered");
            }
            Err(error) => tracing::debug!(host = context.host, path, %error, "not answered"),
        }
        answer
    }

    /// Checks the address against the host policy: the last word before the socket.
    pub(super) fn admit(&self, request: &Request) -> Result<(Url, Context), TransportError> {
        let mut context = Context {
            host: String::new(),
            proxy: None,
            connect_timeout: self.settings.connect_timeout,
            deadline: self.settings.deadline,
            clock: self.settings.clock,
        };
        let url = Url::parse(&request.url).map_err(|_| {
            context.unsent(TransportFailure::Refused("the request has no address".to_owned()))
        })?;
        let host = text::clean(url.host_str().unwrap_or_default());
        context.host = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        self.settings
            .policy
            .check(&url)
            .map_err(|error| context.unsent(TransportFailure::Refused(error.to_string())))?;
        context.proxy = through(&url).as_ref().map(Proxy::shown);
        Ok((url, context))
    }

    /// The client for a way; made once. Reading the system's certificates takes tens of
    /// milliseconds, so it is done beside the event loop.
    async fn client(&self, way: Way) -> reqwest::Result<Client> {
        let mut clients = self.clients.lock().await;
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == way) {
            return Ok(client.clone());
        }
        let builder = self.builder(way);
        let client =
            if way.plain { builder.build() } else { run_blocking(|| builder.build()).await }?;
        clients.push((way, client.clone()));
        Ok(client)
    }

    fn builder(&self, way: Way) -> ClientBuilder {
        let mut builder = Client::builder()
            .user_agent(self.user_agent.clone())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(self.settings.connect_timeout)
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .dns_resolver(Resolver);
        if way.loopback {
            builder = builder.no_proxy();
        }
        if way.plain {
            builder = builder.tls_certs_only([]);
        }
        builder
    }
}

/// Whether a question may be asked once more without anyone's wish: nothing of it had left, or it
/// only reads, and a server may close an idle connection just as it is used again (RFC 9110
/// section 9.2.2).
fn may_be_sent_again(request: &Request, error: &TransportError) -> bool {
    match error.failure {
        TransportFailure::Cut => true,
        TransportFailure::Interrupted => request.method == Method::Get,
        _ => false,
    }
}

async fn exchange(
    client: &Client,
    url: Url,
    request: &Request,
    context: &Context,
) -> Result<Response, TransportError> {
    let mut outgoing = match request.method {
        Method::Get => client.get(url),
        Method::Post => client
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(&request.form)),
    };
    outgoing = outgoing.header(ACCEPT, "application/json");
    if let Some(token) = &request.bearer {
        outgoing = authorize(outgoing, token);
    }
    let answer = outgoing.send().await.map_err(|error| context.judge(&error))?;
    read(answer, context).await
}

/// The proxy on the way to an address; never one to this machine itself.
fn through(url: &Url) -> Option<Proxy> {
    if is_loopback(url) { None } else { proxy_for(url, &Matcher::from_env()) }
}

fn port_of(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or(443)
}

/// TLS 1.2 or newer, and whom the machine trusts.
fn trust(known: &OnceLock<Arc<ClientConfig>>) -> Result<Arc<ClientConfig>, rustls::Error> {
    if let Some(config) = known.get() {
        return Ok(Arc::clone(config));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(Arc::clone(known.get_or_init(|| Arc::new(config))))
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

/// RFC 6750 section 2.1; the header is marked as sensitive, so that nothing prints it.
#[expect(clippy::disallowed_methods, reason = "RFC 6750 section 2.1: the token is in the header")]
fn authorize(outgoing: reqwest::RequestBuilder, token: &SecretString) -> reqwest::RequestBuilder {
    outgoing.bearer_auth(token.expose_secret())
}

#[expect(clippy::disallowed_methods, reason = "RFC 6749 appendix B: the form is the body")]
fn encode(form: &[(&'static str, SecretString)]) -> String {
    let mut body = url::form_urlencoded::Serializer::new(String::with_capacity(1024));
    for (name, value) in form {
        body.append_pair(name, value.expose_secret());
    }
    body.finish()
}

async fn read(
    mut answer: reqwest::Response,
    context: &Context,
) -> Result<Response, TransportError> {
    let limit = QUESTION_LIMIT;
    let too_large = || context.sent(TransportFailure::TooLarge(limit));
    let announced =
        answer.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    // Large enough from the start: a buffer that grows would leave copies of a token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(limit)));
    while let Some(chunk) = answer.chunk().await.map_err(|error| context.judge(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    let headers = answer.headers();
    let content_type = header(headers, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let received_at = (context.clock)();
    let date = header(headers, &DATE).and_then(|text| parse_date(&text));
    let retry_after = header(headers, &RETRY_AFTER)
        .and_then(|text| parse_retry_after(&text, date.unwrap_or(received_at)));
    Ok(Response {
        received_at,
        date,
        retry_after,
        status: answer.status().as_u16(),
        content_type: content_type.split(';').next().unwrap_or_default().trim().to_owned(),
        location: header(headers, &LOCATION),
        body,
    })
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(text::clean(&String::from_utf8_lossy(value.as_bytes())))
}
