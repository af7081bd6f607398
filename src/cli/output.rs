//! What commands print: text for people, one JSON object for scripts. No type here can hold a
//! secret but the one line of `orgkey token`.

use std::io::Write;

use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::app::App;
use crate::domain::credential::{Check, Credential};
use crate::domain::time::{UnixMillis, span_in_words};
use crate::engine::Failure;
use crate::engine::outcome::{Revocation, TestReport};

/// Exit code where whoever reads standard output has gone: as if SIGPIPE had ended us.
const PIPE_CLOSED: u8 = 141;

/// Where a command writes, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON object instead of text.
    pub(crate) json: bool,
}

/// Why a command ends otherwise than by its exit code.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a failure to be told.
    Failure(Box<Failure>),
    /// With this exit code; what there was to say is said.
    Code(u8),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::Code(PIPE_CLOSED);
        }
        Failure {
            code: "output_failed".into(),
            message: format!("the output could not be written: {error}"),
            remedy: "look at where standard output goes".into(),
            exit_code: crate::engine::exit::STORAGE,
            detail: crate::engine::outcome::FailureDetail::None,
        }
        .into()
    }
}

/// How a command ends.
pub(crate) type Done = Result<(), Ended>;

impl Output {
    /// Prints lines of text.
    pub(crate) fn text(self, text: &str) -> Done {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        Ok(stdout.flush()?)
    }

    /// Prints one JSON object on one line.
    pub(crate) fn object(self, object: &Value) -> Done {
        self.text(&object.to_string())
    }

    /// Prints words that are no data: progress, notes, what to do. On standard error, so that a
    /// pipe gets data alone; nothing with `--json`.
    pub(crate) fn say(self, words: &str) {
        if !self.json {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(std::io::stderr().lock(), "{words}");
        }
    }

