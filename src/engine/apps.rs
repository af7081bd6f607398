//! Apps: those of config.toml and those added by command, each name in one place only.

use secrecy::SecretString;

use crate::domain::app::{App, AppOrigin, check_client_id, check_redirect_uri};
use crate::domain::audit::AuditEvent;
use crate::domain::fault::classify_authorize;
use crate::domain::host::LoginUrl;
use crate::domain::http::{Method, Purpose, Request};
use crate::domain::name::{ConnectionName, Environment};
use crate::domain::text;
use crate::engine::error::{Error, Invalid, Refusal};
use crate::engine::operation::AppRequest;
use crate::engine::outcome::{AppFinding, AppReport, Field};
use crate::engine::save::refuse_secret;
use crate::engine::{Engine, Outcome};
use crate::oauth::authorization_code::{AuthorizationRequest, PkcePair, VERIFIER_BYTES};
use crate::platform;
use crate::store::{NewApp, SealedSecret, new_record_id};

impl Engine {
    /// All apps, by name. The same name in both places is an error that names both.
    pub(super) async fn apps(&self) -> Result<Vec<App>, Error> {
        let mut apps = self.settings.config.apps();
        for stored in self.store.call(|store| store.apps()).await? {
            if apps.iter().any(|app| app.name.eq_ignore_ascii_case(&stored.name)) {
                return Err(in_both_places(&stored.name));
            }
            apps.push(stored);
        }
        apps.sort_by_key(|app| app.name.to_ascii_lowercase());
        Ok(apps)
    }

    /// One app by its name.
    pub(super) async fn app(&self, name: &str) -> Result<Option<App>, Error> {
        let configured = self.settings.config.app(name).cloned();
        let wanted = name.to_owned();
        let stored = self.store.call(move |store| store.app(&wanted)).await?;
        match (configured, stored) {
            (Some(_), Some(stored)) => Err(in_both_places(&stored.name)),
            (configured, stored) => Ok(configured.or(stored)),
        }
    }

    /// How long an unused session of an app lives.
    pub(super) async fn session_timeout(&self, app: &str) -> Result<std::time::Duration, Error> {
        Ok(self
            .app(app)
            .await?
            .map_or(crate::domain::app::DEFAULT_SESSION_TIMEOUT, |app| app.session_timeout()))
    }

    /// The client secret that belongs to a client ID; none where the app has none, or has become
    /// another client since.
    pub(super) async fn client_secret(
        &self,
        app: &str,
        client_id: &str,
    ) -> Result<Option<SecretString>, Error> {
        let Some(app) = self.app(app).await?.filter(|app| app.client_id == client_id) else {
            return Ok(None);
        };
        if let Some(file) = self.settings.config.client_secret(&app.name) {
            let secret = platform::secret_file::read_secret_file(file);
            return secret.map(Some).map_err(Error::SecretFile);
        }
        let name = app.name;
        let kept = self.store.call(move |store| store.app_secret(&name)).await?;
        match kept {
            None => Ok(None),
            Some((id, sealed)) => {
                let key = self.key().await?;
                Ok(Some(key.sealer().open_secret("app_secret", id, &sealed)?))
            }
        }
    }

    /// Adds apps: all of them or none.
    pub(super) async fn add_apps(&self, requests: Vec<AppRequest>) -> Result<Outcome, Error> {
        let mut new: Vec<NewApp> = Vec::new();
        for request in &requests {
            let app = self.new_app(request).await.map_err(|error| error.at_line(request.line))?;
            new.push(app);
        }
        let apps = new.iter().map(|(app, ..)| app.clone()).collect();
        self.store.call(move |store| store.insert_apps(&new)).await?;
        Ok(Outcome::Apps(apps))
    }

    /// A new app, checked, with its sealed secret and its audit row.
    pub(super) async fn new_app(&self, request: &AppRequest) -> Result<NewApp, Error> {
        let name = parse_app_name(&request.name)?;
        self.refuse_taken(&name).await?;
        if request.client_id.as_deref().is_none_or(str::is_empty) {
            return Err(Invalid::new(
                Field::ClientId,
                "the client ID is missing",
                "give the Consumer Key of the app with --client-id",
            )
            .into());
        }
        let (app, secret) = self.changed_app(App::named(name), request).await?;
        let detail = format!("client ID {}", app.client_id);
        let reason = request.reason.as_deref();
        let entry = self.audit_of(AuditEvent::AppAdded, app.name.clone(), detail, reason);
        Ok((app, secret, entry))
    }

