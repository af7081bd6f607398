//! Who uses the sealing key, and who changes it: many at once, or one alone, across processes.
//!
//! An operation that may seal holds a share of the lock `locks/key` from before it looks at the key
//! until its last commit; the handle to the store carries that share, so that what was asked of the
//! store keeps it even where its asker is gone. Whoever changes the key takes the lock whole. So
//! nothing is ever committed, or put into the inbox, under a key that was dropped meanwhile: an
//! exchange that was begun before is waited for, and one that begins after sees that `store.age` is
//! another and opens it anew with the identity that it holds. What a killed process left in the
//! inbox is the exception, and the reason why a former key stays until that is taken over.
//!
//! A lock of its own, `locks/key-turn`, is taken whole before: who waits to change the key would
//! else never get it, for shares of it overlap without end where many scripts run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::error::Error;
use crate::engine::outcome::Progress;
use crate::engine::{Engine, Operation, Reporter};
use crate::platform;
use crate::platform::file_system::is_read_only;
use crate::platform::files::FileError;
use crate::platform::lock::LockFile;

/// Longest wait: an operation may wait 30 s for a credential, and its exchange has 20 s.
const WAIT: Duration = Duration::from_secs(60);
/// Who only uses the key waits for those, and for the change itself.
const USE_WAIT: Duration = Duration::from_secs(90);
/// Between two looks at the locks.
const LOOK: Duration = Duration::from_millis(15);

/// What an operation does with the sealing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyAccess {
    /// Nothing that outlives a look at it.
    None,
    /// It may open and seal values.
    Use,
    /// It changes `store.age`.
    Change,
}

/// A share of the key, or all of it.
#[expect(dead_code, reason = "held, for the kernel frees the locks with it")]
struct KeyLock {
    key: LockFile,
    turn: Option<LockFile>,
}

impl Operation {
    /// What it does with the sealing key. One that is not named here may seal.
    pub(super) fn key_access(&self) -> KeyAccess {
        match self {
            Self::RotateKey(_)
            | Self::RemoveRecipient(_)
            | Self::AddRecipient(_)
            | Self::Restore(_) => KeyAccess::Change,
            Self::List
            | Self::Index
            | Self::Show(_)
            | Self::History(_)
            | Self::DiscardPending(_)
            | Self::Use(_)
            | Self::Apps
            | Self::KeyStatus
            | Self::KeyFacts
            | Self::OpenKey(_)
            | Self::LockKey
            | Self::CopyStanding
            | Self::LeaveToCopy(_)
            | Self::Examine
            | Self::ExamineHosts
            | Self::Hosts
            // The stop button waits for nobody.
            | Self::Hold(_)
            | Self::Release(_)
            | Self::Owed
            | Self::StartRound(_)
            | Self::Round
            | Self::SkipInRound(_)
            | Self::EndRound
            | Self::AwaitChange(_)
            // Who waits for a person shares the key only while it is used.
            | Self::AwaitApproval(_)
            | Self::AwaitRedirect(_)
            | Self::AwaitDiscovery(_)
            | Self::Audit(_)
            | Self::AuditHead
            | Self::VerifyAudit(_) => KeyAccess::None,
            Self::WithReason(_, operation) => operation.key_access(),
            _ => KeyAccess::Use,
        }
    }
}

impl Engine {
    /// The engine for one operation: while anything of it lives, what it may do with the key holds.
    pub(super) async fn with_key_access(
        self: &Arc<Self>,
        access: KeyAccess,
        reporter: &Reporter,
    ) -> Result<Arc<Self>, Error> {
        let limit = match access {
            KeyAccess::None => return Ok(Arc::clone(self)),
            KeyAccess::Use => USE_WAIT,
            KeyAccess::Change => WAIT,
        };
        self.make_locks_folder().await?;
        let deadline = tokio::time::Instant::now() + limit;
        let mut told = false;
        let mut turn = None;
        loop {
            let lock = match access {
                KeyAccess::Change => self.try_all_of_key(&mut turn),
                _ => self.try_share_of_key(),
            };
            match lock {
                Ok(Some(lock)) => return Ok(self.holding(lock)),
                Ok(None) => {}
                // Where nothing can be written, nobody seals and nobody changes the key.
                Err(_) if access == KeyAccess::Use && self.locks_are_read_only() => {
                    return Ok(Arc::clone(self));
                }
                Err(error) => return Err(error.into()),
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(crate::store::Error::Busy {
                    what: "the sealing key",
                    seconds: limit.as_secs(),
                    holder: platform::lock::holder(&self.key_lock_file("key"), 0)
                        .or_else(|| platform::lock::holder(&self.key_lock_file("key-turn"), 0)),
                }
                .into());
            }
            if !std::mem::replace(&mut told, true) {
                reporter.progress(Progress::Waiting);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The engine for what waits long: it holds nothing of the key.
    pub(super) fn without_key_access(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { store: self.store.released(), ..self.share() })
    }

    /// The same without waiting; `None` where somebody changes the key, or may not be disturbed.
    pub(super) fn try_key_access(self: &Arc<Self>, access: KeyAccess) -> Option<Arc<Self>> {
        let lock = match access {
            KeyAccess::None => return Some(Arc::clone(self)),
            KeyAccess::Use => self.try_share_of_key(),
            KeyAccess::Change => self.try_all_of_key(&mut None),
        };
        lock.ok().flatten().map(|lock| self.holding(lock))
    }

    fn holding(&self, lock: KeyLock) -> Arc<Self> {
        Arc::new(Self { store: self.store.holding(lock), ..self.share() })
    }

    fn try_share_of_key(&self) -> Result<Option<KeyLock>, FileError> {
        // Somebody's turn to change the key has come: they wait for those who are at it.
        let Some(_turn) = LockFile::try_share(&self.key_lock_file("key-turn"))? else {
            return Ok(None);
        };
        let key = LockFile::try_share(&self.key_lock_file("key"))?;
        Ok(key.map(|key| KeyLock { key, turn: None }))
    }

    fn try_all_of_key(&self, turn: &mut Option<LockFile>) -> Result<Option<KeyLock>, FileError> {
        if turn.is_none() {
            *turn = LockFile::try_acquire(&self.key_lock_file("key-turn"))?;
        }
        if turn.is_none() {
            return Ok(None);
        }
        let key = LockFile::try_acquire(&self.key_lock_file("key"))?;
        Ok(key.map(|key| KeyLock { key, turn: turn.take() }))
    }

    async fn make_locks_folder(&self) -> Result<(), Error> {
        let folder = self.settings.locations.locks_folder();
        if folder.exists() {
            return Ok(());
        }
        // A folder that was moved away is not begun anew in its old place.
        self.store.call(|store| store.refuse_gone()).await?;
        match platform::files::create_private_folder(&folder) {
            Err(_) if self.locks_are_read_only() => Ok(()),
            made => Ok(made?),
        }
    }

    /// Whether neither the folder of the locks can be written, nor made.
    fn locks_are_read_only(&self) -> bool {
        let folder = self.settings.locations.locks_folder();
        let place = if folder.exists() { Some(folder.as_path()) } else { folder.parent() };
        place.is_some_and(|place| place.exists() && is_read_only(place))
    }

    fn key_lock_file(&self, name: &str) -> PathBuf {
        self.settings.locations.locks_folder().join(name)
    }
}
