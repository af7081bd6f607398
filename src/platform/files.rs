//! Private files and folders: made 0600 and 0700 from the first byte, and refused when others could
//! read or swap them.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::domain::text;

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It belongs to another user.
    #[error("{} belongs to user {owner}, not to user {expected}", shown(path))]
    NotOurs {
        /// The file or folder.
        path: PathBuf,
        /// Its owner's user ID.
        owner: u32,
        /// Ours.
        expected: u32,
    },
    /// Others may read it (or, where it says so, write it).
    #[error("{} has mode {mode:04o}: {threat}", shown(path))]
    Loose {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The mode it should have.
        wanted: u32,
        /// What the mode lets others do.
        threat: &'static str,
    },
    /// A symbolic link, which another user could turn elsewhere.
    #[error("{} is a symbolic link", shown(.0))]
    Symlink(PathBuf),
    /// A second name leads to the same content.
    #[error("{} has {links} hard links, so it can be read under another name", shown(path))]
    HardLinks {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// A folder where a file is needed, a device, and so on.
    #[error("{} is not {expected}", shown(path))]
    WrongKind {
        /// What is there.
        path: PathBuf,
        /// What was needed, with its article.
        expected: &'static str,
    },
    /// Longer than anything that belongs there.
    #[error("{} has more than {limit} bytes", shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most, in bytes.
        limit: u64,
    },
    /// Not UTF-8, or with a NUL in it.
    #[error("{} is not a text file", shown(.0))]
    NotText(PathBuf),
    /// Nothing but white space in it.
    #[error("{} is empty", shown(.0))]
    Empty(PathBuf),
    /// The system refused.
    #[error("{doing} {}: {source}", shown(path))]
    System {
        /// What was tried, e.g. `can't read`.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The answer of the system.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    /// What the admin does next: a command to run where one does it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::NotOurs { path, expected, .. } => {
                format!("run as its owner, or hand it over: chown {expected} {}", shell_word(path))
            }
            Self::Loose { path, wanted, .. } => {
                format!("run: chmod {wanted:04o} {}", shell_word(path))
            }
            Self::Symlink(path) => {
                format!("put the real file or folder at {}, or name its real path", shown(path))
            }
            Self::HardLinks { path, .. } => format!(
                "find the other names with find -samefile {} and remove them",
                shell_word(path)
            ),
            Self::WrongKind { path, expected } => format!("put {expected} at {}", shown(path)),
            Self::TooLarge { path, .. } => format!("see what {} really is", shown(path)),
            Self::NotText(path) => format!("write {} as plain UTF-8 text", shown(path)),
            Self::Empty(path) => format!("write the secret into {}", shown(path)),
            Self::System { path, source, .. } => match source.kind() {
                io::ErrorKind::NotFound => format!("see whether {} exists", shown(path)),
                io::ErrorKind::PermissionDenied => {
                    format!("see who may use {}: ls -ld {}", shown(path), shell_word(path))
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room on the disk, then do it again".to_owned()
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "mount the file system writable, then do it again".to_owned()
                }
                _ => format!("see to the disk that holds {}", shown(path)),
            },
        }
    }

    /// Whether the system says that there is something of that name already.
    pub(crate) fn is_there_already(&self) -> bool {
        matches!(self, Self::System { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }

    /// Whether the system says that there is nothing of that name.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::System { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A path as it may be shown: cleaned, whatever bytes are in it.
pub(crate) fn shown(path: &Path) -> String {
    text::clean(&path.to_string_lossy())
}

/// A path as one word for a POSIX shell.
fn shell_word(path: &Path) -> String {
    let path = shown(path);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+');
    if !path.is_empty() && !path.starts_with('-') && path.chars().all(plain) {
        path
    } else {
        format!("-- '{}'", path.replace('\'', r"'\''"))
    }
}

/// Names what was tried and on what, for an error of the system.
pub(crate) fn system(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::System { doing, path, source }
}

/// The user as whom files are made and read.
pub(crate) fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// What tells that a file was changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// The stamp of a file; `None` while there is none.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    let changed = (found.ctime(), found.ctime_nsec());
    Some(Stamp { inode: found.ino(), length: found.len(), changed })
}

/// Makes a folder, and those above it that are missing, with mode 0700; one that is there must
/// pass [`check_private`].
pub(crate) fn create_private_folder(path: &Path) -> Result<(), FileError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(path);
            made.map_err(system("can't make the folder", path))?;
            fs::symlink_metadata(path)
        }
        found => found,
    };
    let metadata = found.map_err(system("can't look at", path))?;
    if !metadata.is_dir() && !metadata.is_symlink() {
        return Err(FileError::WrongKind { path: path.to_owned(), expected: "a folder" });
    }
    check_metadata(path, &metadata)
}

