//! The dashboard: one loop, one model, no tick.
//!
//! Terminal, engine, signals and time become messages; [`model::Model::update`] answers with
//! effects, which the loop fulfils; [`view::view`] draws into memory and one thread writes it.
//! The loop sleeps until something happens: with nothing pending, an idle dashboard neither
//! wakes up nor writes. It knows the engine by [`Port`] alone, so that an engine in the process
//! and the client of an agent serve it alike. It never asks a question of the terminal.

pub(crate) mod effect;
pub(crate) mod input;
pub(crate) mod keymap;
pub(crate) mod large_letters;
pub(crate) mod message;
pub(crate) mod model;
mod reader;
mod run;
mod screen;
pub(crate) mod terminal;
pub(crate) mod view;
mod writer;

use std::pin::Pin;

use jiff::tz::TimeZone;
use tokio::sync::mpsc;

use crate::config::settings::TerminalUse;
use crate::domain::host::HostPolicy;
use crate::domain::id::UserId;
use crate::domain::name::Environment;
use crate::domain::time::UnixMillis;
use crate::engine::sensitive::Sensitive;
use crate::engine::{Event, Operation};
use terminal::Multiplexer;

/// Whatever answers operations: the engine in this process, or an agent's client.
pub(crate) trait Port {
    /// Begins an operation. The last event is [`Event::Done`]; a receiver that is dropped means
    /// that nobody waits any more, which ends nothing that was already sent to Salesforce.
    fn submit(&self, operation: Operation) -> mpsc::Receiver<Event>;
}

/// Where a simulated browser ended, or why it did not get there.
pub(crate) type SignIn = Pin<Box<dyn Future<Output = Result<Sensitive, String>> + Send>>;

/// Demo only: plays the person who signs in with a browser of their own.
pub(crate) trait Person {
    /// Opens the address, signs in, and answers the address at which the browser ended.
    fn sign_in(&self, url: String, user_id: UserId) -> SignIn;
}

/// Demo only: an account of the simulated Salesforce, as its screens tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DemoAccount {
    /// To sign in with.
    pub(crate) username: String,
    /// To sign in with; invented.
    pub(crate) password: String,
    /// Where it is.
    pub(crate) environment: Environment,
    /// Salesforce Org ID.
    pub(crate) org_id: String,
    /// Salesforce User ID.
    pub(crate) user_id: String,
    /// My Domain.
    pub(crate) my_domain: String,
}

/// What the demo adds.
pub(crate) struct Demo {
    /// Who signs in when there is no browser.
    pub(crate) person: Box<dyn Person>,
    /// Whom one can sign in as.
    pub(crate) accounts: Vec<DemoAccount>,
}

/// What the caller decides.
pub(crate) struct Settings {
    /// `NO_COLOR` is set.
    pub(crate) no_color: bool,
    /// `ORGKEY_ASCII` is set.
    pub(crate) ascii: bool,
    /// What stands between the dashboard and the person's own terminal.
    pub(crate) multiplexer: Multiplexer,
    /// `[terminal]` of config.toml.
    pub(crate) terminal: TerminalUse,
    /// A simulated Salesforce; `None` outside the demo.
    pub(crate) demo: Option<Demo>,
    /// The time, in Unix milliseconds.
    pub(crate) clock: fn() -> UnixMillis,
    /// In which times are shown.
    pub(crate) zone: TimeZone,
    /// Which hosts the live checks accept.
    pub(crate) host_policy: HostPolicy,
}

/// Why the dashboard could not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Standard input or output is no terminal (exit 2).
    #[error("the dashboard needs a terminal on standard input and standard output")]
    NoTerminal,
    /// The terminal refused raw mode, or a thread could not be started (exit 1).
    #[error("the terminal could not be taken: {0}")]
    Terminal(#[from] std::io::Error),
}

impl Error {
    /// What to do next.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::NoTerminal => "use a command, e.g. orgkey list; orgkey --help names them all",
            Self::Terminal(_) => "look at TERM and at the limits of this session",
        }
    }

    /// Exit code of the command (product.md).
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoTerminal => 2,
            Self::Terminal(_) => 1,
        }
    }
}

/// Shows the dashboard until the person leaves; answers the exit code.
///
/// The terminal is always given back: at the end, at a signal, when suspended, and while a panic
/// unwinds (with [`terminal::restore_on_panic`] also before it is reported). After a hang-up it answers
/// 129 at once; what the engine has sent by then is the caller's to wait for.
///
/// # Errors
/// When there is no terminal, or it can't be taken.
pub(crate) async fn run(port: impl Port, settings: Settings) -> Result<u8, Error> {
    if !terminal::is_there() {
        return Err(Error::NoTerminal);
    }
    run::Loop::start(port, settings)?.run().await
}
