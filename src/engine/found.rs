//! What a sign-in whose IDs nobody had entered brings: its code is spent like any other, and what
//! comes is durable, with the debt that revokes it, before it is shown to anyone.

use std::time::Duration;

use secrecy::SecretString;

use crate::domain::audit::AuditEvent;
use crate::domain::fault::Fault;
use crate::domain::host::environment_by_host;
use crate::domain::http::{Response, TransportError};
use crate::domain::name::Environment;
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenSet};
use crate::engine::discover::account_in;
use crate::engine::error::{Error, Refusal};
use crate::engine::keyring::OpenKey;
use crate::engine::lock::CredentialLock;
use crate::engine::outcome::{Progress, Revocation};
use crate::engine::pin::fault_of_answer;
use crate::engine::revoke::{account_of, owe, owe_secret};
use crate::engine::seal::{PendingAuthorization, TokenEndpoint};
use crate::engine::{Engine, Outcome, Reporter, now};
use crate::oauth::authorization_code::exchange_request;
use crate::oauth::token_response::{TokenResponse, TokenResponseError};
use crate::oauth::{Client, token_response};
use crate::store::{DiscoveryRow, DiscoveryStage, IntentOperation, OwedRow};

/// How long a token set waits for a yes, from its sign-in on: as long as a code of Salesforce lives.
const WAIT_FOR_YES: Duration = Duration::from_secs(15 * 60);

impl Engine {
    /// Spends the code and shows who signed in.
    pub(super) async fn find_account(
        &self,
        row: &DiscoveryRow,
        attempt: &PendingAuthorization,
        code: &SecretString,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let spent = self.spend_for_discovery(row, attempt, code, reporter).await;
        spent.map_err(|error| match error {
            Error::Salesforce(fault) => fault.of_request(&attempt.url).into(),
            other => other,
        })?;
        let found = self.discovery(row.id).await?.ok_or(crate::store::Error::Stale)?;
        self.describe(&found, reporter).await
    }

    async fn spend_for_discovery(
        &self,
        row: &DiscoveryRow,
        attempt: &PendingAuthorization,
        code: &SecretString,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let key = self.key().await?;
        let endpoint = attempt.endpoint();
        let secret = self.client_secret(&endpoint.app, &endpoint.client_id).await?;
        let client = Client { client_id: &endpoint.client_id, client_secret: secret.as_ref() };
        let (uri, verifier) = (&attempt.redirect_uri, &attempt.code_verifier);
        let request = exchange_request(&endpoint.login_url, &client, code, uri, verifier);
        let (operation, generation) = (IntentOperation::Discovery, Generation::default());
        let slot =
            self.claim_slot(row.id, operation, generation, endpoint.clone(), key.clone()).await?;
        let _exchange = self.begin_exchange();
        let tag = key.sealer().key.tag("spent", code);
        let intent = Self::intent(operation, generation, 1, tag);
        let mut exchanged = self.exchange(request, slot, intent, reporter).await?;
        loop {
            let settled = match &exchanged.answer {
                Err(error) => self.settle_nothing_found(row, error).await,
                Ok(response) => {
                    let answer = (response, &endpoint);
                    self.settle_found(row, &key, answer, secret.as_ref(), reporter).await
                }
            };
            if let Some(result) = self.secure(&mut exchanged, settled, reporter).await {
                return result;
            }
        }
    }

    /// The request was not sent, or its answer did not come to its end.
    async fn settle_nothing_found(
        &self,
        row: &DiscoveryRow,
        error: &TransportError,
    ) -> Result<(), Error> {
        let fault = Fault::from(error);
        if error.sent {
            return Err(self.lose_found(row, &fault.with_code_at_risk().message()).await?);
        }
        let id = row.id;
        self.store.call(move |store| store.reopen_discovery(id)).await?;
        Err(fault.into())
    }

    /// The code was spent and its answer never came: said, never guessed.
    async fn lose_found(&self, row: &DiscoveryRow, why: &str) -> Result<Error, Error> {
        let message = format!("a sign-in was sent and its answer was lost: {why}");
        let entry = self.audit_discovery(AuditEvent::AnswerLost, row, message.clone());
        let (id, address) = (row.id, row.address.clone());
        self.store.call(move |store| store.lose_discovery(id, &entry)).await?;
        Ok(Error::SignInLost { address, message, discovers: true })
    }

    /// Salesforce answered: with a token set, or with something else.
    async fn settle_found(
        &self,
        row: &DiscoveryRow,
        key: &OpenKey,
        (response, endpoint): (&Response, &TokenEndpoint),
        secret: Option<&SecretString>,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        match token_response::response(endpoint.login_url.host(), response, secret) {
            Ok(answer) => self.keep_found(row, key, endpoint, answer, reporter).await,
            Err(error) => self.refuse_unread(row, key, endpoint, error, reporter).await,
        }
    }

    /// Keeps a token set with its debt, unless it is for a host that nobody trusts or plainly of the
    /// other environment.
    async fn keep_found(
        &self,
        row: &DiscoveryRow,
        key: &OpenKey,
        endpoint: &TokenEndpoint,
        answer: TokenResponse,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        reporter.progress(Progress::CheckingIdentity);
        let (token, untrusted) = self.token_set_of(answer, endpoint);
        let mut owed = owe(key, &row.address, &token)?;
        if let Some(fault) = untrusted {
            return self.owe_and_reopen(row, key, &owed, fault, reporter).await;
        }
        let by_host = environment_by_host(token.instance_url.host());
        if let Some(other) = by_host.filter(|found| *found != row.address.environment) {
            return Err(self.refuse_new(row, key, (&token, owed), other, reporter).await?);
        }
        owed.due_at = Some(now().plus(WAIT_FOR_YES));
        let detail = format!("{}, waits for a yes", account_of(&owed));
        let entry = self.audit_discovery(AuditEvent::AccountDiscovered, row, detail);
        let (id, sealed) = (row.id, key.sealer().seal_found(row.id, &token)?);
        self.store.call(move |store| store.keep_found(id, &sealed, &owed, &entry)).await?;
        // Who pays in time looks again at when that is.
        self.drains_changed();
        Ok(())
    }

