//! The store: one SQLite file in WAL mode, written with `synchronous=FULL`.
//!
//! [`Store`] is a set of plain synchronous functions over one connection; [`owner::StoreThread`]
//! runs them on a thread of their own. No SQLite type leaves this module. What is secret arrives
//! here sealed; this module knows no key. Changes and their audit rows share a transaction.

mod app;
mod audit;
mod authorization;
mod backup;
mod chain;
mod change;
mod check;
mod copy;
mod credential;
mod discovery;
mod examine;
mod exchange;
mod hand_out;
mod hold;
pub(crate) mod owner;
mod rekey;
mod restore;
mod revocation;
mod round;
mod schema;
mod token;
mod verify;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::domain::chain::Head;
use crate::domain::record::RecordId;

pub(crate) use app::{NewApp, SealedSecret};
pub(crate) use audit::Listener;
pub(crate) use authorization::AuthorizationRow;
pub(crate) use backup::{BackupContent, BackupNote, read_backup, write_backup};
pub(crate) use copy::SpentSet;
pub(crate) use credential::{CredentialEdit, CredentialRow, NewCredential};
pub(crate) use discovery::{ConfirmedDiscovery, DiscoveryRow, DiscoveryStage};
pub(crate) use exchange::{IntentOperation, IntentRow};
pub(crate) use hand_out::{HandOut, HandOutRow};
pub(crate) use rekey::{Resealed, Resealing, sealing_keys_of_copy};
pub(crate) use restore::{AfterRestore, Known, Restore, Restored};
pub(crate) use revocation::OwedRow;
pub(crate) use round::{RoundItemRow, RoundRow};
pub(crate) use token::{Promotion, TokenRow};

/// The byte of `-shm` whose lock is the right to write (SQLite, 'WAL-mode File Format' 2.3).
pub(crate) const WRITE_LOCK_BYTE: u64 = 120;

/// How long a statement waits for another process's write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Length of the log, in bytes, from which on a hand-out empties it: 16 pages with their heads.
const HAND_OUT_LOG: u64 = 16 * (4096 + 24);

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A power cut: `synchronous=FULL`. For everything but the count of hand-outs.
    Full,
    /// A crash of the process: `synchronous=NORMAL`, and no checkpoint at close, which would drop
    /// other connections' commits into the file without a sync.
    HandOuts,
}

/// Why the store could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The file system has no room.
    #[error("the store could not be written: no space left on its file system")]
    Full,
    /// The file system or the file is read-only.
    #[error("the store could not be written: it is read-only")]
    ReadOnly,
    /// The file is no store, or damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// A newer version of orgkey wrote it.
    #[error("the store has version {found}, this orgkey knows versions up to {known}")]
    TooNew {
        /// Version of the file.
        found: i64,
        /// Newest version that is understood.
        known: i64,
    },
    /// Another process held a lock for too long.
    #[error("{} kept {what} locked for {seconds} s", holder.as_deref().unwrap_or("another process"))]
    Busy {
        /// What is locked.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Who holds it, where the system tells.
        holder: Option<String>,
    },
    /// The file was deleted, moved or replaced while it was open.
    #[error("the store was moved, deleted or replaced while it was in use; nothing was written")]
    Gone,
    /// The store could not be opened or read.
    #[error("the store could not be used: {0}")]
    Unusable(String),
    /// The change was computed from a state that is no more.
    #[error("the credential was changed by someone else meanwhile")]
    Stale,
    /// The name, or this environment of it, is taken.
    #[error("{0} is saved already")]
    Exists(String),
}

impl Error {
    /// What to do next.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Full => "free some space and try again; nothing was changed".into(),
            Self::ReadOnly => "make the folder writable for this user".into(),
            Self::Damaged(_) => "orgkey restore FILE keeps what is there beside it and puts a backup in its place; without a backup, move orgkey.db, orgkey.db-wal and orgkey.db-shm away and set up the OAuth tokens anew".into(),
            Self::TooNew { .. } => "use the newer orgkey that wrote it".into(),
            Self::Busy { .. } => {
                "try again; if it stays, look at that process: it may be stopped or hang".into()
            }
            Self::Gone => {
                "put orgkey.db back in its place, or begin again with the one that is there".into()
            }
            Self::Unusable(_) => "check the folder, its owner and its mode, the disk, and the limits of the shell (ulimit -a)".into(),
            Self::Stale => "look at it again and repeat what you meant".into(),
            Self::Exists(_) => "choose another name, or change the saved one with reset".into(),
        }
    }

    /// A stable word for scripts.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Full => "store_full",
            Self::ReadOnly => "store_read_only",
            Self::Damaged(_) => "store_damaged",
            Self::TooNew { .. } => "store_too_new",
            Self::Busy { .. } => "store_busy",
            Self::Gone => "store_gone",
            Self::Unusable(_) => "store_unusable",
            Self::Stale => "changed_meanwhile",
            Self::Exists(_) => "exists",
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let text = crate::domain::text::clean(&error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { what: "the store", seconds: BUSY_TIMEOUT.as_secs(), holder: None }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(text),
            Some(_) => Self::Unusable(text),
            // A value that does not read as what the column holds.
            None => Self::Damaged(text),
        }
    }
}

/// A value of the store that does not read as what it should be.
fn damaged(what: &str) -> Error {
    Error::Damaged(format!("{what} does not read as one"))
}

