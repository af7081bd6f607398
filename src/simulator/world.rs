//! The state of the simulated Salesforce: orgs, users, apps, and what was issued to whom. Plain
//! data behind one lock; the rules that change it stand in `authorize`, `token` and `session`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::domain::name::Environment;
use crate::domain::time::UnixMillis;
use crate::simulator::device::Device;
use crate::simulator::entry::{LoginRules, Standing};
use crate::simulator::host::VirtualHost;
use crate::simulator::mint::Mint;
use crate::simulator::rotation::{RefreshToken, RotationPolicy};

/// Which org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OrgIndex(pub(crate) usize);
/// Which user, of all orgs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UserIndex(pub(crate) usize);
/// Which app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AppIndex(pub(crate) usize);
/// Which approval; counts up in the order they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ApprovalId(pub(crate) u64);

/// An org.
pub(crate) struct Org {
    /// What the facts and the control plane call it.
    pub(crate) name: String,
    /// The `Name` of its Organization row.
    pub(crate) company: String,
    /// Production or sandbox.
    pub(crate) environment: Environment,
    /// 18 characters.
    pub(crate) id: String,
    /// The host without `.localhost`: `acme.my`.
    pub(crate) my_domain: String,
    /// Calls of the data API so far, as `Sforce-Limit-Info` counts them.
    pub(crate) api_calls: u64,
    /// Whether it is open at all.
    pub(crate) standing: Standing,
    /// From where and when its users may log in.
    pub(crate) login: LoginRules,
}

/// A user of one org.
pub(crate) struct User {
    /// The org.
    pub(crate) org: OrgIndex,
    /// Unique among all orgs; a sandbox's ends in its name.
    pub(crate) username: String,
    /// 18 characters.
    pub(crate) id: String,
    /// The password of the login page.
    pub(crate) password: String,
    /// First name.
    pub(crate) first_name: String,
    /// Last name.
    pub(crate) last_name: String,
    /// Whether the user may log in.
    pub(crate) active: bool,
    /// The permission 'API Enabled'.
    pub(crate) api_enabled: bool,
    /// Login IP Ranges and Login Hours of the user's profile.
    pub(crate) login: LoginRules,
}

/// What happens when a refresh token that was rotated out is used again (Salesforce OAuth facts,
/// number 2: the field has seen both).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Replay {
    /// It is refused; the newest token lives on.
    RejectOnly,
    /// The whole approval dies with its newest token and its sessions.
    RevokeFamily,
}

/// An app, known in every org under the same client ID.
pub(crate) struct App {
    /// What the facts call it.
    pub(crate) name: String,
    /// RFC 6749 section 2.2.
    pub(crate) client_id: String,
    /// Required of the client where there is one.
    pub(crate) secret: Option<String>,
    /// The key of the response signature: the secret, or one that is never shown.
    pub(crate) signing_key: String,
    /// Matched exactly.
    pub(crate) redirect_uris: Vec<String>,
    /// Scopes that may be asked for; all of them when none is.
    pub(crate) scopes: Vec<String>,
    /// Whether a refresh answers a new refresh token.
    pub(crate) rotation: bool,
    /// What becomes of the refresh token that it replaces.
    pub(crate) policy: RotationPolicy,
    /// What a replay does.
    pub(crate) replay: Replay,
    /// Idle limit of a session.
    pub(crate) session_timeout: Duration,
    /// Idle limit of a refresh token.
    pub(crate) idle_limit: Option<Duration>,
    /// Age limit of a refresh token, counted from its approval.
    pub(crate) age_limit: Option<Duration>,
    /// Living approvals of a user; one more ends the oldest.
    pub(crate) approval_limit: usize,
    /// How long a refresh is in flight before it is carried out; on the wall clock.
    pub(crate) hold: Duration,
    /// Blocked by an admin: nothing is approved or refreshed.
    pub(crate) blocked: bool,
    /// Not blocked, but not installed either: no new approval.
    pub(crate) installed: bool,
    /// Device Flow is enabled on the app.
    pub(crate) device_enabled: bool,
    /// At least so long between two polls of its device codes.
    pub(crate) device_interval: Duration,
    /// Open to every user, not to admin-approved ones alone.
    pub(crate) open_to_all: bool,
    /// Until then nobody knows it: a new app takes up to 10 minutes to get around.
    pub(crate) known_from: Option<UnixMillis>,
}

/// Whose, and through which app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The org.
    pub(crate) org: OrgIndex,
    /// The user.
    pub(crate) user: UserIndex,
    /// The app.
    pub(crate) app: AppIndex,
}

/// A sign-in on its way through the pages.
pub(crate) struct Attempt {
    /// The host that it began on.
    pub(crate) host: VirtualHost,
    /// The app.
    pub(crate) app: AppIndex,
    /// As the request named it.
    pub(crate) redirect_uri: String,
    /// Returned untouched.
    pub(crate) state: Option<String>,
    /// What was asked for.
    pub(crate) scopes: Vec<String>,
    /// RFC 7636 section 4.2, method S256.
    pub(crate) challenge: String,
    /// Prefills the login page.
    pub(crate) login_hint: Option<String>,
    /// Who logged in; none until then.
    pub(crate) user: Option<UserIndex>,
    /// When it began.
    pub(crate) began_at: UnixMillis,
    /// The device code that it approves, in place of a return to the redirect URI.
    pub(crate) device: Option<String>,
}

