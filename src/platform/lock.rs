//! Locks between processes, kept by the kernel: they are gone when their holder is, however it
//! ended, and a process ID in a file proves nothing.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::files::{self, FileError};

/// A held lock. It is free again when this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct LockFile {
    /// Holds the lock by being open; its content means nothing.
    _file: File,
}

impl LockFile {
    /// Takes the lock at `path` if nobody has it; `None` when somebody does. The file is made
    /// where it is missing (0600) and stays, for a lock on a removed name would lock nothing.
    pub(crate) fn try_acquire(path: &Path) -> Result<Option<Self>, FileError> {
        let file = files::open_or_create_private_file(path)?;
        match file.try_lock() {
            Ok(()) if is_still_at(&file, path)? => Ok(Some(Self { _file: file })),
            // It was removed or replaced between opening and locking: a lock on it locks nothing.
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(files::system("can't lock", path)(error)),
        }
    }
}

/// Whether the name still leads to the file that was opened.
fn is_still_at(file: &File, path: &Path) -> Result<bool, FileError> {
    use std::os::unix::fs::MetadataExt;
    let opened = file.metadata().map_err(files::system("can't look at", path))?;
    Ok(std::fs::metadata(path)
        .is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_is_free_again_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme");
        let held = LockFile::try_acquire(&path).unwrap();
        assert!(held.is_some());
        assert!(LockFile::try_acquire(&path).unwrap().is_none());
        drop(held);
        assert!(LockFile::try_acquire(&path).unwrap().is_some());
        files::check_private(&path).unwrap();
    }

    #[test]
    fn of_many_that_ask_at_once_one_gets_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme");
        let held: Vec<LockFile> = std::thread::scope(|scope| {
            let path = &path;
            let askers: Vec<_> =
                (0..16).map(|_| scope.spawn(|| LockFile::try_acquire(path).unwrap())).collect();
            askers.into_iter().filter_map(|asker| asker.join().unwrap()).collect()
        });
        assert_eq!(held.len(), 1);
    }
}
