//! The loop itself.

use std::collections::BTreeMap;
use std::io::{stdin, stdout};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use rustix::process::Signal as Posix;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::domain::id::UserId;
use crate::engine::outcome::FailureDetail;
use crate::engine::{Event, Failure, Operation};
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::message::{JobId, Message, Signal};
use crate::tui::model::{Look, Model};
use crate::tui::reader::{self, Read};
use crate::tui::screen::Screen;
use crate::tui::terminal::{self, RawMode};
use crate::tui::view::view;
use crate::tui::writer::Writer;
use crate::tui::{Error, Port, Settings};

/// Most messages that are answered before a frame is drawn.
const DRAINED: usize = 256;
/// Room for what the engine tells; it waits when the screen is slower.
const ROOM: usize = 256;
/// Longest wait for a terminal that does not read, at the end and before a stop.
const LAST_WRITE: Duration = Duration::from_millis(250);

/// Longest wait of the first frame for the first rows: nearly always it has them then, and is the
/// only one.
const FIRST_FRAME: Duration = Duration::from_millis(50);

/// The loop's own things.
pub(super) struct Loop<P> {
    /// Who answers operations.
    port: P,
    /// What the caller decided.
    settings: Settings,
    /// The state.
    model: Model,
    /// Cells to bytes.
    screen: Terminal<Screen>,
    /// Bytes to the terminal.
    writer: Writer,
    /// Raw mode.
    raw: RawMode,
    /// What the terminal sends.
    reads: mpsc::Receiver<Read>,
    /// What the engine and the simulated person tell.
    told: mpsc::Receiver<Message>,
    /// The other end of `told`.
    tell: mpsc::Sender<Message>,
    /// Who waits for which job.
    waiting: BTreeMap<JobId, AbortHandle>,
    /// What the kernel sends.
    signals: Signals,
    /// Whether the engine was asked something since the last frame.
    asked: bool,
    /// When the first frame is drawn without rows; `None` once it was drawn.
    first_frame: Option<Instant>,
    /// Whether something may look different.
    dirty: bool,
    /// Whether every cell is to be written.
    anew: bool,
}

impl<P: Port> Loop<P> {
    /// Takes the terminal.
    pub(super) fn start(port: P, settings: Settings) -> Result<Self, Error> {
        let signals = Signals::listen()?;
        let (reports, reads) = mpsc::channel(ROOM);
        let (tell, told) = mpsc::channel(ROOM);
        let size = terminal::size();
        let look = Look {
            color: !settings.no_color,
            ascii: settings.ascii,
            demo: settings.demo.is_some(),
            multiplexer: settings.multiplexer,
            terminal: settings.terminal,
            beside_browser: crate::platform::ssh::is_beside_browser(),
        };
        let now = (settings.clock)();
        let policy = settings.host_policy.clone();
        let mut model = Model::new(size, look, settings.zone.clone(), policy, now);
        if let Some(demo) = &settings.demo {
            model.demo_accounts.clone_from(&demo.accounts);
        }
        let Ok(screen) = Terminal::new(Screen::new(size.width, size.height));
        let mut writer = Writer::start(stdout())?;
        let raw = RawMode::take()?;
        reader::start(stdin(), reports)?;
        writer.put_ahead(terminal::ENTER);
        Ok(Self {
            port,
            settings,
            model,
            screen,
            writer,
            raw,
            reads,
            told,
            tell,
            waiting: BTreeMap::new(),
            signals,
            asked: false,
            first_frame: Some(Instant::now() + FIRST_FRAME),
            dirty: true,
            anew: true,
        })
    }

    /// Runs until the person leaves or the terminal is gone.
    pub(super) async fn run(mut self) -> Result<u8, Error> {
        let mut messages = vec![Message::Start];
        loop {
            for message in messages {
                if let Some(code) = self.answer(message).await? {
                    return Ok(code);
                }
            }
            if std::mem::take(&mut self.asked) {
                // The engine shares this thread: what it was asked is under way while this draws.
                tokio::task::yield_now().await;
            }
            self.draw();
            messages = self.wait().await;
        }
    }

