//! One exchange at a time per credential, across processes, by a lock that the kernel frees when
//! its holder dies.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::app::Flow;
use crate::domain::record::RecordId;
use crate::domain::time::UnixMillis;
use crate::engine::error::Error;
use crate::engine::outcome::Progress;
use crate::engine::{Engine, Reporter, now};
use crate::platform;
use crate::platform::lock::LockFile;
use crate::store::CredentialRow;

/// Longest wait for another process: its exchange has 20 s and a commit to make.
const WAIT: Duration = Duration::from_secs(30);
/// Between two looks at the lock.
const LOOK: Duration = Duration::from_millis(15);

/// Holds the right to exchange for one credential.
pub(super) struct CredentialLock {
    _file: LockFile,
}

impl Engine {
    /// Waits for the right to exchange for a credential, at most 30 s, and takes over what an ended
    /// process left of an exchange.
    pub(super) async fn lock(
        &self,
        credential: RecordId,
        reporter: &Reporter,
    ) -> Result<CredentialLock, Error> {
        // A folder that was moved away is not begun anew in its old place.
        self.store.call(|store| store.refuse_gone()).await?;
        let deadline = tokio::time::Instant::now() + WAIT;
        let mut told = false;
        loop {
            if let Some(lock) = self.try_lock(credential)? {
                self.heal(credential, reporter).await?;
                return Ok(lock);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(crate::store::Error::Busy {
                    what: "this credential",
                    seconds: WAIT.as_secs(),
                    holder: platform::lock::holder(&self.lock_file(credential), 0),
                }
                .into());
            }
            if !std::mem::replace(&mut told, true) {
                reporter.progress(Progress::Waiting);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the right to exchange for a credential, unless somebody has it.
    pub(super) fn try_lock(&self, credential: RecordId) -> Result<Option<CredentialLock>, Error> {
        let folder = self.settings.locations.locks_folder();
        platform::files::create_private_folder(&folder)?;
        let held = LockFile::try_acquire(&self.lock_file(credential))?;
        Ok(held.map(|file| CredentialLock { _file: file }))
    }

    fn lock_file(&self, credential: RecordId) -> PathBuf {
        self.settings.locations.locks_folder().join(credential.to_string())
    }

    /// Looks whether anyone still waits for the answer of an open refresh. Where the lock is free,
    /// its holder died in the middle: the credential is uncertain from now on, not only when the
    /// deadline of that refresh has passed. Nothing is written.
    pub(super) async fn with_dead_refresh_seen(&self, row: CredentialRow) -> CredentialRow {
        let at = now();
        if row.credential.intent.as_ref().is_none_or(|intent| intent.deadline < at) {
            return row;
        }
        // Between two polls of a device flow nobody has the lock, and nothing is lost before its end.
        let pending = row.credential.authorization.as_ref();
        if pending.is_some_and(|one| one.flow == Flow::Device && one.expires_at > at) {
            return row;
        }
        // A lock that can't be looked at proves nothing.
        let Ok(Some(lock)) = LockFile::try_acquire(&self.lock_file(row.id)) else { return row };
        // Read again under it: the holder may have ended well between the two looks.
        let mut row = self.reload(row.id).await.unwrap_or(row);
        drop(lock);
        if let Some(intent) = &mut row.credential.intent {
            intent.deadline = intent.deadline.min(UnixMillis(at.0 - 1));
        }
        row
    }
}