/// Makes a private folder in the system's folder for temporary files, under a name that nobody can
/// guess.
pub(crate) fn create_temporary_folder(prefix: &str) -> Result<PathBuf, FileError> {
    let mut random = [0; 8];
    let parent = std::env::temp_dir();
    getrandom::fill(&mut random).map_err(|error| {
        system("can't name a folder in", &parent)(io::Error::other(error.to_string()))
    })?;
    let path = parent.join(format!("{prefix}-{:016x}", u64::from_be_bytes(random)));
    DirBuilder::new().mode(0o700).create(&path).map_err(system("can't create", &path))?;
    Ok(path)
}

/// Checks that a file or folder is ours alone: not a symbolic link, our own, mode 0600 (0700) or
/// stricter, and, for a file, without a second name. A missing one is an error that
/// [`FileError::is_missing`] knows.
pub(crate) fn check_private(path: &Path) -> Result<(), FileError> {
    let metadata = fs::symlink_metadata(path).map_err(system("can't look at", path))?;
    check_metadata(path, &metadata)
}

fn check_metadata(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if metadata.is_symlink() {
        return Err(FileError::Symlink(path.to_owned()));
    }
    if metadata.uid() != our_uid() {
        let (owner, expected) = (metadata.uid(), our_uid());
        return Err(FileError::NotOurs { path: path.to_owned(), owner, expected });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        let threat = "others can get at it";
        return Err(FileError::Loose { path: path.to_owned(), mode, wanted, threat });
    }
    // A deleted file has none left; that is harmless.
    if metadata.is_file() && metadata.nlink() > 1 {
        return Err(FileError::HardLinks { path: path.to_owned(), links: metadata.nlink() });
    }
    Ok(())
}

/// Makes a new file with mode 0600, open for reading and writing. One of that name is an error.
pub(crate) fn create_private_file(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(system("can't create", path))
}

/// Opens a private file for reading and writing; the checks of [`check_private`] are made on what
/// was opened, so that nobody can swap it in between.
pub(crate) fn open_private_file(path: &Path) -> Result<File, FileError> {
    open_checked(path, OpenOptions::new().read(true).write(true))
}

/// Opens a private file, which is made where it is missing.
pub(crate) fn open_or_create_private_file(path: &Path) -> Result<File, FileError> {
    match open_private_file(path) {
        Err(error) if error.is_missing() => match create_private_file(path) {
            // Somebody else was faster.
            Err(error) if error.is_there_already() => open_private_file(path),
            created => created,
        },
        opened => opened,
    }
}

/// Opens a private file for reading, and for writes that each go to its end; made where it is
/// missing.
pub(super) fn open_private_log(path: &Path) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    match open_checked(path, &mut options) {
        Err(error) if error.is_missing() => {}
        opened => return opened,
    }
    match create_private_file(path) {
        Err(error) if !error.is_there_already() => Err(error),
        _ => open_checked(path, &mut options),
    }
}

/// The content of a private file of at most `limit` bytes; `None` when there is none.
pub(crate) fn read_private_file(
    path: &Path,
    limit: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    let (mut file, metadata) = match look_and_open(path, OpenOptions::new().read(true)) {
        Ok(opened) => opened,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    };
    read_limited(&mut file, &metadata, path, limit).map(Some)
}

/// Copies a private file into a new one of mode 0600.
pub(crate) fn copy_private_file(path: &Path, to: &Path) -> Result<(), FileError> {
    let mut source = open_checked(path, OpenOptions::new().read(true))?;
    let mut target = create_private_file(to)?;
    let copied = io::copy(&mut source, &mut target).map(|_| ());
    copied.map_err(system("can't write", to))
}

fn open_checked(path: &Path, options: &mut OpenOptions) -> Result<File, FileError> {
    look_and_open(path, options).map(|(file, _)| file)
}

fn look_and_open(path: &Path, options: &mut OpenOptions) -> Result<(File, Metadata), FileError> {
    // Without NONBLOCK a named pipe in the file's place would stop us here.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match options.custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(FileError::Symlink(path.to_owned()));
        }
        Err(error) => return Err(system("can't open", path)(error)),
    };
    let metadata = file.metadata().map_err(system("can't look at", path))?;
    if !metadata.is_file() {
        return Err(FileError::WrongKind { path: path.to_owned(), expected: "a plain file" });
    }
    check_metadata(path, &metadata)?;
    Ok((file, metadata))
}

