//! The agent's side: listens, looks who asks, does what is asked, and ends in order.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::frame::{self, FrameError};
use super::grants::Grants;
use super::protocol::{Answer, Hello, PROGRAM, PROTOCOL, Request, Welcome};
use crate::domain::time::UnixMillis;
use crate::engine::outcome::{FailureDetail, KeyProtection};
use crate::engine::{Engine, Error, Event, Failure, Operation, Outcome, Settings, exit, now};
use crate::platform;
use crate::platform::lock::LockFile;

/// How long a client may take to say who it is.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// How long a client may take to read what it is sent. One that stopped reading is let go; what it
/// asked for is done all the same.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Frames that a client may be behind.
const BEHIND: usize = 64;
/// Longest wait for an exchange at the end.
const LAST_EXCHANGE: Duration = Duration::from_secs(25);
/// How long the key stays open where nobody says otherwise.
pub(crate) const OPEN_FOR: Duration = Duration::from_secs(8 * 3600);

/// How an agent came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Another agent is there already.
    Another,
    /// It was told to, or had nothing left to do.
    Done,
}

/// The agent's state, shared by its connections.
struct Agent {
    engine: Mutex<Arc<Engine>>,
    grants: Grants,
    socket: PathBuf,
    /// Until when the key is open.
    open_until: watch::Sender<Option<UnixMillis>>,
    /// Connections, and operations that outlived theirs.
    busy: watch::Sender<usize>,
    /// Set once: no new work is taken.
    leaving: watch::Sender<bool>,
    config: Mutex<Option<platform::files::Stamp>>,
}

