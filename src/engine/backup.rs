//! Backups, what is restored from them, and the move of a store to another host.
//!
//! What is sealed stays sealed: none of this opens the key. A backup has `store.age` in it, and no
//! identity that would open that.

use std::path::{Path, PathBuf};

use crate::config::locations::Locations;
use crate::config::settings::Config;
use crate::domain::app::Rotation;
use crate::domain::audit::AuditEvent;
use crate::domain::copy::{BackupPurpose, CopySign, Moved, may_rotate};
use crate::domain::spent::SpentJournal;
use crate::domain::time::UnixMillis;
use crate::engine::copies::STORE;
use crate::engine::error::{Error, Invalid};
use crate::engine::key_folder::PrivateFolder;
use crate::engine::keyring::run_blocking;
use crate::engine::open::beside;
use crate::engine::operation::{BackupRequest, RestoreRequest};
use crate::engine::outcome::{BackupFacts, BackupReceipt, MoveReceipt, Present, RestoreReceipt};
use crate::engine::{Engine, Failure, Outcome, Reporter, Settings, now, open_store};
use crate::platform;
use crate::platform::durable::{
    create_durably, place_new, remove_durably, rename_durably, temporary_beside, write_durably,
};
use crate::platform::files::{FileError, copy_private_file, shown};
use crate::platform::lock::LockFile;
use crate::store::{
    self, AfterRestore, BackupContent, BackupNote, Durability, Known, Restore, Restored,
    read_backup, write_backup,
};
use crate::vault::folder::{KeyFolder, STORE_KEY};

impl Engine {
    /// Writes a backup, while others write to the store.
    pub(super) async fn backup(&self, request: BackupRequest) -> Result<Outcome, Error> {
        let receipt = self.write_backup(&request.file, BackupPurpose::Backup).await?;
        let detail = backup_detail(&receipt);
        let reason = request.reason.as_deref();
        let entry = self.audit_of(AuditEvent::BackupMade, STORE.into(), detail, reason);
        self.store.call(move |store| store.record(&entry)).await?;
        Ok(Outcome::BackedUp(receipt))
    }

    /// Writes a backup for another host and stays behind. The mark is durable before the file has
    /// its name: without it, nothing would keep two hosts from refreshing.
    pub(super) async fn move_to(
        &self,
        request: BackupRequest,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        refuse_existing(&request.file)?;
        let (_, before) = self.store.call(|store| store.copy_standing()).await?;
        let moved = Moved { at: now(), to: shown(&request.file) };
        let reason = request.reason.as_deref();
        let entry = self.audit_of(AuditEvent::StoreMoved, STORE.into(), moved.to.clone(), reason);
        let marked = moved.clone();
        self.store.call(move |store| store.mark_moved(&marked, &entry)).await?;
        let written = match self.wait_for_refreshes(reporter).await {
            Ok(()) => self.write_backup(&request.file, BackupPurpose::Move).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(backup) => Ok(Outcome::Moved(MoveReceipt { moved, backup })),
            Err(error) => {
                // There is no file that anyone could adopt.
                let detail = error.message();
                let entry = self.audit_of(AuditEvent::MoveTakenBack, STORE.into(), detail, reason);
                self.store.call(move |store| store.take_move_back(&before, &entry)).await?;
                Err(error)
            }
        }
    }

    /// Waits for the exchanges that were begun before the store was marked: what they bring has to
    /// be in the file, or it would hold spent tokens. An answer that waits for the key has to be
    /// taken over first, so the key is opened where one may.
    async fn wait_for_refreshes(&self, reporter: &Reporter) -> Result<(), Error> {
        let open = self.store.call(|store| store.open_exchanges()).await?;
        if !open.is_empty() {
            self.key().await?;
        }
        for credential in open {
            drop(self.lock(credential, reporter).await?);
        }
        Ok(())
    }

    async fn write_backup(
        &self,
        file: &Path,
        purpose: BackupPurpose,
    ) -> Result<BackupReceipt, Error> {
        let (file, locations) = (file.to_owned(), self.settings.locations.clone());
        let write = move || {
            refuse_existing(&file)?;
            let folder = PrivateFolder(locations.key_folder().to_owned());
            let store_key = folder.read(STORE_KEY).map_err(crate::vault::error::Error::from)?;
            let store_key = store_key.map(|key| key.to_vec());
            let note = BackupNote { made_at: now(), purpose, store_key };
            let temporary = temporary_beside(&file)?;
            let content = write_backup(&locations.store_file(), &temporary, &note)?;
            if !place_new(&temporary, &file)? {
                return Err(is_there(&file));
            }
            Ok(receipt(&file, &content))
        };
        run_blocking(write).await
    }

