//! The sealing key: made at the first set-up, opened when it is needed, held until it is locked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::domain::audit::AuditEvent;
use crate::engine::error::Error;
use crate::engine::key_folder::PrivateFolder;
use crate::engine::operation::{AddRecipient, CreateKey};
use crate::engine::outcome::{KeyProtection, KeyReport, RecipientReport};
use crate::engine::seal::Sealer;
use crate::engine::sensitive::Sensitive;
use crate::engine::{Engine, Outcome};
use crate::platform;
use crate::platform::files::{Stamp, stamp};
use crate::vault::data_key::DataKey;
use crate::vault::error::Error as Vault;
use crate::vault::folder::STORE_KEY;
use crate::vault::key_files::{
    Created, Identity, KeyFiles, KeyState, Protection, Recipient, StoreKey,
};

/// The key as it is held while it is open: with the identity that opened it, so that its
/// protection can be changed.
pub(super) struct HeldKey {
    key: DataKey,
    identity: Identity,
    /// `store.age` as it was opened: when it is another one, the key may be, too.
    sealed: Zeroizing<Vec<u8>>,
    /// The stamp of the file when it was last found to be that one.
    seen: Mutex<Option<Stamp>>,
}

impl HeldKey {
    fn new(key: DataKey, identity: Identity, sealed: Zeroizing<Vec<u8>>) -> Self {
        Self { key, identity, sealed, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Option<Stamp>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(keys: &KeyFiles<PrivateFolder>, identity: Identity) -> Result<Self, Error> {
        let StoreKey { key, sealed, .. } = keys.open(&identity)?;
        Ok(Self::new(key, identity, sealed))
    }

    fn bare(keys: &KeyFiles<PrivateFolder>) -> Result<Self, Error> {
        // Only this way tells a bare identity that lost against a passphrase from a wrong one.
        keys.open_bare()?;
        Self::open(keys, keys.bare_identity()?)
    }

    fn with_passphrase(
        keys: &KeyFiles<PrivateFolder>,
        passphrase: &SecretString,
    ) -> Result<Self, Error> {
        Self::open(keys, keys.identity_with_passphrase(passphrase)?)
    }
}

/// The identity is in one of these.
const IDENTITY: &str = "identity.age or identity.key";

/// The opened key together with what a seal is bound to.
#[derive(Clone)]
pub(super) struct OpenKey {
    held: Arc<HeldKey>,
    store_id: crate::domain::record::RecordId,
}

impl OpenKey {
    /// Seals and opens values of this store.
    pub(super) fn sealer(&self) -> Sealer<'_> {
        Sealer { key: &self.held.key, store_id: self.store_id }
    }

    /// The identity that opened it.
    pub(super) fn identity(&self) -> &Identity {
        &self.held.identity
    }

    /// Its public half.
    pub(super) fn public_key(&self) -> String {
        self.held.identity.public_key()
    }
}

impl Engine {
    /// The opened key. It is opened now where that needs nobody: a bare key file, or a passphrase
    /// in the file that the environment names.
    pub(super) async fn key(&self) -> Result<OpenKey, Error> {
        let held = self.held_key().clone();
        let held = match held {
            Some(held) => self.of_now(held).await?,
            None => self.open_unattended().await?,
        };
        // Read at each use: a backup of another store may have been restored meanwhile.
        let store_id = self.store.call(|store| store.current_id()).await?;
        Ok(OpenKey { held, store_id })
    }

    /// The held key as `store.age` has it by now. Where that was replaced, it is opened anew with the
    /// identity that is held: nobody is asked, and the key in use is never one that was dropped.
    async fn of_now(&self, held: Arc<HeldKey>) -> Result<Arc<HeldKey>, Error> {
        // One look at the folder tells a file that was replaced: it is another one. It is taken before
        // the file is read, so that a change in between is found the next time.
        let stamp = stamp(&self.settings.locations.key_folder().join(STORE_KEY));
        if stamp.is_some() && *held.seen() == stamp {
            return Ok(held);
        }
        let (keys, before) = (self.keys.clone(), Arc::clone(&held));
        let look = move || match keys.sealed()? {
            // Deleted or damaged, it says nothing of the key; the one that is held goes on.
            None => Ok(None),
            Some(sealed) if *sealed == *before.sealed => {
                *before.seen() = stamp;
                Ok(None)
            }
            Some(_) => match HeldKey::open(&keys, before.identity.clone()) {
                Err(Error::Vault(Vault::Damaged { .. })) => Ok(None),
                opened => opened.map(Some),
            },
        };
        match run_blocking(look).await {
            Ok(None) => Ok(held),
            Ok(Some(opened)) => Ok(self.replace_held(&held, opened)),
            Err(error) => {
                // This identity was removed: what it opened before is of no use here any more.
                if matches!(error, Error::Vault(Vault::IdentityDoesNotFit)) {
                    self.let_go(&held);
                }
                Err(error)
            }
        }
    }

