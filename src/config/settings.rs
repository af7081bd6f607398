//! config.toml as typed values. Every key is described in config.example.toml.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::values::{
    AppTables, ClientId, Deadline, FileName, RedirectUri, Scope, Span, SyslogSocket, TrustedDomain,
};
use crate::domain::app::{App, AppOrigin, DEFAULT_SCOPES, Flow, Rotation};
use crate::domain::host::HostPolicy;
use crate::domain::text;

/// The deadline where none is set.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(20);
/// The longest deadline. A process lives on for at most 25 s after a hang-up (design.md section
/// 8), and an exchange with its commits must end within that.
pub(super) const LONGEST_DEADLINE: Duration = Duration::from_secs(20);

/// Why config.toml is refused: the first mistake in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, line {line}, column {column}: {message}", text::clean(&file.to_string_lossy()))]
pub(crate) struct ConfigError {
    /// The file.
    pub(crate) file: PathBuf,
    /// Counted from 1.
    pub(crate) line: usize,
    /// In characters, counted from 1.
    pub(crate) column: usize,
    /// What is wrong and what was expected; cleaned, and without the line itself, which could
    /// hold a secret that someone put in the wrong place.
    pub(crate) message: String,
}

impl ConfigError {
    /// What the admin does next.
    pub(crate) fn remedy(&self) -> &'static str {
        if self.message.starts_with("unknown field `client_secret`") {
            "put the secret into a file of mode 0600 and name it as client_secret_file"
        } else {
            "correct that line; config.example.toml shows every key"
        }
    }
}

/// What happens when a hand-out can't be written to the audit (design.md section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnWriteFailure {
    /// Nothing is handed out.
    #[default]
    Refuse,
    /// It is handed out, and said on standard error.
    Serve,
}

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// Whether loopback hosts are accepted, with plain http.
    pub(crate) allow_loopback: bool,
    /// Domains trusted like Salesforce's own, in lower case.
    pub(crate) trusted_domains: Vec<String>,
    /// Longest wait for one whole answer, 1 s to 20 s.
    pub(crate) deadline: Duration,
}

/// `[audit]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// What happens when a hand-out can't be recorded.
    pub(crate) on_write_failure: OnWriteFailure,
    /// The socket of the system's log that each row is sent to, if any.
    pub(crate) syslog: Option<PathBuf>,
}

/// `[terminal]`: ways of a text out of the terminal; each may be forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TerminalUse {
    /// Sending a text to the clipboard of the person's own terminal (OSC 52). Never a token.
    pub(crate) clipboard: bool,
    /// Addresses that a terminal opens by a click (OSC 8).
    pub(crate) links: bool,
    /// QR codes.
    pub(crate) qr_codes: bool,
}

impl Default for TerminalUse {
    fn default() -> Self {
        Self { clipboard: true, links: true, qr_codes: true }
    }
}

/// Whether an agent does the exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AgentUse {
    /// The one that is there; the dashboard and `unlock` start one.
    #[default]
    Auto,
    /// None: everything is done in the process that was asked.
    Never,
}

/// What config.toml says; the defaults where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// `[network]`.
    pub(crate) network: Network,
    /// `[audit]`.
    pub(crate) audit: Audit,
    /// `agent`.
    pub(crate) agent: AgentUse,
    /// `[terminal]`.
    pub(crate) terminal: TerminalUse,
    apps: Vec<ConfiguredApp>,
    /// `[tags.NAME]`: how often tokens of credentials with that tag are to be rotated.
    tags: Vec<(String, Duration)>,
}

/// An app of config.toml and the file of its client secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ConfiguredApp {
    app: App,
    client_secret_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self::from_tables(Tables::default(), Path::new(""))
    }
}

