//! A raw server before the simulated Salesforce: it passes requests on, and for one connection it
//! does what a test wants instead. Everything on it is bytes, so that it can break HTTP too.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::DEADLINE;

/// What happens to one connection.
pub enum Act {
    /// It is reset before a byte of it is read.
    Reset,
    /// Its request is read and dropped, and this is written; then it is closed.
    Answer(Vec<u8>),
    /// Its request is carried out, and this is written in place of the answer.
    CarryOutAndAnswer(Vec<u8>),
    /// Its request is carried out, and the answer comes after this.
    AnswerAfter(Vec<u8>),
    /// Its request is read and dropped, and this is written again and again, until nobody reads.
    Repeat(Vec<u8>),
}

struct Shared {
    backend: u16,
    acts: Mutex<VecDeque<Act>>,
    /// The first lines of the requests of each connection.
    connections: Mutex<Vec<Vec<String>>>,
    /// Whether a connection is closed after an answer that did not say so.
    closes_silently: AtomicBool,
    stopped: AtomicBool,
}

/// The server; it ends when it is dropped.
pub struct Front {
    /// Its port.
    pub port: u16,
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl Front {
    /// Starts one before the simulated Salesforce on a port. Its own port is none of those that
    /// connections are given by the system: left for a moment, it is still free.
    pub fn before(backend: u16) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let from = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
        let mut candidates =
            std::iter::repeat_with(|| from + NEXT.fetch_add(1, Ordering::SeqCst)).take(1_000);
        candidates
            .find_map(|port| Self::on((Ipv4Addr::LOCALHOST, port).into(), backend).ok())
            .expect("a port that is free")
    }

    /// Starts one on a port that another one left. A program that is just being started by another
    /// test may hold that one's socket for a moment.
    pub fn on_port(port: u16, backend: u16) -> Self {
        let mut front = None;
        crate::common::until("the port to be free", || {
            front = Self::on((Ipv4Addr::LOCALHOST, port).into(), backend).ok();
            front.is_some()
        });
        front.unwrap()
    }

    /// Starts one on the other loopback address; an error where there is no IPv6.
    pub fn on_ipv6(port: u16, backend: u16) -> std::io::Result<Self> {
        Self::on((Ipv6Addr::LOCALHOST, port).into(), backend)
    }

    fn on(address: SocketAddr, backend: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            backend,
            acts: Mutex::default(),
            connections: Mutex::default(),
            closes_silently: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Ok(Self { port: address.port(), shared, address, accepting: Some(accepting) })
    }

    /// Its address by the name of the simulated host.
    pub fn url(&self) -> String {
        format!("http://acme.my.localhost:{}", self.port)
    }

    /// What happens to the next connection that is not spoken for yet.
    pub fn next(&self, act: Act) {
        self.shared.acts.lock().unwrap().push_back(act);
    }

    /// From now on it closes connections after an answer, without having said so.
    pub fn close_silently(&self) {
        self.shared.closes_silently.store(true, Ordering::SeqCst);
    }

    /// The first lines of the requests of each connection so far.
    pub fn connections(&self) -> Vec<Vec<String>> {
        self.shared.connections.lock().unwrap().clone()
    }

    /// Stops listening, and frees its port.
    pub fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let index = {
            let mut connections = self.connections.lock().unwrap();
            connections.push(Vec::new());
            connections.len() - 1
        };
        let act = self.acts.lock().unwrap().pop_front();
        if matches!(act, Some(Act::Reset)) {
            // Closed with bytes unread, a connection ends with a reset.
            let _ = stream.peek(&mut [0]);
            return;
        }
        let mut act = act;
        while let Some(request) = read_message(&mut stream) {
            let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().into();
            self.connections.lock().unwrap()[index].push(line);
            if let Some(act) = act.take() {
                self.play(&act, &request, &mut stream);
                return;
            }
            let answer = self.pass_on(&request);
            if answer.is_empty()
                || stream.write_all(&answer).is_err()
                || self.closes_silently.load(Ordering::SeqCst)
            {
                return;
            }
        }
    }

    fn play(&self, act: &Act, request: &[u8], stream: &mut TcpStream) {
        let _ = match act {
            Act::Reset => Ok(()),
            Act::Answer(bytes) => stream.write_all(bytes),
            Act::CarryOutAndAnswer(bytes) => {
                self.pass_on(request);
                stream.write_all(bytes)
            }
            Act::AnswerAfter(bytes) => {
                let answer = self.pass_on(request);
                stream.write_all(bytes).and_then(|()| stream.write_all(&answer))
            }
            Act::Repeat(bytes) => {
                stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
                while stream.write_all(bytes).is_ok() {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                Ok(())
            }
        };
        // Not cut: what was written arrives before the end.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0]);
    }

    /// The answer of the simulated Salesforce, byte for byte; nothing where it is cut.
    fn pass_on(&self, request: &[u8]) -> Vec<u8> {
        let mut backend = TcpStream::connect(("127.0.0.1", self.backend)).unwrap();
        backend.set_read_timeout(Some(DEADLINE)).unwrap();
        backend.write_all(request).unwrap();
        read_message(&mut backend).unwrap_or_default()
    }
}

/// Reads a request or an answer with its announced body; nothing at the end of the connection.
pub fn read_message(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| {
                line.strip_prefix("content-length:").and_then(|length| length.trim().parse().ok())
            });
            if bytes.len() >= end + 4 + length.unwrap_or(0_usize) {
                return Some(bytes);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A JSON answer with status 200.
pub fn ok(content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}