    /// One app, one place (design 10).
    async fn refuse_taken(&self, name: &str) -> Result<(), Error> {
        let (message, remedy) = match self.app(name).await? {
            None => return Ok(()),
            Some(App { name: known, origin: AppOrigin::Config, .. }) => (
                format!("config.toml has the app {known} already, so {name} can't be added"),
                format!("change it there, under [apps.{known}], or choose another name"),
            ),
            Some(App { name: known, origin: AppOrigin::Store, .. }) => (
                format!("the app {known} is saved already"),
                format!("change it with orgkey app edit {known}, or choose another name"),
            ),
        };
        Err(Invalid::new(Field::Name, message, remedy).into())
    }

    /// Changes an app; what is not given stays.
    pub(super) async fn edit_app(&self, request: AppRequest) -> Result<Outcome, Error> {
        let app = self.known_app(&request.name).await?;
        if app.origin == AppOrigin::Config {
            return Err(kept_in_config(&app.name));
        }
        let (app, secret) = self.changed_app(app, &request).await?;
        let detail = format!("client ID {}", app.client_id);
        let reason = request.reason.as_deref();
        let entry = self.audit_of(AuditEvent::AppEdited, app.name.clone(), detail, reason);
        let kept = app.clone();
        self.store.call(move |store| store.update_app(&kept, secret.as_ref(), &entry)).await?;
        Ok(Outcome::Apps(vec![app]))
    }

    /// Removes an app that no credential uses.
    pub(super) async fn delete_app(&self, name: String) -> Result<Outcome, Error> {
        let app = self.known_app(&name).await?;
        if app.origin == AppOrigin::Config {
            return Err(kept_in_config(&app.name));
        }
        let entry = self.audit_of(AuditEvent::AppDeleted, app.name.clone(), String::new(), None);
        let name = app.name.clone();
        let by = self.store.call(move |store| store.users_of_app(&name)).await?;
        if !by.is_empty() {
            return Err(Error::Refused(Refusal::AppInUse { app: app.name, by }));
        }
        self.store.call(move |store| store.delete_app(&app.name, &entry)).await?;
        Ok(Outcome::Done)
    }

    /// Looks at an app as far as that is possible without a sign-in: its secret is readable, and
    /// each login host that is used with it takes its client ID and redirect URI.
    pub(super) async fn test_app(&self, name: &str) -> Result<Outcome, Error> {
        let app = self.known_app(name).await?;
        let mut findings = vec![self.secret_finding(&app).await];
        for host in self.login_hosts_of(&app).await? {
            findings.push(self.authorize_finding(&app, &host).await?);
        }
        Ok(Outcome::AppTested(AppReport { app, findings }))
    }

    async fn known_app(&self, name: &str) -> Result<App, Error> {
        let name = name.trim();
        self.app(name).await?.ok_or_else(|| Error::NoSuchApp(text::clean_and_mask(name)))
    }

    async fn secret_finding(&self, app: &App) -> AppFinding {
        if !app.has_secret {
            return good("no client secret is kept; PKCE protects the exchange");
        }
        match self.client_secret(&app.name, &app.client_id).await {
            Ok(_) => good("the client secret is readable"),
            Err(error) => bad(error.message(), error.remedy(), false),
        }
    }

    async fn login_hosts_of(&self, app: &App) -> Result<Vec<LoginUrl>, Error> {
        let rows = self.store.call(|store| store.credentials()).await?;
        let mut hosts: Vec<LoginUrl> = rows
            .into_iter()
            .map(|row| super::save::account_to_sign_in(&row.credential))
            .filter(|account| account.app.eq_ignore_ascii_case(&app.name))
            .map(|account| account.login_url)
            .collect();
        hosts.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        hosts.dedup();
        if hosts.is_empty() {
            hosts.push(LoginUrl::generic(Environment::Production));
        }
        Ok(hosts)
    }

