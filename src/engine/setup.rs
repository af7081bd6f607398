//! Beginning, showing and giving up a set-up. The attempt is sealed and durable before its URL is
//! shown, so that any later session can complete it.

use std::sync::Arc;

use crate::domain::app::{App, Flow};
use crate::domain::audit::AuditEvent;
use crate::domain::host::LoginUrl;
use crate::domain::record::RecordId;
use crate::engine::device::device_started;
use crate::engine::error::{Error, Invalid, SetupNeed};
use crate::engine::loopback::{Awaited, OpenPort};
use crate::engine::operation::{BeginSetup, Selection};
use crate::engine::outcome::{AuthorizationStarted, Field};
use crate::engine::save::{account_to_sign_in, authorization_end};
use crate::engine::seal::PendingAuthorization;
use crate::engine::select::PlainName;
use crate::engine::token::refuse_held;
use crate::engine::{Engine, Outcome, Reporter, now};
use crate::oauth::authorization_code::{
    AuthorizationRequest, PkcePair, STATE_BYTES, VERIFIER_BYTES, state_from_random,
};
use crate::store::{AuthorizationRow, CredentialRow, IntentOperation, Store, new_record_id};

impl Engine {
    /// Begins a set-up: makes the authorization request and keeps what its end needs.
    pub(super) async fn begin_setup(
        self: &Arc<Self>,
        request: BeginSetup,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(&request.selection, PlainName::InUse).await?;
        refuse_held(&row.credential.address, row.credential.held.as_ref())?;
        self.refuse_copy(&row).await?;
        let account = account_to_sign_in(&row.credential);
        let app = self.app(&account.app).await?.ok_or_else(|| unknown_app(&account.app))?;
        let flow = self.propose_flow(&request, &app).await?;
        // Whatever way is taken now, the older attempt is not listened for any more.
        self.listeners.close(row.id).await;
        if flow == Flow::Device {
            return self.begin_device(&row, app, &request).await;
        }
        self.key_or_new().await?;
        self.end_lost_sign_in(row.id).await?;
        let (flow, port) = self.open_way(flow, request.flow, &app, reporter).await?;
        let redirect_uri = match &port {
            Some(port) => port.redirect.uri.clone(),
            None => app.redirect_uri(flow).to_owned(),
        };
        let hint = account.username.as_deref();
        let pending = PendingAuthorization {
            is_rotation: request.is_rotation,
            drain_limit: request.drain.map(|span| span.as_secs()),
            ..new_attempt(app, &account.login_url, hint, redirect_uri, flow)?
        };
        let authorization = self.keep_attempt(&row, &request, &pending).await?;
        if let Some(port) = port {
            let awaited = Awaited::Setup(authorization.id);
            self.listen(row.id, &row.credential.address, awaited, &pending, port);
        }
        Ok(started(&row, &authorization, pending))
    }

    /// Seals the attempt and makes it durable, before its URL is shown.
    async fn keep_attempt(
        &self,
        row: &CredentialRow,
        request: &BeginSetup,
        pending: &PendingAuthorization,
    ) -> Result<AuthorizationRow, Error> {
        let (key, flow) = (self.key().await?, pending.flow);
        let started_at = now();
        let id = new_record_id()?;
        let authorization = AuthorizationRow {
            id,
            flow,
            started_at,
            expires_at: authorization_end(started_at),
            sealed: key.sealer().seal_authorization(id, "authorization", pending)?,
        };
        let what = if request.is_rotation { "rotation, " } else { "" };
        let detail = format!("{what}{flow} at {}", pending.login_url.host());
        let subject = row.credential.address.to_string();
        let reason = request.reason.as_deref();
        let entry = self.audit_of(AuditEvent::SetupStarted, subject, detail, reason);
        let (credential, kept) = (row.id, authorization.clone());
        self.store.call(move |store| store.insert_authorization(credential, &kept, &entry)).await?;
        Ok(authorization)
    }