/// Counts one connection or operation while it lives.
struct Busy(watch::Sender<usize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Runs the agent until `told` says so, until it is idle for `idle` with nothing held open, or
/// until a newer program takes its place.
pub(crate) async fn run(
    settings: Settings,
    idle: Option<Duration>,
    told: impl Future<Output = ()>,
) -> Result<Ended, Error> {
    let locations = settings.locations.clone();
    for folder in locations.private_folders() {
        platform::files::create_private_folder(folder)?;
    }
    let locks = locations.locks_folder();
    platform::files::create_private_folder(&locks)?;
    // Of several that start at once, one gets the lock; it is free when its holder is no more.
    let Some(_lock) = LockFile::try_acquire(&locks.join("agent"))? else {
        return Ok(Ended::Another);
    };
    let socket = locations.agent_socket();
    // Whoever made it is gone, for we have the lock.
    platform::durable::remove_durably(&socket)?;
    let listener = UnixListener::bind(&socket)
        .and_then(|listener| {
            std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        })
        .map_err(platform::files::system("can't listen on", &socket))?;
    let config = platform::files::stamp(&locations.config_file());
    let agent = Arc::new(Agent {
        engine: Mutex::new(Engine::open(settings)?),
        grants: Grants::of_owner(platform::files::our_uid()),
        socket: socket.clone(),
        open_until: watch::channel(None).0,
        busy: watch::channel(0).0,
        leaving: watch::channel(false).0,
        config: Mutex::new(config),
    });
    agent.serve(listener, idle, told).await;
    // Nobody new finds us, and whoever starts next may have the name.
    platform::durable::remove_durably(&socket)?;
    let engine = agent.engine();
    // What waits for a person would keep us.
    engine.stop_listening();
    let mut busy = agent.busy.subscribe();
    let end = async {
        // Who waits for a person would wait longer than we may.
        engine.stop_polling().await;
        // Whoever asked hears the answer yet.
        let _ = busy.wait_for(|count| *count == 0).await;
        engine.close().await;
    };
    let closed = tokio::time::timeout(LAST_EXCHANGE, end).await;
    if closed.is_err() && engine.is_only_in_memory() {
        engine.close().await;
    }
    Ok(Ended::Done)
}

impl Agent {
    async fn serve(
        self: &Arc<Self>,
        listener: UnixListener,
        idle: Option<Duration>,
        told: impl Future<Output = ()>,
    ) {
        let mut leaving = self.leaving.subscribe();
        let (idle, locking) = (self.idle_for(idle), self.lock_in_time());
        let draining = Box::pin(self.engine().drain_in_time());
        let paying = Box::pin(self.engine().pay_in_time());
        let accepting = async {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(self).connection(stream));
            }
        };
        tokio::select! {
            () = told => {}
            () = idle => {}
            () = accepting => {}
            () = locking => {}
            () = draining => {}
            () = paying => {}
            _ = leaving.wait_for(|leaving| *leaving) => {}
        }
        self.leaving.send_replace(true);
    }

    fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn busy(&self) -> Busy {
        self.busy.send_modify(|count| *count += 1);
        Busy(self.busy.clone())
    }

    /// Ends when nobody asked for anything for so long, and no passphrase would have to be typed
    /// again.
    async fn idle_for(&self, idle: Option<Duration>) {
        let Some(idle) = idle else { return std::future::pending().await };
        let (mut busy, mut open) = (self.busy.subscribe(), self.open_until.subscribe());
        loop {
            let at_rest = *busy.borrow_and_update() == 0 && open.borrow_and_update().is_none();
            tokio::select! {
                () = tokio::time::sleep(idle) => {
                    // Nobody can find an agent whose folder is gone.
                    if at_rest || !self.socket.exists() {
                        return;
                    }
                }
                _ = busy.changed() => {}
                _ = open.changed() => {}
            }
        }
    }

    /// Forgets the key when its time is over.
    async fn lock_in_time(&self) {
        let mut open = self.open_until.subscribe();
        loop {
            let until = *open.borrow_and_update();
            let left = until.map(|until| until.since(now()));
            tokio::select! {
                () = sleep(left) => {
                    let _ = self.engine().run_quietly(Operation::LockKey).await;
                    self.open_until.send_replace(None);
                }
                _ = open.changed() => {}
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: UnixStream) {
        let Ok(peer) = stream.peer_cred() else { return };
        // Whoever is not in the table learns nothing, not even that they are not.
        if !self.grants.admits(peer.uid()) {
            return;
        }
        let _busy = self.busy();
        let (mut reader, writer) = stream.into_split();
        let (answers, queue) = mpsc::channel(BEHIND);
        let writing = tokio::spawn(write(writer, queue));
        if let Err(error) = self.converse(&mut reader, peer.uid(), &answers).await
            && !matches!(error, FrameError::Ended)
        {
            tracing::warn!(%error, "a client of the agent was let go");
            let _ = answers.send(encode(&Answer::Refused(not_understood(&error)))).await;
        }
        drop(answers);
        let _ = writing.await;
    }

    async fn converse(
        self: &Arc<Self>,
        reader: &mut OwnedReadHalf,
        uid: u32,
        answers: &mpsc::Sender<Encoded>,
    ) -> Result<(), FrameError> {
        let hello: Hello = tokio::time::timeout(HELLO_LIMIT, frame::read(reader))
            .await
            .map_err(|_| FrameError::Ended)??;
        let welcome = Welcome {
            protocol: PROTOCOL,
            program: PROGRAM.to_owned(),
            pid: std::process::id(),
            key_open_until: *self.open_until.borrow(),
        };
        let _ = answers.send(encode(&welcome)).await;
        if hello.protocol != PROTOCOL || hello.program != PROGRAM {
            // A newer program is on this machine now: what is under way ends, the rest is its own.
            self.leaving.send_replace(true);
            return Ok(());
        }
        let mut who = hello.who;
        who.uid = uid;
        let mut leaving = self.leaving.subscribe();
        loop {
            let request = tokio::select! {
                request = frame::read(reader) => request?,
                _ = leaving.wait_for(|leaving| *leaving) => return Ok(()),
            };
            match request {
                Request::Leave => {
                    self.leaving.send_replace(true);
                    return Ok(());
                }
                Request::Ask { number, operation, open_for_ms } => {
                    let open_for = open_for_ms.map_or(OPEN_FOR, Duration::from_millis);
                    let asked = Asked { number, operation: *operation, open_for };
                    self.begin(asked, uid, who.clone(), answers.clone());
                }
            }
        }
    }

    /// Does what is asked beside the conversation, to its end, whatever becomes of the client.
    fn begin(
        self: &Arc<Self>,
        asked: Asked,
        uid: u32,
        who: platform::who::Who,
        answers: mpsc::Sender<Encoded>,
    ) {
        let agent = Arc::clone(self);
        let busy = self.busy();
        tokio::spawn(async move {
            let _busy = busy;
            let Asked { number, operation, open_for } = asked;
            let tell = |event| encode(&Answer::Event { number, event: Box::new(event) });
            if !agent.grants.allows(uid, &operation) {
                let _ = answers.send(tell(Event::Done(Err(not_granted())))).await;
                return;
            }
            let engine = match agent.engine_of_now(who) {
                Ok(engine) => engine,
                Err(error) => {
                    let _ = answers.send(tell(Event::Done(Err(error.into())))).await;
                    return;
                }
            };
            let (opens, locks) = (opens_key(&operation), operation == Operation::LockKey);
            let mut events = engine.submit(operation);
            while let Some(mut event) = events.recv().await {
                if let Event::Done(Ok(Outcome::Key(report))) = &mut event {
                    // A bare key is open to whoever has its file: there is nothing to forget.
                    let opened =
                        opens && report.open && report.protection == KeyProtection::Passphrase;
                    if locks || opened {
                        let until = opened.then(|| now().plus(open_for));
                        agent.open_until.send_replace(until);
                    }
                    report.open_until = *agent.open_until.borrow();
                    report.agent = Some(platform::lifetime::of_process(std::process::id()));
                }
                // A client that has gone hears nothing; the work goes on.
                let _ = answers.send(tell(event)).await;
            }
        });
    }

    /// The engine with the configuration as it is by now, for a client.
    fn engine_of_now(&self, who: platform::who::Who) -> Result<Arc<Engine>, Error> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let path = engine.settings().locations.config_file();
        let mut known = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let found = platform::files::stamp(&path);
        // A folder that was moved away took the file along; that is no change of it.
        let is_there = path.parent().is_some_and(std::path::Path::exists);
        if *known != found && is_there {
            *engine = engine.with_config(crate::engine::read_config(&path)?);
            *known = found;
        }
        Ok(engine.for_client(who))
    }
}

