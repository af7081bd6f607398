//! The app of an org (External Client App or Connected App) as OAuth client: its registration,
//! its policies, and which grants it allows.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::loopback::LoopbackRedirect;
use crate::domain::name::Environment;

/// Name of the app where none is named.
pub(crate) const DEFAULT_APP: &str = "default";

/// The redirect URI where none is registered with us; what Salesforce's own tools use.
pub(crate) const DEFAULT_REDIRECT_URI: &str = "http://localhost:1717/OauthRedirect";

/// Idle limit of a session where the app's is not known (Salesforce OAuth facts section 4).
pub(crate) const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(2 * 3600);

/// Scopes asked for where the app names none.
pub(crate) const DEFAULT_SCOPES: [&str; 3] = ["api", "refresh_token", "id"];

/// How tokens are set up (product.md, 'Setting up tokens').
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flow {
    /// Authorization code with PKCE; the final address is pasted back.
    Paste,
    /// Authorization code with PKCE; a loopback redirect brings the code.
    Loopback,
    /// Device authorization, in Salesforce's dialect of RFC 8628.
    Device,
    /// JWT bearer assertion, RFC 7523.
    Jwt,
    /// Client credentials, RFC 6749 section 4.4.
    ClientCredentials,
    /// A token that another tool had obtained.
    Import,
}

impl Flow {
    /// The word in flags, JSON and the store.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Paste => "paste",
            Self::Loopback => "loopback",
            Self::Device => "device",
            Self::Jwt => "jwt",
            Self::ClientCredentials => "client-credentials",
            Self::Import => "import",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Self::Paste,
            Self::Loopback,
            Self::Device,
            Self::Jwt,
            Self::ClientCredentials,
            Self::Import,
        ]
        .into_iter()
        .find(|flow| flow.as_str() == text)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Whether the app's refresh tokens are single-use (Refresh Token Rotation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rotation {
    /// Each refresh answers a new refresh token and kills the old one.
    Yes,
    /// A refresh token stays the same.
    No,
    /// Not said; treated as `yes` wherever it matters.
    #[default]
    Unknown,
}

/// Where an app's registration is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AppOrigin {
    /// `[apps.NAME]` of config.toml.
    Config,
    /// `orgkey app add`.
    Store,
}

/// A client registration. The client secret is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct App {
    /// Unique without regard to case.
    pub(crate) name: String,
    /// RFC 6749 section 2.2; Salesforce calls it Consumer Key.
    pub(crate) client_id: String,
    /// Whether a client secret is kept, in a file or sealed.
    pub(crate) has_secret: bool,
    /// As registered, in the admin's order.
    pub(crate) redirect_uris: Vec<String>,
    /// Asked for at the login.
    pub(crate) scopes: Vec<String>,
    /// Allowed ways to set up tokens; empty means all but device.
    pub(crate) flows: Vec<Flow>,
    /// PEM file of the JWT bearer key.
    pub(crate) private_key_file: Option<String>,
    /// PEM file of its certificate.
    pub(crate) certificate_file: Option<String>,
    /// Whether refresh tokens are single-use.
    pub(crate) rotation: Rotation,
    /// Unused longer than this, the refresh token dies. Seconds.
    pub(crate) idle_limit: Option<u64>,
    /// Unused longer than this, the access token dies. Seconds.
    pub(crate) session_timeout: Option<u64>,
    /// How often the admin wants to rotate. Seconds.
    pub(crate) rotate_every: Option<u64>,
    /// Where it is kept.
    pub(crate) origin: AppOrigin,
}

impl App {
    /// An app of the store that nothing is known of but its name.
    pub(crate) fn named(name: String) -> Self {
        Self {
            name,
            client_id: String::new(),
            has_secret: false,
            redirect_uris: Vec::new(),
            scopes: DEFAULT_SCOPES.map(str::to_owned).to_vec(),
            flows: Vec::new(),
            private_key_file: None,
            certificate_file: None,
            rotation: Rotation::Unknown,
            idle_limit: None,
            session_timeout: None,
            rotate_every: None,
            origin: AppOrigin::Store,
        }
    }

    /// How long an unused access token is assumed to live.
    pub(crate) fn session_timeout(&self) -> Duration {
        self.session_timeout.map_or(DEFAULT_SESSION_TIMEOUT, Duration::from_secs)
    }

