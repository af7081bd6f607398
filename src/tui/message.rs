//! Everything that can happen to the dashboard, as plain data.
//!
//! A message carries neither a sender nor a future; the time at which it happened goes into
//! [`crate::tui::model::Model::update`] beside it. Only the loop and the model name this module.

use crate::domain::loopback::SshSession;
use crate::engine;
use crate::engine::sensitive::Sensitive;
use crate::tui::input::Key;

/// Counts the operations that this dashboard asked for; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JobId(pub(crate) u64);

/// Width and height of the terminal, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Columns.
    pub(crate) width: u16,
    /// Rows.
    pub(crate) height: u16,
}

/// A signal or the end of the terminal, as far as the screen is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM: exit code 143.
    Terminate,
    /// SIGINT: exit code 130.
    Interrupt,
    /// SIGHUP, or end of file or an error on the terminal: exit code 129.
    HangUp,
    /// SIGTSTP: the shell wants its terminal back.
    Suspend,
    /// SIGCONT: what is on the screen is not known any more.
    Continue,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The dashboard begins: ask for what it shows.
    Start,
    /// A key.
    Key(Key),
    /// Pasted text, already cleaned. It may be a code, so nothing prints it.
    Paste(Sensitive),
    /// The terminal has another size.
    Resize(Size),
    /// The engine tells something of a job.
    Engine {
        /// Of which job.
        job: JobId,
        /// What.
        event: Box<engine::Event>,
    },
    /// The time that [`crate::tui::model::Model::next_deadline`] named has come.
    Deadline,
    /// A signal.
    Signal(Signal),
    /// Demo only: where the simulated person's browser ended, or why it did not.
    Person(Result<Sensitive, String>),
    /// How the person came to this machine.
    Session(SshSession),
}
