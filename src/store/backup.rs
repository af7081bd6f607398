//! Copies of the whole store in a file: consistent while others write, whole or not there at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{BUSY_TIMEOUT, Error, RecordId, damaged, schema};
use crate::domain::copy::BackupPurpose;
use crate::domain::time::UnixMillis;

/// What a backup says of itself, in a table of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupNote {
    /// When it was made.
    pub(crate) made_at: UnixMillis,
    /// What for.
    pub(crate) purpose: BackupPurpose,
    /// The content of `store.age`, where there was one.
    pub(crate) store_key: Option<Vec<u8>>,
}

/// What there is in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupContent {
    /// What it says of itself.
    pub(crate) note: BackupNote,
    /// The store that it is of.
    pub(crate) store_id: RecordId,
    /// How many.
    pub(crate) credentials: u64,
    /// How many, sealed.
    pub(crate) token_sets: u64,
}

/// Only a backup has it; a store is never opened with it.
const NOTE: &str = "
    CREATE TABLE backup (
        only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
        made_at   INTEGER NOT NULL,
        purpose   TEXT NOT NULL,
        store_key BLOB
    ) STRICT";

/// Writes a backup of the store into a new file of mode 0600, while others may write to the store.
/// It is whole and synced on return, and not there after a failure.
pub(crate) fn write_backup(
    store: &Path,
    target: &Path,
    note: &BackupNote,
) -> Result<BackupContent, Error> {
    let written = copy(store, target, Some(note));
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = fs::remove_file(target);
    }
    written?;
    read_backup(target)
}

/// Reads what a backup says of itself, from a private copy of it that this may bring to the newest
/// version.
pub(crate) fn read_backup(copy: &Path) -> Result<BackupContent, Error> {
    let mut backup = open_file(copy)?;
    let sound: String =
        backup.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(Error::from)?;
    if sound != "ok" {
        return Err(Error::Damaged(crate::domain::text::clean(&sound)));
    }
    let note = read_note(&backup)?;
    let store_id = schema::migrate_copy(&mut backup)?;
    let count = |table| {
        let count = format!("SELECT count(*) FROM {table}");
        backup.query_row(&count, [], |row| row.get(0)).map_err(Error::from)
    };
    let (credentials, token_sets) = (count("credential")?, count("token_set")?);
    Ok(BackupContent { note, store_id, credentials, token_sets })
}

fn read_note(backup: &Connection) -> Result<BackupNote, Error> {
    let has_note = backup
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'backup'")?
        .exists([])?;
    if !has_note {
        return Err(Error::Damaged("it is no backup of a store".into()));
    }
    let row = backup
        .query_row("SELECT made_at, purpose, store_key FROM backup", [], |row| {
            Ok((UnixMillis(row.get(0)?), row.get::<_, String>(1)?, row.get(2)?))
        })
        .optional()?;
    let (made_at, purpose, store_key) = row.ok_or_else(|| damaged("a backup"))?;
    let purpose = BackupPurpose::parse(&purpose).ok_or_else(|| damaged("a purpose"))?;
    Ok(BackupNote { made_at, purpose, store_key })
}

fn write_note(backup: &Connection, note: &BackupNote) -> Result<(), Error> {
    // It has no name yet that anyone would open: what a crash leaves of it is of no use.
    backup.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    backup.pragma_update(None, "synchronous", "OFF")?;
    backup.execute_batch(NOTE)?;
    backup.execute(
        "INSERT INTO backup (only_row, made_at, purpose, store_key) VALUES (1, ?1, ?2, ?3)",
        (note.made_at.0, note.purpose.as_str(), &note.store_key),
    )?;
    Ok(())
}

/// Keeps a store of an older version beside the one that is about to be migrated, while nobody else
/// can write. One that is there from an attempt that was cut off is replaced: the store may have
/// been used since.
pub(super) fn keep_version(store: &Path, version: usize) -> Result<(), Error> {
    let kept = beside(store, &format!("version-{version}"));
    let temporary = beside(store, &format!("version-{version}.tmp"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(unusable(&temporary, &error));
        }
        _ => {}
    }
    let placed = copy(store, &temporary, None).and_then(|()| {
        fs::rename(&temporary, &kept).map_err(|error| unusable(&kept, &error))?;
        let folder = kept.parent().unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| unusable(folder, &error))
    });
    if placed.is_err() {
        // The first failure is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    placed
}

/// A name beside the store's: `orgkey.db.NAME`.
fn beside(store: &Path, name: &str) -> PathBuf {
    let mut path = OsString::from(store);
    path.push(".");
    path.push(name);
    path.into()
}

/// Keeps what is here beside it, before something else takes its place; its name is answered.
pub(super) fn keep_former(store: &Path, at: UnixMillis) -> Result<String, Error> {
    let stamp: String = at.rfc3339().chars().filter(char::is_ascii_alphanumeric).collect();
    let mut kept = beside(store, &format!("before-{stamp}"));
    for number in 2.. {
        if !kept.exists() {
            break;
        }
        kept = beside(store, &format!("before-{stamp}-{number}"));
    }
    if let Err(error) = copy(store, &kept, None) {
        // The first failure is the one to tell.
        let _ = fs::remove_file(&kept);
        return Err(error);
    }
    Ok(kept.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// Copies the store as its last commit left it into a new file of mode 0600, and syncs that.
fn copy(store: &Path, target: &Path, note: Option<&BackupNote>) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let file = file.map_err(|error| unusable(target, &error))?;
    let name = target
        .to_str()
        .ok_or_else(|| Error::Unusable(format!("{} is no UTF-8", target.to_string_lossy())))?;
    open_file(store)?.execute("VACUUM INTO ?1", [name])?;
    if let Some(note) = note {
        write_note(&open_file(target)?, note)?;
    }
    file.sync_all().map_err(|error| unusable(target, &error))
}

/// A connection of its own to a file that is there.
fn open_file(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// What the system says of a file beside the store.
fn unusable(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::Full,
        std::io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly,
        _ => {
            let path = crate::domain::text::clean(&path.to_string_lossy());
            Error::Unusable(format!("{path}: {error}"))
        }
    }
}
