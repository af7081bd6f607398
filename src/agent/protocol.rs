//! What is said over the socket.

use serde::{Deserialize, Serialize};

use crate::domain::time::UnixMillis;
use crate::engine::{Event, Failure, Operation};
use crate::platform::who::Who;

/// Version of what is said here; another one is not understood.
pub(super) const PROTOCOL: u32 = 1;
/// Version of the program.
pub(super) const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// The first frame of a client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`PROTOCOL`] of the client.
    pub(super) protocol: u32,
    /// [`PROGRAM`] of the client.
    pub(super) program: String,
    /// Who asks, for the audit. The uid in it does not count: the kernel tells the true one.
    pub(super) who: Who,
}

/// The first frame of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Welcome {
    /// [`PROTOCOL`] of the agent.
    pub(super) protocol: u32,
    /// [`PROGRAM`] of the agent. It leaves when this is not the client's.
    pub(super) program: String,
    /// Its process.
    pub(super) pid: u32,
    /// Until when the key is open, where a passphrase opened it.
    pub(super) key_open_until: Option<UnixMillis>,
}

/// What a client says after that.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Do this; answers come with the same number.
    Ask {
        /// Chosen by the client.
        number: u64,
        /// What to do.
        operation: Box<Operation>,
        /// How long the key stays open, in ms, where the operation opens it.
        open_for_ms: Option<u64>,
    },
    /// End: after what was sent to Salesforce is committed.
    Leave,
}

/// What the agent says after that.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// A step, or the end, of what was asked under this number.
    Event {
        /// The number.
        number: u64,
        /// The step.
        event: Box<Event>,
    },
    /// What was said last was not understood, or is not allowed; the connection ends.
    Refused(Failure),
}

/// Whether an operation is the agent's: whatever needs the opened key or asks Salesforce. What only
/// reads or writes the store is done where it is asked for.
pub(crate) fn is_for_agent(operation: &Operation) -> bool {
    matches!(
        operation.bare(),
        Operation::BeginSetup(_)
            | Operation::CompleteSetup(_)
            | Operation::AwaitApproval(_)
            | Operation::ShowSetup(_)
            | Operation::AwaitRedirect(_)
            | Operation::AbandonSetup(_)
            | Operation::Test(_)
            | Operation::Token(_)
            | Operation::Delete(_)
            | Operation::Revoke(_)
            | Operation::PayOwed
            | Operation::TestApp(_)
            | Operation::KeyStatus
            | Operation::CreateKey(_)
            | Operation::OpenKey(_)
            | Operation::ProtectKey(_)
            | Operation::Recipients
            | Operation::AddRecipient(_)
            | Operation::LockKey
            | Operation::Rotate(_)
            | Operation::RotateKey(_)
            | Operation::RemoveRecipient(_)
            | Operation::BeginDiscovery(_)
            | Operation::CompleteDiscovery(_)
            | Operation::ShowDiscovery(_)
            | Operation::AwaitDiscovery(_)
            | Operation::ConfirmDiscovery(_)
            | Operation::DeclineDiscovery(_)
    )
}
