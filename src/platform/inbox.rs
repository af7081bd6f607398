//! The inbox: room on the disk for answers that nobody can ask for again, taken before the request
//! leaves.
//!
//! One file of slots of 64 KiB, each written with zeros when it is made, so that neither a full
//! disk nor a quota can refuse the answer later. A slot belongs to whoever holds its lock, which
//! the kernel frees. What a slot holds means nothing here: it is sealed.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::durable;
use super::files::{self, FileError, system};
use super::lock::LockFile;

/// Length of a slot, its head included.
const SLOT_LENGTH: usize = 64 * 1024;
/// Mark and length of the content.
const HEAD_LENGTH: usize = 8;
/// Longest content of a slot.
pub(crate) const CONTENT_LIMIT: usize = SLOT_LENGTH - HEAD_LENGTH;
/// Begins a slot whose room was taken.
const MARK: [u8; 4] = *b"OKS1";
/// Most exchanges at once; far more than anything here begins.
const SLOT_LIMIT: u64 = 4096;

/// Where the inbox lies.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    file: PathBuf,
    locks: PathBuf,
}

/// A slot that is ours while this lives.
#[derive(Debug)]
pub(crate) struct Slot {
    file: File,
    path: PathBuf,
    index: u64,
    _lock: LockFile,
}

/// An answer that waits: its process ended before it was taken over.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// What was kept.
    pub(crate) content: Vec<u8>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Slot(Slot),
    Emergency(PathBuf),
}

impl Inbox {
    /// The inbox in this file; the locks of its slots lie in the folder `locks`, which is there.
    pub(crate) fn new(file: PathBuf, locks: PathBuf) -> Self {
        Self { file, locks }
    }

    /// Takes a free slot, and the room for it where there was none yet. Fails where the disk has no
    /// room, so before anything is spent.
    pub(crate) fn claim(&self) -> Result<Slot, FileError> {
        for index in 0..SLOT_LIMIT {
            let Some(slot) = self.slot(index)? else { continue };
            match slot.length()? {
                Some(0) => return Ok(slot),
                Some(_) => {}
                None => {
                    slot.make()?;
                    return Ok(slot);
                }
            }
        }
        Err(system("no free slot in", &self.file)(io::ErrorKind::QuotaExceeded.into()))
    }

    /// The answers that wait, of processes that are no more.
    pub(crate) fn waiting(&self) -> Result<Vec<Waiting>, FileError> {
        let mut waiting = self.emergencies()?;
        let length = match std::fs::metadata(&self.file) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(waiting),
            Err(error) => return Err(system("can't look at", &self.file)(error)),
        };
        let file = files::open_private_file(&self.file)?;
        for index in 0..length.div_ceil(SLOT_LENGTH as u64) {
            if read_length(&file, &self.file, index)?.unwrap_or(0) == 0 {
                continue;
            }
            // Whoever holds the slot is at work on it.
            let Some(slot) = self.slot(index)? else { continue };
            let content = slot.content()?;
            if !content.is_empty() {
                waiting.push(Waiting { content, place: Place::Slot(slot) });
            }
        }
        Ok(waiting)
    }

    /// Keeps an answer in a file of its own: the last resort, when neither its slot nor the store
    /// takes it.
    pub(crate) fn keep_in_emergency(&self, content: &[u8]) -> Result<(), FileError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            system("no random name for", &self.file)(io::Error::other(error.to_string()))
        })?;
        let name = format!("{}{:016x}", self.emergency_prefix(), u64::from_be_bytes(random));
        durable::write_durably(&self.file.with_file_name(name), content)
    }

    fn emergency_prefix(&self) -> String {
        format!("{}-", self.file.file_name().unwrap_or_default().to_string_lossy())
    }

    fn emergencies(&self) -> Result<Vec<Waiting>, FileError> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let entries = std::fs::read_dir(folder).map_err(system("can't read", folder))?;
        let prefix = self.emergency_prefix();
        let mut waiting = Vec::new();
        for entry in entries {
            let path = entry.map_err(system("can't read", folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_one = name.strip_prefix(&prefix).is_some_and(|rest| rest.len() == 16);
            if is_one && let Some(content) = files::read_private_file(&path, SLOT_LENGTH as u64)? {
                let content = content.to_vec();
                waiting.push(Waiting { content, place: Place::Emergency(path) });
            }
        }
        Ok(waiting)
    }

    /// A slot whose lock is free.
    fn slot(&self, index: u64) -> Result<Option<Slot>, FileError> {
        let Some(lock) = LockFile::try_acquire(&self.locks.join(format!("inbox-{index}")))? else {
            return Ok(None);
        };
        let file = files::open_or_create_private_file(&self.file)?;
        Ok(Some(Slot { file, path: self.file.clone(), index, _lock: lock }))
    }
}

