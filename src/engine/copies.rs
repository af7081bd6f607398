//! Restored backups and copied stores: noticed before a token is spent, asked about once for all,
//! and answered once for all.
//!
//! Refresh tokens can be single-use. A store that came from a backup, or that was copied, may hold
//! spent ones, and to send those again can end the live ones (RFC 9700 section 4.14.2).

use std::collections::HashMap;

use crate::domain::app::Rotation;
use crate::domain::audit::AuditEvent;
use crate::domain::copy::{CopyQuestion, CopySign, CopyStanding, Moved, is_other_host, may_rotate};
use crate::domain::credential::{Check, CheckKind, CheckOutcome};
use crate::domain::name::Address;
use crate::domain::record::RecordId;
use crate::domain::spent::{Spending, SpentJournal, SpentRecord, newest_of};
use crate::domain::token::{Generation, TokenRole};
use crate::engine::error::{Error, Refusal};
use crate::engine::outcome::AdoptReceipt;
use crate::engine::{Engine, Outcome, now};
use crate::platform;
use crate::platform::append::AppendFile;
use crate::store::{self, CredentialRow, IntentOperation, IntentRow, SpentSet, Store, TokenRow};

/// What the audit rows of a store are about.
pub(super) const STORE: &str = "store";

impl Engine {
    /// The journal of spent tokens of this host.
    pub(super) fn spent_file(&self) -> AppendFile {
        AppendFile::new(self.settings.locations.spent_file())
    }

