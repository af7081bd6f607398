//! A new data key, and with it the end of what a removed recipient can open.
//!
//! The order is the safety argument: at no moment is there a value that no key of `store.age`
//! opens.
//!
//! 1. Nobody else uses the key ([`super::key_use`]).
//! 2. `store.age` is replaced, durably: the new key first, every former one behind it, encrypted to
//!    those who may open it from now on. It is never put back: a commit that reports an error may
//!    still be found after a power cut, and its values open by the new key alone.
//! 3. Every value is sealed anew, in one transaction with the audit rows.
//! 4. When that is durable, the former keys are dropped from `store.age`, but for those that an
//!    answer in the inbox is sealed by.
//!
//! Cut off after 2, all goes on with both keys, and new values are sealed by the new one; the next
//! operation that opens the key does 3 and 4 ([`Engine::finish_rekey`]). The same happens where a
//! backup of this store was restored whose values are sealed by a former key.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::domain::audit::{AuditEntry, AuditEvent};
use crate::engine::error::{Error, Refusal};
use crate::engine::key_use::KeyAccess;
use crate::engine::keyring::{OpenKey, run_blocking};
use crate::engine::operation::RemoveRecipient;
use crate::engine::outcome::{
    KeyFacts, KeyRotation, ReadableToken, RecipientRemoval, RecipientReport,
};
use crate::engine::seal::Sealer;
use crate::engine::{Engine, Outcome};
use crate::platform::durable::remove_temporaries;
use crate::store::{self, Resealed, Resealing, sealing_keys_of_copy};
use crate::vault::data_key::{KeyId, hex};
use crate::vault::error::Error as Vault;
use crate::vault::folder::STORE_KEY;
use crate::vault::key_files::{Recipient, StoreKey};

impl Engine {
    /// Gives the store a new data key.
    pub(super) async fn rotate_key(
        self: &Arc<Self>,
        reason: Option<String>,
    ) -> Result<Outcome, Error> {
        let engine = Arc::clone(self);
        self.to_its_end(async move {
            let open = engine.key().await?;
            let store_key = engine.store_key(&open).await?;
            let rotation = engine.rekey(&open, store_key, Vec::new(), reason.as_deref()).await?;
            Ok(Outcome::KeyRotated(rotation))
        })
        .await
    }

    /// Keeps a recipient from opening the key, and all that is sealed from now on.
    pub(super) async fn remove_recipient(
        self: &Arc<Self>,
        request: RemoveRecipient,
    ) -> Result<Outcome, Error> {
        let engine = Arc::clone(self);
        self.to_its_end(async move {
            let open = engine.key().await?;
            let mut store_key = engine.store_key(&open).await?;
            let at = find(&store_key.recipients, request.named.trim())?;
            let own = open.public_key();
            let mine = store_key.recipients[at].public_key == own;
            if store_key.recipients.len() == 1 {
                return Err(Error::Refused(Refusal::LastRecipient));
            }
            if mine && !request.own {
                return Err(Error::Refused(Refusal::OwnRecipient(request.named)));
            }
            let removed = store_key.recipients.remove(at);
            let detail = format!("{} {}", removed.public_key, removed.label);
            let reason = request.reason.as_deref();
            let entry = engine.audit_of(AuditEvent::RecipientRemoved, "key".into(), detail, reason);
            let rotation = engine.rekey(&open, store_key, vec![entry], reason).await?;
            let (tokens, apps) = engine
                .store
                .call(|store| Ok((store.readable_tokens()?, store.readable_secrets()?)))
                .await?;
            let could_read = tokens.into_iter().map(|row| ReadableToken {
                address: row.address,
                generation: row.generation.0,
                flow: row.flow,
            });
            let Recipient { public_key, label } = removed;
            Ok(Outcome::RecipientRemoved(RecipientRemoval {
                removed: RecipientReport { public_key, label, mine },
                could_read: could_read.collect(),
                apps,
                rotation,
            }))
        })
        .await
    }

