//! Copies of the whole store in a file: consistent while others write, whole or not there at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, Error};

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
    let placed = copy(store, &temporary).and_then(|()| {
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

/// Copies the store as its last commit left it into a new file of mode 0600, and syncs that.
fn copy(store: &Path, target: &Path) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let file = file.map_err(|error| unusable(target, &error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let source = Connection::open_with_flags(store, flags)?;
    source.busy_timeout(BUSY_TIMEOUT)?;
    let name = target
        .to_str()
        .ok_or_else(|| Error::Unusable(format!("{} is no UTF-8", target.to_string_lossy())))?;
    source.execute("VACUUM INTO ?1", [name])?;
    file.sync_all().map_err(|error| unusable(target, &error))
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
