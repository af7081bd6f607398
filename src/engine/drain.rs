//! What becomes of a token set that was replaced: it works until nobody can be using it, then it
//! is revoked (design: identity pin).

use std::sync::Arc;
use std::time::Duration;

use crate::domain::record::RecordId;
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenRole;
use crate::engine::error::Error;
use crate::engine::key_use::KeyAccess;
use crate::engine::keyring::OpenKey;
use crate::engine::outcome::Revocation;
use crate::engine::{Engine, Reporter, now};
use crate::store::{CredentialRow, TokenRow};

/// Longest drain.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Drained sets that are revoked along with another operation.
const DRAINED_AT_ONCE: usize = 5;
/// Wait after a drained set could not be revoked.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Token sets of one credential that may live on after a sign-in: an org keeps five approvals per
/// user and app, and drops the oldest of all silently (Salesforce OAuth facts section 4). The next
/// sign-in makes one more, and one is left for another client of the same app.
const LIVE_SETS: usize = 3;

impl Engine {
    /// When the active set may be revoked once it is replaced: a session's length after its last
    /// hand-out, at most `limit` seconds (a day where nobody says) from now, and at once when it was
    /// never handed out, or is out of use.
    pub(super) async fn drain_end(
        &self,
        row: &CredentialRow,
        session: Duration,
        limit: Option<u64>,
    ) -> Result<UnixMillis, Error> {
        let Some(active) = &row.credential.token else { return Ok(now()) };
        if active.refused.is_some() {
            return Ok(now());
        }
        let id = row.id;
        let last = self.store.call(move |store| store.last_hand_out(id)).await?;
        // What was handed out before this sign-in is of a set that drains, or is gone.
        let last = last.filter(|last| *last >= active.signed_in_at);
        let end = last.map_or(now(), |last| last.plus(session));
        Ok(end.min(now().plus(limit.map_or(LONGEST, Duration::from_secs))))
    }

    /// Revokes what is drained by now, along with another operation that goes to Salesforce anyway.
    pub(super) async fn revoke_due(
        &self,
        credential: RecordId,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let is_due = |set: &TokenRow| {
            set.role == TokenRole::Draining && set.drain_until.is_none_or(|until| until <= now())
        };
        let sets = self.store.call(move |store| store.token_sets(credential)).await?;
        // Whoever is at work on the credential revokes it, or the next one does.
        if sets.iter().any(is_due)
            && let Some(_lock) = self.try_lock(credential)?
        {
            let key = self.key().await?;
            self.revoke_drained(credential, &key, reporter).await?;
        }
        Ok(())
    }

    /// What goes to Salesforce along with another operation: a few drained sets of any credential,
    /// and a few owed revocations.
    pub(super) async fn settle_debts(&self, reporter: &Reporter) -> Result<(), Error> {
        let due = self.store.call(|store| store.due_drains(now())).await?;
        for credential in due.into_iter().take(DRAINED_AT_ONCE) {
            self.revoke_due(credential, reporter).await?;
        }
        self.retry_owed(reporter).await
    }

    /// Looks again at when the next drain ends.
    pub(super) fn drains_changed(&self) {
        self.drains.send_replace(());
    }

    /// Revokes each drained set when its time comes, as long as the key is open; wakes for that
    /// alone. Never ends.
    pub(crate) async fn drain_in_time(self: Arc<Self>) {
        let mut changed = self.drains.subscribe();
        loop {
            changed.borrow_and_update();
            let next = self.store.call(|store| store.next_drain_end()).await.ok().flatten();
            let sleep = async {
                match next {
                    Some(end) => tokio::time::sleep(end.since(now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {
                    match self.revoke_all_due().await {
                        Ok(()) => {}
                        // That it is opened is told as a change.
                        Err(Error::Key(_)) => {
                            let _ = changed.changed().await;
                        }
                        Err(error) => {
                            tracing::warn!(error = error.message(), "a drained token is not revoked");
                            tokio::time::sleep(AFTER_FAILURE).await;
                        }
                    }
                }
                _ = changed.changed() => {}
            }
        }
    }

    async fn revoke_all_due(self: &Arc<Self>) -> Result<(), Error> {
        // Not held while it sleeps: whoever changes the key would wait for that.
        let engine = self.with_key_access(KeyAccess::Use, &Reporter(None)).await?;
        for credential in engine.store.call(|store| store.due_drains(now())).await? {
            engine.revoke_due(credential, &Reporter(None)).await?;
        }
        drop(engine);
        // Somebody is at work on what is left.
        if !self.store.call(|store| store.due_drains(now())).await?.is_empty() {
            tokio::time::sleep(AFTER_FAILURE).await;
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
        // Oldest first: what is told in the end is what became of the one that was replaced last.
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
