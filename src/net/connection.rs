//! The connection of one exchange: name, TCP, proxy and TLS are done before anything is spent, and
//! then one request leaves in one write.
//!
//! It blocks, on a thread that does nothing else: between the read that brings the answer and what
//! its receiver does with it stands no scheduler, so that a process which dies there loses as
//! little as can be.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::answer::{AnswerBuffer, AnswerError};
use super::failure::Context;
use super::proxy::Proxy;
use super::tls::{judge, judge_handshake};
use crate::domain::http::{Response, TlsProblem, TransportError, TransportFailure};
use crate::domain::text;

/// Shortest wait of one read: what has arrived is taken, even when the time is over.
const LAST_LOOK: Duration = Duration::from_millis(1);
/// Reads after the time was over; a server that drips ends here.
const LAST_LOOKS: u32 = 16;
/// Largest answer of a proxy to `CONNECT`, in bytes.
const TUNNEL_LIMIT: usize = 16 * 1024;

/// Where to, and by which way.
pub(super) struct Route {
    /// The host as TLS and the `Host` header name it.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// The proxy between.
    pub(super) proxy: Option<Proxy>,
    /// Of the proxy where there is one, else of the host.
    pub(super) addresses: Vec<SocketAddr>,
    /// Trust in certificates; `None` for plain http.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// How failures are told.
    pub(super) context: Context,
}

/// The socket, with the time that is left for all of it.
struct Wire {
    socket: TcpStream,
    end: Instant,
    /// Whether the wait for the next read was set already.
    is_set: bool,
    looks: u32,
    written: u64,
}

impl Wire {
    fn left(&mut self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left < LAST_LOOK {
            self.looks += 1;
            if self.looks > LAST_LOOKS {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(left.max(LAST_LOOK))
    }

    /// Sets the time that reads and writes have from now on, all together.
    fn allow(&mut self, span: Duration) -> io::Result<()> {
        self.end = Instant::now() + span;
        self.looks = 0;
        self.socket.set_write_timeout(Some(span))?;
        self.socket.set_read_timeout(Some(span))?;
        self.is_set = true;
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            // The first read after `allow` has its time already, and no call stands before it.
            if !std::mem::take(&mut self.is_set) {
                let left = self.left()?;
                self.socket.set_read_timeout(Some(left))?;
            }
            match self.socket.read(room) {
                // A signal, or the end of a stop: what came meanwhile counts.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                read => return read,
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.socket.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the bytes travel through.
enum Link {
    Plain(Wire),
    Tls(Box<StreamOwned<ClientConnection, Wire>>),
    /// TLS within the TLS of a proxy.
    Nested(Box<StreamOwned<ClientConnection, StreamOwned<ClientConnection, Wire>>>),
}

impl Link {
    fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(stream) => &mut stream.sock,
            Self::Nested(stream) => &mut stream.sock.sock,
        }
    }
}

impl Read for Link {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(room),
            Self::Tls(stream) => stream.read(room),
            Self::Nested(stream) => stream.read(room),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Nested(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Nested(stream) => stream.flush(),
        }
    }
}

/// A connection that is ready for one request.
pub(super) struct OpenConnection {
    link: Link,
    route: Route,
}

impl OpenConnection {
    /// Connects. Blocks for at most the connect timeout.
    pub(super) fn open(route: Route) -> Result<Self, TransportError> {
        let link = route.connect()?;
        Ok(Self { link, route })
    }

    /// Whether the other side has not closed it meanwhile.
    fn is_open(&mut self) -> bool {
        let socket = &self.link.wire().socket;
        if socket.set_nonblocking(true).is_err() {
            return false;
        }
        let seen = socket.peek(&mut [0]);
        let is_open = match seen {
            Ok(count) => count > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        socket.set_nonblocking(false).is_ok() && is_open
    }

    /// Sends `request` in one write, reads the answer to its end, at most `limit` bytes, and gives
    /// it to `keep` before anything else is done. Blocks for at most the deadline. A connection that
    /// was closed while it waited is opened once more, for nothing was sent on it.
    pub(super) fn send<K>(
        mut self,
        request: &Zeroizing<Vec<u8>>,
        limit: usize,
        keep: impl FnOnce(&Response) -> K,
    ) -> Result<(Response, K), TransportError> {
        if !self.is_open() {
            self.link = self.route.connect()?;
        }
        let Self { link, route: Route { context, .. } } = &mut self;
        // All that takes memory or a setting is done before the first byte leaves.
        let mut buffer = AnswerBuffer::new(limit);
        let span = context.deadline;
        let before = link.wire().written;
        let sent = link.wire().allow(span).and_then(|()| {
            link.write_all(request)?;
            link.flush()
        });
        if let Err(error) = sent {
            // Where not one byte was taken, Salesforce can't have seen it.
            let left = link.wire().written > before;
            let failure = match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => context.too_late(),
                _ => TransportFailure::Interrupted,
            };
            return Err(if left { context.sent(failure) } else { context.unsent(failure) });
        }
        let response = buffer.read(link, context.clock).map_err(|error| {
            context.sent(match error {
                AnswerError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                    context.too_late()
                }
                AnswerError::Io(_) | AnswerError::Ended => TransportFailure::Interrupted,
                AnswerError::TooLarge => TransportFailure::TooLarge(limit),
                AnswerError::Malformed => TransportFailure::NotHttp,
            })
        })?;
        let kept = keep(&response);
        Ok((response, kept))
    }
}

impl Route {
    fn connect(&self) -> Result<Link, TransportError> {
        let end = Instant::now() + self.context.connect_timeout;
        let built = match self.build(end) {
            // Nothing had left: the one case that is tried again without being asked.
            Err(TransportFailure::Cut) => self.build(end),
            other => other,
        };
        built.map_err(|failure| self.context.unsent(failure))
    }