    /// Opens the authorization URL as a browser would: a client ID or redirect URI that Salesforce
    /// does not know ends on its error page at once.
    async fn authorize_finding(&self, app: &App, host: &LoginUrl) -> Result<AppFinding, Error> {
        let pkce = PkcePair::from_random(&[0; VERIFIER_BYTES]);
        let url = AuthorizationRequest {
            login_url: host,
            client_id: &app.client_id,
            redirect_uri: app.redirect_uri(crate::domain::app::Flow::Paste),
            scopes: &app.scopes,
            state: &SecretString::from("app-test"),
            code_challenge: &pkce.challenge,
            login_hint: None,
        }
        .url();
        let request = Request {
            method: Method::Get,
            url,
            purpose: Purpose::Question,
            form: Vec::new(),
            bearer: None,
        };
        let fault = match self.ask(request).await? {
            Ok(response) => response.location.as_deref().and_then(|location| {
                let (error, description) = error_in(location)?;
                Some(classify_authorize(host.host(), &error, &description))
            }),
            Err(fault) => Some(fault),
        };
        Ok(match fault {
            Some(fault) => bad(fault.message(), fault.remedy(), fault.kind.may_be_new_app()),
            None => good(&format!("{} takes the client ID and the redirect URI", host.host())),
        })
    }

    /// Applies the given fields, checked; a new secret is sealed.
    async fn changed_app(
        &self,
        mut app: App,
        request: &AppRequest,
    ) -> Result<(App, Option<SealedSecret>), Error> {
        if let Some(client_id) = &request.client_id {
            let client_id = client_id.trim();
            refuse_secret(Field::ClientId, client_id)?;
            check_client_id(client_id).map_err(Invalid::from)?;
            app.client_id = client_id.to_owned();
        }
        if let Some(uris) = &request.redirect_uris {
            for uri in uris {
                refuse_secret(Field::RedirectUri, uri)?;
                check_redirect_uri(uri).map_err(Invalid::from)?;
            }
            app.redirect_uris.clone_from(uris);
        }
        if let Some(scopes) = &request.scopes {
            app.scopes = parse_scopes(scopes)?;
        }
        app.flows = request.flows.clone().unwrap_or(app.flows);
        app.rotation = request.rotation.unwrap_or(app.rotation);
        app.session_timeout = request.session_timeout.or(app.session_timeout);
        app.idle_limit = request.idle_limit.or(app.idle_limit);
        app.rotate_every = request.rotate_every.or(app.rotate_every);
        let secret = match &request.client_secret {
            None => None,
            Some(secret) if secret.is_empty() => {
                app.has_secret = false;
                None
            }
            Some(secret) => {
                app.has_secret = true;
                let key = self.key_or_new().await?;
                let id = new_record_id()?;
                Some((id, key.sealer().seal_secret("app_secret", id, &secret.0)?))
            }
        };
        Ok((app, secret))
    }
}

fn good(message: &str) -> AppFinding {
    let (message, remedy) = (message.to_owned(), String::new());
    AppFinding { good: true, message, remedy, may_be_new: false }
}

fn bad(message: String, remedy: String, may_be_new: bool) -> AppFinding {
    AppFinding { good: false, message, remedy, may_be_new }
}

/// `error` and `error_description` of a redirect, where it has them.
fn error_in(location: &str) -> Option<(String, String)> {
    let query = location.split_once('?')?.1;
    let value = |name: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    Some((value("error")?, value("error_description").unwrap_or_default()))
}

fn parse_app_name(typed: &str) -> Result<String, Error> {
    refuse_secret(Field::Name, typed)?;
    ConnectionName::parse(typed).map(String::from).map_err(|error| {
        Invalid::new(Field::Name, error.to_string(), "name the app, e.g. default").into()
    })
}

fn parse_scopes(typed: &[String]) -> Result<Vec<String>, Error> {
    let scopes: Vec<String> =
        typed.iter().flat_map(|typed| typed.split_whitespace()).map(str::to_owned).collect();
    typed.iter().try_for_each(|typed| refuse_secret(Field::Scopes, typed))?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    match scopes.iter().find(|scope| !scope.chars().all(allowed)) {
        None => Ok(scopes),
        Some(scope) => {
            Err(Invalid::from(crate::domain::app::AppError::Scope(text::clean(scope))).into())
        }
    }
}

fn in_both_places(name: &str) -> Error {
    Invalid::new(
        Field::Name,
        format!("the app {name} is in config.toml and was added by command"),
        format!("keep it in one place: remove [apps.{name}], or orgkey app delete {name}"),
    )
    .into()
}

fn kept_in_config(name: &str) -> Error {
    Invalid::new(
        Field::Name,
        format!("the app {name} is kept in config.toml"),
        format!("change it there, under [apps.{name}]"),
    )
    .into()
}
