//! One exchange at a time per credential, across processes, by a lock that the kernel frees when
//! its holder dies.

use std::time::Duration;

use crate::domain::record::RecordId;
use crate::engine::error::Error;
use crate::engine::outcome::Progress;
use crate::engine::{Engine, Reporter};
use crate::platform;
use crate::platform::lock::LockFile;

/// Longest wait for another process: its exchange has 20 s and a commit to make.
const WAIT: Duration = Duration::from_secs(30);
/// Between two looks at the lock.
const LOOK: Duration = Duration::from_millis(15);

/// Holds the right to exchange for one credential.
pub(super) struct CredentialLock {
    _file: LockFile,
}

impl Engine {
    /// Waits for the right to exchange for a credential, at most 30 s.
    pub(super) async fn lock(
        &self,
        credential: RecordId,
        reporter: &Reporter,
    ) -> Result<CredentialLock, Error> {
        let folder = self.settings.locations.locks_folder();
        platform::files::create_private_folder(&folder)?;
        let path = folder.join(credential.to_string());
        let deadline = tokio::time::Instant::now() + WAIT;
        let mut told = false;
        loop {
            if let Some(file) = LockFile::try_acquire(&path)? {
                return Ok(CredentialLock { _file: file });
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(crate::store::Error::Busy.into());
            }
            if !std::mem::replace(&mut told, true) {
                reporter.progress(Progress::Waiting);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