    /// Takes over what the key was changed to; an identity that was removed holds nothing any more.
    pub(super) async fn forget_changed_key(&self, open: &OpenKey) -> Result<(), Error> {
        match self.of_now(Arc::clone(&open.held)).await {
            Ok(_) | Err(Error::Vault(Vault::IdentityDoesNotFit)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the key that is held has former ones beside it.
    pub(super) fn holds_former_key(&self) -> bool {
        self.held_key().as_ref().is_some_and(|held| held.key.has_former())
    }

    /// The opened key; made now, where there is none and the environment names a passphrase file.
    pub(super) async fn key_or_new(&self) -> Result<OpenKey, Error> {
        if self.keys.state()? == KeyState::Missing
            && let Some(file) = &self.settings.passphrase_file
        {
            let passphrase =
                platform::secret_file::read_secret_file(file).map_err(Error::SecretFile)?;
            self.create(Protection::Passphrase(passphrase), false).await?;
        }
        self.key().await
    }

    async fn open_unattended(&self) -> Result<Arc<HeldKey>, Error> {
        self.refuse_lost_key().await?;
        let keys = self.keys.clone();
        let passphrase_file = self.settings.passphrase_file.clone();
        let identity_file = self.settings.identity_file.clone();
        let open = move || -> Result<HeldKey, Error> {
            let state = keys.state()?;
            if let Some(file) = identity_file.filter(|_| state != KeyState::Missing) {
                let text =
                    platform::secret_file::read_secret_file(&file).map_err(Error::SecretFile)?;
                return HeldKey::open(&keys, Identity::parse(&text)?);
            }
            match (state, passphrase_file) {
                (KeyState::Missing, _) => Err(Error::Key(KeyProtection::Missing)),
                (KeyState::Bare, _) => HeldKey::bare(&keys),
                (KeyState::Passphrase, Some(file)) => {
                    let passphrase = platform::secret_file::read_secret_file(&file)
                        .map_err(Error::SecretFile)?;
                    HeldKey::with_passphrase(&keys, &passphrase)
                }
                (KeyState::Passphrase, None) => Err(Error::Key(KeyProtection::Passphrase)),
                (KeyState::IdentityAlone, _) => Err(Vault::Missing(STORE_KEY).into()),
                (KeyState::StoreKeyAlone, _) => Err(Vault::Missing(IDENTITY).into()),
            }
        };
        Ok(self.hold(run_blocking(open).await?))
    }

    /// Where values are sealed already, a missing key is a lost one: a new key opens none of them,
    /// and would only hide that.
    async fn refuse_lost_key(&self) -> Result<(), Error> {
        let lost = self.keys.state()? == KeyState::Missing
            && self.store.call(|store| store.holds_sealed_values()).await?;
        if lost { Err(Vault::Missing(STORE_KEY).into()) } else { Ok(()) }
    }

    /// How the key is protected.
    pub(super) async fn key_status(&self) -> Result<Outcome, Error> {
        self.refuse_lost_key().await?;
        self.key_report(None)
    }

    /// Makes the key.
    pub(super) async fn create_key(&self, request: CreateKey) -> Result<Outcome, Error> {
        let protection = match request.passphrase {
            Some(passphrase) => Protection::Passphrase(passphrase.0),
            None => Protection::Bare,
        };
        let recovery = self.create(protection, request.recovery).await?;
        self.key_report(recovery.map(Sensitive))
    }

    async fn create(
        &self,
        protection: Protection,
        recovery: bool,
    ) -> Result<Option<SecretString>, Error> {
        self.refuse_lost_key().await?;
        let keys = self.keys.clone();
        let create = move || {
            let is_bare = matches!(protection, Protection::Bare);
            Ok((keys.create(&protection, recovery)?, is_bare))
        };
        let (created, is_bare) = run_blocking(create).await?;
        if created.is_new {
            let how = if is_bare { "bare" } else { "passphrase" };
            let detail = format!("{} {how}", created.identity.public_key());
            let entry = self.audit_of(AuditEvent::KeyCreated, "key".into(), detail, None);
            self.store.call(move |store| store.record(&entry)).await?;
        }
        let Created { key, identity, sealed, recovery_identity, .. } = created;
        self.hold(HeldKey::new(key, identity, sealed));
        Ok(recovery_identity)
    }

    /// Opens the key with its passphrase.
    pub(super) async fn open_key(&self, passphrase: Sensitive) -> Result<Outcome, Error> {
        let keys = self.keys.clone();
        let open = move || match keys.state()? {
            KeyState::Missing => Err(Error::Key(KeyProtection::Missing)),
            KeyState::Bare => HeldKey::bare(&keys),
            KeyState::Passphrase => HeldKey::with_passphrase(&keys, &passphrase.0),
            KeyState::IdentityAlone => Err(Vault::Missing(STORE_KEY).into()),
            KeyState::StoreKeyAlone => Err(Vault::Missing(IDENTITY).into()),
        };
        self.hold(run_blocking(open).await?);
        self.key_report(None)
    }

    /// Keeps the identity under another passphrase, or bare; no row of the store is touched.
    pub(super) async fn protect_key(
        &self,
        passphrase: Option<Sensitive>,
    ) -> Result<Outcome, Error> {
        let protection = match passphrase {
            Some(passphrase) => Protection::Passphrase(passphrase.0),
            None => Protection::Bare,
        };
        let (keys, open) = (self.keys.clone(), self.key().await?);
        let detail = match protection {
            Protection::Passphrase(_) => "by a passphrase",
            Protection::Bare => "a bare file",
        };
        run_blocking(move || Ok(keys.protect(&open.held.identity, &protection)?)).await?;
        let entry = self.audit_of(AuditEvent::KeyProtected, "key".into(), detail.into(), None);
        self.store.call(move |store| store.record(&entry)).await?;
        self.key_report(None)
    }

    /// Whom the key is encrypted to.
    pub(super) async fn recipients(&self) -> Result<Outcome, Error> {
        let (keys, open) = (self.keys.clone(), self.key().await?);
        let own = open.public_key();
        let list = move || Ok(keys.open(&open.held.identity)?.recipients);
        let reports = run_blocking(list).await?.into_iter().map(|recipient| RecipientReport {
            mine: recipient.public_key == own,
            public_key: recipient.public_key,
            label: recipient.label,
        });
        Ok(Outcome::Recipients(reports.collect()))
    }

    /// Lets one more age identity open the key.
    pub(super) async fn add_recipient(&self, request: AddRecipient) -> Result<Outcome, Error> {
        let added = Recipient::parse(request.public_key.trim(), &request.label)?;
        let (keys, open) = (self.keys.clone(), self.key().await?);
        let detail = format!("{} {}", added.public_key, added.label);
        run_blocking(move || Ok(keys.add_recipient(&open.held.identity, added)?)).await?;
        let event = AuditEvent::RecipientAdded;
        let entry = self.audit_of(event, "key".into(), detail, request.reason.as_deref());
        self.store.call(move |store| store.record(&entry)).await?;
        self.recipients().await
    }

    /// Forgets the opened key.
    pub(super) fn lock_key(&self) -> Result<Outcome, Error> {
        *self.held_key() = None;
        self.key_report(None)
    }

    /// What can be said of the key.
    pub(super) fn key_report(&self, recovery: Option<Sensitive>) -> Result<Outcome, Error> {
        let protection = match self.keys.state()? {
            KeyState::Missing => KeyProtection::Missing,
            KeyState::IdentityAlone => return Err(Vault::Missing(STORE_KEY).into()),
            KeyState::StoreKeyAlone => return Err(Vault::Missing(IDENTITY).into()),
            KeyState::Passphrase => KeyProtection::Passphrase,
            KeyState::Bare => KeyProtection::Bare,
        };
        let open = self.held_key().is_some();
        Ok(Outcome::Key(KeyReport {
            protection,
            open,
            open_until: None,
            agent: None,
            recovery_identity: recovery,
        }))
    }

    fn hold(&self, held: HeldKey) -> Arc<HeldKey> {
        let held = kept_from_swap(held);
        *self.held_key() = Some(Arc::clone(&held));
        self.drains_changed();
        held
    }

    /// Holds a key in the place of `before`, unless that was forgotten meanwhile.
    fn replace_held(&self, before: &Arc<HeldKey>, opened: HeldKey) -> Arc<HeldKey> {
        let opened = kept_from_swap(opened);
        if let Some(held) = self.held_key().as_mut().filter(|held| Arc::ptr_eq(held, before)) {
            *held = Arc::clone(&opened);
        }
        opened
    }

    fn let_go(&self, held: &Arc<HeldKey>) {
        let mut kept = self.held_key();
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, held)) {
            *kept = None;
        }
    }

    fn held_key(&self) -> MutexGuard<'_, Option<Arc<HeldKey>>> {
        // A panic elsewhere can't leave a half-written Option behind.
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kept_from_swap(held: HeldKey) -> Arc<HeldKey> {
    held.key.each_place(|bytes| {
        if !platform::memory::keep_from_swap(bytes) {
            tracing::warn!("the key's memory may be swapped out (ulimit -l)");
        }
    });
    Arc::new(held)
}

/// Runs what waits for the disk, or computes for long, beside the event loop.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}