impl Slot {
    /// Keeps an answer: in the hands of the system in one write, then on the disk. Cut by the end of
    /// the machine it is a part, which does not open.
    pub(crate) fn keep(&self, content: &[u8]) -> Result<(), FileError> {
        let mut bytes = Vec::with_capacity(HEAD_LENGTH + content.len());
        bytes.extend_from_slice(&head(content.len()));
        bytes.extend_from_slice(content);
        if bytes.len() > SLOT_LENGTH {
            return Err(system("too long for", &self.path)(io::ErrorKind::FileTooLarge.into()));
        }
        self.write(&bytes)?;
        self.file.sync_data().map_err(system("can't sync", &self.path))?;
        // What no name leads to is gone with this process.
        match self.file.metadata().map_err(system("can't look at", &self.path))?.nlink() {
            0 => {
                Err(system("nothing leads any more to", &self.path)(io::ErrorKind::NotFound.into()))
            }
            _ => Ok(()),
        }
    }

    /// Whether another one before it was not free.
    pub(crate) fn is_behind(&self) -> bool {
        self.index > 0
    }

    /// Empties the slot. Needs no sync: what is found again later is older than the store.
    pub(crate) fn clear(&self) -> Result<(), FileError> {
        let length = self.length()?.unwrap_or(0);
        let mut bytes = vec![0; HEAD_LENGTH + length.min(CONTENT_LIMIT)];
        bytes[..HEAD_LENGTH].copy_from_slice(&head(0));
        self.write(&bytes)
    }

    /// Takes the room of the slot for good.
    fn make(&self) -> Result<(), FileError> {
        let mut bytes = vec![0; SLOT_LENGTH];
        bytes[..HEAD_LENGTH].copy_from_slice(&head(0));
        self.write(&bytes)?;
        self.file.sync_all().map_err(system("can't sync", &self.path))
    }

    fn write(&self, bytes: &[u8]) -> Result<(), FileError> {
        let offset = self.index * SLOT_LENGTH as u64;
        self.file.write_all_at(bytes, offset).map_err(system("can't write", &self.path))
    }

    fn length(&self) -> Result<Option<usize>, FileError> {
        read_length(&self.file, &self.path, self.index)
    }

    fn content(&self) -> Result<Vec<u8>, FileError> {
        let length = self.length()?.unwrap_or(0).min(CONTENT_LIMIT);
        let mut content = vec![0; length];
        let offset = self.index * SLOT_LENGTH as u64 + HEAD_LENGTH as u64;
        self.file.read_exact_at(&mut content, offset).map_err(system("can't read", &self.path))?;
        Ok(content)
    }
}

impl Waiting {
    /// Forgets the answer, which was taken over.
    pub(crate) fn clear(self) -> Result<(), FileError> {
        match self.place {
            Place::Slot(slot) => slot.clear(),
            Place::Emergency(path) => durable::remove_durably(&path),
        }
    }
}

/// Mark and length of a content.
fn head(length: usize) -> [u8; HEAD_LENGTH] {
    let mut head = [0; HEAD_LENGTH];
    head[..4].copy_from_slice(&MARK);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    head[4..].copy_from_slice(&length.to_be_bytes());
    head
}