    /// Refuses to spend a token from a store that was moved, or that may be a copy while nobody
    /// has said which one goes on. Where the app does not rotate, a copy harms nobody. A sign-in
    /// ends in the old token's revocation, which is the copy's too.
    pub(super) async fn refuse_copy(&self, row: &CredentialRow) -> Result<(), Error> {
        let app = self.app(&row.credential.app).await?;
        let rotation = app.map_or(Rotation::Unknown, |app| app.rotation);
        let at_risk = may_rotate(rotation) && row.credential.token.is_some();
        let standing = self.look_for_copy(at_risk.then_some(row.id)).await?;
        let address = row.credential.address.clone();
        if let Some(moved) = standing.moved {
            return Err(Error::Refused(Refusal::StoreMoved { address, moved }));
        }
        match standing.question {
            Some(question) if at_risk => {
                Err(Error::Refused(Refusal::StoreCopied { address, question }))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to sign in for a credential that is not saved yet, where another copy of the store goes
    /// on.
    pub(super) async fn refuse_moved(&self, address: &Address) -> Result<(), Error> {
        match self.look_for_copy(None).await?.moved {
            Some(moved) => {
                let address = address.clone();
                Err(Error::Refused(Refusal::StoreMoved { address, moved }))
            }
            None => Ok(()),
        }
    }

    /// How the store stands to its copies; a sign that the host shows opens the question.
    pub(super) async fn copy_standing(&self) -> Result<CopyStanding, Error> {
        let here = platform::who::host_mark();
        let (mark, standing) = self.store.call(|store| store.copy_standing()).await?;
        if !is_other_host(&mark, &here) || standing != CopyStanding::default() {
            return Ok(standing);
        }
        self.open_question(CopySign::OtherHost).await
    }

    /// The standing, with the signs looked for where the token of a credential is to be spent.
    async fn look_for_copy(&self, spending: Option<RecordId>) -> Result<CopyStanding, Error> {
        let (file, here) = (self.spent_file(), platform::who::host_mark());
        let look = move |store: &mut Store| -> Result<_, store::Error> {
            let (mark, standing) = store.copy_standing()?;
            let (true, Some(id)) = (standing == CopyStanding::default(), spending) else {
                return Ok(Ok((standing, None)));
            };
            if is_other_host(&mark, &here) {
                return Ok(Ok((standing, Some(CopySign::OtherHost))));
            }
            let begun = store.refreshes(id)?;
            Ok(file.read().map(|journal| {
                let newest = newest_of(&journal, id);
                let is_older = newest.is_some_and(|newest| newest.refreshes > begun);
                (standing, is_older.then_some(CopySign::Older))
            }))
        };
        match self.store.call(look).await?? {
            (standing, None) => Ok(standing),
            (_, Some(sign)) => self.open_question(sign).await,
        }
    }

    /// Opens the question, unless another process was first.
    async fn open_question(&self, sign: CopySign) -> Result<CopyStanding, Error> {
        let question = CopyQuestion { since: now(), sign };
        let words = sign.words().to_owned();
        let entry = self.audit_of(AuditEvent::StoreCopied, STORE.into(), words, None);
        let open = move |store: &mut Store| {
            store.open_question(question, &entry)?;
            store.copy_standing()
        };
        Ok(self.store.call(open).await?.1)
    }

    /// Commits the intent of an exchange, and notes a refresh token as spent before its request
    /// leaves.
    pub(super) async fn begin_spending(
        &self,
        credential: RecordId,
        intent: IntentRow,
    ) -> Result<(), Error> {
        let file = self.spent_file();
        let begin = move |store: &mut Store| -> Result<_, store::Error> {
            match intent.operation {
                IntentOperation::SignIn => store.begin_exchange(credential, &intent)?,
                IntentOperation::Discovery => store.send_discovery(credential)?,
                IntentOperation::Refresh => {
                    return begin_refresh(store, credential, &intent, &file);
                }
            }
            Ok(Some(Ok(())))
        };
        let Some(noted) = self.store.call(begin).await? else {
            // It was moved after the last look at it.
            self.refuse_copy(&self.reload(credential).await?).await?;
            return Err(store::Error::Stale.into());
        };
        Ok(noted?)
    }

    /// Notes that the token of the refresh that ends works still. It is no failure of that refresh
    /// when this can't be noted: an older store holds the token for spent then, which costs a
    /// sign-in and nothing else.
    pub(super) async fn note_kept(
        &self,
        credential: RecordId,
        generation: Generation,
        tag: [u8; 32],
    ) {
        let file = self.spent_file();
        let look = move |store: &mut Store| {
            let refreshes = store.refreshes(credential)?;
            let spending = Spending::Kept;
            Ok(note(&file, &SpentRecord { credential, refreshes, generation, tag, spending }))
        };
        let noted = match self.store.call(look).await {
            Ok(noted) => noted.map_err(Error::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = noted {
            tracing::warn!(error = error.message(), "the journal of spent tokens was not written");
        }
    }

    /// This copy goes on, on this host. What the journal knows as spent is out of use; nobody asks
    /// Salesforce with it.
    pub(super) async fn adopt(&self, reason: Option<String>) -> Result<Outcome, Error> {
        let (_, before) = self.store.call(|store| store.copy_standing()).await?;
        let (counts, spent) = self.spent_elsewhere(reason.as_deref()).await?;
        let addresses = spent.iter().map(|(address, _)| address.clone()).collect();
        let sets: Vec<SpentSet> = spent.into_iter().map(|(_, set)| set).collect();
        let detail = format!("{} token sets were spent elsewhere", sets.len());
        let event = AuditEvent::StoreAdopted;
        let entry = self.audit_of(event, STORE.into(), detail, reason.as_deref());
        let here = platform::who::host_mark();
        self.store.call(move |store| store.adopt(&here, &sets, &counts, &entry)).await?;
        Ok(Outcome::Adopted(AdoptReceipt { before, spent: addresses }))
    }

    /// Another copy goes on, and this store refreshes no more.
    pub(super) async fn leave_to_copy(&self, reason: Option<String>) -> Result<Outcome, Error> {
        let moved = Moved { at: now(), to: String::new() };
        let event = AuditEvent::StoreMoved;
        let entry =
            self.audit_of(event, STORE.into(), "another copy goes on".into(), reason.as_deref());
        let marked = moved.clone();
        self.store.call(move |store| store.mark_moved(&marked, &entry)).await?;
        Ok(Outcome::CopyStanding(CopyStanding { question: None, moved: Some(moved) }))
    }

    /// What the journal knows that the store does not: how many refreshes were begun, and which
    /// token sets that are in use here were spent by them.
    async fn spent_elsewhere(
        &self,
        reason: Option<&str>,
    ) -> Result<(Vec<(RecordId, u64)>, Vec<(Address, SpentSet)>), Error> {
        let file = self.spent_file();
        let newer = self.store.call(move |store| Ok(newer_in_journal(store, &file))).await??;
        let counts = newer.iter().map(|newer| (newer.record.credential, newer.record.refreshes));
        let counts = counts.collect();
        let mut rotations = HashMap::new();
        let mut spent = Vec::new();
        for NewerRecord { record, row, stored } in newer {
            let Some(stored) = stored.filter(|set| set.generation <= record.generation) else {
                continue;
            };
            let app = row.credential.app.clone();
            if !rotations.contains_key(&app) {
                let found = self.app(&app).await?;
                let rotation = found.map_or(Rotation::Unknown, |app| app.rotation);
                rotations.insert(app.clone(), rotation);
            }
            let single_use = rotations.get(&app).copied().is_none_or(may_rotate);
            if single_use && self.is_spent(&record, &stored).await? {
                let address = row.credential.address.clone();
                spent.push((address, self.spent_set(&row, &stored, reason)));
            }
        }
        Ok((counts, spent))
    }

    /// Whether the refresh token of a stored set is the one that was spent, or an older one.
    async fn is_spent(&self, record: &SpentRecord, stored: &TokenRow) -> Result<bool, Error> {
        let key = self.key().await?;
        let sealer = key.sealer();
        let token = sealer.open_token_set(stored.id, stored.generation, &stored.sealed)?;
        let tag = token.refresh_token.map(|token| sealer.key.tag("spent", &token));
        Ok(tag.is_some_and(|tag| record.ends(stored.generation, &tag)))
    }

    fn spent_set(&self, row: &CredentialRow, stored: &TokenRow, reason: Option<&str>) -> SpentSet {
        let message = "its refresh token was spent after this backup was made";
        let address = row.credential.address.to_string();
        let entry = self.audit_of(AuditEvent::TokenRefused, address, message.into(), reason);
        SpentSet {
            credential: row.id,
            generation: stored.generation,
            check: Check {
                kind: CheckKind::Refresh,
                at: now(),
                outcome: CheckOutcome::NeedsSetup,
                latency_ms: 0,
                message: message.into(),
                remedy: "set up the OAuth token".into(),
            },
            entry,
        }
    }
}

/// A record of the journal that is newer than what the store knows of the credential.
struct NewerRecord {
    record: SpentRecord,
    row: CredentialRow,
    /// The token set in use, where it could still be refreshed.
    stored: Option<TokenRow>,
}

fn newer_in_journal(store: &Store, file: &AppendFile) -> Result<Vec<NewerRecord>, Error> {
    let journal = SpentJournal::read(&file.read()?);
    let mut newer = Vec::new();
    for (id, begun) in store.all_refreshes()? {
        if let Some(record) = journal.newest(id).filter(|record| record.refreshes > begun) {
            let stored = store.token_set(id, TokenRole::Active)?;
            let stored = stored.filter(|set| set.refreshable && set.refused.is_none());
            newer.push(NewerRecord { record: record.clone(), row: store.credential(id)?, stored });
        }
    }
    Ok(newer)
}

/// Appends a record, and makes the journal smaller once in a while.
/// Commits the intent of a refresh and notes it in the journal; `None` where the store was moved.
fn begin_refresh(
    store: &mut Store,
    credential: RecordId,
    intent: &IntentRow,
    file: &AppendFile,
) -> Result<Option<Result<(), platform::files::FileError>>, store::Error> {
    let Some(refreshes) = store.begin_refresh(credential, intent)? else {
        return Ok(None);
    };
    let spent = SpentRecord {
        credential,
        refreshes,
        generation: intent.generation,
        tag: intent.spent_tag,
        spending: Spending::Sent,
    };
    let noted = note(file, &spent);
    if noted.is_err() {
        store.take_intent_back(credential, intent)?;
    }
    Ok(Some(noted))
}

fn note(file: &AppendFile, record: &SpentRecord) -> Result<(), platform::files::FileError> {
    file.append(&record.encode())?;
    if SpentJournal::is_large(file.len()) {
        file.compact(SpentJournal::compacted)?;
    }
    Ok(())
}
