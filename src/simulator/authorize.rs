//! The rules of signing in: what an authorization request must have, who logs in where, and what
//! goes back to the redirect URI (Salesforce OAuth facts 3.2).

use std::time::Duration;

use crate::domain::time::UnixMillis;
use crate::simulator::answer::Refusal;
use crate::simulator::host::VirtualHost;
use crate::simulator::request::Form;
use crate::simulator::world::{AppIndex, Attempt, BrowserSession, Code, Subject, UserIndex, World};

/// How long the pages of a sign-in stay valid.
const ATTEMPT_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a browser stays logged in.
const BROWSER_LIFE: Duration = Duration::from_secs(2 * 3600);

/// What the login page says to whoever got it wrong; it does not tell what was wrong.
const LOGIN_FAILURE: &str = "Please check your username and password. If you still can't log in, contact your Salesforce administrator.";

/// What the browser gets next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The login page.
    LogIn {
        /// The key of the sign-in.
        attempt: String,
        /// Prefills the name.
        username: String,
        /// What went wrong before.
        failure: Option<&'static str>,
    },
    /// The approval page.
    Approve {
        /// The key of the sign-in.
        attempt: String,
    },
    /// Back to the redirect URI with a code or an error.
    Return {
        /// The redirect URI with its parameters.
        url: String,
        /// For the journal.
        outcome: String,
    },
    /// On to another page of the same host.
    Below {
        /// Its path with query.
        path: String,
        /// For the journal.
        outcome: String,
    },
    /// An error that never leaves Salesforce's own page.
    Stay(Refusal),
}

impl World {
    /// Takes an authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
    pub(crate) fn begin_sign_in(
        &mut self,
        now: UnixMillis,
        host: VirtualHost,
        browser: Option<&str>,
        query: &Form,
    ) -> Step {
        // Until client and redirect URI are known to be right, nothing may go back to it.
        let app = query.get("client_id").and_then(|id| self.known_app(now, id));
        let Some(app) = app else {
            return Step::Stay(Refusal::new("invalid_client_id", "client identifier invalid"));
        };
        let Some(redirect_uri) = query.get("redirect_uri") else {
            return Step::Stay(Refusal::new("redirect_uri_missing", "redirect_uri is missing"));
        };
        if !self.app(app).redirect_uris.iter().any(|registered| registered == redirect_uri) {
            let description = "redirect_uri must match configuration";
            return Step::Stay(Refusal::new("redirect_uri_mismatch", description));
        }
        match self.read_attempt(now, host, app, redirect_uri, query) {
            Ok(attempt) => self.first_page(now, browser, query, attempt),
            Err(refusal) => return_error(redirect_uri, query.get("state"), &refusal),
        }
    }

    fn read_attempt(
        &self,
        now: UnixMillis,
        host: VirtualHost,
        app: AppIndex,
        redirect_uri: &str,
        query: &Form,
    ) -> Result<Attempt, Refusal> {
        if query.get("response_type") != Some("code") {
            let description = "response type not supported";
            return Err(Refusal::new("unsupported_response_type", description));
        }
        let challenge = query
            .get("code_challenge")
            .ok_or(Refusal::new("invalid_request", "missing required code challenge"))?;
        if query.get("code_challenge_method").unwrap_or("S256") != "S256" {
            return Err(Refusal::new("invalid_request", "invalid code challenge method"));
        }
        Ok(Attempt {
            host,
            app,
            redirect_uri: redirect_uri.to_owned(),
            state: query.get("state").map(str::to_owned),
            scopes: self.read_scopes(app, query.get("scope"))?,
            challenge: challenge.to_owned(),
            login_hint: query.get("login_hint").map(str::to_owned),
            user: None,
            began_at: now,
            device: None,
        })
    }

