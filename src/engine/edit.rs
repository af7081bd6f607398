//! Save, Reset, Use and the staged edit, as operations.

use crate::domain::app::App;
use crate::domain::audit::AuditEvent;
use crate::domain::name::Address;
use crate::engine::error::{Error, Invalid};
use crate::engine::operation::{AppRequest, InlineApp, ResetRequest, SaveRequest, Selection};
use crate::engine::save::{Parsed, account_detail, edit_event, parse_edit, parse_new};
use crate::engine::select::PlainName;
use crate::engine::setup::unknown_app;
use crate::engine::{Engine, Outcome, Reporter};
use crate::store::{CredentialRow, NewApp, NewCredential};

impl Engine {
    /// Saves new credentials: all of them or none.
    pub(super) async fn save(
        &self,
        requests: Vec<SaveRequest>,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let policy = self.settings.config.host_policy();
        let rows = self.store.call(|store| store.credentials()).await?;
        let mut saved: Vec<_> = rows.into_iter().map(|row| row.credential).collect();
        let mut apps: Vec<NewApp> = Vec::new();
        let mut new = Vec::new();
        let mut addresses = Vec::new();
        let mut wrong = Vec::new();
        for request in &requests {
            let parsed = match parse_new(request, &policy, &saved) {
                Ok(parsed) => parsed,
                // Of many, every wrong line is named.
                Err(Error::Invalid(invalid)) if requests.len() > 1 => {
                    wrong.push(invalid.message);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Parsed { mut value, notes } = parsed;
            reporter.notes(notes);
            match &request.inline_app {
                Some(app) => {
                    let at_line = |error: Error| error.at_line(request.line);
                    value.app = self.inline_app(&value, app, &mut apps).await.map_err(at_line)?;
                }
                None => self.check_app_known(&value, request.line, reporter).await?,
            }
            saved.push(as_saved(&value));
            addresses.push(value.address.clone());
            let detail = format!("org {} user {}", value.org_id, value.user_id);
            let subject = value.address.to_string();
            let reason = request.reason.as_deref();
            let entry = self.audit_of(AuditEvent::CredentialSaved, subject, detail, reason);
            new.push((value, entry));
        }
        if !wrong.is_empty() {
            let message = wrong.join("; ");
            return Err(Invalid::input(message, "correct these lines; nothing was saved").into());
        }
        self.store.call(move |store| store.insert_credentials(&apps, &new)).await?;
        let mut credentials = Vec::new();
        for address in &addresses {
            let row = self.select(&Selection::exactly(address), PlainName::InUse).await?;
            credentials.push(row.credential);
        }
        Ok(Outcome::Credentials(credentials))
    }

    /// The app that has this client ID, known already or in the same file; else a new one that is
    /// named like the connection.
    async fn inline_app(
        &self,
        new: &NewCredential,
        inline: &InlineApp,
        apps: &mut Vec<NewApp>,
    ) -> Result<String, Error> {
        let has_it = |app: &&App| app.client_id == inline.client_id;
        if let Some((app, ..)) = apps.iter().find(|(app, ..)| has_it(&app)) {
            return Ok(app.name.clone());
        }
        if let Some(app) = self.apps().await?.iter().find(has_it) {
            return Ok(app.name.clone());
        }
        let request = AppRequest {
            name: new.address.name.to_string(),
            client_id: Some(inline.client_id.clone()),
            client_secret: inline.client_secret.clone(),
            ..AppRequest::default()
        };
        let app = self.new_app(&request).await?;
        let name = app.0.name.clone();
        apps.push(app);
        Ok(name)
    }

    /// The default app may come later; another one that is not known is a typing mistake.
    async fn check_app_known(
        &self,
        new: &NewCredential,
        line: Option<u64>,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        if self.app(&new.app).await?.is_some() {
            return Ok(());
        }
        if new.app == crate::domain::app::DEFAULT_APP {
            let note = "the app default is not known yet: orgkey app add default --client-id ID";
            reporter.note(note.into());
            return Ok(());
        }
        Err(unknown_app(&new.app).at_line(line))
    }

    /// Edits without clearing.
    pub(super) async fn reset(
        &self,
        request: ResetRequest,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(&request.selection, PlainName::InUse).await?;
        // An exchange that is under way ends first: it belongs to the account as it was.
        let _lock = self.lock(row.id, reporter).await?;
        let row = self.reload(row.id).await?;
        let others = self.store.call(|store| store.credentials()).await?;
        let others: Vec<_> = others
            .into_iter()
            .filter(|other| other.id != row.id)
            .map(|other| other.credential)
            .collect();
        let policy = self.settings.config.host_policy();
        let Parsed { value: edit, notes } =
            parse_edit(&request, &row.credential, &policy, &others)?;
        if request.app.is_some() && self.app(&edit.account.app).await?.is_none() {
            return Err(unknown_app(&edit.account.app));
        }
        reporter.notes(notes);
        let entry = self.audit_of(
            edit_event(&edit),
            row.credential.address.to_string(),
            account_detail(&edit.account),
            request.reason.as_deref(),
        );
        let id = row.id;
        self.store.call(move |store| store.edit_credential(id, &edit, &entry)).await?;
        self.shown(&row).await
    }

    /// Drops a staged edit.
    pub(super) async fn discard_pending(&self, selection: &Selection) -> Result<Outcome, Error> {
        let row = self.select(selection, PlainName::InUse).await?;
        let entry = self.audit(AuditEvent::EditDiscarded, &row.credential, String::new());
        let id = row.id;
        self.store.call(move |store| store.discard_pending(id, &entry)).await?;
        self.shown(&row).await
    }

    /// Makes a credential the one that the plain name means.
    pub(super) async fn put_in_use(&self, address: Address) -> Result<Outcome, Error> {
        let row = self.select(&Selection::exactly(&address), PlainName::InUse).await?;
        let entry = self.audit(AuditEvent::PutInUse, &row.credential, String::new());
        self.store.call(move |store| store.put_in_use(&address, &entry)).await?;
        self.shown(&row).await
    }

    async fn shown(&self, row: &CredentialRow) -> Result<Outcome, Error> {
        Ok(Outcome::Credential(Box::new(self.reload(row.id).await?.credential)))
    }
}

/// A credential that is about to be saved, for the checks of those after it.
fn as_saved(new: &NewCredential) -> crate::domain::credential::Credential {
    crate::domain::credential::Credential {
        address: new.address.clone(),
        in_use: false,
        org_id: new.org_id.clone(),
        user_id: new.user_id.clone(),
        username: new.username.clone(),
        login_url: new.login_url.clone(),
        app: new.app.clone(),
        tags: new.tags.clone(),
        held: None,
        revocation_owed: false,
        environment_proven: false,
        pending: None,
        token: None,
        has_candidate: false,
        last_check: None,
        last_test: None,
        authorization: None,
        intent: None,
    }
}
