//! A private file that several processes append records to, each whole and none lost, also while
//! one of them makes it smaller. Nothing here waits for the disk.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::durable::replace_file;
use super::files::{FileError, open_private_log, read_private_file, system};

/// Longest file that is read, in bytes: far more than one is let grow to.
const LIMIT: u64 = 64 << 20;

/// The file, by its path. Nothing is made or opened before it is used.
#[derive(Clone, Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
}

impl AppendFile {
    /// The file of this path.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// All that is in it; nothing where there is none.
    pub(crate) fn read(&self) -> Result<Vec<u8>, FileError> {
        let content = read_private_file(&self.path, LIMIT)?;
        Ok(content.map(|content| content.to_vec()).unwrap_or_default())
    }

    /// Appends a record by one write.
    pub(crate) fn append(&self, record: &[u8]) -> Result<(), FileError> {
        let mut file = self.locked(File::lock_shared)?;
        let written = file.write_all(record);
        written.map_err(system("can't write", &self.path))
    }

    /// How long it is, in bytes.
    pub(crate) fn len(&self) -> u64 {
        fs::symlink_metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Puts what `smaller` makes of the content in its place, while nobody appends. `None` leaves
    /// it as it is.
    pub(crate) fn compact(
        &self,
        smaller: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), FileError> {
        let _file = self.locked(File::lock)?;
        match smaller(&self.read()?) {
            Some(content) => replace_file(&self.path, &content),
            None => Ok(()),
        }
    }

    /// Opens the file under a lock. Who waited for one that was replaced meanwhile takes the new
    /// one: a record in the old would be lost.
    fn locked(&self, lock: impl Fn(&File) -> std::io::Result<()>) -> Result<File, FileError> {
        loop {
            let file = open_private_log(&self.path)?;
            lock(&file).map_err(system("can't lock", &self.path))?;
            let held = file.metadata().map_err(system("can't look at", &self.path))?;
            let named = fs::symlink_metadata(&self.path);
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
                return Ok(file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_lost_while_the_file_is_made_smaller() {
        let folder = tempfile::tempdir().unwrap();
        let file = AppendFile::new(folder.path().join("spent"));
        assert_eq!(file.read().unwrap(), b"");
        std::thread::scope(|scope| {
            for writer in 0..8_u8 {
                let file = &file;
                scope.spawn(move || {
                    for count in 0..50_u8 {
                        file.append(&[writer, count]).unwrap();
                        if count % 10 == 0 {
                            // The newest of each writer is all that counts.
                            file.compact(|content| {
                                let mut newest = std::collections::BTreeMap::new();
                                for record in content.chunks(2) {
                                    newest.insert(record[0], record.to_vec());
                                }
                                Some(newest.into_values().flatten().collect())
                            })
                            .unwrap();
                        }
                    }
                });
            }
        });
        let content = file.read().unwrap();
        for writer in 0..8_u8 {
            let newest = content.chunks(2).rfind(|record| record[0] == writer);
            assert_eq!(newest, Some([writer, 49].as_slice()));
        }
        super::super::files::check_private(&folder.path().join("spent")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