    /// The scopes asked for, each of which the app must have; all of the app's where none is.
    pub(crate) fn read_scopes(
        &self,
        app: AppIndex,
        asked: Option<&str>,
    ) -> Result<Vec<String>, Refusal> {
        let offered = &self.app(app).scopes;
        let Some(asked) = asked else { return Ok(offered.clone()) };
        let is_offered = |scope: &str| {
            let scope = if scope == "offline_access" { "refresh_token" } else { scope };
            offered.iter().any(|offer| offer == scope)
        };
        if asked.split_whitespace().all(is_offered) {
            Ok(asked.split_whitespace().map(str::to_owned).collect())
        } else {
            Err(Refusal::new("invalid_scope", "the requested scope is not allowed"))
        }
    }

    /// The login page, unless this browser remembers a user whom the hint does not rule out, and
    /// nobody asked for a login of its own. Who is remembered is not asked for a name, and not even
    /// for an approval that was given before.
    fn first_page(
        &mut self,
        now: UnixMillis,
        browser: Option<&str>,
        query: &Form,
        attempt: Attempt,
    ) -> Step {
        let prompts = |word: &str| {
            query.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|one| one == word))
        };
        let asks_anew = prompts("login") || prompts("select_account");
        let remembered =
            self.logged_in(now, attempt.host, browser).filter(|_| !asks_anew).filter(|user| {
                let hint = attempt.login_hint.as_deref();
                hint.is_none_or(|hint| hint.eq_ignore_ascii_case(&self.user(*user).username))
            });
        if prompts("none") || query.get("immediate") == Some("true") {
            let refusal = Refusal::new("immediate_unsuccessful", "a person has to log in");
            return return_error(&attempt.redirect_uri, attempt.state.as_deref(), &refusal);
        }
        match remembered {
            Some(user) if !prompts("consent") && self.has_allowed(&attempt, user) => {
                match self.refuses(attempt.app) {
                    Some(refusal) => Step::Stay(refusal),
                    None => self.return_code(now, attempt, user),
                }
            }
            Some(user) => self.ask_approval(attempt, user),
            None => self.ask_login(attempt, None),
        }
    }

    /// Whom the browser is logged in as: by its cookie, else by what every browser remembers.
    fn logged_in(
        &self,
        now: UnixMillis,
        host: VirtualHost,
        cookie: Option<&str>,
    ) -> Option<UserIndex> {
        let session = cookie.and_then(|cookie| self.browsers.get(cookie));
        session
            .filter(|session| session.host == host && now.since(session.began_at) < BROWSER_LIFE)
            .map(|session| session.user)
            .or_else(|| self.remembered.filter(|user| self.serves(host, self.user(*user).org)))
            .filter(|user| self.user(*user).active && self.admit(now, *user).is_ok())
    }

    /// Whether a living approval of this user and app has all the scopes asked for.
    fn has_allowed(&self, attempt: &Attempt, user: UserIndex) -> bool {
        let subject = Subject { org: self.user(user).org, user, app: attempt.app };
        let has_all = |granted: &[String]| attempt.scopes.iter().all(|one| granted.contains(one));
        let mut approvals = self.approvals.values();
        approvals.any(|approval| approval.subject == subject && has_all(&approval.scopes))
    }

    pub(crate) fn ask_login(&mut self, attempt: Attempt, failure: Option<&'static str>) -> Step {
        let username = attempt.login_hint.clone().unwrap_or_default();
        Step::LogIn { attempt: self.keep_attempt(attempt), username, failure }
    }

    fn keep_attempt(&mut self, attempt: Attempt) -> String {
        let key = self.mint.key();
        self.attempts.insert(key.clone(), attempt);
        key
    }

    /// Takes a sign-in back by the key of its page. A key serves once; each page has a new one.
    fn take_attempt(
        &mut self,
        now: UnixMillis,
        host: VirtualHost,
        key: &str,
    ) -> Result<Attempt, Refusal> {
        let gone = "the user didn't complete the approval process before it expired";
        self.attempts
            .remove(key)
            .filter(|attempt| attempt.host == host && now.since(attempt.began_at) < ATTEMPT_LIFE)
            .ok_or(Refusal::new("invalid_request", gone))
    }

    /// Checks name and password. With the step comes the cookie of the logged-in browser.
    pub(crate) fn log_in(
        &mut self,
        now: UnixMillis,
        host: VirtualHost,
        key: &str,
        username: &str,
        password: &str,
    ) -> (Step, Option<String>) {
        let mut attempt = match self.take_attempt(now, host, key) {
            Ok(attempt) => attempt,
            Err(refusal) => return (Step::Stay(refusal), None),
        };
        let user = self.user_by_name(username).filter(|index| {
            let user = self.user(*index);
            user.active && user.password == password && self.serves(host, user.org)
        });
        let user = user.filter(|user| self.admit(now, *user).is_ok());
        let Some(user) = user else {
            attempt.login_hint = Some(username.to_owned());
            return (self.ask_login(attempt, Some(LOGIN_FAILURE)), None);
        };
        let cookie = self.mint.key();
        self.browsers.insert(cookie.clone(), BrowserSession { host, user, began_at: now });
        (self.ask_approval(attempt, user), Some(cookie))
    }

    /// The approval page, unless the app is not for this user.
    fn ask_approval(&mut self, mut attempt: Attempt, user: UserIndex) -> Step {
        if let Some(refusal) = self.refuses(attempt.app) {
            return Step::Stay(refusal);
        }
        attempt.user = Some(user);
        Step::Approve { attempt: self.keep_attempt(attempt) }
    }

    /// Why nobody may approve an app.
    fn refuses(&self, app: AppIndex) -> Option<Refusal> {
        let app = self.app(app);
        if app.blocked {
            return Some(Refusal::new("OAUTH_APP_BLOCKED", "this app is blocked by admin"));
        }
        if !app.installed {
            return Some(Refusal::new("invalid_client", "app must be installed into org"));
        }
        let description = "user is not admin approved to access this app";
        (!app.open_to_all).then_some(Refusal::new("OAUTH_APP_ACCESS_DENIED", description))
    }

    /// Carries out the press of Allow or Deny.
    pub(crate) fn decide(
        &mut self,
        now: UnixMillis,
        host: VirtualHost,
        key: &str,
        allow: bool,
    ) -> Step {
        let attempt = match self.take_attempt(now, host, key) {
            Ok(attempt) => attempt,
            Err(refusal) => return Step::Stay(refusal),
        };
        let Some(user) = attempt.user else { return self.ask_login(attempt, None) };
        if let Some(device_code) = &attempt.device {
            return self.answer_device(device_code, user, allow);
        }
        if !allow {
            let refusal = Refusal::new("access_denied", "end-user denied authorization");
            return return_error(&attempt.redirect_uri, attempt.state.as_deref(), &refusal);
        }
        self.return_code(now, attempt, user)
    }

    /// Sends a code back to the redirect URI (RFC 6749 section 4.1.2).
    fn return_code(&mut self, now: UnixMillis, attempt: Attempt, user: UserIndex) -> Step {
        let state = attempt.state.as_deref();
        let code = self.mint.code();
        let url = with_query(&attempt.redirect_uri, &[("code", Some(&code)), ("state", state)]);
        let subject = Subject { org: self.user(user).org, user, app: attempt.app };
        let entry = Code {
            subject,
            scopes: attempt.scopes,
            redirect_uri: attempt.redirect_uri,
            challenge: attempt.challenge,
            issued_at: now,
            spent: false,
            approval: None,
        };
        self.codes.insert(code, entry);
        Step::Return { url, outcome: "ok".to_owned() }
    }
}

/// Sends an error back to the redirect URI (RFC 6749 section 4.1.2.1).
fn return_error(redirect_uri: &str, state: Option<&str>, refusal: &Refusal) -> Step {
    let Refusal { error, description, .. } = *refusal;
    Step::Return {
        url: error_return(redirect_uri, state, error, description),
        outcome: format!("{error}: {description}"),
    }
}

/// The redirect URI with an error in its query.
pub(crate) fn error_return(
    redirect_uri: &str,
    state: Option<&str>,
    error: &str,
    description: &str,
) -> String {
    let pairs =
        [("error", Some(error)), ("error_description", Some(description)), ("state", state)];
    with_query(redirect_uri, &pairs)
}

/// Appends the pairs that are there to a URL, encoded as forms are.
pub(crate) fn with_query(url: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{}", query.finish())
}