    /// Prints a failure: what happened and why, what to do next.
    pub(crate) fn failure(self, failure: &Failure) {
        let Failure { code, message, remedy, .. } = failure;
        let text = if self.json {
            let error = json!({ "code": code, "message": message, "remedy": remedy });
            json!({ "schema": 1, "error": error }).to_string()
        } else if remedy.is_empty() {
            format!("orgkey: {message}")
        } else {
            format!("orgkey: {message}\n        {remedy}")
        };
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// A credential as JSON (product.md). Fields are in its order.
#[derive(Serialize)]
struct CredentialJson<'a> {
    name: &'a str,
    environment: &'static str,
    in_use: bool,
    org_id: &'a str,
    user_id: &'a str,
    username: Option<&'a str>,
    login_url: &'a str,
    app: &'a str,
    tags: &'a [String],
    state: &'static str,
    cause: Option<&'static str>,
    held: bool,
    revocation_owed: bool,
    environment_proven: bool,
    pending: Option<Value>,
    token: Option<Value>,
    last_test: Option<Value>,
    authorization: Option<Value>,
}

/// A credential as JSON.
pub(crate) fn credential_json(credential: &Credential, now: UnixMillis) -> Value {
    let pending = credential.pending.as_ref().map(|pending| {
        json!({
            "org_id": pending.org_id, "user_id": pending.user_id, "username": pending.username,
            "login_url": pending.login_url, "app": pending.app,
        })
    });
    let token = credential.token.as_ref().map(|token| {
        json!({
            "instance_url": token.instance_url, "issued_at": token.issued_at.rfc3339(),
            "expires_at": token.expiry.at.rfc3339(), "expiry_known": token.expiry.known,
            "scopes": token.scopes, "flow": token.flow, "generation": token.generation,
        })
    });
    let last_test = credential.last_test.as_ref().map(|test| {
        json!({
            "at": test.at.rfc3339(), "outcome": test.outcome, "latency_ms": test.latency_ms,
            "message": test.message,
        })
    });
    let authorization = credential.pending_authorization(now).map(|pending| {
        json!({
            "flow": pending.flow, "started_at": pending.started_at.rfc3339(),
            "expires_at": pending.expires_at.rfc3339(),
        })
    });
    let shown = CredentialJson {
        name: credential.address.name.as_str(),
        environment: credential.address.environment.as_str(),
        in_use: credential.in_use,
        org_id: credential.org_id.as_str(),
        user_id: credential.user_id.as_str(),
        username: credential.username.as_deref(),
        login_url: credential.login_url.as_str(),
        app: &credential.app,
        tags: &credential.tags,
        state: credential.state(now).as_str(),
        cause: credential.cause(now).map(crate::domain::credential::Cause::as_str),
        held: credential.held.is_some(),
        revocation_owed: credential.revocation_owed,
        environment_proven: credential.environment_proven,
        pending,
        token,
        last_test,
        authorization,
    };
    serde_json::to_value(shown).unwrap_or(Value::Null)
}

/// The result of a test as JSON.
pub(crate) fn test_json(report: &TestReport) -> Value {
    json!({
        "name": report.address.name, "environment": report.address.environment,
        "outcome": report.check.outcome, "latency_ms": report.check.latency_ms,
        "message": report.check.message, "remedy": report.check.remedy,
    })
}

/// An app as JSON; the secret is a yes or no.
pub(crate) fn app_json(app: &App) -> Value {
    json!({
        "name": app.name, "client_id": app.client_id, "has_secret": app.has_secret,
        "redirect_uris": app.redirect_uris, "scopes": app.scopes, "flows": app.flows,
        "private_key_file": app.private_key_file, "certificate_file": app.certificate_file,
        "rotation": app.rotation, "idle_limit_seconds": app.idle_limit,
        "session_timeout_seconds": app.session_timeout, "rotate_every_seconds": app.rotate_every,
        "origin": app.origin,
    })
}

/// A table of all credentials: the important word first, the same order of facts everywhere.
pub(crate) fn credential_table(credentials: &[Credential], now: UnixMillis) -> String {
    let name_width =
        credentials.iter().map(|one| one.address.name.as_str().len()).max().unwrap_or(4).max(4);
    let mut table = format!(
        "{:name_width$}  {:10}  {:15}  {:13}  {}\n",
        "NAME", "ENV", "STATE", "TESTED", "USER"
    );
    for credential in credentials {
        let state = credential.state(now);
        let environment = match credential.address.environment {
            crate::domain::name::Environment::Production => "PROD",
            crate::domain::name::Environment::Sandbox => "sandbox",
        };
        let in_use = if credential.in_use { "" } else { " -" };
        let tested =
            credential.last_test.as_ref().map_or_else(|| "-".to_owned(), |test| ago(test.at, now));
        let user = credential.username.as_deref().unwrap_or(credential.user_id.as_str());
        table.push_str(&format!(
            "{:name_width$}  {:10}  {} {:13}  {tested:13}  {user}\n",
            credential.address.name.as_str(),
            format!("{environment}{in_use}"),
            state.mark(),
            state.words(),
        ));
    }
    table
}

/// All that is known of one credential, a fact a line.
pub(crate) fn credential_card(credential: &Credential, now: UnixMillis) -> String {
    let state = credential.state(now);
    let mut lines = vec![
        (
            "State",
            credential.cause(now).map_or_else(
                || format!("{} {}", state.mark(), state.words()),
                |cause| format!("{} {} ({cause})", state.mark(), state.words()),
            ),
        ),
        ("Org ID", credential.org_id.to_string()),
        ("User ID", credential.user_id.to_string()),
        (
            "User",
            credential.username.clone().unwrap_or_else(|| "learned at the first login".into()),
        ),
        ("Login", credential.login_url.to_string()),
        ("App", credential.app.clone()),
        ("Tags", credential.tags.join(" ")),
    ];
    if let Some(token) = &credential.token {
        let end = if token.expiry.at <= now {
            "ended".to_owned()
        } else {
            format!("ends in {}", span_in_words(token.expiry.at.since(now)))
        };
        let sure = if token.expiry.known { "" } else { " (assumed)" };
        lines.push((
            "Token",
            format!(
                "signed in {} by {}, {end}{sure}, generation {}",
                ago(token.signed_in_at, now),
                token.flow,
                token.generation.0
            ),
        ));
        lines.push(("Scopes", token.scopes.join(" ")));
        lines.push(("Instance", token.instance_url.to_string()));
        if !credential.environment_proven {
            lines.push(("Note", "environment not proven".into()));
        }
    }
    if let Some(test) = &credential.last_test {
        lines.push(("Test", check_in_words(test, now)));
    }
    if let Some(pending) = &credential.pending {
        lines.push((
            "Staged",
            format!(
                "org {} user {} at {}; waits for its sign-in",
                pending.org_id,
                pending.user_id,
                pending.login_url.host()
            ),
        ));
    }
    if let Some(pending) = credential.pending_authorization(now) {
        let left = span_in_words(pending.expires_at.since(now));
        lines.push(("Pending", format!("set-up by {}, {left} left", pending.flow)));
    }
    if credential.revocation_owed {
        lines.push(("Owed", "a revocation at Salesforce is tried again".into()));
    }
    if let Some(reason) = &credential.held {
        lines.push(("Held", reason.clone()));
    }
    let in_use = if credential.in_use { "in use" } else { "not in use" };
    let mut card = format!("{}  {in_use}\n", credential.address);
    for (label, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        card.push_str(&format!("  {label:9} {value}\n"));
    }
    card
}

fn check_in_words(check: &Check, now: UnixMillis) -> String {
    let mut words = format!("{}, {} ms, {}", check.message, check.latency_ms, ago(check.at, now));
    if !check.remedy.is_empty() {
        words.push_str(&format!("\n            {}", check.remedy));
    }
    words
}

/// One line, and a second where something is to be done.
pub(crate) fn test_line(report: &TestReport, width: usize) -> String {
    let check = &report.check;
    let (mark, words) = match check.outcome {
        crate::domain::credential::CheckOutcome::Ok => ('+', "ready"),
        crate::domain::credential::CheckOutcome::Limited => ('%', "limited"),
        crate::domain::credential::CheckOutcome::NeedsSetup => ('!', "needs setup"),
        crate::domain::credential::CheckOutcome::Unreachable => ('~', "unreachable"),
        crate::domain::credential::CheckOutcome::Uncertain => ('?', "uncertain"),
        crate::domain::credential::CheckOutcome::Misconfigured => ('#', "misconfigured"),
        crate::domain::credential::CheckOutcome::WrongAccount => ('!', "wrong account"),
    };
    let latency =
        if check.remedy.is_empty() { format!(" ({} ms)", check.latency_ms) } else { String::new() };
    let mut line =
        format!("{:width$}  {mark} {words:13}  {}{latency}", report.address, check.message);
    if !check.remedy.is_empty() {
        line.push_str(&format!("\n{:indent$}{}", "", check.remedy, indent = width + 19));
    }
    line
}

/// What happened to a token at Salesforce, in words.
pub(crate) fn revocation_in_words(revocation: Revocation) -> &'static str {
    match revocation {
        Revocation::NothingToRevoke => "there was no token to revoke",
        Revocation::Confirmed => "the token was revoked at Salesforce (confirmed)",
        Revocation::Owed => {
            "Salesforce could not be told yet: the revocation is owed and is tried again"
        }
        Revocation::Draining => {
            "the old token works until nobody can be using it, then it is revoked"
        }
    }
}

/// How long ago, near times in words and far ones as a date.
fn ago(at: UnixMillis, now: UnixMillis) -> String {
    let span = now.since(at);
    if span.as_secs() < 60 {
        "just now".to_owned()
    } else if span.as_secs() < 7 * 86_400 {
        format!("{} ago", span_in_words(span))
    } else {
        at.rfc3339().chars().take(10).collect()
    }
}
