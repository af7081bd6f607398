//! A sign-in that tells the IDs: for an admin who does not have the Org ID and the User ID at hand.
//!
//! The person signs in first, what Salesforce answered is shown, and a yes saves the credential with
//! those IDs and sets up its token. Nothing is saved before. What the sign-in brings is durable
//! before it is shown, together with the debt that revokes it: a yes takes the debt back in the
//! commit that saves the credential, and without one it is revoked, at once after a no and else when
//! its time is over. So no end of a process leaves a live token that nobody knows of.

use std::sync::Arc;

use crate::domain::app::{App, Flow};
use crate::domain::audit::AuditEvent;
use crate::domain::credential::CheckKind;
use crate::domain::host::{HostPolicy, LoginUrl, environment_by_host};
use crate::domain::name::{Address, Environment};
use crate::domain::policy::{Account, EnvironmentProof, prove_environment};
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenSet};
use crate::engine::error::{Error, Invalid, Refusal, SetupNeed};
use crate::engine::key_use::KeyAccess;
use crate::engine::loopback::Awaited;
use crate::engine::operation::{BeginDiscovery, CompleteDiscovery, ConfirmDiscovery, Selection};
use crate::engine::outcome::{Discovered, DiscoveryStarted, Field, Revocation, SetupReceipt};
use crate::engine::revoke::account_of;
use crate::engine::save::{
    app_name, authorization_end, check_environment, parse_login, parse_tags, refuse_secret,
};
use crate::engine::saved::SavedAccounts;
use crate::engine::seal::PendingAuthorization;
use crate::engine::select::{PlainName, choose};
use crate::engine::setup::{new_attempt, unknown_app};
use crate::engine::sign_in::code_of;
use crate::engine::{Engine, Outcome, Reporter, now};
use crate::store::{
    ConfirmedDiscovery, DiscoveryRow, DiscoveryStage, NewCredential, OwedRow, new_record_id,
};

/// What of the credential is known before anybody signs in.
struct Draft {
    address: Address,
    login_url: LoginUrl,
    app: String,
    tags: Vec<String>,
}

impl Engine {
    /// Begins one. Of the same address, one that nobody has signed in for is replaced; where somebody
    /// has, there is an account to say yes to already.
    pub(super) async fn begin_discovery(
        self: &Arc<Self>,
        request: BeginDiscovery,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let draft = draft(&request, &self.settings.config.host_policy())?;
        self.refuse_saved(&draft.address).await?;
        self.refuse_moved(&draft.address).await?;
        let app = self.app(&draft.app).await?.ok_or_else(|| unknown_app(&draft.app))?;
        let flow = choose_flow(request.flow, &app)?;
        self.key_or_new().await?;
        if let Some(found) = self.end_former(&draft.address, reporter).await? {
            return Ok(found);
        }
        let (flow, port) = self.open_way(flow, request.flow, &app, reporter).await?;
        let redirect_uri = match &port {
            Some(port) => port.redirect.uri.clone(),
            None => app.redirect_uri(flow).to_owned(),
        };
        let pending = new_attempt(app, &draft.login_url, None, redirect_uri, flow)?;
        let row = self.keep_discovery(draft, &pending).await?;
        if let Some(port) = port {
            self.listen(row.id, &row.address, Awaited::Discovery, &pending, port);
        }
        Ok(started(&row, pending))
    }

    async fn keep_discovery(
        &self,
        draft: Draft,
        pending: &PendingAuthorization,
    ) -> Result<DiscoveryRow, Error> {
        let (id, key, started_at) = (new_record_id()?, self.key().await?, now());
        let row = DiscoveryRow {
            id,
            address: draft.address,
            login_url: draft.login_url,
            app: draft.app,
            tags: draft.tags,
            flow: pending.flow,
            stage: DiscoveryStage::Waiting,
            started_at,
            expires_at: authorization_end(started_at),
            sealed: key.sealer().seal_authorization(id, "discovery", pending)?,
        };
        let detail = format!("its IDs are to be told, {} at {}", row.flow, row.login_url.host());
        let entry = self.audit_discovery(AuditEvent::SetupStarted, &row, detail);
        let kept = row.clone();
        self.store.call(move |store| store.insert_discovery(&kept, &entry)).await?;
        Ok(row)
    }

