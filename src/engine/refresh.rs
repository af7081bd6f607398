//! The refresh: the one exchange that can lose an org when it is done carelessly.
//!
//! The order is the safety argument; each step says why it stands where it does. What is spent
//! here may be single-use: Salesforce can kill the old refresh token at the moment it answers.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::app::Rotation;
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenRole};
use crate::engine::error::{Error, SetupNeed};
use crate::engine::keyring::OpenKey;
use crate::engine::outcome::Progress;
use crate::engine::seal::TokenEndpoint;
use crate::engine::settle::{Spending, Tried};
use crate::engine::token::{refuse_dead, refuse_held};
use crate::engine::{Engine, Reporter};
use crate::oauth::{Client, refresh};
use crate::store::{CredentialRow, IntentOperation, TokenRow};

/// Tries when Salesforce says that it is at the same token already, and the waits between them.
const BUSY_WAITS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// Tries at a token whose answer was lost: the first, and one more.
const ATTEMPTS: u32 = 2;
/// How long after its start an intent may still get its answer: the deadline of a request and the
/// commit after it.
pub(super) const INTENT_LIFE: Duration = Duration::from_secs(25);

/// Why a token is refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The access token is worth nothing any more.
    Needed,
    /// Somebody wants another refresh token.
    ToRotate,
}