    /// Restores a backup: into an empty store, or in the place of what is there, which is kept
    /// beside it.
    pub(super) async fn restore(&self, request: RestoreRequest) -> Result<Outcome, Error> {
        let (locations, file) = (self.settings.locations.clone(), request.file.clone());
        let copy = run_blocking(move || PrivateCopy::of(&locations, &file)).await?;
        let (restored, key_kept_as) = self.restore_copy(&copy, &request).await?;
        let backup = receipt(&request.file, &copy.content);
        Ok(Outcome::Restored(RestoreReceipt {
            backup,
            kept_as: restored.kept_as,
            key_kept_as,
            newer_here: restored.newer_here,
            only_here: restored.only_here,
            question: restored.question,
            has_identity: self.keys.has_identity()?,
        }))
    }

    async fn restore_copy(
        &self,
        PrivateCopy { path, content, .. }: &PrivateCopy,
        request: &RestoreRequest,
    ) -> Result<(Restored, Option<String>), Error> {
        let here = self.store.call(|store| store.current_id()).await?;
        let is_same = here == content.store_id;
        let (folder, key) = (
            self.settings.locations.key_folder().to_owned(),
            content.note.store_key.clone().filter(|key| !key.is_empty()),
        );
        if is_same {
            self.learn_key_of_copy(path, key.as_deref()).await?;
        }
        // The key first: a store whose key is missing is the worse half.
        let key_kept_as = run_blocking(move || install_key(&folder, key, is_same)).await?;
        let made_at = content.note.made_at.rfc3339();
        let detail = format!("{} of {made_at}", shown(&request.file));
        let reason = request.reason.as_deref();
        let restore = Restore {
            copy: path.clone(),
            host_mark: platform::who::host_mark(),
            restored: self.audit_of(AuditEvent::StoreRestored, STORE.into(), detail, reason),
            asked: self.audit_of(
                AuditEvent::StoreCopied,
                STORE.into(),
                CopySign::Restored.words().into(),
                reason,
            ),
        };
        let journal = SpentJournal::read(&self.spent_file().read()?);
        let config = self.settings.config.clone();
        let restored = self
            .store
            .call(move |store| {
                store.restore(&restore, |credentials, known| {
                    credentials.iter().any(|one| may_be_spent(one, known, &journal, &config))
                })
            })
            .await?;
        Ok((restored, key_kept_as))
    }
}

/// Whether the token of a restored credential may be spent already.
fn may_be_spent(
    credential: &AfterRestore,
    known: Known,
    journal: &SpentJournal,
    config: &Config,
) -> bool {
    let configured = config.app(&credential.app).map(|app| app.rotation);
    let rotation = configured.or(credential.rotation).unwrap_or(Rotation::Unknown);
    if !may_rotate(rotation) {
        return false;
    }
    let is_newest = journal.newest(credential.id).map(|one| one.refreshes <= credential.refreshes);
    match is_newest {
        _ if !known.this_host || known.contested => true,
        Some(is_newest) => !is_newest,
        // A journal that knows nothing of it says nothing; the store that was here may know.
        None => !known.only,
    }
}

/// Puts the backup's `store.age` where it is needed; answers what the former one is kept as.
fn install_key(
    folder: &Path,
    key: Option<Vec<u8>>,
    is_same_store: bool,
) -> Result<Option<String>, Error> {
    let Some(key) = key else { return Ok(None) };
    let path = folder.join(STORE_KEY);
    let present = PrivateFolder(folder.to_owned())
        .read(STORE_KEY)
        .map_err(crate::vault::error::Error::from)?;
    match present {
        None => {
            create_durably(&path, &key)?;
            Ok(None)
        }
        // Of the same store, the one that is here is the newer: it knows who was let in since.
        Some(_) if is_same_store => Ok(None),
        Some(present) if *present == key => Ok(None),
        Some(present) => {
            let kept = free_name(&path, ".before");
            if !create_durably(&kept, &present)? {
                return Err(is_there(&kept));
            }
            write_durably(&path, &key)?;
            Ok(Some(shown(Path::new(kept.file_name().unwrap_or_default()))))
        }
    }
}

/// What a backup says of itself, and what it would take the place of. No engine is needed: what is
/// here may be damaged.
pub(crate) fn inspect_backup(settings: &Settings, file: &Path) -> Result<BackupFacts, Failure> {
    let look = || -> Result<BackupFacts, Error> {
        let locations = &settings.locations;
        for folder in locations.private_folders() {
            platform::files::create_private_folder(folder)?;
        }
        let store_file = locations.store_file();
        let backup = receipt(file, &PrivateCopy::of(locations, file)?.content);
        let name = store_file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A log without its file is a damaged store.
        let is_there = store_file.exists() || beside(&store_file, "-wal").exists();
        let present = if is_there { present(settings)? } else { Present::Nothing };
        Ok(BackupFacts { backup, store_file: name, present })
    };
    look().map_err(Failure::from)
}

