//! Files written so that a crash leaves the old content or the new, never a part.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::files::{FileError, create_private_file, system};

/// Replaces a file's content so that a crash leaves the old or the new: a temporary file of mode
/// 0600 in the same folder, fsync, rename, fsync of the folder.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> Result<(), FileError> {
    replace_file(path, content)?;
    sync_folder_of(path)
}

/// Replaces a file's content whole; which of the two a power cut leaves is not said.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = write_temporary(path, content)?;
    let renamed = fs::rename(&temporary, path).map_err(system("can't replace", path));
    if renamed.is_err() {
        // Nothing more can be done about it; the first failure is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

/// Makes a file with this content, whole and durable, unless one of that name exists; then
/// nothing changes and the answer is `false`. Of several at once, one makes it.
pub(crate) fn create_durably(path: &Path, content: &[u8]) -> Result<bool, FileError> {
    place_new(&write_temporary(path, content)?, path)
}

/// Gives a whole and synced file its name, durable on return, unless there is one of that name;
/// then nothing changes, the temporary file is gone, and the answer is `false`.
pub(crate) fn place_new(temporary: &Path, path: &Path) -> Result<bool, FileError> {
    // A rename leaves one name at every moment; a hard link would have two for a while, and after
    // a crash for good.
    let renamed = renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE);
    match renamed {
        Ok(()) => {
            sync_folder_of(path)?;
            return Ok(true);
        }
        // Some file systems (NFS) can't; there the link has to do.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        Err(error) => {
            let _ = fs::remove_file(temporary);
            return if error == Errno::EXIST {
                Ok(false)
            } else {
                Err(system("can't create", path)(error.into()))
            };
        }
    }
    let linked = fs::hard_link(temporary, path);
    let removed = fs::remove_file(temporary).map_err(system("can't remove", temporary));
    match linked {
        Ok(()) => {
            removed?;
            sync_folder_of(path)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(system("can't create", path)(error)),
    }
}

/// Removes a file and makes that durable; a missing one is fine.
pub(crate) fn remove_durably(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system("can't remove", path)(error)),
    }
}

/// Gives a file another name in the same folder, durable on return; a missing one is fine, one that
/// is there already is not overwritten.
pub(crate) fn rename_durably(path: &Path, to: &Path) -> Result<(), FileError> {
    match renameat_with(CWD, path, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => sync_folder_of(to),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(system("can't rename", path)(error.into())),
    }
}

/// Makes names made, renamed or removed in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(system("can't sync the folder", folder))
}

fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    sync_folder(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A random name beside `path`, for what is to be given that name once it is whole.
pub(crate) fn temporary_beside(path: &Path) -> Result<PathBuf, FileError> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random)
        .map_err(|error| system("no random name for", path)(io::Error::other(error.to_string())))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(folder_of(path).join(format!(".{name}.{:016x}.tmp", u64::from_be_bytes(random))))
}

/// Removes what processes that were killed left beside `path` of [`write_durably`]. The caller sees
/// to it that nobody is writing there.
pub(crate) fn remove_temporaries(path: &Path) -> Result<(), FileError> {
    let folder = folder_of(path);
    let start = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let is_one = |name: &str| {
        let random = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(".tmp"));
        random.is_some_and(|random| {
            random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    for entry in fs::read_dir(folder).map_err(system("can't read", folder))? {
        let entry = entry.map_err(system("can't read", folder))?;
        if is_one(&entry.file_name().to_string_lossy()) {
            remove_durably(&entry.path())?;
        }
    }
    Ok(())
}

/// A synced file of a random name beside `path`.
fn write_temporary(path: &Path, content: &[u8]) -> Result<PathBuf, FileError> {
    let temporary = temporary_beside(path)?;
    let mut file = create_private_file(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Nothing more can be done about it; the first failure is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(system("can't write", path)(error));
    }
    Ok(temporary)
}

#[cfg(test)]
mod tests {
    use super::super::files::{check_private, read_private_file};
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn durable_writes_leave_only_the_file_and_never_overwrite_on_creation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.age");
        assert!(create_durably(&path, b"one").unwrap());
        assert!(!create_durably(&path, b"two").unwrap());
        assert_eq!(read_private_file(&path, 3).unwrap().unwrap().as_slice(), b"one");
        write_durably(&path, b"three").unwrap();
        assert!(matches!(read_private_file(&path, 4), Err(FileError::TooLarge { .. })));
        assert_eq!(read_private_file(&path, 5).unwrap().unwrap().as_slice(), b"three");
        assert_eq!(names_in(folder.path()), ["store.age"]);
        check_private(&path).unwrap();
        remove_durably(&path).unwrap();
        remove_durably(&path).unwrap();
        assert_eq!(names_in(folder.path()), Vec::<String>::new());
        let lost = folder.path().join("gone/store.age");
        assert!(write_durably(&lost, b"x").unwrap_err().is_missing());
    }

    #[test]
    fn what_a_killed_process_left_of_a_file_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.age");
        write_temporary(&path, b"left").unwrap();
        write_durably(&path, b"kept").unwrap();
        let others = [".store.age.notes.tmp", ".identity.age.0123456789abcdef.tmp"];
        for other in others {
            fs::write(folder.path().join(other), b"mine").unwrap();
        }
        assert_eq!(names_in(folder.path()).len(), 4);
        remove_temporaries(&path).unwrap();
        let mut left = vec![others[1], others[0], "store.age"];
        left.sort_unstable();
        assert_eq!(names_in(folder.path()), left);
    }

    #[test]
    fn of_many_creators_at_once_exactly_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.age");
        let winners: Vec<u8> = std::thread::scope(|scope| {
            let path = &path;
            let racers: Vec<_> = (0..16_u8)
                .map(|racer| {
                    scope.spawn(move || create_durably(path, &[racer]).unwrap().then_some(racer))
                })
                .collect();
            racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(fs::read(&path).unwrap(), winners);
        assert_eq!(winners.len(), 1);
        assert_eq!(names_in(folder.path()), ["identity.age"]);
    }
}
