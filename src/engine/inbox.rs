//! Answers between Salesforce and the store: sealed into a slot as they come, and taken over later
//! when the process that read them ended too soon.

use std::sync::Arc;

use crate::domain::http::Response;
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenRole};
use crate::engine::error::Error;
use crate::engine::key_use::KeyAccess;
use crate::engine::keyring::{OpenKey, run_blocking};
use crate::engine::seal::{AnswerPlace, TokenEndpoint};
use crate::engine::{Engine, Reporter};
use crate::platform::files::FileError;
use crate::platform::inbox::{Inbox, Slot, Waiting};
use crate::store::{self, DiscoveryRow, DiscoveryStage, IntentOperation};
use crate::vault::data_key::{KeyId, SealPreparation, sealed_by};
use crate::vault::error::Error as Vault;

/// The form of what a slot holds: `version (1) | credential (16) | operation (1) | generation (8) |
/// sealed answer`.
const VERSION: u8 = 1;
const HEAD_LENGTH: usize = 1 + 16 + 1 + 8;

/// A slot of the inbox with all that sealing an answer into it takes.
pub(super) struct AnswerSlot {
    slot: Slot,
    inbox: Inbox,
    key: OpenKey,
    operation: IntentOperation,
    place: AnswerPlace,
}

impl AnswerSlot {
    /// For which credential.
    pub(super) fn credential(&self) -> RecordId {
        self.place.credential
    }

    /// Keeps an answer as it came. Called where it was read, before anyone looks into it.
    pub(super) fn keep(
        &self,
        preparation: SealPreparation,
        answer: &Response,
    ) -> Result<(), Error> {
        Ok(self.slot.keep(&self.seal(preparation, answer)?)?)
    }

    /// Keeps it wherever there is room.
    pub(super) fn rescue(&self, answer: &Response) -> Result<(), Error> {
        if self.keep(SealPreparation::new()?, answer).is_ok() {
            return Ok(());
        }
        Ok(self.inbox.keep_in_emergency(&self.seal(SealPreparation::new()?, answer)?)?)
    }

    /// Empties the slot.
    pub(super) fn clear(&self) -> Result<(), FileError> {
        self.slot.clear()
    }

    fn seal(&self, preparation: SealPreparation, answer: &Response) -> Result<Vec<u8>, Error> {
        let sealed = self.key.sealer().seal_answer(preparation, &self.place, answer)?;
        let mut content = Vec::with_capacity(HEAD_LENGTH + sealed.len());
        content.push(VERSION);
        content.extend_from_slice(&self.place.credential.0);
        content.push(code(self.operation));
        content.extend_from_slice(&self.place.generation.0.to_be_bytes());
        content.extend_from_slice(&sealed);
        Ok(content)
    }
}

/// What a waiting answer says of itself without being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label {
    credential: RecordId,
    operation: IntentOperation,
    generation: Generation,
}

fn code(operation: IntentOperation) -> u8 {
    match operation {
        IntentOperation::Refresh => 1,
        IntentOperation::SignIn => 2,
        IntentOperation::Discovery => 3,
    }
}

/// The part of the seal that tells what was spent.
fn table(operation: IntentOperation) -> &'static str {
    match operation {
        IntentOperation::Refresh => "inbox.refresh",
        IntentOperation::SignIn => "inbox.sign_in",
        IntentOperation::Discovery => "inbox.discovery",
    }
}

/// Reads the label; what does not read was never whole.
fn label(content: &[u8]) -> Option<(Label, &[u8])> {
    let (head, sealed) = content.split_at_checked(HEAD_LENGTH)?;
    let operation = match head[17] {
        1 => IntentOperation::Refresh,
        2 => IntentOperation::SignIn,
        3 => IntentOperation::Discovery,
        _ => return None,
    };
    let credential = RecordId(head[1..17].try_into().ok()?);
    let generation = Generation(u64::from_be_bytes(head[18..].try_into().ok()?));
    (head[0] == VERSION).then_some((Label { credential, operation, generation }, sealed))
}

