//! A front end's side: the same operations and events as of an engine in the process.

use std::collections::HashMap;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::mpsc;

use super::frame::{self, FrameError};
use super::protocol::{Answer, Hello, PROGRAM, PROTOCOL, Request, Welcome};
use crate::engine::outcome::FailureDetail;
use crate::engine::{Event, Failure, Operation, Outcome, exit};
use crate::platform::who::Who;

/// How long the agent may take to answer the first frame.
const WELCOME_LIMIT: Duration = Duration::from_secs(2);
/// Longest answer to a question that is asked without a runtime: an exchange and its waits.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Events that an asker may be behind.
const EVENT_BUFFER: usize = 64;

type Waiting = Arc<Mutex<HashMap<u64, mpsc::Sender<Event>>>>;

/// A connection to the agent.
pub(crate) struct Client {
    requests: mpsc::UnboundedSender<zeroize::Zeroizing<Vec<u8>>>,
    waiting: Waiting,
    next: AtomicU64,
    welcome: Welcome,
    open_for: Option<Duration>,
}

impl Client {
    /// Connects to the agent of a state folder. `None` when there is none that speaks with us: the
    /// same is done in this process then.
    pub(crate) async fn connect(socket: &Path, open_for: Option<Duration>) -> Option<Self> {
        let stream = UnixStream::connect(socket).await.ok()?;
        // The folder is ours alone; this is for a socket that somebody was tricked into.
        if stream.peer_cred().ok()?.uid() != crate::platform::files::our_uid() {
            return None;
        }
        let (mut reader, mut writer) = stream.into_split();
        let mut who = Who::of_this_process();
        who.ask_tmux();
        writer.write_all(&frame::encode(&hello(who)).ok()?).await.ok()?;
        let welcome: Welcome =
            tokio::time::timeout(WELCOME_LIMIT, frame::read(&mut reader)).await.ok()?.ok()?;
        if welcome.protocol != PROTOCOL || welcome.program != PROGRAM {
            return None;
        }
        let (requests, mut queue) = mpsc::unbounded_channel::<zeroize::Zeroizing<Vec<u8>>>();
        let sender = tokio::spawn(async move {
            while let Some(request) = queue.recv().await {
                if writer.write_all(&request).await.is_err() {
                    return;
                }
            }
        });
        let waiting = Waiting::default();
        let heard = Arc::clone(&waiting);
        tokio::spawn(async move {
            hear(reader, heard).await;
            // Who is not heard any more is not asked any more either.
            sender.abort();
        });
        Some(Self { requests, waiting, next: AtomicU64::new(1), welcome, open_for })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.welcome.pid
    }

    /// Whether the agent is still there, as far as is known.
    pub(crate) fn is_alive(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Begins an operation; like that of an engine in the process. A channel that ends without
    /// [`Event::Done`] means that the agent is gone.
    pub(crate) fn submit(&self, operation: Operation) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let open_for_ms = self.open_for.and_then(|span| u64::try_from(span.as_millis()).ok());
        let request = Request::Ask { number, operation: Box::new(operation), open_for_ms };
        match frame::encode(&request) {
            Ok(request) => {
                lock(&self.waiting).insert(number, sender);
                if self.requests.send(request).is_err() {
                    lock(&self.waiting).remove(&number);
                }
            }
            Err(error) => {
                let _ = sender.try_send(Event::Done(Err(too_much(&error))));
            }
        }
        receiver
    }

    /// Tells the agent to end after what is under way.
    pub(crate) fn tell_to_leave(&self) {
        if let Ok(request) = frame::encode(&Request::Leave) {
            let _ = self.requests.send(request);
        }
    }
}

/// Hands events to those who wait for them. When the agent is gone, every channel ends.
async fn hear(mut reader: OwnedReadHalf, waiting: Waiting) {
    while let Ok(answer) = frame::read(&mut reader).await {
        let (number, event) = match answer {
            Answer::Event { number, event } => (number, *event),
            Answer::Refused(failure) => {
                for (_, sender) in lock(&waiting).drain() {
                    let _ = sender.try_send(Event::Done(Err(failure.clone())));
                }
                break;
            }
        };
        let is_last = matches!(event, Event::Done(_));
        let sender = if is_last {
            lock(&waiting).remove(&number)
        } else {
            lock(&waiting).get(&number).cloned()
        };
        let Some(sender) = sender else { continue };
        if is_last {
            let _ = sender.send(event).await;
        } else {
            // An asker that is behind misses a step, never the end.
            let _ = sender.try_send(event);
        }
    }
    lock(&waiting).clear();
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, mpsc::Sender<Event>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hello(who: Who) -> Hello {
    Hello { protocol: PROTOCOL, program: PROGRAM.to_owned(), who }
}

/// Asks one question without a runtime, a thread or a database. `None` when there is no agent that
/// speaks with us. Notes are told through `note`.
pub(crate) fn ask_blocking(
    socket: &Path,
    operation: Operation,
    mut note: impl FnMut(&Event),
) -> Option<Result<Outcome, Failure>> {
    let mut stream = BlockingStream::connect(socket).ok()?;
    // A rejected token and what is taken for a new one pass here: never to and from anyone else.
    if rustix::net::sockopt::socket_peercred(&stream).ok()?.uid != rustix::process::geteuid() {
        return None;
    }
    stream.set_read_timeout(Some(WELCOME_LIMIT)).ok()?;
    frame::write_blocking(&mut stream, &hello(Who::of_this_process())).ok()?;
    let welcome: Welcome = frame::read_blocking(&mut stream).ok()?;
    if welcome.protocol != PROTOCOL || welcome.program != PROGRAM {
        return None;
    }
    stream.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
    let request = Request::Ask { number: 1, operation: Box::new(operation), open_for_ms: None };
    if let Err(error) = frame::write_blocking(&mut stream, &request) {
        return Some(Err(too_much(&error)));
    }
    loop {
        match frame::read_blocking(&mut stream) {
            Ok(Answer::Event { event, .. }) => match *event {
                Event::Done(result) => return Some(result),
                event => note(&event),
            },
            Ok(Answer::Refused(failure)) => return Some(Err(failure)),
            Err(_) => return Some(Err(gone())),
        }
    }
}

/// The agent ended while it was at work.
pub(crate) fn gone() -> Failure {
    Failure {
        code: "agent_gone".into(),
        message: "the agent ended before it answered".into(),
        remedy: "do it again: what had come from Salesforce is in its inbox and is taken over"
            .into(),
        exit_code: exit::UNREACHABLE,
        detail: FailureDetail::None,
    }
}

fn too_much(error: &FrameError) -> Failure {
    Failure {
        code: "too_much".into(),
        message: format!("that is too much to ask of the agent at once: {error}"),
        remedy: "ask for less, or set agent = \"never\" in config.toml".into(),
        exit_code: exit::INVALID,
        detail: FailureDetail::None,
    }
}
