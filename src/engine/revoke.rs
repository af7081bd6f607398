//! Revocation: owed from the moment it is decided, settled when Salesforce confirms it, and never
//! called done before.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::audit::{AuditEntry, AuditEvent};
use crate::domain::credential::{Cause, Check, CheckKind, CheckOutcome, Credential};
use crate::domain::host::LoginUrl;
use crate::domain::name::Address;
use crate::domain::policy::Account;
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenRole, TokenSet};
use crate::engine::error::Error;
use crate::engine::key_use::KeyAccess;
use crate::engine::keyring::OpenKey;
use crate::engine::operation::RevokeRequest;
use crate::engine::outcome::{OwedReport, Progress, Proof, Revocation, RevokeReceipt};
use crate::engine::select::PlainName;
use crate::engine::{Engine, Outcome, Reporter, now};
use crate::oauth::{identity, revoke};
use crate::store::{CredentialRow, OwedRow, TokenRow, new_record_id};

/// What has to be known of a revocation after a refresh or a sign-in whose answer was lost.
const LOST_ANSWER: &str = "an answer of Salesforce was lost before: a token that nobody here knows may be live, so block the app or freeze the user in Salesforce too";
/// How long after a failed try an agent makes the next one; twice as long after each.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// The longest of these waits.
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// Most owed revocations that are tried along with another operation.
const RETRIES_AT_ONCE: usize = 5;

/// What revokes a token set: its refresh token takes the access tokens along.
pub(super) fn owe(key: &OpenKey, address: &Address, token: &TokenSet) -> Result<OwedRow, Error> {
    let secret = token.refresh_token.as_ref().unwrap_or(&token.access_token);
    let account = Account { org_id: token.org_id.clone(), user_id: token.user_id.clone() };
    owe_secret(key, address, Some(account), &token.login_url, secret)
}

/// The same of one token, whosesoever it is.
pub(super) fn owe_secret(
    key: &OpenKey,
    address: &Address,
    account: Option<Account>,
    login_url: &LoginUrl,
    secret: &SecretString,
) -> Result<OwedRow, Error> {
    let id = new_record_id()?;
    Ok(OwedRow {
        id,
        address: address.clone(),
        account,
        login_url: login_url.clone(),
        since: now(),
        due_at: None,
        attempts: 0,
        last_error: String::new(),
        sealed: key.sealer().seal_secret("revocation_owed", id, secret)?,
    })
}

/// A token set that is to be revoked, with what proves afterwards that it is dead.
pub(super) struct Debt {
    /// What revokes it.
    pub(super) owed: OwedRow,
    generation: Generation,
    token: TokenSet,
    key: OpenKey,
}

impl Engine {
    /// Revokes every token set of a credential. What is saved stays.
    pub(super) async fn revoke(
        &self,
        request: RevokeRequest,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(&request.selection, PlainName::Refused).await?;
        // No refresh may be under way: its answer would be a token that nobody owns.
        let _lock = self.lock(row.id, reporter).await?;
        let row = self.reload(row.id).await?;
        let address = row.credential.address.clone();
        let app = row.credential.app.clone();
        let was_revoked =
            row.credential.token.as_ref().and_then(|token| token.refused) == Some(Cause::Revoked);
        // Of what was revoked before, the record stays; what has signed in since is live.
        let debts =
            self.debts(&row, |stored| !(was_revoked && stored.role == TokenRole::Active)).await?;
        let lost = self.lost_answer(row.id).await?;
        let receipt = |revocation, proof, message: &str| RevokeReceipt {
            address: address.clone(),
            revocation,
            proof,
            token_sets: debts.len() as u64,
            app: app.clone(),
            message: message.to_owned(),
        };
        if debts.is_empty() {
            let (revocation, message) = match (row.credential.revocation_owed, was_revoked) {
                (true, _) => (Revocation::Owed, "it was revoked here before"),
                (false, true) => (Revocation::NothingToRevoke, "it was revoked before"),
                (false, false) => (Revocation::NothingToRevoke, ""),
            };
            let message = if lost.is_empty() { message } else { lost };
            return Ok(Outcome::Revoked(receipt(revocation, None, message)));
        }
        let detail = format!("{} token sets", debts.len());
        let subject = address.to_string();
        let reason = request.reason.as_deref();
        let entry = self.audit_of(AuditEvent::RevocationBegun, subject, detail, reason);
        let check = Check {
            kind: CheckKind::Test,
            at: now(),
            outcome: CheckOutcome::NeedsSetup,
            latency_ms: 0,
            message: "the token was revoked from here".into(),
            remedy: "set up the OAuth token".into(),
        };
        let (id, owed) = (row.id, self.recorded(&row.credential, &debts));
        self.call_with_room(move |store| store.revoke_credential(id, &owed, &check, &entry))
            .await?;
        let (revocation, proof) = self.pay_and_prove(&debts, reporter).await?;
        Ok(Outcome::Revoked(receipt(revocation, proof, lost)))
    }