    fn build(&self, end: Instant) -> Result<Link, TransportFailure> {
        let wire = self.dial(end)?;
        let Some(tls) = &self.tls else { return Ok(Link::Plain(wire)) };
        let host = || server_name(&self.host);
        match &self.proxy {
            None => Ok(Link::Tls(Box::new(shake_hands(wire, host()?, tls, None)?))),
            Some(proxy) if proxy.scheme == "http" => {
                let mut wire = wire;
                self.open_tunnel(proxy, &mut wire)?;
                let shown = proxy.shown();
                Ok(Link::Tls(Box::new(shake_hands(wire, host()?, tls, Some(&shown))?)))
            }
            Some(proxy) if proxy.scheme == "https" => {
                let refused = || TransportFailure::Proxy(proxy.shown());
                let outer = server_name(&proxy.host)
                    .and_then(|name| shake_hands(wire, name, tls, None))
                    .map_err(|_| refused())?;
                let mut outer = outer;
                self.open_tunnel(proxy, &mut outer)?;
                let shown = proxy.shown();
                Ok(Link::Nested(Box::new(shake_hands(outer, host()?, tls, Some(&shown))?)))
            }
            Some(proxy) => Err(TransportFailure::Proxy(format!(
                "{} ({} is not supported)",
                proxy.shown(),
                text::clean(&proxy.scheme)
            ))),
        }
    }

    /// Opens TCP to the first address that answers; each has its share of the time.
    fn dial(&self, end: Instant) -> Result<Wire, TransportFailure> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        // Silence is told before whatever else happened: it is what the firewall is looked at for.
        let mut was_silent = false;
        for (tried, address) in self.addresses.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let others = u32::try_from(self.addresses.len() - tried).unwrap_or(u32::MAX);
            let share = (left / others.min(2)).max(LAST_LOOK);
            match TcpStream::connect_timeout(address, share) {
                Ok(socket) => {
                    let left = end.saturating_duration_since(Instant::now()).max(LAST_LOOK);
                    let mut wire = Wire { socket, end, is_set: false, looks: 0, written: 0 };
                    let ready = wire.socket.set_nodelay(true).and_then(|()| wire.allow(left));
                    match ready {
                        Ok(()) => return Ok(wire),
                        Err(error) => last = error,
                    }
                }
                Err(error) => last = error,
            }
            was_silent |= last.kind() == io::ErrorKind::TimedOut;
        }
        Err(match &self.proxy {
            Some(proxy) => TransportFailure::Proxy(proxy.shown()),
            None if was_silent => TransportFailure::Connect(self.context.no_connection()),
            None => TransportFailure::Connect(text::clean(&last.to_string())),
        })
    }

    /// RFC 9110 section 9.3.6.
    fn open_tunnel(
        &self,
        proxy: &Proxy,
        stream: &mut (impl Read + Write),
    ) -> Result<(), TransportFailure> {
        let refused = || TransportFailure::Proxy(proxy.shown());
        let request = tunnel_request(&self.host, self.port, proxy.authorization.as_ref());
        stream.write_all(&request).and_then(|()| stream.flush()).map_err(|_| refused())?;
        match AnswerBuffer::new(TUNNEL_LIMIT).read_tunnel_status(stream) {
            Ok(200..300) => Ok(()),
            Ok(407) => Err(TransportFailure::Proxy(format!(
                "{} (it wants user and password)",
                proxy.shown()
            ))),
            Ok(status) => {
                Err(TransportFailure::Proxy(format!("{} (status {status})", proxy.shown())))
            }
            Err(_) => Err(refused()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "RFC 9110 section 11.7.1: the proxy's credentials")]
fn tunnel_request(
    host: &str,
    port: u16,
    authorization: Option<&SecretString>,
) -> Zeroizing<Vec<u8>> {
    let mut request = Zeroizing::new(
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes(),
    );
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.expose_secret().as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn server_name(host: &str) -> Result<ServerName<'static>, TransportFailure> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned())
        .map_err(|error| TransportFailure::Tls(TlsProblem::Other, text::clean(&error.to_string())))
}

/// Completes the handshake, so that whatever is wrong with a certificate is known before anything
/// is spent.
fn shake_hands<S: Read + Write>(
    stream: S,
    name: ServerName<'static>,
    tls: &Arc<ClientConfig>,
    proxy: Option<&str>,
) -> Result<StreamOwned<ClientConnection, S>, TransportFailure> {
    let connection =
        ClientConnection::new(Arc::clone(tls), name).map_err(|error| judge(&error, proxy))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => {
                TransportFailure::Connect("the TLS handshake did not end in time".to_owned())
            }
            _ => judge_handshake(&error, proxy),
        })?;
    }
    Ok(stream)
}
