//! What becomes of a token set that was replaced: it works until nobody can be using it, then it
//! is revoked (design: identity pin).

use std::time::Duration;

use crate::domain::record::RecordId;
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenRole;
use crate::engine::error::Error;
use crate::engine::keyring::OpenKey;
use crate::engine::outcome::Revocation;
use crate::engine::{Engine, Reporter, now};
use crate::store::{CredentialRow, TokenRow};

/// Longest drain.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Token sets of one credential that may live at once: an org keeps five approvals per user and
/// app, and drops the oldest of all silently (Salesforce OAuth facts section 4).
const LIVE_SETS: usize = 4;

impl Engine {
    /// When the active set may be revoked once it is replaced: a session's length after its last
    /// hand-out, at most a day from now, and at once when it was never handed out.
    pub(super) async fn drain_end(
        &self,
        row: &CredentialRow,
        session: Duration,
    ) -> Result<UnixMillis, Error> {
        let Some(active) = &row.credential.token else { return Ok(now()) };
        let (id, generation) = (row.id, active.generation);
        let last = self.store.call(move |store| store.last_hand_out(id, generation)).await?;
        let end = last.map_or(now(), |last| last.plus(session));
        Ok(end.min(now().plus(LONGEST)))
    }

    /// Revokes what is drained by now, along with another operation that goes to Salesforce anyway.
    pub(super) async fn revoke_due(
        &self,
        credential: RecordId,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let sets = self.store.call(move |store| store.token_sets(credential)).await?;
        let is_due = |set: &TokenRow| {
            set.role == TokenRole::Draining && set.drain_until.is_none_or(|until| until <= now())
        };
        if sets.iter().any(is_due) {
            let key = self.key().await?;
            self.revoke_drained(credential, &key, reporter).await?;
        }
        Ok(())
    }

    /// Revokes the drained sets of a credential: those whose time has come, and the oldest where
    /// there are too many. Says what became of them.
    pub(super) async fn revoke_drained(
        &self,
        credential: RecordId,
        key: &OpenKey,
        reporter: &Reporter,
    ) -> Result<Revocation, Error> {
        let row = self.reload(credential).await?;
        let sets = self.store.call(move |store| store.token_sets(credential)).await?;
        let surplus = sets.len().saturating_sub(LIVE_SETS);
        let draining: Vec<_> =
            sets.into_iter().filter(|set| set.role == TokenRole::Draining).collect();
        let mut result = Revocation::NothingToRevoke;
        for (index, set) in draining.iter().enumerate() {
            let due = set.drain_until.is_none_or(|until| until <= now());
            result = if due || index < surplus {
                self.revoke_stored(key, (credential, &row.credential), set, reporter).await?
            } else {
                Revocation::Draining
            };
        }
        Ok(result)
    }
}
