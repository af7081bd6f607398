//! Locks between processes, kept by the kernel: they are gone when their holder is, however it
//! ended, and a process ID in a file proves nothing.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::files::{self, FileError};
use crate::domain::text;

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
        Self::try_with(path, File::try_lock)
    }

    /// Takes a share of the lock, unless somebody has it whole. It can be taken whole when no share
    /// of it is left.
    pub(crate) fn try_share(path: &Path) -> Result<Option<Self>, FileError> {
        Self::try_with(path, File::try_lock_shared)
    }

    fn try_with(
        path: &Path,
        lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Option<Self>, FileError> {
        let file = files::open_or_create_private_file(path)?;
        match lock(&file) {
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
    let opened = file.metadata().map_err(files::system("can't look at", path))?;
    Ok(fs::metadata(path)
        .is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())))
}

/// Who holds a lock on a byte of a file, as the kernel lists it: `orgkey, process 1234`. `None`
/// where nobody does, or where the file system numbers its files otherwise than the kernel does.
///
/// The file itself is not opened: closing it would give up this process's own locks on it.
pub(crate) fn holder(path: &Path, byte: u64) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let process = locks.lines().find_map(|line| writer(line, &file, byte))?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    let name = Some(text::clean(&name)).filter(|name| !name.is_empty());
    Some(match name {
        Some(name) => format!("{name}, process {process},"),
        None => format!("process {process}"),
    })
}

/// The process of a line of /proc/locks, if it holds a write lock on that byte of the file:
/// `1: POSIX  ADVISORY  WRITE 1234 08:01:131085 120 120`.
fn writer(line: &str, file: &str, byte: u64) -> Option<u32> {
    let mut fields = line.split_whitespace().skip(1);
    // One that only waits for the lock stands behind an arrow.
    let _kind = fields.next().filter(|kind| *kind != "->")?;
    let (_advisory, mode) = (fields.next()?, fields.next()?);
    let (process, held) = (fields.next()?, fields.next()?);
    let (start, end) = (fields.next()?.parse::<u64>().ok()?, fields.next()?);
    let reaches = end == "EOF" || end.parse::<u64>().is_ok_and(|end| byte <= end);
    (mode == "WRITE" && held == file && start <= byte && reaches).then(|| process.parse().ok())?
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
    fn shares_of_a_lock_keep_it_from_being_taken_whole_and_the_other_way_round() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = LockFile::try_share(&path).unwrap();
        let second = LockFile::try_share(&path).unwrap();
        assert!(first.is_some() && second.is_some());
        drop(first);
        assert!(LockFile::try_acquire(&path).unwrap().is_none());
        drop(second);
        let whole = LockFile::try_acquire(&path).unwrap();
        assert!(whole.is_some());
        assert!(LockFile::try_share(&path).unwrap().is_none());
    }

    #[test]
    fn the_holder_of_a_lock_is_read_from_the_kernels_list() {
        let file = "08:01:131085";
        let table = [
            ("1: POSIX  ADVISORY  WRITE 1234 08:01:131085 120 120", 120, Some(1234)),
            ("1: POSIX  ADVISORY  WRITE 1234 08:01:131085 121 122", 120, None),
            ("2: POSIX  ADVISORY  READ 1234 08:01:131085 120 120", 120, None),
            ("3: FLOCK  ADVISORY  WRITE 77 08:01:131085 0 EOF", 0, Some(77)),
            ("3: FLOCK  ADVISORY  WRITE 77 08:01:131086 0 EOF", 0, None),
            ("3: -> FLOCK  ADVISORY  WRITE 78 08:01:131085 0 EOF", 0, None),
            ("4: OFDLCK ADVISORY  WRITE -1 08:01:131085 0 EOF", 0, None),
            ("nonsense", 0, None),
        ];
        for (line, byte, process) in table {
            assert_eq!(writer(line, file, byte), process, "{line}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme");
        let held = LockFile::try_acquire(&path).unwrap();
        let who = holder(&path, 0).unwrap();
        assert!(who.contains(&format!("process {}", std::process::id())), "{who}");
        drop(held);
        assert_eq!(holder(&path, 0), None);
        assert_eq!(holder(&folder.path().join("none"), 0), None);
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