impl Config {
    /// Reads the text of config.toml; `file` is its absolute path, which the file names in it are
    /// relative to and which errors name.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let tables: Tables = toml::from_str(text).map_err(|error| refusal(&error, text, file))?;
        Ok(Self::from_tables(tables, file.parent().unwrap_or(Path::new(""))))
    }

    /// The apps of the file, in the order of their names.
    pub(crate) fn apps(&self) -> Vec<App> {
        self.apps.iter().map(|configured| configured.app.clone()).collect()
    }

    /// The app of that name, without regard to case.
    pub(crate) fn app(&self, name: &str) -> Option<&App> {
        self.configured(name).map(|configured| &configured.app)
    }

    /// The file that holds the app's client secret, if it has one. To be read at its use.
    pub(crate) fn client_secret(&self, name: &str) -> Option<&Path> {
        self.configured(name)?.client_secret_file.as_deref()
    }

    /// How often tokens of credentials with a tag are to be rotated.
    pub(crate) fn tags_rotate_every(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.tags.iter().map(|(tag, every)| (tag.as_str(), *every))
    }

    /// Which hosts are trusted.
    pub(crate) fn host_policy(&self) -> HostPolicy {
        HostPolicy {
            trusted_domains: self.network.trusted_domains.clone(),
            allow_loopback: self.network.allow_loopback,
        }
    }

    fn configured(&self, name: &str) -> Option<&ConfiguredApp> {
        self.apps.iter().find(|configured| configured.app.name.eq_ignore_ascii_case(name))
    }

    fn from_tables(tables: Tables, folder: &Path) -> Self {
        let deadline = tables.network.deadline.map_or(DEFAULT_DEADLINE, |deadline| deadline.0);
        let trusted = tables.network.trusted_domains.into_iter().map(|domain| domain.0);
        Self {
            network: Network {
                allow_loopback: tables.network.allow_loopback,
                trusted_domains: trusted.collect(),
                deadline,
            },
            audit: Audit {
                on_write_failure: tables.audit.on_write_failure,
                syslog: tables.audit.syslog.0,
            },
            agent: tables.agent,
            terminal: tables.terminal,
            tags: tables
                .tags
                .into_iter()
                .filter_map(|(tag, table)| Some((tag, table.rotate_every?.0)))
                .collect(),
            apps: tables
                .apps
                .0
                .into_iter()
                .map(|(name, table)| table.into_app(name.as_str().to_owned(), folder))
                .collect(),
        }
    }
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tables {
    agent: AgentUse,
    network: NetworkTable,
    audit: AuditTable,
    terminal: TerminalUse,
    apps: AppTables,
    tags: BTreeMap<String, TagTable>,
}

/// `[tags.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TagTable {
    rotate_every: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkTable {
    allow_loopback: bool,
    trusted_domains: Vec<TrustedDomain>,
    deadline: Option<Deadline>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuditTable {
    on_write_failure: OnWriteFailure,
    syslog: SyslogSocket,
}

/// `[apps.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppTable {
    client_id: ClientId,
    client_secret_file: Option<FileName>,
    #[serde(default)]
    redirect_uris: Vec<RedirectUri>,
    scopes: Option<Vec<Scope>>,
    #[serde(default)]
    flows: Vec<Flow>,
    private_key_file: Option<FileName>,
    certificate_file: Option<FileName>,
    #[serde(default)]
    rotation: Rotation,
    idle_limit: Option<Span>,
    session_timeout: Option<Span>,
    rotate_every: Option<Span>,
}

impl AppTable {
    fn into_app(self, name: String, folder: &Path) -> ConfiguredApp {
        let path = |file: FileName| folder.join(file.0);
        let shown = |file: FileName| path(file).to_string_lossy().into_owned();
        let seconds = |span: Span| span.0.as_secs();
        let client_secret_file = self.client_secret_file.map(path);
        let app = App {
            name,
            client_id: self.client_id.0,
            has_secret: client_secret_file.is_some(),
            redirect_uris: self.redirect_uris.into_iter().map(|uri| uri.0).collect(),
            scopes: match self.scopes {
                Some(scopes) => scopes.into_iter().map(|scope| scope.0).collect(),
                None => DEFAULT_SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
            },
            flows: self.flows,
            private_key_file: self.private_key_file.map(shown),
            certificate_file: self.certificate_file.map(shown),
            rotation: self.rotation,
            idle_limit: self.idle_limit.map(seconds),
            session_timeout: self.session_timeout.map(seconds),
            rotate_every: self.rotate_every.map(seconds),
            origin: AppOrigin::Config,
        };
        ConfiguredApp { app, client_secret_file }
    }
}

/// Turns toml's error, whose own text shows the offending line, into ours.
fn refusal(error: &toml::de::Error, text: &str, file: &Path) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    ConfigError {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: match error.message() {
            // toml's words where one of several words is expected; a table is never meant here.
            "wanted string or table" => "expected a string".to_owned(),
            // What it makes of a word without quotes that starts with n or i; no key takes a float.
            "invalid float, expected `nan`" | "invalid float, expected `inf`" => {
                "string values must be quoted".to_owned()
            }
            message => text::clean_and_mask(message),
        },
    }
}

#[cfg(test)]
mod tests;