/// A browser that stays logged in.
pub(crate) struct BrowserSession {
    /// The host that set the cookie.
    pub(crate) host: VirtualHost,
    /// Who.
    pub(crate) user: UserIndex,
    /// Since when.
    pub(crate) began_at: UnixMillis,
}

/// An authorization code.
pub(crate) struct Code {
    /// For whom.
    pub(crate) subject: Subject,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
    /// Must be named again at the exchange.
    pub(crate) redirect_uri: String,
    /// RFC 7636 section 4.2.
    pub(crate) challenge: String,
    /// When.
    pub(crate) issued_at: UnixMillis,
    /// Whether it was presented before.
    pub(crate) spent: bool,
    /// What came of it.
    pub(crate) approval: Option<ApprovalId>,
}

/// An approval: one refresh token at a time, and the sessions made from it.
pub(crate) struct Approval {
    /// Whose.
    pub(crate) subject: Subject,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
    /// When the user approved.
    pub(crate) approved_at: UnixMillis,
    /// Last refresh.
    pub(crate) used_at: UnixMillis,
    /// How many refreshes were carried out.
    pub(crate) refreshes: u64,
}

/// An access token.
pub(crate) struct Session {
    /// Whose.
    pub(crate) subject: Subject,
    /// The approval that it was made from, where a refresh token was granted.
    pub(crate) approval: Option<ApprovalId>,
    /// The refresh token of the same answer.
    pub(crate) refresh_token: Option<String>,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
    /// When.
    pub(crate) issued_at: UnixMillis,
    /// When its life was last counted anew.
    pub(crate) extended_at: UnixMillis,
    /// Its end, unless it is used.
    pub(crate) expires_at: UnixMillis,
}

/// Everything there is.
pub(crate) struct World {
    /// The port that all hosts share.
    pub(crate) port: u16,
    /// Makes tokens.
    pub(crate) mint: Mint,
    /// All orgs; none is ever removed.
    pub(crate) orgs: Vec<Org>,
    /// All users; none is ever removed.
    pub(crate) users: Vec<User>,
    /// All apps; none is ever removed.
    pub(crate) apps: Vec<App>,
    /// Sign-ins under way, by the key in their form.
    pub(crate) attempts: HashMap<String, Attempt>,
    /// Logged-in browsers, by cookie.
    pub(crate) browsers: HashMap<String, BrowserSession>,
    /// Whom a browser without a cookie of its own remembers.
    pub(crate) remembered: Option<UserIndex>,
    /// The address that all clients seem to come from.
    pub(crate) client_address: IpAddr,
    /// Codes issued.
    pub(crate) codes: HashMap<String, Code>,
    /// Device codes that nobody has fetched a token with.
    pub(crate) devices: HashMap<String, Device>,
    /// Living approvals.
    pub(crate) approvals: HashMap<ApprovalId, Approval>,
    /// The number of the last approval.
    pub(crate) last_approval: u64,
    /// Refresh tokens of living approvals.
    pub(crate) refresh_tokens: HashMap<String, RefreshToken>,
    /// Refresh tokens that died with their user's deactivation: while it lasts, it is named as
    /// the reason.
    pub(crate) deactivated_tokens: HashMap<String, UserIndex>,
    /// Living sessions.
    pub(crate) sessions: HashMap<String, Session>,
}

impl World {
    /// The org at an index, which only this module hands out.
    pub(crate) fn org(&self, index: OrgIndex) -> &Org {
        &self.orgs[index.0]
    }

    /// The user at an index, which only this module hands out.
    pub(crate) fn user(&self, index: UserIndex) -> &User {
        &self.users[index.0]
    }

    /// The app at an index, which only this module hands out.
    pub(crate) fn app(&self, index: AppIndex) -> &App {
        &self.apps[index.0]
    }

    /// Finds an app by its client ID, unless it has not got around yet.
    pub(crate) fn known_app(&self, now: UnixMillis, client_id: &str) -> Option<AppIndex> {
        self.app_by_client_id(client_id)
            .filter(|app| self.app(*app).known_from.is_none_or(|from| now >= from))
    }

    /// Finds an app by its client ID.
    pub(crate) fn app_by_client_id(&self, client_id: &str) -> Option<AppIndex> {
        self.apps.iter().position(|app| app.client_id == client_id).map(AppIndex)
    }

    /// Finds a user by name, without regard to case, as the login page does.
    pub(crate) fn user_by_name(&self, username: &str) -> Option<UserIndex> {
        self.users
            .iter()
            .position(|user| user.username.eq_ignore_ascii_case(username.trim()))
            .map(UserIndex)
    }

    /// `http://NAME.localhost:PORT`.
    pub(crate) fn url_of(&self, name: &str) -> String {
        format!("http://{name}.localhost:{}", self.port)
    }

    /// The URL of the org's My Domain: where its tokens are used.
    pub(crate) fn instance_url(&self, org: OrgIndex) -> String {
        self.url_of(&self.org(org).my_domain)
    }

    /// The URL of the generic host for the org's environment.
    pub(crate) fn login_url(&self, org: OrgIndex) -> String {
        match self.org(org).environment {
            Environment::Production => self.url_of("login"),
            Environment::Sandbox => self.url_of("test"),
        }
    }

    /// The identity URL of a user; on the generic host, whichever host was used to sign in.
    pub(crate) fn identity_url(&self, user: UserIndex) -> String {
        let User { org, id, .. } = self.user(user);
        format!("{}/id/{}/{id}", self.login_url(*org), self.org(*org).id)
    }
}