impl Engine {
    /// Takes a slot for the answer to a grant of a credential, of which `generation` is spent.
    pub(super) async fn claim_slot(
        &self,
        credential: RecordId,
        operation: IntentOperation,
        generation: Generation,
        endpoint: TokenEndpoint,
        key: OpenKey,
    ) -> Result<AnswerSlot, Error> {
        let inbox = self.inbox();
        let place = AnswerPlace { table: table(operation), credential, generation, endpoint };
        let slot = run_blocking(move || {
            let slot = inbox.claim().map_err(no_room)?;
            Ok(AnswerSlot { slot, inbox, key, operation, place })
        })
        .await?;
        if slot.slot.is_behind() {
            self.sweep_inbox().await?;
        }
        Ok(slot)
    }

    /// Empties the slots of answers that are in the store already: their process ended between its
    /// commit and this.
    async fn sweep_inbox(&self) -> Result<(), Error> {
        let inbox = self.inbox();
        for answer in run_blocking(move || Ok(inbox.waiting()?)).await? {
            let Some((found, _)) = label(&answer.content) else { continue };
            if self.is_taken_over(found).await? {
                clear(answer).await?;
            }
        }
        Ok(())
    }

    /// Whether nobody waits for an answer any more.
    async fn is_taken_over(&self, found: Label) -> Result<bool, Error> {
        let Label { credential, operation, generation } = found;
        if operation == IntentOperation::Discovery {
            let row = self.store.call(move |store| store.discovery(credential)).await?;
            return Ok(row.is_none_or(|row| row.stage != DiscoveryStage::Sent));
        }
        let newest = self.store.call(move |store| store.newest_generation(credential)).await?;
        Ok(newest.is_none_or(|newest| newest > generation))
    }

    /// The IDs of other keys than `current` that answers in the inbox are sealed by. What is in the
    /// store already is removed first.
    pub(super) async fn keys_of_inbox(&self, current: KeyId) -> Result<Vec<KeyId>, Error> {
        self.sweep_inbox().await?;
        let inbox = self.inbox();
        let waiting = run_blocking(move || Ok(inbox.waiting()?)).await?;
        let sealed = waiting.iter().filter_map(|one| label(&one.content)?.1.into());
        Ok(sealed.filter_map(sealed_by).filter(|id| *id != current).collect())
    }

    fn inbox(&self) -> Inbox {
        let locations = &self.settings.locations;
        Inbox::new(locations.inbox_file(), locations.locks_folder())
    }

    /// Takes over what an ended process left for a credential, whose lock is ours. Without the key it
    /// goes on waiting. Whatever it says of the token is settled as if it had just come.
    pub(super) async fn heal(
        &self,
        credential: RecordId,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let has_intent = self.store.call(move |store| store.has_intent(credential)).await?;
        if has_intent { self.take_over_all(credential, reporter).await } else { Ok(()) }
    }

    /// Takes over every answer that waits for a credential, or for a discovery.
    pub(super) async fn take_over_all(
        &self,
        of: RecordId,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let inbox = self.inbox();
        let waiting = run_blocking(move || Ok(inbox.waiting()?)).await?;
        for answer in waiting {
            let Some((found, _)) = label(&answer.content) else { continue };
            if found.credential == of {
                self.take_over(found, answer, reporter).await?;
            }
        }
        Ok(())
    }

    /// Whether an answer still waits, as it does where the key is not open.
    pub(super) async fn waits_in_inbox(&self, of: RecordId) -> Result<bool, Error> {
        let inbox = self.inbox();
        let waiting = run_blocking(move || Ok(inbox.waiting()?)).await?;
        let is_of =
            |content: &[u8]| label(content).is_some_and(|(found, _)| found.credential == of);
        Ok(waiting.iter().any(|answer| is_of(&answer.content)))
    }