    /// What has to be told where an exchange was begun and never settled; else nothing. For who
    /// holds the lock: nobody else's exchange is under way.
    pub(super) async fn lost_answer(&self, id: RecordId) -> Result<&'static str, Error> {
        let is_open = self.store.call(move |store| store.has_intent(id)).await?;
        Ok(if is_open { LOST_ANSWER } else { "" })
    }

    /// Each debt with the audit row that says whose token it is.
    pub(super) fn recorded(
        &self,
        credential: &Credential,
        debts: &[Debt],
    ) -> Vec<(OwedRow, AuditEntry)> {
        let pair = |debt: &Debt| {
            let detail = account_and_generation(&debt.owed, debt.generation);
            (debt.owed.clone(), self.audit(AuditEvent::RevocationOwed, credential, detail))
        };
        debts.iter().map(pair).collect()
    }

    /// What revokes each token set of a credential that `is_wanted`, oldest first. Nothing is
    /// durable yet.
    pub(super) async fn debts(
        &self,
        row: &CredentialRow,
        is_wanted: impl Fn(&TokenRow) -> bool,
    ) -> Result<Vec<Debt>, Error> {
        let id = row.id;
        let mut sets = self.store.call(move |store| store.token_sets(id)).await?;
        sets.retain(is_wanted);
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.key().await?;
        sets.iter()
            .map(|stored| {
                let token =
                    key.sealer().open_token_set(stored.id, stored.generation, &stored.sealed)?;
                let owed = owe(&key, &row.credential.address, &token)?;
                Ok(Debt { owed, generation: stored.generation, token, key: key.clone() })
            })
            .collect()
    }

    /// Pays debts that are durable, and looks whether what they revoked is dead. What is told of
    /// several is what is least certain.
    pub(super) async fn pay_and_prove(
        &self,
        debts: &[Debt],
        reporter: &Reporter,
    ) -> Result<(Revocation, Option<Proof>), Error> {
        let mut revocation = Revocation::NothingToRevoke;
        let mut proof = None;
        for debt in debts {
            match self.pay(&debt.key, &debt.owed, reporter).await? {
                Revocation::Confirmed => {
                    proof = proof.max(Some(self.prove_dead(&debt.token).await?));
                    if revocation == Revocation::NothingToRevoke {
                        revocation = Revocation::Confirmed;
                    }
                }
                _ => revocation = Revocation::Owed,
            }
        }
        Ok((revocation, proof))
    }

    /// One call with the access token of a token set that was revoked.
    async fn prove_dead(&self, token: &TokenSet) -> Result<Proof, Error> {
        let request = identity::userinfo_request(&token.instance_url, &token.access_token);
        Ok(match self.ask(request).await? {
            Ok(response) if matches!(response.status, 401 | 403) => Proof::Refused,
            Ok(response) if response.status == 200 => Proof::StillServed,
            Ok(_) | Err(_) => Proof::Answered,
        })
    }

    /// The revocations that are owed.
    pub(super) async fn owed(&self) -> Result<Outcome, Error> {
        let owed = self.store.call(|store| store.owed_revocations()).await?;
        Ok(Outcome::Owed(owed.into_iter().map(report).collect()))
    }

    /// Those that are to be tried by now; what waits for a yes is not.
    async fn due_revocations(&self) -> Result<Vec<OwedRow>, Error> {
        let mut owed = self.store.call(|store| store.owed_revocations()).await?;
        owed.retain(|debt| debt.is_due(now()));
        Ok(owed)
    }

    /// Tries every one of them, and tells what is left.
    pub(super) async fn pay_owed(&self, reporter: &Reporter) -> Result<Outcome, Error> {
        let owed = self.due_revocations().await?;
        if !owed.is_empty() {
            let key = self.key().await?;
            for debt in &owed {
                self.pay(&key, debt, reporter).await?;
            }
        }
        self.owed().await
    }

    /// Tries what is owed again, as long as the key is open: after a minute, and then after twice as
    /// long each time, an hour at most. Wakes for that alone. Never ends.
    pub(crate) async fn pay_in_time(self: Arc<Self>) {
        let mut changed = self.drains.subscribe();
        let mut wait = FIRST_RETRY;
        loop {
            changed.borrow_and_update();
            let owed = self.store.call(|store| store.owed_revocations()).await;
            if let Some(owed) = owed.ok().filter(|owed| !owed.iter().any(|one| one.is_due(now()))) {
                wait = FIRST_RETRY;
                let first = owed.iter().filter_map(|debt| debt.due_at).min();
                let due = async {
                    match first {
                        Some(due) => tokio::time::sleep(due.since(now())).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! { () = due => {} _ = changed.changed() => {} }
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(wait)) => {
                    wait = (wait * 2).min(LAST_RETRY);
                    let reporter = Reporter(None);
                    let paid = match self.with_key_access(KeyAccess::Use, &reporter).await {
                        Ok(engine) => engine.pay_owed(&reporter).await,
                        Err(error) => Err(error),
                    };
                    if let Err(Error::Key(_)) = paid {
                        // That it is opened is told as a change.
                        let _ = changed.changed().await;
                    }
                }
                _ = changed.changed() => {}
            }
        }
    }

    /// Makes the debt durable, then pays it. For a token that was never stored here.
    pub(super) async fn revoke_unstored(
        &self,
        key: &OpenKey,
        credential: &Credential,
        token: &TokenSet,
        reporter: &Reporter,
    ) -> Result<Revocation, Error> {
        let owed = owe(key, &credential.address, token)?;
        let entry = self.audit(AuditEvent::RevocationOwed, credential, account_of(&owed));
        let kept = owed.clone();
        self.store.call(move |store| store.owe_revocation(&kept, &entry)).await?;
        self.pay(key, &owed, reporter).await
    }

    /// Takes a stored token set out and revokes it: the debt and the row change places first.
    pub(super) async fn revoke_stored(
        &self,
        key: &OpenKey,
        credential: (RecordId, &Credential),
        stored: &TokenRow,
        reporter: &Reporter,
    ) -> Result<Revocation, Error> {
        let (id, credential) = credential;
        let token = key.sealer().open_token_set(stored.id, stored.generation, &stored.sealed)?;
        let owed = owe(key, &credential.address, &token)?;
        let generation = stored.generation;
        let detail = account_and_generation(&owed, generation);
        let debt = self.audit(AuditEvent::RevocationOwed, credential, detail);
        let removal = self.audit(
            AuditEvent::CandidateDiscarded,
            credential,
            format!("generation {} ({})", generation.0, stored.role.as_str()),
        );
        let kept = owed.clone();
        self.store
            .call(move |store| {
                store.owe_revocation(&kept, &debt)?;
                store.remove_token_set(id, generation, &removal)
            })
            .await?;
        self.pay(key, &owed, reporter).await
    }

    /// Tries to pay one debt.
    pub(super) async fn pay(
        &self,
        key: &OpenKey,
        owed: &OwedRow,
        reporter: &Reporter,
    ) -> Result<Revocation, Error> {
        reporter.progress(Progress::Revoking);
        let token = key.sealer().open_secret("revocation_owed", owed.id, &owed.sealed)?;
        let request = revoke::request(&owed.login_url, &token);
        let answer = self.ask(request).await?;
        let id = owed.id;
        match answer.and_then(|response| revoke::response(owed.login_url.host(), &response)) {
            Ok(_) => {
                let subject = owed.address.to_string();
                let entry = self.audit_of(AuditEvent::Revoked, subject, account_of(owed), None);
                self.call_with_room(move |store| store.settle_revocation(id, &entry)).await?;
                Ok(Revocation::Confirmed)
            }
            Err(fault) => {
                let message = fault.message();
                self.call_with_room(move |store| store.postpone_revocation(id, &message)).await?;
                self.drains_changed();
                Ok(Revocation::Owed)
            }
        }
    }

    /// Tries a few of the oldest debts, where the key is open anyway.
    pub(super) async fn retry_owed(&self, reporter: &Reporter) -> Result<(), Error> {
        let owed = self.due_revocations().await?;
        if owed.is_empty() {
            return Ok(());
        }
        let key = self.key().await?;
        for debt in owed.iter().take(RETRIES_AT_ONCE) {
            self.pay(&key, debt, reporter).await?;
        }
        Ok(())
    }
}