    /// Refuses a token set of the other environment before it was kept.
    async fn refuse_new(
        &self,
        row: &DiscoveryRow,
        key: &OpenKey,
        (token, owed): (&TokenSet, OwedRow),
        found: Environment,
        reporter: &Reporter,
    ) -> Result<Error, Error> {
        let entries = self.wrong_environment(row, token, found, &owed);
        let (id, kept) = (row.id, owed.clone());
        self.store.call(move |store| store.drop_discovery(id, Some(&kept), &entries)).await?;
        let revocation = self.pay(key, &owed, reporter).await?;
        Ok(other_environment(row, token, found, revocation))
    }

    /// Refuses one that is kept, because the org says that it is of the other environment.
    pub(super) async fn refuse_found(
        &self,
        row: &DiscoveryRow,
        token: &TokenSet,
        found: Environment,
        reporter: &Reporter,
    ) -> Result<Error, Error> {
        let detail = format!("org {} user {} of a {found} org", token.org_id, token.user_id);
        let entry = self.audit_discovery(AuditEvent::WrongAccount, row, detail);
        self.store.call(move |store| store.record(&entry)).await?;
        let revocation = self.drop_found(row, "wrong environment", reporter).await?;
        Ok(other_environment(row, token, found, revocation))
    }

    fn wrong_environment(
        &self,
        row: &DiscoveryRow,
        token: &TokenSet,
        found: Environment,
        owed: &OwedRow,
    ) -> [crate::domain::audit::AuditEntry; 3] {
        let detail = format!("org {} user {} of a {found} org", token.org_id, token.user_id);
        [
            self.audit_discovery(AuditEvent::WrongAccount, row, detail),
            self.audit_discovery(AuditEvent::SetupAbandoned, row, "wrong environment".into()),
            self.audit_discovery(AuditEvent::RevocationOwed, row, account_of(owed)),
        ]
    }

    /// An answer that can't be used may hold tokens: they are revoked, whosesoever they are.
    async fn refuse_unread(
        &self,
        row: &DiscoveryRow,
        key: &OpenKey,
        endpoint: &TokenEndpoint,
        error: TokenResponseError,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let fault = fault_of_answer(endpoint, &error);
        let salvaged =
            error.salvage.and_then(|tokens| tokens.refresh_token.or(tokens.access_token));
        if let Some(secret) = salvaged {
            let owed = owe_secret(key, &row.address, None, &endpoint.login_url, &secret)?;
            return self.owe_and_reopen(row, key, &owed, fault, reporter).await;
        }
        let id = row.id;
        self.store.call(move |store| store.reopen_discovery(id)).await?;
        Err(fault.into())
    }

    /// The debt is durable first; the sign-in stays open for another one.
    async fn owe_and_reopen(
        &self,
        row: &DiscoveryRow,
        key: &OpenKey,
        owed: &OwedRow,
        fault: Fault,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let entry = self.audit_discovery(AuditEvent::RevocationOwed, row, account_of(owed));
        let (id, kept) = (row.id, owed.clone());
        self.store
            .call(move |store| {
                store.owe_revocation(&kept, &entry)?;
                store.reopen_discovery(id)
            })
            .await?;
        self.pay(key, owed, reporter).await?;
        Err(fault.into())
    }

    /// Settles an answer that waited in the inbox.
    pub(super) async fn accept_late_discovery(
        &self,
        id: RecordId,
        key: &OpenKey,
        (response, endpoint): (&Response, &TokenEndpoint),
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let row = self.discovery(id).await?.filter(|row| row.stage == DiscoveryStage::Sent);
        // Where there is none, it was settled before.
        let Some(row) = row else { return Ok(()) };
        let secret = self.client_secret(&endpoint.app, &endpoint.client_id).await?;
        let answer = (response, endpoint);
        self.settle_found(&row, key, answer, secret.as_ref(), reporter).await
    }

    /// The right to work on one, with what an ended process left taken over.
    pub(super) async fn lock_discovery(
        &self,
        id: RecordId,
        reporter: &Reporter,
    ) -> Result<CredentialLock, Error> {
        let lock = self.lock(id, reporter).await?;
        self.heal_discovery(id, reporter).await?;
        Ok(lock)
    }

    /// Takes over what an ended process left. For who holds its lock: an answer that is not here by
    /// now never comes.
    pub(super) async fn heal_discovery(
        &self,
        id: RecordId,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let is_sent = |row: &DiscoveryRow| row.stage == DiscoveryStage::Sent;
        if !self.discovery(id).await?.is_some_and(|row| is_sent(&row)) {
            return Ok(());
        }
        self.take_over_all(id, reporter).await?;
        let left = self.discovery(id).await?.filter(is_sent);
        if let Some(row) = left
            && !self.waits_in_inbox(id).await?
        {
            self.lose_found(&row, "the program that waited for it ended").await?;
        }
        Ok(())
    }
}

fn other_environment(
    row: &DiscoveryRow,
    token: &TokenSet,
    found: Environment,
    revocation: Revocation,
) -> Error {
    let (address, account) = (row.address.clone(), account_in(token));
    Error::Refused(Refusal::OtherEnvironment { address, account, found, revocation })
}