    async fn take_over(
        &self,
        label: Label,
        waiting: Waiting,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let Label { credential, operation, generation } = label;
        let key = match self.key().await {
            Ok(key) => key,
            // It waits until somebody opens the key.
            Err(Error::Key(_) | Error::Vault(Vault::PassphraseNeeded)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let (_, sealed) = self::label(&waiting.content).unwrap_or((label, &[]));
        let opened = key.sealer().open_answer(table(operation), credential, generation, sealed);
        let (answer, endpoint) = match opened {
            Ok(opened) => opened,
            // Cut by the end of the machine: nobody ever heard of it.
            Err(Error::Vault(Vault::BrokenSeal { .. })) => return clear(waiting).await,
            Err(error) => return Err(error),
        };
        let settled = match operation {
            IntentOperation::Refresh => self.settle_late(label, key, &answer).await,
            IntentOperation::SignIn => {
                let answer = (&answer, &endpoint);
                self.accept_late(credential, generation, &key, answer, reporter).await
            }
            IntentOperation::Discovery => {
                let answer = (&answer, &endpoint);
                self.accept_late_discovery(credential, &key, answer, reporter).await
            }
        };
        match settled {
            // What it said is in the store now, also where it was a refusal.
            Ok(()) => clear(waiting).await,
            Err(error) if error.storage().is_some() => Err(error),
            Err(_) => clear(waiting).await,
        }
    }

    /// Settles a refresh's answer that waited.
    async fn settle_late(
        &self,
        label: Label,
        key: OpenKey,
        answer: &Response,
    ) -> Result<(), Error> {
        let id = label.credential;
        let row = self.reload(id).await?;
        let (stored, intent) = self
            .store
            .call(move |store| {
                let stored = store.token_set(id, TokenRole::Active)?;
                Ok((stored, store.intent(id, IntentOperation::Refresh)?))
            })
            .await?;
        // Where the spent set is not the active one any more, the answer was taken over before.
        let Some(stored) = stored.filter(|stored| stored.generation == label.generation) else {
            return Ok(());
        };
        let attempt = intent.map_or(1, |intent| intent.attempt);
        let spending = self.spending(row, stored, attempt, key).await?;
        let secret =
            self.client_secret(&spending.row.credential.app, &spending.token.client_id).await?;
        self.settle(&spending, std::time::Duration::ZERO, answer, secret.as_ref()).await?;
        Ok(())
    }

    /// Takes over what ended processes left, for every credential that has an open exchange and
    /// nobody at work on it. For what shows the state of credentials.
    pub(super) async fn heal_all(self: &Arc<Self>) -> Result<(), Error> {
        let open = self.store.call(|store| store.open_exchanges()).await?;
        let discoveries = self.store.call(|store| store.discoveries()).await?;
        let is_sent = |row: &DiscoveryRow| row.stage == DiscoveryStage::Sent;
        if open.is_empty() && !discoveries.iter().any(is_sent) {
            return Ok(());
        }
        // Nothing is shown later because somebody changes the key: it waits for the next look.
        let Some(engine) = self.try_key_access(KeyAccess::Use) else { return Ok(()) };
        for credential in open {
            // Where the lock can't be had, as on a read-only file system, nothing can be healed.
            if let Ok(Some(_lock)) = engine.try_lock(credential) {
                engine.heal(credential, &Reporter(None)).await?;
            }
        }
        for row in discoveries.iter().filter(|row| is_sent(row)) {
            if let Ok(Some(_lock)) = engine.try_lock(row.id) {
                engine.heal_discovery(row.id, &Reporter(None)).await?;
            }
        }
        Ok(())
    }
}

/// A full disk is the store's matter, whichever file met it: nothing was sent yet.
fn no_room(error: FileError) -> Error {
    match &error {
        FileError::System { source, .. } if is_full(source) => store::Error::Full.into(),
        _ => error.into(),
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

async fn clear(waiting: Waiting) -> Result<(), Error> {
    run_blocking(move || Ok(waiting.clear()?)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_reads_back_and_what_is_no_label_is_none() {
        let all = [IntentOperation::Refresh, IntentOperation::SignIn, IntentOperation::Discovery];
        for operation in all {
            let mut content = vec![VERSION];
            content.extend([7; 16]);
            content.push(code(operation));
            content.extend(41_u64.to_be_bytes());
            content.extend(b"sealed");
            let (found, sealed) = label(&content).unwrap();
            let expected =
                Label { credential: RecordId([7; 16]), operation, generation: Generation(41) };
            assert_eq!((found, sealed), (expected, &b"sealed"[..]));
            content[0] = 9;
            assert!(label(&content).is_none());
            assert!(label(&content[..20]).is_none());
        }
    }
}
