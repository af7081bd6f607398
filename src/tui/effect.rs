//! Everything that the dashboard may ask of the world, as plain data that a test can compare.

use crate::domain::id::UserId;
use crate::engine::Operation;
use crate::tui::message::JobId;

/// One wish; the loop fulfils them in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Give an operation to the engine; its events come back under this job.
    Submit {
        /// The job.
        job: JobId,
        /// What is asked.
        operation: Operation,
    },
    /// Nobody waits for this job any more.
    Cancel(JobId),
    /// Put a text on the clipboard of the person's own terminal (OSC 52). Never a token.
    Copy(String),
    /// Draw every cell anew.
    Redraw,
    /// Give the terminal back to the shell and stop, until continued.
    Suspend,
    /// Whoever stopped us may have changed the terminal: take it anew and draw every cell.
    Retake,
    /// Demo only: let the simulated person sign in.
    PlayPerson {
        /// The authorization request.
        url: String,
        /// Who has to sign in.
        user_id: UserId,
    },
    /// Look how the person came to this machine, for the port forward.
    LookForSession,
    /// Leave with this exit code (product.md, exit codes).
    Quit(u8),
    /// The terminal is gone: leave with this code and write nothing more to it.
    LetGo(u8),
}