/// What a client asked for.
struct Asked {
    number: u64,
    operation: Operation,
    open_for: Duration,
}

/// A frame, or nothing where it could not be made.
type Encoded = Option<zeroize::Zeroizing<Vec<u8>>>;

fn encode(value: &impl serde::Serialize) -> Encoded {
    frame::encode(value)
        .inspect_err(|error| tracing::error!(%error, "an answer of the agent was not sent"))
        .ok()
}

/// Writes what is to be said, as fast as the client reads, but not for ever.
async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Encoded>) {
    while let Some(frame) = queue.recv().await {
        let Some(frame) = frame else { return };
        let written = tokio::time::timeout(WRITE_LIMIT, writer.write_all(&frame)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

async fn sleep(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep_until(Instant::now() + left).await,
        None => std::future::pending().await,
    }
}

fn opens_key(operation: &Operation) -> bool {
    matches!(
        operation.bare(),
        Operation::OpenKey(_) | Operation::CreateKey(_) | Operation::ProtectKey(_)
    )
}

fn not_understood(error: &FrameError) -> Failure {
    Failure {
        code: "not_understood".into(),
        message: format!("the agent did not understand: {error}"),
        remedy: "use the orgkey that started it; orgkey agent --stop ends it".into(),
        exit_code: exit::USAGE,
        detail: FailureDetail::None,
    }
}

fn not_granted() -> Failure {
    Failure {
        code: "not_granted".into(),
        message: "the agent does not do this for you".into(),
        remedy: "ask the user whose agent it is".into(),
        exit_code: exit::REFUSED,
        detail: FailureDetail::None,
    }
}