    /// Ends a rotation that was cut off, where nobody uses the key right now; else a later
    /// operation does. Nothing of it is worth a failure: both keys are kept until it is done.
    pub(super) async fn finish_rekey(self: &Arc<Self>) {
        if !self.holds_former_key() {
            return;
        }
        let Some(engine) = self.try_key_access(KeyAccess::Change) else { return };
        let finished = Arc::clone(&engine);
        let finish = engine.to_its_end(async move {
            let open = finished.key().await?;
            let store_key = finished.store_key(&open).await?;
            finished.reseal_and_forget(&open, store_key, Vec::new(), None).await
        });
        match finish.await {
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = error.message(), "a key rotation was not ended yet");
            }
        }
    }

    /// What can be said of the key without opening it.
    pub(super) async fn key_facts(&self) -> Result<Outcome, Error> {
        let recipients = self.keys.recipient_count()?;
        let (keys, rotation) =
            self.store.call(|store| Ok((store.sealing_keys()?, store.last_rotation()?))).await?;
        let only = match keys.as_slice() {
            [only] => Some(hex(*only)),
            _ => None,
        };
        let rotated_at = rotation.as_ref().map(|(at, _)| *at);
        let key_id = only.or(rotation.map(|(_, key_id)| key_id));
        Ok(Outcome::KeyFacts(KeyFacts { key_id, recipients, rotated_at }))
    }

    /// Lets the key of a backup of this very store open its values, where it is a former one: it is
    /// kept behind the key in use until they are sealed anew. `theirs` is the `store.age` in it.
    pub(super) async fn learn_key_of_copy(
        &self,
        copy: &Path,
        theirs: Option<&[u8]>,
    ) -> Result<(), Error> {
        let copy = copy.to_owned();
        let found = run_blocking(move || Ok(sealing_keys_of_copy(&copy)?)).await?;
        let ours = self.store.call(|store| store.sealing_keys()).await?;
        let is_known = |keys: &[KeyId]| found.iter().all(|id| keys.contains(id));
        let Some(theirs) = theirs.filter(|_| !is_known(&ours)) else { return Ok(()) };
        if self.keys.sealed()?.is_none_or(|ours| *ours == theirs) {
            return Ok(());
        }
        let open = self.key().await?;
        if found.iter().all(|id| open.sealer().key.opens(*id)) {
            return Ok(());
        }
        let mut store_key = self.store_key(&open).await?;
        store_key.learn(StoreKey::open(open.identity(), Zeroizing::new(theirs.to_vec()))?);
        self.write_store_key(store_key).await?;
        // Held from now on with what it has learned, so that it is noticed and ended.
        self.key().await.map(drop)
    }

    /// `store.age`, opened.
    async fn store_key(&self, open: &OpenKey) -> Result<StoreKey, Error> {
        let (keys, identity) = (self.keys.clone(), open.identity().clone());
        run_blocking(move || Ok(keys.open(&identity)?)).await
    }

    async fn write_store_key(&self, store_key: StoreKey) -> Result<StoreKey, Error> {
        let keys = self.keys.clone();
        let path = self.settings.locations.key_folder().join(STORE_KEY);
        run_blocking(move || {
            // Nobody else writes it now, and what a killed process left of it has keys in it.
            remove_temporaries(&path)?;
            keys.write(&store_key)?;
            Ok(store_key)
        })
        .await
    }

    /// Steps 2 to 4. `store_key` names the recipients from now on.
    async fn rekey(
        &self,
        open: &OpenKey,
        store_key: StoreKey,
        entries: Vec<AuditEntry>,
        reason: Option<&str>,
    ) -> Result<KeyRotation, Error> {
        self.store.call(|store| store.refuse_gone()).await?;
        let store_key = self.write_store_key(store_key.with_new_key()?).await?;
        self.reseal_and_forget(open, store_key, entries, reason).await
    }

    /// Steps 3 and 4.
    async fn reseal_and_forget(
        &self,
        open: &OpenKey,
        store_key: StoreKey,
        mut entries: Vec<AuditEntry>,
        reason: Option<&str>,
    ) -> Result<KeyRotation, Error> {
        let key_id = store_key.key.id();
        entries.push(self.rotation_entry(&store_key, reason));
        let store_key = Arc::new(store_key);
        let resealed = self.reseal(open, &store_key, entries).await?;
        let needed = self.keys_of_inbox(store_key.key.current_id()).await;
        let Some(mut store_key) = Arc::into_inner(store_key) else {
            return Err(Vault::Sealing("the key is still in use".into()).into());
        };
        match needed {
            Ok(needed) => store_key.forget_former_but(&needed),
            Err(error) => {
                tracing::warn!(error = error.message(), "the inbox was not looked through");
            }
        }
        let former_kept = store_key.key.has_former();
        let written = self.write_store_key(store_key).await;
        self.forget_changed_key(open).await?;
        let former_kept = match written {
            Ok(_) => former_kept,
            // All opens by the new key already; the next operation drops the former one.
            Err(error) => {
                tracing::warn!(error = error.message(), "a former key was not dropped yet");
                true
            }
        };
        let Resealed { anew, unopened } = resealed;
        Ok(KeyRotation { key_id, resealed: anew, unopened, former_kept })
    }

    /// Step 3.
    async fn reseal(
        &self,
        open: &OpenKey,
        store_key: &Arc<StoreKey>,
        entries: Vec<AuditEntry>,
    ) -> Result<Resealed, Error> {
        let (store_id, store_key) = (open.sealer().store_id, Arc::clone(store_key));
        let resealed = self
            .call_with_room(move |store| {
                let key = &store_key.key;
                let sealer = Sealer { key, store_id };
                let is_told = store.last_rotation()?.is_some_and(|(_, told)| told == key.id());
                if is_told && !store.is_sealed_otherwise(key.current_id())? {
                    return Ok(Resealed::default());
                }
                store.reseal(&key.id(), &entries, |value| {
                    let resealed =
                        sealer.reseal(value.table, value.row, value.generation, &value.sealed);
                    match resealed {
                        Ok(None) => Ok(Resealing::Kept),
                        Ok(Some(value)) => Ok(Resealing::Anew(value)),
                        // The system has no randomness: then none of it is done.
                        Err(Error::Vault(error @ Vault::Sealing(_))) => {
                            Err(store::Error::Unusable(error.to_string()))
                        }
                        Err(_) => Ok(Resealing::Unopened),
                    }
                })
            })
            .await
            .map_err(|error| match error.storage() {
                Some(storage) => Error::RekeyUnfinished(storage.clone()),
                None => error,
            })?;
        if resealed.anew > 0 {
            // What was sealed by a former key does not stay in the log, which would be as long.
            if let Err(error) = self.store.call(|store| store.truncate_log()).await {
                tracing::info!(%error, "the log was not emptied");
            }
        }
        Ok(resealed)
    }

    /// The row of the audit: the key's ID, and all who can open it since.
    fn rotation_entry(&self, store_key: &StoreKey, reason: Option<&str>) -> AuditEntry {
        let who: Vec<&str> =
            store_key.recipients.iter().map(|one| one.public_key.as_str()).collect();
        let detail = format!("{} for {}", store_key.key.id(), who.join(" "));
        self.audit_of(AuditEvent::KeyRotated, "key".into(), detail, reason)
    }

    /// Runs a change of the key to its end, also when whoever asked for it is gone.
    async fn to_its_end<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        // The process waits for it before it ends.
        let running = self.begin_exchange();
        let change = tokio::spawn(async move {
            let _running = running;
            change.await
        });
        match change.await {
            Ok(result) => result,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }
}

/// The recipient that is meant: by its public key, or by a label that only one has.
fn find(recipients: &[Recipient], named: &str) -> Result<usize, Error> {
    let by_key = recipients.iter().position(|one| one.public_key == named);
    let mut by_label =
        recipients.iter().enumerate().filter(|(_, one)| !named.is_empty() && one.label == named);
    match (by_key, by_label.next(), by_label.next()) {
        (Some(at), ..) | (None, Some((at, _)), None) => Ok(at),
        (None, Some(_), Some(_)) => {
            Err(Vault::Recipient("more than one recipient has this label: give the public key")
                .into())
        }
        (None, None, _) => Err(Error::NotFound(format!("recipient {named} of {STORE_KEY}"))),
    }
}
