//! Secrets out of files that the admin names: passphrases, client secrets, private keys.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::files::{self, FileError};

/// Longest secret that is read, in bytes; a PEM key of 4096 bits has 3.3 KiB.
pub(crate) const SECRET_LIMIT: u64 = 64 * 1024;

/// Reads a secret from a file; line breaks at its end are dropped.
///
/// A file at rest (and a named pipe) must be ours and closed to others, wherever a link leads to
/// it. A pipe from the shell (`/dev/stdin`, `<(...)`) and a terminal are taken as they are, if ours.
/// Files in systemd's `$CREDENTIALS_DIRECTORY` belong to root, may have mode 0440, and are kept by
/// systemd from all but the unit. An empty secret, one above 64 KiB or with a NUL is refused.
pub(crate) fn read_secret_file(path: &Path) -> Result<SecretString, FileError> {
    read_with(path, credentials_directory().as_deref())
}

/// The file that systemd laid down for this unit under `name` (`LoadCredential=`), if it did.
pub(crate) fn systemd_credential(name: &str) -> Option<PathBuf> {
    let path = credentials_directory()?.join(name);
    path.is_file().then_some(path)
}

fn credentials_directory() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?);
    folder.is_absolute().then_some(folder)
}

fn read_with(path: &Path, credentials: Option<&Path>) -> Result<SecretString, FileError> {
    let mut file =
        OpenOptions::new().read(true).open(path).map_err(files::system("can't open", path))?;
    let metadata = file.metadata().map_err(files::system("can't look at", path))?;
    let kind = metadata.file_type();
    if kind.is_dir() || kind.is_block_device() {
        return Err(FileError::WrongKind { path: path.to_owned(), expected: "a file" });
    }
    let is_credential = credentials.is_some_and(|folder| path.parent() == Some(folder));
    let ours = files::our_uid();
    if metadata.uid() != ours && metadata.uid() != 0 {
        let owner = metadata.uid();
        return Err(FileError::NotOurs { path: path.to_owned(), owner, expected: ours });
    }
    let mode = metadata.mode() & 0o7777;
    let closed_to = if is_credential { 0o027 } else { 0o077 };
    if (kind.is_file() || kind.is_fifo()) && mode & closed_to != 0 {
        let (wanted, threat) = (mode & 0o600, "others can read the secret in it");
        return Err(FileError::Loose { path: path.to_owned(), mode, wanted, threat });
    }
    let content = files::read_limited(&mut file, &metadata, path, SECRET_LIMIT)?;
    let text = std::str::from_utf8(&content)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| FileError::NotText(path.to_owned()))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.trim().is_empty() {
        return Err(FileError::Empty(path.to_owned()));
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "invented secrets are compared")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    fn secret_file(folder: &Path, content: &[u8], mode: u32) -> PathBuf {
        let path = folder.join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn only_the_line_breaks_at_the_end_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        for (content, secret) in [
            ("correct horse", "correct horse"),
            (" blank kept \r\n", " blank kept "),
            ("two\nlines\n\n", "two\nlines"),
        ] {
            let path = secret_file(folder.path(), content.as_bytes(), 0o600);
            assert_eq!(read_secret_file(&path).unwrap().expose_secret(), secret);
        }
    }

    #[test]
    fn a_secret_that_others_can_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = secret_file(folder.path(), b"x", 0o644);
        let error = read_secret_file(&path).unwrap_err();
        assert_eq!(error.remedy(), format!("run: chmod 0600 {}", path.display()));
        let path = secret_file(folder.path(), b"x", 0o440);
        assert!(matches!(read_secret_file(&path), Err(FileError::Loose { wanted: 0o400, .. })));
        fs::remove_file(&path).unwrap();
        assert!(read_secret_file(&path).unwrap_err().is_missing());
        assert!(matches!(read_secret_file(folder.path()), Err(FileError::WrongKind { .. })));
        let path = secret_file(folder.path(), b"\r\n \n", 0o600);
        assert!(matches!(read_secret_file(&path), Err(FileError::Empty(_))));
        let path = secret_file(folder.path(), b"a\0b", 0o600);
        assert!(matches!(read_secret_file(&path), Err(FileError::NotText(_))));
        let path = secret_file(folder.path(), &vec![b'x'; 64 * 1024 + 1], 0o600);
        assert!(matches!(read_secret_file(&path), Err(FileError::TooLarge { .. })));
    }

    #[test]
    fn credentials_of_systemd_may_be_readable_by_their_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = secret_file(folder.path(), b"x\n", 0o440);
        assert_eq!(read_with(&path, Some(folder.path())).unwrap().expose_secret(), "x");
        assert!(read_with(&path, Some(Path::new("/run/credentials/other"))).is_err());
        let path = secret_file(folder.path(), b"x\n", 0o444);
        assert!(read_with(&path, Some(folder.path())).is_err());
    }

    #[test]
    fn a_pipe_of_the_shell_is_read() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b"from a pipe\n").unwrap();
        drop(writer);
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let path = PathBuf::from(format!("/dev/fd/{number}"));
        assert_eq!(read_secret_file(&path).unwrap().expose_secret(), "from a pipe");
    }
}