fn present(settings: &Settings) -> Result<Present, Error> {
    match open_store(&settings.locations, Durability::Full) {
        Ok(opened) if opened.store.is_empty()? => Ok(Present::Nothing),
        Ok(_) => Ok(Present::Store),
        Err(Error::Store(store::Error::Damaged(_))) => Ok(Present::Damaged),
        Err(error) => Err(error),
    }
}

/// Sets a damaged store aside, so that a backup can be restored; answers its new name.
pub(crate) fn set_damaged_aside(settings: &Settings) -> Result<String, Failure> {
    let path = settings.locations.store_file();
    let kept = free_name(&path, ".damaged");
    let rename = |suffix: &str| -> Result<PathBuf, FileError> {
        let to = beside(&kept, suffix);
        rename_durably(&beside(&path, suffix), &to)?;
        Ok(to)
    };
    // The logs last: without their file nobody takes them for another's.
    let renamed = rename("").and_then(|kept| {
        rename("-wal")?;
        rename("-shm")?;
        Ok(kept)
    });
    let kept = renamed.map_err(|error| Failure::from(Error::from(error)))?;
    Ok(shown(Path::new(kept.file_name().unwrap_or_default())))
}

/// A copy of a backup in the data folder, brought to the newest version; gone when it is dropped.
struct PrivateCopy {
    path: PathBuf,
    content: BackupContent,
    _lock: LockFile,
}

impl PrivateCopy {
    /// Makes it. One at a time: what a killed process left of it is removed here.
    fn of(locations: &Locations, file: &Path) -> Result<Self, Error> {
        let folder = locations.locks_folder();
        platform::files::create_private_folder(&folder)?;
        let lock_file = folder.join("restore");
        let lock = LockFile::try_acquire(&lock_file)?.ok_or_else(|| {
            let holder = platform::lock::holder(&lock_file, 0);
            store::Error::Busy { what: "the restoring of a backup", seconds: 0, holder }
        })?;
        let path = beside(&locations.store_file(), ".restoring");
        remove_copy(&path)?;
        copy_private_file(file, &path)?;
        match read_backup(&path) {
            Ok(content) => Ok(Self { path, content, _lock: lock }),
            Err(error) => {
                // The first failure is the one to tell.
                let _ = remove_copy(&path);
                Err(match error {
                    store::Error::Damaged(why) => not_a_backup(file, &why).into(),
                    other => other.into(),
                })
            }
        }
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // Nothing is lost with it, and the next one removes what is left of it.
        let _ = remove_copy(&self.path);
    }
}

/// Removes it with what SQLite may have left beside it.
fn remove_copy(path: &Path) -> Result<(), FileError> {
    remove_durably(path)?;
    remove_durably(&beside(path, "-journal"))
}

/// A name beside a file for what it is kept as: `orgkey.db.damaged-20261125T140500Z`.
fn free_name(path: &Path, what: &str) -> PathBuf {
    let stamped = format!("{what}-{}", stamp(now()));
    let numbered = (2..).map(|number| beside(path, &format!("{stamped}-{number}")));
    let mut names = std::iter::once(beside(path, &stamped)).chain(numbered);
    let is_free = |name: &PathBuf| !["", "-wal"].iter().any(|end| beside(name, end).exists());
    names.find(is_free).unwrap_or_else(|| beside(path, &stamped))
}

fn not_a_backup(file: &Path, why: &str) -> Invalid {
    Invalid::input(
        format!("{} can't be restored: {why}", shown(file)),
        "name a file that orgkey backup or orgkey move wrote",
    )
}

fn refuse_existing(file: &Path) -> Result<(), Error> {
    // A link that leads nowhere is there all the same.
    if file.symlink_metadata().is_ok() { Err(is_there(file)) } else { Ok(()) }
}

fn is_there(file: &Path) -> Error {
    Invalid::input(
        format!("{} is there already, and nothing is overwritten", shown(file)),
        "name another file, or move that one away",
    )
    .into()
}

fn receipt(file: &Path, content: &BackupContent) -> BackupReceipt {
    let BackupContent { note, credentials, token_sets, .. } = content;
    BackupReceipt {
        file: shown(file),
        made_at: note.made_at,
        purpose: note.purpose,
        credentials: *credentials,
        token_sets: *token_sets,
        has_key: note.store_key.is_some(),
    }
}

fn backup_detail(receipt: &BackupReceipt) -> String {
    let BackupReceipt { file, credentials, token_sets, .. } = receipt;
    format!("{file}: {credentials} credentials, {token_sets} token sets")
}

/// A time for the name of a file.
fn stamp(at: UnixMillis) -> String {
    at.rfc3339().chars().filter(char::is_ascii_alphanumeric).collect()
}