    /// Answers one message; `Some` ends the program with that code.
    async fn answer(&mut self, message: Message) -> Result<Option<u8>, Error> {
        let now = (self.settings.clock)();
        self.dirty = true;
        for effect in self.model.update(message, now) {
            match effect {
                Effect::Submit { job, operation } => self.submit(job, operation),
                Effect::Cancel(job) => {
                    if let Some(waiting) = self.waiting.remove(&job) {
                        waiting.abort();
                    }
                }
                Effect::Copy(text) => {
                    let sequence = terminal::copy_sequence(&text, self.settings.multiplexer);
                    self.writer.put_ahead(&sequence);
                }
                Effect::Redraw => self.anew = true,
                Effect::Suspend => self.suspend().await?,
                Effect::Retake => {
                    self.raw.release();
                    self.retake()?;
                }
                Effect::PlayPerson { url, user_id } => self.play(url, user_id),
                Effect::LookForSession => self.look_for_session(),
                Effect::Quit(code) => {
                    self.give_back().await;
                    return Ok(Some(code));
                }
                Effect::LetGo(code) => {
                    self.raw.release();
                    return Ok(Some(code));
                }
            }
        }
        Ok(None)
    }

    /// Gives an operation to the engine and brings its events here. One that ends without an
    /// answer is answered for, so that no job stays open.
    fn submit(&mut self, job: JobId, operation: Operation) {
        self.asked = true;
        let mut events = self.port.submit(operation);
        let tell = self.tell.clone();
        let waiting = tokio::spawn(async move {
            let mut done = false;
            while let Some(event) = events.recv().await {
                done |= matches!(event, Event::Done(_));
                if tell.send(Message::Engine { job, event: Box::new(event) }).await.is_err() {
                    return;
                }
            }
            if !done {
                let event = Box::new(Event::Done(Err(no_answer())));
                // A loop that has ended needs no answer.
                let _ = tell.send(Message::Engine { job, event }).await;
            }
        });
        self.waiting.retain(|_, waiting| !waiting.is_finished());
        self.waiting.insert(job, waiting.abort_handle());
    }

    fn play(&self, url: String, user_id: UserId) {
        let Some(demo) = &self.settings.demo else { return };
        let signed_in = demo.person.sign_in(url, user_id);
        let tell = self.tell.clone();
        tokio::spawn(async move {
            // A loop that has ended needs no answer.
            let _ = tell.send(Message::Person(signed_in.await)).await;
        });
    }

    fn look_for_session(&self) {
        let tell = self.tell.clone();
        // It may ask tmux, which takes a moment.
        tokio::task::spawn_blocking(move || {
            let _ = tell.blocking_send(Message::Session(crate::platform::ssh::session()));
        });
    }

    /// Draws, if something may differ and the line is free.
    fn draw(&mut self) {
        if !self.writer.is_free() || !(self.dirty || self.writer.has_ahead()) {
            return;
        }
        if let Some(at) = self.first_frame {
            if !self.model.dashboard.is_loaded() && Instant::now() < at {
                return;
            }
            self.first_frame = None;
        }
        let size = self.model.size;
        let known = self.screen.size().map(|known| (known.width, known.height));
        let Ok(known) = known;
        if known != (size.width, size.height) {
            self.screen.backend_mut().resize(size.width, size.height);
            self.anew = true;
        }
        self.anew |= self.screen.backend_mut().set_link(self.model.link());
        if std::mem::take(&mut self.anew) {
            self.screen.backend_mut().forget();
            let Ok(()) = self.screen.autoresize();
            let Ok(()) = self.screen.clear();
        }
        let Ok(_) = self.screen.draw(|frame| view(&self.model, frame));
        let bytes = self.screen.backend_mut().take();
        self.writer.write(&bytes);
        self.dirty = false;
    }