/// Length of a slot's content; `None` where its room was never taken.
fn read_length(file: &File, path: &Path, index: u64) -> Result<Option<usize>, FileError> {
    let mut found = [0; HEAD_LENGTH];
    match file.read_exact_at(&mut found, index * SLOT_LENGTH as u64) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(system("can't read", path)(error)),
    }
    let (mark, length) = found.split_at(MARK.len());
    if mark != MARK {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length.try_into().unwrap_or_default());
    Ok(Some(usize::try_from(length).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::Builder::new().permissions(mode(0o700)).tempdir().unwrap())
        }

        fn inbox(&self) -> Inbox {
            Inbox::new(self.0.path().join("inbox"), self.0.path().to_owned())
        }

        fn contents(&self) -> Vec<Vec<u8>> {
            let waiting = self.inbox().waiting().unwrap();
            waiting.into_iter().map(|waiting| waiting.content).collect()
        }
    }

    fn mode(mode: u32) -> std::fs::Permissions {
        std::os::unix::fs::PermissionsExt::from_mode(mode)
    }

    #[test]
    fn an_answer_waits_until_it_is_taken_over_and_its_slot_is_not_given_away() {
        let folder = Folder::new();
        let inbox = folder.inbox();
        let first = inbox.claim().unwrap();
        first.keep(b"first").unwrap();
        assert!(inbox.waiting().unwrap().is_empty(), "its holder is at work");
        drop(first);
        let second = inbox.claim().unwrap();
        assert_eq!(second.index, 1, "a full slot is left alone");
        second.keep(&vec![7; CONTENT_LIMIT]).unwrap();
        assert!(second.keep(&vec![7; CONTENT_LIMIT + 1]).is_err());
        drop(second);
        assert_eq!(folder.contents(), [b"first".to_vec(), vec![7; CONTENT_LIMIT]]);
        for waiting in inbox.waiting().unwrap() {
            waiting.clear().unwrap();
        }
        assert!(folder.contents().is_empty());
        assert_eq!(inbox.claim().unwrap().index, 0);
        files::check_private(&folder.0.path().join("inbox")).unwrap();
        // Nothing of an answer is left behind.
        let bytes = std::fs::read(folder.0.path().join("inbox")).unwrap();
        assert_eq!(bytes.len(), 2 * SLOT_LENGTH);
        assert!(!bytes.windows(5).any(|five| five == b"first") && !bytes.contains(&7));
    }

    #[test]
    fn the_room_is_taken_on_the_disk_when_a_slot_is_made() {
        let folder = Folder::new();
        let slots: Vec<Slot> = (0..3).map(|_| folder.inbox().claim().unwrap()).collect();
        let metadata = std::fs::metadata(folder.0.path().join("inbox")).unwrap();
        let taken = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
        assert!(taken >= 3 * SLOT_LENGTH as u64, "{taken}");
        assert_eq!(slots.iter().map(|slot| slot.index).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn of_many_that_claim_at_once_each_gets_a_slot_of_its_own() {
        let folder = Folder::new();
        let inbox = &folder.inbox();
        let slots: Vec<Slot> = std::thread::scope(|scope| {
            let askers: Vec<_> = (0..16).map(|_| scope.spawn(|| inbox.claim().unwrap())).collect();
            askers.into_iter().map(|asker| asker.join().unwrap()).collect()
        });
        let mut indexes: Vec<u64> = slots.iter().map(|slot| slot.index).collect();
        indexes.sort_unstable();
        indexes.dedup();
        assert_eq!(indexes.len(), 16);
    }

    #[test]
    fn an_emergency_file_waits_like_a_slot_and_other_files_do_not() {
        let folder = Folder::new();
        std::fs::write(folder.0.path().join("inbox-notes"), b"mine").unwrap();
        folder.inbox().keep_in_emergency(b"last resort").unwrap();
        assert_eq!(folder.contents(), [b"last resort".to_vec()]);
        for waiting in folder.inbox().waiting().unwrap() {
            waiting.clear().unwrap();
        }
        assert!(folder.contents().is_empty());
        assert!(folder.0.path().join("inbox-notes").exists());
    }
}
