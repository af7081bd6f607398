//! Connections that can be cut and slowed down: a listener for axum whose sockets end with a reset,
//! as a network does it, instead of a polite close, and that know when an answer has left.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

/// Wait after a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is told of an answer that is on its way: whether it was written to its last byte. Dropped
/// before, it was not.
pub(crate) struct Departure(Option<Box<dyn FnOnce(bool) + Send>>);

impl Departure {
    /// Calls `tell` once.
    pub(crate) fn new(tell: impl FnOnce(bool) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    fn whole(mut self) {
        if let Some(tell) = self.0.take() {
            tell(true);
        }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(false);
        }
    }
}

/// A connection as the one who answers on it has it in hand.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<State>);

#[derive(Default)]
struct State {
    cut: AtomicBool,
    /// Bytes per second; 0 for as fast as may be.
    pace: AtomicU64,
    departure: Mutex<Option<Departure>>,
}

impl Line {
    /// From the next write on, the connection is reset.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
    }

    /// From the next write on, so many bytes per second are written; 0 for all at once.
    pub(crate) fn set_pace(&self, bytes_per_second: u64) {
        self.0.pace.store(bytes_per_second, Ordering::Release);
    }

    /// The last byte of an answer was handed over; the departure is told once it is written.
    pub(crate) fn ends_with(&self, departure: Option<Departure>) {
        *self.departure() = departure;
    }

    fn departure(&self) -> MutexGuard<'_, Option<Departure>> {
        self.0.departure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that are written at once at a pace: 1, but no more than 100 times a second.
pub(crate) fn step_of(bytes_per_second: u64) -> usize {
    usize::try_from(bytes_per_second / 100).unwrap_or(usize::MAX).max(1)
}

/// The time that so many bytes take at a pace.
pub(crate) fn time_of(bytes: usize, bytes_per_second: u64) -> Duration {
    let micros = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000);
    Duration::from_micros(micros / bytes_per_second.max(1))
}

impl Connected<IncomingStream<'_, Wires>> for Line {
    fn connect_info(stream: IncomingStream<'_, Wires>) -> Self {
        stream.io().line.clone()
    }
}

/// The listening socket.
pub(crate) struct Wires(pub(crate) TcpListener);

impl Listener for Wires {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, peer)) => {
                    // An answer of two writes must not wait for the acknowledgement of the first.
                    let _ = stream.set_nodelay(true);
                    return (Wire { stream, line: Line::default(), rest: None }, peer);
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    line: Line,
    /// The wait between two writes at a pace.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    /// Fails once the connection was cut; then dropping the socket sends a reset.
    fn check(&self) -> io::Result<()> {
        if self.line.0.cut.load(Ordering::Acquire) {
            let _ = self.stream.set_zero_linger();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let pace = self.line.0.pace.load(Ordering::Acquire);
        if pace == 0 {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(context));
            self.rest = None;
        }
        let piece = &bytes[..bytes.len().min(step_of(pace))];
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, piece))?;
        self.rest = Some(Box::pin(tokio::time::sleep(time_of(written, pace))));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        let departure = self.line.departure().take();
        if let Some(departure) = departure {
            departure.whole();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