/// A random ID for a row, made before the row so that it can be sealed with it.
pub(crate) fn new_record_id() -> Result<RecordId, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Unusable(format!("no random numbers: {error}")))?;
    Ok(RecordId(bytes))
}

/// The store over one connection.
pub(crate) struct Store {
    connection: Connection,
    id: RecordId,
    place: Place,
    head_file: chain::HeadFile,
    listener: Option<Listener>,
}

/// Where the file was when it was opened: the path, and the device and inode behind it.
struct Place {
    path: PathBuf,
    file: Option<(u64, u64)>,
}

impl Place {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), file: Self::file_at(path) }
    }

    fn file_at(path: &Path) -> Option<(u64, u64)> {
        std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// What is written into a file that no path leads to is lost when the process ends.
    fn refuse_gone(&self) -> Result<(), Error> {
        if self.file.is_some() && Self::file_at(&self.path) == self.file {
            Ok(())
        } else {
            Err(Error::Gone)
        }
    }
}

impl Store {
    /// Opens the store, makes its tables when it is new, and migrates an older one.
    ///
    /// `host_mark` says which machine this is; it is written into a new store.
    pub(crate) fn open(
        path: &Path,
        durability: Durability,
        host_mark: impl FnOnce() -> String,
    ) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let synchronous = match durability {
            Durability::Full => "FULL",
            Durability::HandOuts => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
        if durability == Durability::HandOuts {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        }
        let id = schema::migrate(&mut connection, host_mark)?;
        if durability == Durability::HandOuts {
            // Its one reference is to a credential that the same transaction has looked at.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
        }
        Ok(Self::over(connection, id, path, durability))
    }

    fn over(connection: Connection, id: RecordId, path: &Path, durability: Durability) -> Self {
        let head_file = chain::HeadFile::beside(path, durability);
        Self { connection, id, place: Place::of(path), head_file, listener: None }
    }

    /// Who tells which boot of the machine this is.
    pub(crate) fn tell_boot(&mut self, boot: fn() -> Option<String>) {
        self.head_file.tell_boot(boot);
    }

    /// Who is told each audit row, once it is committed.
    pub(crate) fn listen(&mut self, listener: Option<Listener>) {
        self.listener = listener;
    }

    /// Opens a store that can't be written and whose log is empty: without a log and locks of its
    /// own, which could not be made.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self, Error> {
        let address = url::Url::from_file_path(path)
            .map_err(|()| Error::Unusable("its path is not absolute".into()))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut connection = Connection::open_with_flags(format!("{address}?immutable=1"), flags)?;
        let id = schema::migrate(&mut connection, String::new)?;
        Ok(Self::over(connection, id, path, Durability::Full))
    }

    /// The random ID of this store, part of every sealed value's associated data.
    pub(crate) fn store_id(&self) -> RecordId {
        self.id
    }

    /// Refuses to go on when the path leads to another file by now, or to none.
    pub(crate) fn refuse_gone(&self) -> Result<(), Error> {
        self.place.refuse_gone()
    }

    /// The same as it is now: a restored backup can bring another.
    pub(crate) fn current_id(&self) -> Result<RecordId, Error> {
        schema::store_id(&self.connection)
    }

    /// Whether anything is kept that only the sealing key opens.
    pub(crate) fn holds_sealed_values(&self) -> Result<bool, Error> {
        self.refuse_gone()?;
        Ok(self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM token_set) OR EXISTS (SELECT 1 FROM authorization)
                 OR EXISTS (SELECT 1 FROM app_secret) OR EXISTS (SELECT 1 FROM revocation_owed)
                 OR EXISTS (SELECT 1 FROM discovery)",
            [],
            |row| row.get(0),
        )?)
    }

    /// Moves every commit from the log into the file and empties the log, so that nothing that was
    /// deleted stays in it.
    pub(crate) fn truncate_log(&self) -> Result<(), Error> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Empties the log where it has grown. Whoever opens the store next reads through all of it, and
    /// does not know how much of it is in the file already, if nobody else has it open: so a log
    /// that is merely moved into the file grows on. Nobody is waited for, and what can't be done
    /// is left to the next one.
    fn shorten_log(&self) {
        let mut log = self.place.path.clone().into_os_string();
        log.push("-wal");
        if std::fs::metadata(log).is_ok_and(|log| log.len() >= HAND_OUT_LOG)
            && self.connection.busy_timeout(Duration::ZERO).is_ok()
        {
            let _ = self.truncate_log();
            let _ = self.connection.busy_timeout(BUSY_TIMEOUT);
        }
    }

    /// Runs `work` in one transaction that takes the write lock at once.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = chain::head(&transaction)?;
        audit::note_standing(&transaction, &self.head_file)?;
        let value = work(&transaction)?;
        let after = chain::head(&transaction)?;
        self.place.refuse_gone()?;
        transaction.commit()?;
        self.committed(before, after);
        Ok(value)
    }

    /// Remembers the new end of the audit chain and tells its new rows. They are committed: what
    /// fails here is no failure of the change.
    fn committed(&self, before: Head, after: Head) {
        if after == before {
            return;
        }
        let _ = self.head_file.write(&self.connection, after);
        if let Some(listener) = &self.listener
            && let Ok(rows) = audit::new_rows(&self.connection, before, after)
        {
            rows.iter().for_each(listener);
        }
    }
}

#[cfg(test)]
mod tests;