/// Agents of many hosts do not ask at the same moment: up to a quarter longer.
fn jittered(wait: Duration) -> Duration {
    let share = u32::try_from(now().0.rem_euclid(256)).unwrap_or(0);
    wait + wait * share / 1024
}

fn report(owed: OwedRow) -> OwedReport {
    OwedReport {
        host: owed.login_url.host().to_owned(),
        address: owed.address,
        account: owed.account,
        since: owed.since,
        waits_until: owed.due_at.filter(|due| *due > now()),
        attempts: owed.attempts,
        last_error: owed.last_error,
    }
}

/// Whose token it is, and which debt: the row that owes it and the row that confirms it say the same.
pub(super) fn account_of(owed: &OwedRow) -> String {
    let debt: String = owed.id.to_string().chars().take(12).collect();
    let host = owed.login_url.host();
    match &owed.account {
        Some(Account { org_id, user_id }) => {
            format!("org {org_id} user {user_id} at {host}, debt {debt}")
        }
        None => format!("of an answer that names no account, at {host}, debt {debt}"),
    }
}

/// The same of a token set that was in use, so that its end is tied to what replaced it.
fn account_and_generation(owed: &OwedRow, generation: Generation) -> String {
    format!("{}, generation {}", account_of(owed), generation.0)
}