    /// The flow asked for; where none is, the one that the app was last set up by, else the one that
    /// suits where it runs.
    async fn propose_flow(&self, request: &BeginSetup, app: &App) -> Result<Flow, Error> {
        if let Some(asked) = request.flow {
            return choose_flow(asked, app);
        }
        let name = app.name.clone();
        let last = self.store.call(move |store| store.last_flow(&name)).await?;
        // An app of the device flow alone has no other first way.
        let only_device = !app.allows(Flow::Paste) && app.allows(Flow::Device);
        let comes_back = request.beside_browser
            && app.allows(Flow::Loopback)
            && !app.loopback_redirects().is_empty();
        let first = match (only_device, comes_back) {
            (true, _) => Flow::Device,
            (false, true) => Flow::Loopback,
            (false, false) => Flow::Paste,
        };
        choose_flow(last.filter(|flow| app.allows(*flow)).unwrap_or(first), app)
    }

    /// Opens the port that a flow needs. Where nobody asked for this flow by name, a port that is
    /// taken is no reason to refuse: the answer is pasted then.
    pub(super) async fn open_way(
        &self,
        flow: Flow,
        asked: Option<Flow>,
        app: &App,
        reporter: &Reporter,
    ) -> Result<(Flow, Option<OpenPort>), Error> {
        if flow != Flow::Loopback {
            return Ok((flow, None));
        }
        match self.open_port(app, reporter).await {
            Ok(port) => Ok((flow, Some(port))),
            Err(error) if asked.is_none() && app.allows(Flow::Paste) => {
                reporter.note(format!("{}; the answer has to be pasted", error.message()));
                Ok((Flow::Paste, None))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes over what an ended process left, and forgets a sign-in whose answer was lost: another
    /// one begins. Where somebody is at work on the credential, nothing happens.
    pub(super) async fn end_lost_sign_in(&self, id: RecordId) -> Result<(), Error> {
        let Some(_lock) = self.try_lock(id)? else { return Ok(()) };
        self.heal(id, &Reporter(None)).await?;
        let end = move |store: &mut Store| match store.intent(id, IntentOperation::SignIn)? {
            Some(_) => store.end_exchange(id, IntentOperation::SignIn, None),
            None => Ok(()),
        };
        Ok(self.store.call(end).await?)
    }

    /// Shows the newest pending set-up again.
    pub(super) async fn show_setup(&self, selection: &Selection) -> Result<Outcome, Error> {
        let row = self.select(selection, PlainName::InUse).await?;
        let device = self.pending_device(&row).await?.filter(|(kept, _)| kept.expires_at > now());
        let other = self.pending_authorizations(&row).await?.into_iter().next();
        let since = |kept: &AuthorizationRow| kept.started_at;
        match (device, other) {
            (Some((kept, pending)), other)
                if other.as_ref().is_none_or(|(other, _)| since(other) <= since(&kept)) =>
            {
                Ok(device_started(&row, &kept, pending))
            }
            (_, Some((kept, pending))) => Ok(started(&row, &kept, pending)),
            (_, None) => Err(Error::Setup(SetupNeed::NothingPending(row.credential.address))),
        }
    }

    /// Gives up every pending set-up of a credential.
    pub(super) async fn abandon_setup(&self, selection: &Selection) -> Result<Outcome, Error> {
        let row = self.select(selection, PlainName::InUse).await?;
        let entry = self.audit(AuditEvent::SetupAbandoned, &row.credential, String::new());
        let id = row.id;
        self.store.call(move |store| store.delete_authorizations(id, &entry)).await?;
        self.listeners.close(id).await;
        Ok(Outcome::Credential(Box::new(self.reload(id).await?.credential)))
    }

    /// The pending set-ups by authorization code that are not past their end, newest first, opened.
    pub(super) async fn pending_authorizations(
        &self,
        row: &CredentialRow,
    ) -> Result<Vec<(AuthorizationRow, PendingAuthorization)>, Error> {
        let id = row.id;
        let kept = self.store.call(move |store| store.authorizations(id)).await?;
        let live: Vec<_> = kept
            .into_iter()
            .filter(|kept| kept.expires_at > now() && kept.flow != Flow::Device)
            .collect();
        if live.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.key().await?;
        live.into_iter()
            .map(|kept| {
                let sealer = key.sealer();
                let pending =
                    sealer.open_authorization(kept.id, "authorization", kept.flow, &kept.sealed)?;
                Ok((kept, pending))
            })
            .collect()
    }
}

/// An attempt by authorization code with PKCE: its random parts, and the address to open.
pub(super) fn new_attempt(
    app: App,
    login_url: &LoginUrl,
    login_hint: Option<&str>,
    redirect_uri: String,
    flow: Flow,
) -> Result<PendingAuthorization, Error> {
    let pkce = PkcePair::from_random(&random::<VERIFIER_BYTES>()?);
    let state = state_from_random(&random::<STATE_BYTES>()?);
    let url = AuthorizationRequest {
        login_url,
        client_id: &app.client_id,
        redirect_uri: &redirect_uri,
        scopes: &app.scopes,
        state: &state,
        code_challenge: &pkce.challenge,
        login_hint,
    }
    .url();
    Ok(PendingAuthorization {
        state,
        code_verifier: pkce.verifier,
        redirect_uri,
        url,
        login_url: login_url.clone(),
        client_id: app.client_id,
        app: app.name,
        is_rotation: false,
        drain_limit: None,
        flow,
    })
}

fn started(
    row: &CredentialRow,
    authorization: &AuthorizationRow,
    pending: PendingAuthorization,
) -> Outcome {
    let account = account_to_sign_in(&row.credential);
    Outcome::AuthorizationStarted(AuthorizationStarted {
        address: row.credential.address.clone(),
        flow: authorization.flow,
        url: pending.url,
        redirect_uri: pending.redirect_uri,
        started_at: authorization.started_at,
        expires_at: authorization.expires_at,
        username: account.username,
        user_id: account.user_id,
        device: None,
    })
}

/// The flow, if it is built and the app allows it.
pub(super) fn choose_flow(flow: Flow, app: &App) -> Result<Flow, Error> {
    if flow == Flow::Device && !app.allows(flow) {
        return Err(device_is_off(app));
    }
    if !matches!(flow, Flow::Paste | Flow::Loopback | Flow::Device) {
        return Err(Invalid::input(
            format!("this version does not set up tokens by {flow}"),
            "use --flow paste or loopback: sign in anywhere; the address that the browser ends at is pasted, or comes back by itself",
        )
        .into());
    }
    if app.allows(flow) {
        Ok(flow)
    } else {
        Err(Invalid::new(
            Field::App,
            format!("the app {} does not allow the flow {flow}", app.name),
            "add it to the flows of the app",
        )
        .into())
    }
}

/// Why the device flow is off unless the admin of the app says otherwise.
fn device_is_off(app: &App) -> Error {
    Invalid::new(
        Field::App,
        format!(
            "the app {} does not allow the device flow, which is off by itself: Salesforce blocks it for apps that are not installed since 2025, and phishers use its page",
            app.name
        ),
        "use --flow paste; or, where the org's admin wants it, enable Device Flow on the app, install it, and add \"device\" to its flows",
    )
    .into()
}

/// An app that a credential names and nobody has registered here.
pub(super) fn unknown_app(name: &str) -> Error {
    let name = crate::domain::text::clean_and_mask(name);
    Invalid::new(
        Field::App,
        format!("the app {name} is not known here: without its client ID nobody can sign in"),
        format!("orgkey app add {name} --client-id ID, with the Consumer Key of the org's app"),
    )
    .into()
}

/// Random bytes of the operating system.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::Store(crate::store::Error::Unusable(format!("no random numbers: {error}")))
    })?;
    Ok(bytes)
}
