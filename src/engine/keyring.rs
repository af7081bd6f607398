//! The sealing key: made at the first set-up, opened when it is needed, held until it is locked.

use std::sync::{Arc, MutexGuard, PoisonError};

use secrecy::SecretString;

use crate::engine::error::Error;
use crate::engine::operation::CreateKey;
use crate::engine::outcome::{KeyProtection, KeyReport};
use crate::engine::seal::Sealer;
use crate::engine::sensitive::Sensitive;
use crate::engine::{Engine, Outcome};
use crate::platform;
use crate::vault::data_key::DataKey;
use crate::vault::error::Error as Vault;
use crate::vault::folder::{SEALED_IDENTITY, STORE_KEY};
use crate::vault::key_files::{KeyState, Protection};

/// The opened key together with what a seal is bound to.
pub(super) struct OpenKey {
    key: Arc<DataKey>,
    store_id: crate::domain::record::RecordId,
}

impl OpenKey {
    /// Seals and opens values of this store.
    pub(super) fn sealer(&self) -> Sealer<'_> {
        Sealer { key: &self.key, store_id: self.store_id }
    }
}

impl Engine {
    /// The opened key. It is opened now where that needs nobody: a bare key file, or a passphrase
    /// in the file that the environment names.
    pub(super) async fn key(&self) -> Result<OpenKey, Error> {
        let held = self.held_key().clone();
        let key = match held {
            Some(key) => key,
            None => self.open_unattended().await?,
        };
        Ok(OpenKey { key, store_id: self.store_id })
    }

    /// The opened key; made now, where there is none and the environment names a passphrase file.
    pub(super) async fn key_or_new(&self) -> Result<OpenKey, Error> {
        if self.keys.state()? == KeyState::Missing
            && let Some(file) = &self.settings.passphrase_file
        {
            let passphrase = platform::secret_file::read_secret_file(file)?;
            self.create(Protection::Passphrase(passphrase), false).await?;
        }
        self.key().await
    }

    async fn open_unattended(&self) -> Result<Arc<DataKey>, Error> {
        let keys = self.keys.clone();
        let passphrase_file = self.settings.passphrase_file.clone();
        let open = move || -> Result<DataKey, Error> {
            match (keys.state()?, passphrase_file) {
                (KeyState::Missing, _) => Err(Error::Key(KeyProtection::Missing)),
                (KeyState::Bare, _) => Ok(keys.open_bare()?),
                (KeyState::Passphrase, Some(file)) => {
                    let passphrase = platform::secret_file::read_secret_file(&file)?;
                    Ok(keys.open_with_passphrase(&passphrase)?)
                }
                (KeyState::Passphrase, None) => Err(Error::Key(KeyProtection::Passphrase)),
                (KeyState::IdentityAlone, _) => Err(Vault::Missing(STORE_KEY).into()),
                (KeyState::StoreKeyAlone, _) => Err(Vault::Missing(SEALED_IDENTITY).into()),
            }
        };
        Ok(self.hold(run_blocking(open).await?))
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
        let keys = self.keys.clone();
        let created = run_blocking(move || Ok(keys.create(&protection, recovery)?)).await?;
        self.hold(created.key);
        Ok(created.recovery_identity)
    }

    /// Opens the key with its passphrase.
    pub(super) async fn open_key(&self, passphrase: Sensitive) -> Result<Outcome, Error> {
        let keys = self.keys.clone();
        let open = move || match keys.state()? {
            KeyState::Missing => Err(Error::Key(KeyProtection::Missing)),
            KeyState::Bare => Ok(keys.open_bare()?),
            KeyState::Passphrase => Ok(keys.open_with_passphrase(&passphrase.0)?),
            KeyState::IdentityAlone => Err(Vault::Missing(STORE_KEY).into()),
            KeyState::StoreKeyAlone => Err(Vault::Missing(SEALED_IDENTITY).into()),
        };
        self.hold(run_blocking(open).await?);
        self.key_report(None)
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
            KeyState::StoreKeyAlone => return Err(Vault::Missing(SEALED_IDENTITY).into()),
            KeyState::Passphrase => KeyProtection::Passphrase,
            KeyState::Bare => KeyProtection::Bare,
        };
        let open = self.held_key().is_some();
        Ok(Outcome::Key(KeyReport { protection, open, recovery_identity: recovery }))
    }

    fn hold(&self, key: DataKey) -> Arc<DataKey> {
        let key = Arc::new(key);
        *self.held_key() = Some(Arc::clone(&key));
        key
    }

    fn held_key(&self) -> MutexGuard<'_, Option<Arc<DataKey>>> {
        // A panic elsewhere can't leave a half-written Option behind.
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what takes its time (scrypt, a slow disk) beside the event loop.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}