/// Reads to the end, or refuses what is longer than `limit` bytes.
pub(super) fn read_limited(
    source: &mut File,
    metadata: &Metadata,
    path: &Path,
    limit: u64,
) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // The room is taken at once, so that growing leaves no copies of a secret behind; all of it is
    // wiped in the end, so a plain file gets no more than it needs. A pipe does not tell its length.
    let needed = if metadata.is_file() { metadata.len().min(limit) } else { limit };
    let room = usize::try_from(needed).unwrap_or(usize::MAX).min(1 << 20) + 32;
    let mut content = Zeroizing::new(vec![0; room]);
    let count = read_some(source, &mut content).map_err(system("can't read", path))?;
    content.truncate(count);
    let count = count as u64;
    // A plain file that gave all that it has needs no second look: this is read for every token.
    if !metadata.is_file() || count == 0 || count != metadata.len() {
        source
            .take(limit.saturating_add(1).saturating_sub(count))
            .read_to_end(&mut content)
            .map_err(system("can't read", path))?;
    }
    if content.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(content)
}

/// One read, whatever it gives.
fn read_some(source: &mut File, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Reads a text file that must be trusted but holds no secret, such as the configuration: ours or
/// root's, a plain file (a link to one is fine) that no one else may write, at most 1 MiB of
/// UTF-8. `None` when there is none.
pub(crate) fn read_trusted_file(path: &Path) -> Result<Option<String>, FileError> {
    const LIMIT: u64 = 1 << 20;
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(system("can't open", path)(error)),
    };
    let metadata = file.metadata().map_err(system("can't look at", path))?;
    if !metadata.is_file() {
        return Err(FileError::WrongKind { path: path.to_owned(), expected: "a plain file" });
    }
    if metadata.uid() != our_uid() && metadata.uid() != 0 {
        let (owner, expected) = (metadata.uid(), our_uid());
        return Err(FileError::NotOurs { path: path.to_owned(), owner, expected });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let (wanted, threat) = (mode & !0o022, "others can change it");
        return Err(FileError::Loose { path: path.to_owned(), mode, wanted, threat });
    }
    let content = read_limited(&mut file, &metadata, path, LIMIT)?;
    match std::str::from_utf8(&content) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(FileError::NotText(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_could_read_or_swap_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.age");
        assert!(check_private(&path).unwrap_err().is_missing());
        assert!(read_private_file(&path, 9).unwrap().is_none());
        drop(create_private_file(&path).unwrap());
        check_private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(create_private_file(&path).is_err());

        for mode in [0o640, 0o604, 0o660, 0o610] {
            set_mode(&path, mode);
            let error = open_private_file(&path).unwrap_err();
            assert_eq!(error.remedy(), format!("run: chmod 0600 {}", path.display()), "{error}");
            assert!(check_private(&path).is_err());
        }
        set_mode(&path, 0o400);
        check_private(&path).unwrap();
        set_mode(&path, 0o600);

        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(check_private(&link), Err(FileError::Symlink(_))));
        assert!(matches!(open_private_file(&link), Err(FileError::Symlink(_))));

        fs::hard_link(&path, folder.path().join("second")).unwrap();
        assert!(matches!(open_private_file(&path), Err(FileError::HardLinks { links: 2, .. })));
        assert!(matches!(read_private_file(folder.path(), 9), Err(FileError::WrongKind { .. })));
    }

    #[test]
    fn folders_are_made_private_and_a_loose_one_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("a/b c");
        create_private_folder(&folder).unwrap();
        create_private_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
        set_mode(&folder, 0o755);
        let error = create_private_folder(&folder).unwrap_err();
        assert_eq!(error.remedy(), format!("run: chmod 0700 -- '{}'", folder.display()));
        drop(create_private_file(&outer.path().join("file")).unwrap());
        assert!(create_private_folder(&outer.path().join("file")).is_err());
    }

    #[test]
    fn a_trusted_file_may_be_read_but_not_written_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(read_trusted_file(&path).unwrap(), None);
        fs::write(&path, "agent = \"never\"\n").unwrap();
        set_mode(&path, 0o644);
        assert_eq!(read_trusted_file(&path).unwrap().unwrap(), "agent = \"never\"\n");
        set_mode(&path, 0o664);
        let error = read_trusted_file(&path).unwrap_err();
        assert_eq!(error.remedy(), format!("run: chmod 0644 {}", path.display()));
        set_mode(&path, 0o600);
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(matches!(read_trusted_file(&path), Err(FileError::NotText(_))));
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        // Only root may give a file away; elsewhere /etc/hostname is one of another user.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.age");
        let path = if our_uid() == 0 {
            drop(create_private_file(&path).unwrap());
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            path
        } else {
            PathBuf::from("/etc/hostname")
        };
        assert!(matches!(check_private(&path), Err(FileError::NotOurs { .. })));
    }
}