    /// The redirect URI for a flow: a loopback one where a listener needs it, else the success
    /// page of a login host where it is registered, else the first.
    pub(crate) fn redirect_uri(&self, flow: Flow) -> &str {
        let is_localhost = |uri: &&String| uri.starts_with("http://localhost:");
        let is_success_page = |uri: &&String| uri.ends_with("/services/oauth2/success");
        let preferred = match flow {
            Flow::Loopback => self.redirect_uris.iter().find(is_localhost),
            _ => self.redirect_uris.iter().find(is_success_page),
        };
        preferred
            .or_else(|| self.redirect_uris.first())
            .map_or(DEFAULT_REDIRECT_URI, String::as_str)
    }

    /// The registered redirect URIs that a listener on this machine can answer, in the admin's
    /// order; the default one where none is registered with us.
    pub(crate) fn loopback_redirects(&self) -> Vec<LoopbackRedirect> {
        if self.redirect_uris.is_empty() {
            return LoopbackRedirect::parse(DEFAULT_REDIRECT_URI).into_iter().collect();
        }
        self.redirect_uris.iter().filter_map(|uri| LoopbackRedirect::parse(uri)).collect()
    }

    /// Whether this way to set up tokens is allowed; the device flow only where it is named
    /// (it is the screen that phishers abuse).
    pub(crate) fn allows(&self, flow: Flow) -> bool {
        if self.flows.is_empty() { flow != Flow::Device } else { self.flows.contains(&flow) }
    }
}

/// Why an app's name or client ID is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppError {
    /// The client ID is empty or has characters that none has.
    #[error(
        "'{0}' is not a client ID: it is the Consumer Key of the app, letters, digits, '.', '_' and '-'"
    )]
    ClientId(String),
    /// A redirect URI that Salesforce would refuse.
    #[error(
        "'{0}' can't be a redirect URI: it is https, a custom scheme, or http://localhost:PORT/PATH, exactly as registered"
    )]
    RedirectUri(String),
    /// A scope with a blank or control character.
    #[error("'{0}' is not a scope")]
    Scope(String),
}

/// Checks a client ID as Salesforce issues it.
pub(crate) fn check_client_id(client_id: &str) -> Result<(), AppError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '=');
    if !client_id.is_empty() && client_id.len() <= 512 && client_id.chars().all(allowed) {
        Ok(())
    } else {
        Err(AppError::ClientId(crate::domain::text::clean_and_mask(client_id)))
    }
}

/// Checks a redirect URI by Salesforce's rules: http only for `localhost`, never for 127.0.0.1
/// (Salesforce OAuth facts 3.2).
pub(crate) fn check_redirect_uri(uri: &str) -> Result<(), AppError> {
    let refuse = || AppError::RedirectUri(crate::domain::text::clean(uri));
    let url = url::Url::parse(uri).map_err(|_| refuse())?;
    let host_is_localhost =
        url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"));
    let accepted = match url.scheme() {
        "http" => host_is_localhost,
        "https" => url.host_str().is_some(),
        "javascript" | "data" | "file" => false,
        _ => true,
    };
    if accepted && url.fragment().is_none() && uri.len() <= 2_000 { Ok(()) } else { Err(refuse()) }
}

/// The success page of a login host: a redirect URI that loads, so that its address can be copied.
pub(crate) fn success_page(environment: Environment) -> String {
    let login = crate::domain::host::LoginUrl::generic(environment);
    login.endpoint("/services/oauth2/success")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_picks_its_redirect_uri() {
        let app = |uris: &[&str]| App {
            redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            ..App::named(DEFAULT_APP.into())
        };
        let both = app(&[
            "http://localhost:1717/OauthRedirect",
            "https://login.salesforce.com/services/oauth2/success",
        ]);
        assert_eq!(
            both.redirect_uri(Flow::Paste),
            "https://login.salesforce.com/services/oauth2/success"
        );
        assert_eq!(both.redirect_uri(Flow::Loopback), "http://localhost:1717/OauthRedirect");
        assert_eq!(app(&[]).redirect_uri(Flow::Paste), DEFAULT_REDIRECT_URI);
        assert!(!both.allows(Flow::Device) && both.allows(Flow::Paste));
    }

    #[test]
    fn redirect_uris_follow_salesforce_rules() {
        for uri in [
            "http://localhost:1717/OauthRedirect",
            "https://login.salesforce.com/services/oauth2/success",
            "sfdc://done",
        ] {
            assert_eq!(check_redirect_uri(uri), Ok(()), "{uri}");
        }
        for uri in [
            "http://127.0.0.1:1717/x",
            "http://acme.example/x",
            "nonsense",
            "",
            "https://a.example/#f",
        ] {
            assert!(check_redirect_uri(uri).is_err(), "{uri}");
        }
    }
}