    /// Sleeps until something happens; answers all that has happened by then.
    async fn wait(&mut self) -> Vec<Message> {
        let now = (self.settings.clock)();
        let deadline = self.model.next_deadline().map(|at| at.since(now));
        let first_frame = self.first_frame.map(|at| at.saturating_duration_since(Instant::now()));
        let deadline = deadline.into_iter().chain(first_frame).min();
        let first = tokio::select! {
            biased;
            signal = self.signals.next() => Self::signaled(signal),
            read = self.reads.recv() => from_read(read),
            told = self.told.recv() => told.unwrap_or(Message::Deadline),
            () = self.writer.written() => {
                if !self.writer.is_gone() {
                    return Vec::new();
                }
                Message::Signal(Signal::HangUp)
            }
            () = sleep(deadline) => Message::Deadline,
        };
        let mut messages = vec![first];
        while messages.len() < DRAINED {
            if let Ok(read) = self.reads.try_recv() {
                messages.push(from_read(Some(read)));
            } else if let Ok(told) = self.told.try_recv() {
                messages.push(told);
            } else {
                break;
            }
        }
        messages
    }

    fn signaled(signal: Option<Signal>) -> Message {
        match signal {
            Some(signal) => Message::Signal(signal),
            None => Message::Resize(terminal::size()),
        }
    }

    /// The terminal back to the shell, with nothing left on it. A terminal that does not read
    /// is not waited for.
    async fn give_back(&mut self) {
        if self.writer.settle(LAST_WRITE).await {
            self.writer.put_ahead(terminal::LEAVE);
            self.writer.write(&[]);
            self.writer.settle(LAST_WRITE).await;
        }
        self.raw.release();
    }

    /// Stops until continued, then takes the terminal again.
    async fn suspend(&mut self) -> Result<(), Error> {
        self.give_back().await;
        let stopped = rustix::process::kill_process(rustix::process::getpid(), Posix::STOP);
        stopped.map_err(std::io::Error::from)?;
        // Only now is it certain that the stop is over: it may reach this thread late.
        self.signals.continued().await;
        self.retake()
    }

    fn retake(&mut self) -> Result<(), Error> {
        self.raw = RawMode::take()?;
        self.writer.put_ahead(terminal::ENTER);
        self.model.update(Message::Resize(terminal::size()), (self.settings.clock)());
        self.anew = true;
        Ok(())
    }
}

fn from_read(read: Option<Read>) -> Message {
    match read {
        Some(Read::Input(Input::Key(key))) => Message::Key(key),
        Some(Read::Input(Input::Paste(text))) => Message::Paste(text),
        Some(Read::Ended) | None => Message::Signal(Signal::HangUp),
    }
}

/// Sleeps for so long; for ever when nothing ages.
async fn sleep(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

fn no_answer() -> Failure {
    Failure {
        code: "no_answer".to_owned(),
        message: "the operation ended without an answer".to_owned(),
        remedy: "look at the credential's state, then try again".to_owned(),
        exit_code: 1,
        detail: FailureDetail::None,
    }
}

/// The signals that concern a screen.
struct Signals {
    /// The streams, each with what it means; `None` is another size.
    streams: Vec<(Option<Signal>, Stream)>,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let kinds = [
            (Some(Signal::HangUp), SignalKind::hangup()),
            (Some(Signal::Terminate), SignalKind::terminate()),
            (Some(Signal::Interrupt), SignalKind::interrupt()),
            (Some(Signal::Suspend), SignalKind::from_raw(Posix::TSTP.as_raw())),
            (Some(Signal::Continue), SignalKind::from_raw(Posix::CONT.as_raw())),
            (None, SignalKind::window_change()),
        ];
        let streams = kinds.into_iter().map(|(meaning, kind)| Ok((meaning, signal(kind)?)));
        Ok(Self { streams: streams.collect::<std::io::Result<_>>()? })
    }

    /// Waits for SIGCONT.
    async fn continued(&mut self) {
        let wanted =
            |(meaning, _): &&mut (Option<Signal>, Stream)| *meaning == Some(Signal::Continue);
        if let Some((_, stream)) = self.streams.iter_mut().find(wanted) {
            stream.recv().await;
        }
    }

    /// The next signal, most urgent first.
    async fn next(&mut self) -> Option<Signal> {
        std::future::poll_fn(|context| {
            for (meaning, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*meaning);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests;
