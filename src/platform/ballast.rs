//! Room on the disk that is held back: a full disk refuses even to delete, for what is deleted is
//! first written down. Given up then, and taken again when there is room.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::files;

/// What the deletion of a credential and its revocation take, several times over.
const LENGTH: usize = 256 * 1024;

/// The file that holds the room.
#[derive(Clone, Debug)]
pub(crate) struct Ballast(PathBuf);

impl Ballast {
    /// In this file; it has to lie on the disk of the store.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Takes the room, unless it is taken. Where there is none, that is no failure of anything else.
    pub(crate) fn take(&self) {
        if fs::symlink_metadata(&self.0).is_ok_and(|found| found.len() >= LENGTH as u64) {
            return;
        }
        let taken = files::open_or_create_private_file(&self.0)
            .is_ok_and(|mut file| file.write_all(&vec![0; LENGTH]).is_ok());
        if !taken {
            // A part of it helps nobody, and the room is wanted elsewhere.
            let _ = fs::remove_file(&self.0);
        }
    }

    /// Gives the room up where the disk has none left; `false` where that was not the trouble.
    pub(crate) fn give_up_if_full(&self) -> bool {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let is_full = rustix::fs::statvfs(folder)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LENGTH as u64);
        is_full && self.give_up()
    }

    /// Gives the room up; `false` when there was none.
    pub(crate) fn give_up(&self) -> bool {
        fs::remove_file(&self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_taken_once_and_given_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ballast");
        let ballast = Ballast::new(path.clone());
        assert!(!ballast.give_up());
        ballast.take();
        ballast.take();
        assert_eq!(fs::metadata(&path).unwrap().len(), LENGTH as u64);
        files::check_private(&path).unwrap();
        assert!(ballast.give_up() && !path.exists());
    }
}