impl Engine {
    /// Gets a newer token set than `seen`: by an exchange, or by taking over another process's.
    ///
    /// Once begun it runs to its end, whatever becomes of the caller.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        credential: RecordId,
        seen: Generation,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        self.refresh_as(Why::Needed, credential, seen, reporter).await
    }

    /// The same to rotate: a token whose answer was lost is left alone, for nothing needs it now.
    pub(super) async fn refresh_to_rotate(
        self: &Arc<Self>,
        credential: RecordId,
        seen: Generation,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        self.refresh_as(Why::ToRotate, credential, seen, reporter).await
    }

    async fn refresh_as(
        self: &Arc<Self>,
        why: Why,
        credential: RecordId,
        seen: Generation,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let (engine, reporter) = (Arc::clone(self), reporter.clone());
        let exchange =
            tokio::spawn(
                async move { engine.refresh_locked(why, credential, seen, &reporter).await },
            );
        match exchange.await {
            Ok(result) => result,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    async fn refresh_locked(
        &self,
        why: Why,
        credential: RecordId,
        seen: Generation,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let mut waits = BUSY_WAITS.iter();
        loop {
            // 1. One exchange at a time; what another process did meanwhile is read under it.
            let lock = self.lock(credential, reporter).await?;
            let tried = self.try_refresh(why, credential, seen, reporter).await?;
            drop(lock);
            let Tried::Busy(fault) = tried else { return Ok(()) };
            let Some(wait) = waits.next() else { return Err(fault.into()) };
            reporter.progress(Progress::Waiting);
            tokio::time::sleep(*wait).await;
        }
    }

    async fn try_refresh(
        &self,
        why: Why,
        credential: RecordId,
        seen: Generation,
        reporter: &Reporter,
    ) -> Result<Tried, Error> {
        let Some(spending) = self.prepare(why, credential, seen).await? else {
            return Ok(Tried::Fresh);
        };
        let secret =
            self.client_secret(&spending.row.credential.app, &spending.token.client_id).await?;
        let Some(refresh_token) = &spending.token.refresh_token else {
            return Err(Error::Setup(no_refresh_token(&spending)));
        };
        let client =
            Client { client_id: &spending.token.client_id, client_secret: secret.as_ref() };
        let request = refresh::request(&spending.token.login_url, &client, refresh_token);
        // 2. Room for the answer, so that a full disk is met now and not when it is too late.
        let endpoint = TokenEndpoint {
            login_url: spending.token.login_url.clone(),
            client_id: spending.token.client_id.clone(),
            app: spending.row.credential.app.clone(),
            drain_limit: None,
            flow: spending.token.flow,
        };
        let operation = IntentOperation::Refresh;
        let (generation, key) = (spending.stored.generation, spending.key.clone());
        let slot = self.claim_slot(credential, operation, generation, endpoint, key).await?;
        // 3. From here to the commit the process waits for us before it ends.
        let _exchange = self.begin_exchange();
        // 4. A connection; then 'may have been sent' is durable; then the request leaves. Its answer
        //    is on the disk before anyone looks into it.
        let intent = Self::intent(operation, generation, spending.attempt, spending.spent_tag());
        let mut exchanged = self.exchange(request, slot, intent, reporter).await?;
        // 5. What it says is settled in one commit.
        loop {
            let latency = exchanged.latency;
            let settled = match &exchanged.answer {
                Err(error) => self.settle_no_answer(&spending, latency, error).await,
                Ok(response) => self.settle(&spending, latency, response, secret.as_ref()).await,
            };
            if let Some(result) = self.secure(&mut exchanged, settled, reporter).await {
                return result;
            }
        }
    }

    /// Reads again under the lock. `None` when a newer token set is there already.
    async fn prepare(
        &self,
        why: Why,
        credential: RecordId,
        seen: Generation,
    ) -> Result<Option<Spending>, Error> {
        let row = self.reload(credential).await?;
        refuse_held(&row.credential.address, row.credential.held.as_ref())?;
        let address = row.credential.address.clone();
        let (stored, intent) = self
            .store
            .call(move |store| {
                let stored = store.token_set(credential, TokenRole::Active)?;
                Ok((stored, store.intent(credential, IntentOperation::Refresh)?))
            })
            .await?;
        let Some(stored) = stored else { return Err(Error::Setup(SetupNeed::NoToken(address))) };
        if stored.generation > seen && stored.refused.is_none() {
            return Ok(None);
        }
        refuse_dead(&row, &stored)?;
        // We hold the lock, so whoever wrote an open intent is dead or lost its answer.
        let attempt = intent
            .filter(|intent| intent.generation == stored.generation)
            .map_or(1, |intent| intent.attempt + 1);
        if why == Why::ToRotate && attempt > 1 {
            let message = "a refresh was sent and its answer was lost: the refresh token may be \
                           spent, and is not spent once more to rotate it; a sign-in is needed";
            return Err(Error::Uncertain { address, message: message.into() });
        }
        if attempt > ATTEMPTS {
            let message =
                "the answer to two refreshes was lost; trying again would look like theft";
            return Err(Error::Uncertain { address, message: message.into() });
        }
        // What a copy of the store may have spent is not sent before someone says which goes on.
        self.refuse_copy(&row).await?;
        let key = self.key().await?;
        self.spending(row, stored, attempt, key).await.map(Some)
    }

    /// What is known of a token set that is spent.
    pub(super) async fn spending(
        &self,
        row: CredentialRow,
        stored: TokenRow,
        attempt: u32,
        key: OpenKey,
    ) -> Result<Spending, Error> {
        let app = self.app(&row.credential.app).await?;
        let token = key.sealer().open_token_set(stored.id, stored.generation, &stored.sealed)?;
        Ok(Spending {
            rotation: app.as_ref().map_or(Rotation::Unknown, |app| app.rotation),
            idle_limit: app.as_ref().and_then(|app| app.idle_limit).map(Duration::from_secs),
            session: app
                .map_or(crate::domain::app::DEFAULT_SESSION_TIMEOUT, |app| app.session_timeout()),
            row,
            stored,
            token,
            attempt,
            key,
        })
    }

    /// Counts an exchange until the answer is durable.
    pub(super) fn begin_exchange(&self) -> ExchangeUnderWay {
        self.exchanges.send_modify(|count| *count += 1);
        ExchangeUnderWay(self.exchanges.clone())
    }
}

/// While it lives, [`Engine::settled`] waits.
pub(super) struct ExchangeUnderWay(tokio::sync::watch::Sender<usize>);

impl Drop for ExchangeUnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

fn no_refresh_token(spending: &Spending) -> SetupNeed {
    SetupNeed::Refused {
        address: spending.row.credential.address.clone(),
        message: "the session has ended and there is no refresh token".into(),
        remedy: "set up the OAuth token; for one that renews itself the app and the request need the scope refresh_token".into(),
    }
}
