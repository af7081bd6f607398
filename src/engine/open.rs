//! Opening the store: private from the first byte, never begun anew over what was lost, and read
//! where it can't be written.

use std::path::{Path, PathBuf};

use crate::config::locations::Locations;
use crate::engine::error::Error;
use crate::platform;
use crate::platform::ballast::Ballast;
use crate::platform::file_system;
use crate::platform::files::{FileError, check_private, create_private_file};
use crate::store::{self, Durability, Store};
use crate::vault::folder::STORE_KEY;

/// An open store, and what is to be said of it once.
pub(super) struct Opened {
    /// The store.
    pub(super) store: Store,
    /// What stops nothing.
    pub(super) notes: Vec<String>,
}

/// Opens the store with its folders.
pub(super) fn open_store(locations: &Locations, durability: Durability) -> Result<Opened, Error> {
    for folder in locations.private_folders() {
        platform::files::create_private_folder(folder)?;
    }
    let path = locations.store_file();
    refuse_lost_store(locations, &path)?;
    let is_new = make_if_missing(&path)?;
    let notes = if is_new { notes_of_new(locations, &path) } else { Vec::new() };
    let store = match open_with_room(locations, &path, durability) {
        Err(store::Error::Unusable(_) | store::Error::ReadOnly) if is_only_readable(&path) => {
            Store::open_read_only(&path)
        }
        opened => opened,
    };
    let mut store = store.map_err(|error| name_holder(error.into(), locations))?;
    store.tell_boot(platform::who::boot_id);
    Ok(Opened { store, notes })
}

/// Makes the file where there is none; `true` where it was made. One that is there has to be ours
/// alone.
fn make_if_missing(path: &Path) -> Result<bool, FileError> {
    match check_private(path) {
        Err(error) if error.is_missing() => match create_private_file(path) {
            // Somebody else was faster.
            Err(error) if error.is_there_already() => check_private(path).map(|()| false),
            created => created.map(|_| true),
        },
        checked => checked.map(|()| false),
    }
}

/// Opens it, also where the disk is full: what was held back for that is given up then.
fn open_with_room(
    locations: &Locations,
    path: &Path,
    durability: Durability,
) -> Result<Store, store::Error> {
    let ballast = Ballast::new(locations.ballast_file());
    let open = || Store::open(path, durability, platform::who::host_mark);
    match open() {
        Err(error)
            if Error::from(error.clone()).storage().is_some() && ballast.give_up_if_full() =>
        {
            open()
        }
        Ok(store) => {
            if durability == Durability::Full {
                ballast.take();
            }
            Ok(store)
        }
        refused => refused,
    }
}

/// A store that lost its content must not be begun anew: the log or the backup beside it is what
/// is left.
pub(super) fn refuse_lost_store(locations: &Locations, path: &Path) -> Result<(), Error> {
    let length = std::fs::metadata(path).ok().map(|metadata| metadata.len());
    if length.is_some_and(|length| length > 0) {
        return Ok(());
    }
    let what = if length.is_none() { "is missing" } else { "is empty" };
    if has_log(path) {
        let damage = format!("orgkey.db {what}, but its log orgkey.db-wal is there");
        return Err(store::Error::Damaged(damage).into());
    }
    if length.is_some() && has_key(locations) {
        let damage = format!("orgkey.db {what}, but its sealing key is there");
        return Err(store::Error::Damaged(damage).into());
    }
    Ok(())
}

/// Said once, when the store is made.
fn notes_of_new(locations: &Locations, path: &Path) -> Vec<String> {
    let lost = has_key(locations).then(|| {
        "there was a sealing key but no orgkey.db, so an empty one was made; if there was one, put it back".to_owned()
    });
    let concern = file_system::concern(path).map(|concern| {
        let folder = path.parent().map(platform::files::shown).unwrap_or_default();
        format!("{folder} is on {concern}; a folder on a local disk is safer (ORGKEY_HOME)")
    });
    lost.into_iter().chain(concern).collect()
}

pub(super) fn has_key(locations: &Locations) -> bool {
    locations.key_folder().join(STORE_KEY).exists()
}

/// Whether there are commits that are not in the file yet.
fn has_log(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|metadata| metadata.len() > 0)
}

/// Whether the store may be read, but neither it nor a log beside it be written.
fn is_only_readable(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    (file_system::is_read_only(path) || file_system::is_read_only(folder)) && !has_log(path)
}

/// A file that SQLite keeps beside the store.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Says who holds the store's write lock, where that is why an operation failed.
pub(super) fn name_holder(error: Error, locations: &Locations) -> Error {
    match error {
        Error::Store(store::Error::Busy { what, seconds, holder: None }) => {
            let locked = beside(&locations.store_file(), "-shm");
            let holder = platform::lock::holder(&locked, store::WRITE_LOCK_BYTE);
            store::Error::Busy { what, seconds, holder }.into()
        }
        other => other,
    }
}
