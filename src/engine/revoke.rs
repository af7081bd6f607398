//! Revocation: owed from the moment it is decided, settled when Salesforce confirms it, and never
//! called done before.

use secrecy::SecretString;

use crate::domain::audit::AuditEvent;
use crate::domain::credential::Credential;
use crate::domain::record::RecordId;
use crate::domain::token::TokenSet;
use crate::engine::error::Error;
use crate::engine::keyring::OpenKey;
use crate::engine::outcome::{Progress, Revocation};
use crate::engine::{Engine, Reporter, now};
use crate::oauth::revoke;
use crate::store::{OwedRow, TokenRow, new_record_id};

/// Most owed revocations that are tried along with another operation.
const RETRIES_AT_ONCE: usize = 5;

/// What revokes a token set: its refresh token takes the access tokens along.
pub(super) fn owe(
    key: &OpenKey,
    credential: &Credential,
    token: &TokenSet,
) -> Result<OwedRow, Error> {
    let id = new_record_id()?;
    let secret: &SecretString = token.refresh_token.as_ref().unwrap_or(&token.access_token);
    Ok(OwedRow {
        id,
        address: credential.address.clone(),
        org_id: token.org_id.clone(),
        user_id: token.user_id.clone(),
        login_url: token.login_url.clone(),
        since: now(),
        sealed: key.sealer().seal_secret("revocation_owed", id, secret)?,
    })
}

impl Engine {
    /// Makes the debt durable, then pays it. For a token that was never stored here.
    pub(super) async fn revoke_unstored(
        &self,
        key: &OpenKey,
        credential: &Credential,
        token: &TokenSet,
        reporter: &Reporter,
    ) -> Result<Revocation, Error> {
        let owed = owe(key, credential, token)?;
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
        let owed = owe(key, credential, &token)?;
        let generation = stored.generation;
        let debt = self.audit(AuditEvent::RevocationOwed, credential, account_of(&owed));
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
                Ok(Revocation::Owed)
            }
        }
    }

    /// Tries a few of the oldest debts, where the key is open anyway.
    pub(super) async fn retry_owed(&self, reporter: &Reporter) -> Result<(), Error> {
        let owed = self.store.call(|store| store.owed_revocations()).await?;
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

/// Whose token it is, and which debt: the row that owes it and the row that confirms it say the same.
pub(super) fn account_of(owed: &OwedRow) -> String {
    let debt: String = owed.id.to_string().chars().take(12).collect();
    format!("org {} user {} at {}, debt {debt}", owed.org_id, owed.user_id, owed.login_url.host())
}
