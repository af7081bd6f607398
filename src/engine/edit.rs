//! Save, Reset, Use and the staged edit, as operations.

use crate::domain::app::App;
use crate::domain::audit::AuditEvent;
use crate::domain::host::HostPolicy;
use crate::domain::name::Address;
use crate::domain::policy::Account;
use crate::engine::error::{Error, Invalid};
use crate::engine::operation::{AppRequest, InlineApp, ResetRequest, SaveRequest, Selection};
use crate::engine::save::{Parsed, account_detail, edit_event, parse_edit, parse_new};
use crate::engine::saved::SavedAccounts;
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
        let mut saved = SavedAccounts::of(rows.iter().map(|row| &row.credential));
        let mut apps: Vec<NewApp> = Vec::new();
        let mut new = Vec::new();
        let mut addresses = Vec::new();
        let mut wrong = Vec::new();
        let mut notes = Vec::new();
        for request in &requests {
            let parsed = self.parse_with_app(request, &policy, &saved, &mut apps).await;
            let Parsed { value, notes: more } = match parsed {
                Ok(parsed) => parsed,
                // Of many, every wrong line is named.
                Err(Error::Invalid(invalid)) if requests.len() > 1 => {
                    wrong.push(invalid.message);
                    continue;
                }
                Err(error) => return Err(error),
            };
            notes.extend(more);
            let (org_id, user_id) = (value.org_id.clone(), value.user_id.clone());
            saved.add(&value.address, &Account { org_id, user_id });
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
        notes.dedup();
        reporter.notes(notes);
        let mut credentials = Vec::new();
        for address in &addresses {
            let row = self.select(&Selection::exactly(address), PlainName::InUse).await?;
            credentials.push(row.credential);
        }
        Ok(Outcome::Credentials(credentials))
    }

    /// The app that has this client ID, known already or in the same file; else a new one that is
    /// named like the connection, or like the credential where that name is taken.
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
        let (plain, full) = (new.address.name.to_string(), new.address.to_string());
        let in_file = apps.iter().any(|(app, ..)| app.name.eq_ignore_ascii_case(&plain));
        let taken = in_file || self.app(&plain).await?.is_some();
        let request = AppRequest {
            name: if taken { full.replace('/', "-") } else { plain },
            client_id: Some(inline.client_id.clone()),
            client_secret: inline.client_secret.clone(),
            ..AppRequest::default()
        };
        let app = self.new_app(&request).await?;
        let name = app.0.name.clone();
        apps.push(app);
        Ok(name)
    }

    /// One new credential, with an app that is known or comes along with it.
    async fn parse_with_app(
        &self,
        request: &SaveRequest,
        policy: &HostPolicy,
        saved: &SavedAccounts,
        apps: &mut Vec<NewApp>,
    ) -> Result<Parsed<NewCredential>, Error> {
        let Parsed { mut value, mut notes } = parse_new(request, policy, saved)?;
        match &request.inline_app {
            Some(app) => {
                let at_line = |error: Error| error.at_line(request.line);
                value.app = self.inline_app(&value, app, apps).await.map_err(at_line)?;
            }
            None => notes.extend(self.check_app_known(&value, request.line).await?),
        }
        Ok(Parsed { value, notes })
    }

    /// The default app may come later, which is worth a note; another one that is not known is a typing mistake.
    async fn check_app_known(
        &self,
        new: &NewCredential,
        line: Option<u64>,
    ) -> Result<Option<String>, Error> {
        if self.app(&new.app).await?.is_some() {
            return Ok(None);
        }
        if new.app == crate::domain::app::DEFAULT_APP {
            let note = "the app default is not known yet: orgkey app add default --client-id ID";
            return Ok(Some(note.into()));
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
        let others = SavedAccounts::of(
            others.iter().filter(|other| other.id != row.id).map(|other| &other.credential),
        );
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