    /// Makes way for another one of the same address, unless an account waits for a yes.
    async fn end_former(
        &self,
        address: &Address,
        reporter: &Reporter,
    ) -> Result<Option<Outcome>, Error> {
        let all = self.store.call(|store| store.discoveries()).await?;
        let is_same = |row: &&DiscoveryRow| {
            row.address.name.folded() == address.name.folded()
                && row.address.environment == address.environment
        };
        let Some(former) = all.iter().find(is_same) else { return Ok(None) };
        let _lock = self.lock_discovery(former.id, reporter).await?;
        let Some(row) = self.discovery(former.id).await? else { return Ok(None) };
        match row.stage {
            DiscoveryStage::Found(_) if row.expires_at > now() => {
                return self.describe(&row, reporter).await.map(Some);
            }
            DiscoveryStage::Found(_) => {
                self.drop_found(&row, "nobody said yes in time", reporter).await?;
            }
            DiscoveryStage::Lost => reporter.note(lost_in_words(&row.address)),
            DiscoveryStage::Waiting | DiscoveryStage::Sent => self.listeners.close(row.id).await,
        }
        Ok(None)
    }

    /// Completes one with what the browser ended at. Once the code was sent, it runs to its end,
    /// whatever becomes of the caller.
    pub(super) async fn complete_discovery(
        self: &Arc<Self>,
        request: CompleteDiscovery,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.find_discovery(&request.selection).await?;
        let (engine, reporter) = (Arc::clone(self), reporter.clone());
        let work = tokio::spawn(async move {
            let _lock = engine.lock_discovery(row.id, &reporter).await?;
            let Some(row) = engine.discovery(row.id).await? else {
                return Err(nothing_pending(&row.address));
            };
            match row.stage {
                DiscoveryStage::Found(_) => return engine.describe(&row, &reporter).await,
                _ => engine.refuse_moved(&row.address).await?,
            }
            let attempt = engine.attempt_of(&row).await?;
            let code = code_of(&attempt, &request.pasted.0)?;
            engine.listeners.completing(row.id);
            let result = engine.find_account(&row, &attempt, &code, &reporter).await;
            engine.listeners.completed(row.id, &result);
            result
        });
        match work.await {
            Ok(result) => result,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Shows one again: its address, or who signed in.
    pub(super) async fn show_discovery(
        &self,
        selection: &Selection,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.find_discovery(selection).await?;
        let _lock = self.lock_discovery(row.id, reporter).await?;
        let Some(row) = self.discovery(row.id).await? else {
            return Err(nothing_pending(&row.address));
        };
        match row.stage {
            DiscoveryStage::Found(_) => self.describe(&row, reporter).await,
            _ => Ok(started(&row, self.attempt_of(&row).await?)),
        }
    }

    /// What the end of one needs that waits for the person.
    async fn attempt_of(&self, row: &DiscoveryRow) -> Result<PendingAuthorization, Error> {
        if row.stage != DiscoveryStage::Waiting || row.expires_at <= now() {
            return Err(nothing_pending(&row.address));
        }
        let key = self.key().await?;
        key.sealer().open_authorization(row.id, "discovery", row.flow, &row.sealed)
    }

    /// What there is to say yes to. Where the org itself contradicts what it would be saved as, there
    /// is nothing: it is revoked.
    pub(super) async fn describe(
        &self,
        row: &DiscoveryRow,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let token = self.key().await?.sealer().open_found(row.id, &row.sealed)?;
        if row.expires_at <= now() {
            let revocation = self.drop_found(row, "nobody said yes in time", reporter).await?;
            let address = row.address.clone();
            return Err(Error::Refused(Refusal::YesTooLate { address, revocation }));
        }
        let probe = self.probe(&token, CheckKind::Test).await?;
        let (address, host) = (&row.address, token.instance_url.host());
        let proof = prove_environment(address.environment, host, probe.is_sandbox);
        if let EnvironmentProof::Contradicted(found) = proof {
            return Err(self.refuse_found(row, &token, found, reporter).await?);
        }
        let account = account_in(&token);
        let rows = self.store.call(|store| store.credentials()).await?;
        let saved = SavedAccounts::of(rows.iter().map(|row| &row.credential));
        if let Err(mut invalid) = saved.check(address, &account) {
            let revocation = self.drop_found(row, "it contradicts what is saved", reporter).await?;
            let done = revocation.of_new_token();
            invalid.message = format!("{}; nothing was saved, {done}", invalid.message);
            return Err(invalid.into());
        }
        reporter.notes(saved.note(&account).into_iter().collect());
        Ok(Outcome::Discovered(Box::new(Discovered {
            address: address.clone(),
            account,
            username: self.username_of(&token).await,
            login_url: row.login_url.clone(),
            instance_url: token.instance_url.clone(),
            app: row.app.clone(),
            environment_proven: proof == EnvironmentProof::Proven,
            waits_until: row.expires_at,
        })))
    }

    /// Somebody said yes to these IDs: the credential is saved, and its token is pinned and tested as
    /// at any set-up.
    pub(super) async fn confirm_discovery(
        self: &Arc<Self>,
        request: ConfirmDiscovery,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let found = match self.find_discovery(&request.selection).await {
            Err(error @ Error::Setup(SetupNeed::NothingToDiscover(_))) => {
                // Somebody may have said yes before.
                let saved = self.select(&request.selection, PlainName::InUse).await;
                let address = saved.map_err(|_| error)?.credential.address;
                return Err(Error::Refused(Refusal::AlreadySaved(address)));
            }
            found => found?,
        };
        let (engine, reporter) = (Arc::clone(self), reporter.clone());
        let work = tokio::spawn(async move {
            let id = engine.save_found(&found, &request.account, &reporter).await?;
            let test = engine.resume_candidate(id, &reporter).await?;
            let credential = engine.reload(id).await?.credential;
            engine.settle_debts(&reporter).await?;
            let replaced = Revocation::NothingToRevoke;
            let receipt = SetupReceipt { credential, test, replaced, is_rotation: false };
            Ok(Outcome::SetupCompleted(Box::new(receipt)))
        });
        match work.await {
            Ok(result) => result,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Saves the credential with its first token set, in one commit with the end of the debt.
    async fn save_found(
        &self,
        found: &DiscoveryRow,
        shown: &Account,
        reporter: &Reporter,
    ) -> Result<RecordId, Error> {
        let _lock = self.lock_discovery(found.id, reporter).await?;
        let row = self.discovery(found.id).await?;
        let row = row.ok_or_else(|| nothing_pending(&found.address))?;
        let DiscoveryStage::Found(debt) = row.stage else {
            return Err(nothing_pending(&row.address));
        };
        let address = row.address.clone();
        if row.expires_at <= now() {
            let revocation = self.drop_found(&row, "nobody said yes in time", reporter).await?;
            return Err(Error::Refused(Refusal::YesTooLate { address, revocation }));
        }
        let key = self.key().await?;
        let token = key.sealer().open_found(row.id, &row.sealed)?;
        let account = account_in(&token);
        if account != *shown {
            return Err(Error::Refused(Refusal::OtherConfirmed { address, found: account }));
        }
        self.refuse_saved(&address).await?;
        self.refuse_moved(&address).await?;
        let id = new_record_id()?;
        let generation = Generation::default().next();
        let candidate = self.candidate_row(&key, &row.app, generation, &token, None).await?;
        let detail = format!("org {} user {}", account.org_id, account.user_id);
        let told = format!("{detail}, told by a sign-in");
        let saved = self.audit_discovery(AuditEvent::CredentialSaved, &row, told);
        let signed_in = format!(
            "generation {} {detail} login {} app {}",
            generation.0,
            row.login_url.host(),
            crate::domain::text::clean(&row.app)
        );
        let signed_in = self.audit_discovery(AuditEvent::SignedIn, &row, signed_in);
        let credential = NewCredential {
            address,
            org_id: account.org_id,
            user_id: account.user_id,
            username: None,
            login_url: row.login_url,
            app: row.app,
            tags: row.tags,
        };
        let confirmed = ConfirmedDiscovery { id, credential, token: candidate };
        let entries = [saved, signed_in];
        self.store
            .call(move |store| store.confirm_discovery(row.id, debt, &confirmed, &entries))
            .await?;
        Ok(id)
    }

    /// Saves nothing; what came is revoked, or that is owed.
    pub(super) async fn decline_discovery(
        &self,
        selection: &Selection,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.find_discovery(selection).await?;
        self.listeners.close(row.id).await;
        let _lock = self.lock_discovery(row.id, reporter).await?;
        let Some(row) = self.discovery(row.id).await? else {
            return Err(nothing_pending(&row.address));
        };
        if let DiscoveryStage::Found(_) = row.stage {
            let revocation = self.drop_found(&row, "nobody said yes", reporter).await?;
            return Ok(Outcome::DiscoveryEnded(revocation));
        }
        let entry = self.audit_discovery(AuditEvent::SetupAbandoned, &row, String::new());
        self.store.call(move |store| store.drop_discovery(row.id, None, &[entry])).await?;
        Ok(Outcome::DiscoveryEnded(Revocation::NothingToRevoke))
    }

    /// Ends one that is found without a credential, and pays its debt.
    pub(super) async fn drop_found(
        &self,
        row: &DiscoveryRow,
        why: &str,
        reporter: &Reporter,
    ) -> Result<Revocation, Error> {
        let debt = self.debt_of(row).await?;
        let mut entries =
            vec![self.audit_discovery(AuditEvent::SetupAbandoned, row, why.to_owned())];
        entries.extend(
            debt.iter().map(|debt| {
                self.audit_discovery(AuditEvent::RevocationOwed, row, account_of(debt))
            }),
        );
        let id = row.id;
        self.call_with_room(move |store| store.drop_discovery(id, None, &entries)).await?;
        match debt {
            Some(debt) => self.pay(&self.key().await?, &debt, reporter).await,
            // Paid meanwhile.
            None => Ok(Revocation::Confirmed),
        }
    }

    async fn debt_of(&self, row: &DiscoveryRow) -> Result<Option<OwedRow>, Error> {
        let DiscoveryStage::Found(id) = row.stage else { return Ok(None) };
        let owed = self.store.call(|store| store.owed_revocations()).await?;
        Ok(owed.into_iter().find(|debt| debt.id == id))
    }

    /// Waits for the redirect of one by loopback.
    pub(super) async fn await_discovery(
        self: &Arc<Self>,
        selection: &Selection,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.find_discovery(selection).await?;
        let listening = if let Some(listening) = self.listeners.get(row.id) {
            listening
        } else {
            let engine = self.with_key_access(KeyAccess::Use, reporter).await?;
            let pending = engine.attempt_of(&row).await?;
            let awaited = Awaited::Discovery;
            engine.listen_anew(row.id, &row.address, awaited, &pending, reporter).await?
        };
        self.await_end(row.id, listening, reporter).await
    }

    /// Tells of those that somebody has to decide, or know of.
    pub(super) async fn note_discoveries(&self, reporter: &Reporter) -> Result<(), Error> {
        for row in self.store.call(|store| store.discoveries()).await? {
            let address = &row.address;
            match row.stage {
                DiscoveryStage::Found(_) => {
                    let whose = self.debt_of(&row).await?.and_then(|debt| debt.account);
                    let (Some(Account { org_id, user_id }), true) = (whose, row.expires_at > now())
                    else {
                        continue;
                    };
                    let end = row.expires_at.rfc3339();
                    let found = format!("org {org_id} user {user_id} signed in and waits for a yes until {end}");
                    let note = match self.refuse_saved(address).await {
                        Ok(()) => format!("{address} is not saved: {found}: orgkey setup {address} --discover"),
                        // It was saved by hand meanwhile: no yes can save it any more.
                        Err(_) => format!("{address} was saved meanwhile, and {found}: orgkey setup {address} --discover --cancel revokes that token"),
                    };
                    reporter.note(note);
                }
                DiscoveryStage::Lost => reporter.note(lost_in_words(address)),
                DiscoveryStage::Sent => reporter.note(format!(
                    "the answer to a sign-in that is to tell the IDs of {address} is not taken over yet: it is under way, or waits until the key is open"
                )),
                DiscoveryStage::Waiting => {}
            }
        }
        Ok(())
    }

    /// The one that is meant.
    pub(super) async fn find_discovery(
        &self,
        selection: &Selection,
    ) -> Result<DiscoveryRow, Error> {
        let mut rows = self.store.call(|store| store.discoveries()).await?;
        let name = selection.target.name.folded();
        rows.retain(|row| row.address.name.folded() == name);
        choose(rows, |row| &row.address, selection, PlainName::InUse).map_err(|error| match error {
            Error::NotFound(name) => Error::Setup(SetupNeed::NothingToDiscover(name)),
            other => other,
        })
    }

    pub(super) async fn discovery(&self, id: RecordId) -> Result<Option<DiscoveryRow>, Error> {
        Ok(self.store.call(move |store| store.discovery(id)).await?)
    }

    async fn refuse_saved(&self, address: &Address) -> Result<(), Error> {
        let name = address.name.clone();
        let rows = self.store.call(move |store| store.credentials_of(&name)).await?;
        let saved = rows.into_iter().map(|row| row.credential.address);
        match saved.into_iter().find(|saved| saved.environment == address.environment) {
            Some(saved) => Err(Error::Refused(Refusal::AlreadySaved(saved))),
            None => Ok(()),
        }
    }

    pub(super) fn audit_discovery(
        &self,
        event: AuditEvent,
        row: &DiscoveryRow,
        detail: String,
    ) -> crate::domain::audit::AuditEntry {
        self.audit_of(event, row.address.to_string(), detail, None)
    }
}

/// Parses what was typed. The environment is what the name, the box or the host says, and
/// production where none of them does; they have to agree.
fn draft(request: &BeginDiscovery, policy: &HostPolicy) -> Result<Draft, Error> {
    let target = &request.selection.target;
    refuse_secret(Field::Name, target.name.as_str())?;
    let login_url = parse_login(request.login_url.trim(), policy)?;
    if request.sandbox && target.environment == Some(Environment::Production) {
        let message = format!("{target} is production, and --sandbox says that it is none");
        return Err(Invalid::new(Field::Environment, message, "give one of the two").into());
    }
    let boxed = request.sandbox.then_some(Environment::Sandbox);
    let said = target.environment.or(boxed).or(environment_by_host(login_url.host()));
    let environment = said.unwrap_or(Environment::Production);
    check_environment(environment, &login_url)?;
    let address = Address { name: target.name.clone(), environment };
    if let Some(expected) = request.selection.expect
        && expected != environment
    {
        return Err(Error::Refused(Refusal::Environment { address, expected }));
    }
    let (app, tags) = (app_name(request.app.as_deref()), parse_tags(&request.tags)?);
    Ok(Draft { address, login_url, app, tags })
}

/// The flow asked for, or paste.
fn choose_flow(asked: Option<Flow>, app: &App) -> Result<Flow, Error> {
    match asked.unwrap_or(Flow::Paste) {
        flow @ (Flow::Paste | Flow::Loopback) => crate::engine::setup::choose_flow(flow, app),
        flow => Err(Invalid::input(
            format!("the IDs can't be told by the flow {flow}"),
            "use --flow paste or loopback; or save the IDs first: orgkey save NAME --org-id ID --user-id ID",
        )
        .into()),
    }
}

fn started(row: &DiscoveryRow, pending: PendingAuthorization) -> Outcome {
    Outcome::DiscoveryStarted(DiscoveryStarted {
        address: row.address.clone(),
        flow: row.flow,
        url: pending.url,
        redirect_uri: pending.redirect_uri,
        started_at: row.started_at,
        expires_at: row.expires_at,
    })
}

/// Whose token set it is, as Salesforce answered it.
pub(super) fn account_in(token: &TokenSet) -> Account {
    Account { org_id: token.org_id.clone(), user_id: token.user_id.clone() }
}

fn nothing_pending(address: &Address) -> Error {
    Error::Setup(SetupNeed::NothingToDiscover(address.to_string()))
}

fn lost_in_words(address: &Address) -> String {
    format!(
        "the answer to a sign-in that was to tell the IDs of {address} was lost: Salesforce may keep an approval that nobody holds, one of five for that user and app"
    )
}
