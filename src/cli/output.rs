//! What commands print: text for people, one JSON object for scripts. No type here can hold a
//! secret but the one line of `orgkey token`.

use std::io::Write;

use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::app::{App, Flow};
use crate::domain::credential::{Cause, CheckOutcome, Credential, PendingEdit};
use crate::domain::time::UnixMillis;
use crate::domain::token::Generation;
use crate::engine::Failure;
use crate::engine::outcome::TestReport;

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
    #[expect(clippy::unused_self, reason = "whoever prints has been told where and how")]
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

    /// Prints one JSON object with a list in it, an item at a time: there may be many.
    pub(crate) fn list<T: Serialize>(self, name: &str, items: impl Iterator<Item = T>) -> Done {
        let mut printer = self.begin_list(name)?;
        for item in items {
            printer.item(&item)?;
        }
        printer.end()
    }

    /// Begins such an object whose items come later.
    #[expect(clippy::unused_self, reason = "whoever prints has been told where and how")]
    pub(crate) fn begin_list(self, name: &str) -> Result<ListPrinter, Ended> {
        let mut stdout = std::io::BufWriter::new(std::io::stdout());
        write!(stdout, "{{\"schema\":1,\"{name}\":[")?;
        Ok(ListPrinter { stdout, is_empty: true })
    }

    /// Prints words that are no data: progress, notes, what to do. On standard error, so that a
    /// pipe gets data alone; nothing with `--json`.
    pub(crate) fn say(self, words: &str) {
        if !self.json {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(std::io::stderr().lock(), "{words}");
        }
    }

    /// Prints what must not be overlooked, with `--json` too: there as an object of its own.
    pub(crate) fn alarm(self, words: &str) {
        let text = if self.json {
            json!({ "schema": 1, "alarm": { "message": words } }).to_string()
        } else {
            format!("ALARM: {words}")
        };
        let _ = writeln!(std::io::stderr().lock(), "{text}");
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

/// Prints a list in a JSON object.
pub(crate) struct ListPrinter {
    stdout: std::io::BufWriter<std::io::Stdout>,
    is_empty: bool,
}

impl ListPrinter {
    /// One more item.
    pub(crate) fn item(&mut self, item: &impl Serialize) -> Done {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.stdout.write_all(b",")?;
        }
        serde_json::to_writer(&mut self.stdout, item).map_err(std::io::Error::from)?;
        Ok(())
    }

    /// The end of the object.
    pub(crate) fn end(mut self) -> Done {
        writeln!(self.stdout, "]}}")?;
        Ok(self.stdout.flush()?)
    }
}

/// A credential as JSON (product.md). Fields are in its order, and written straight from the
/// credential: a list may have very many.
#[derive(Serialize)]
pub(crate) struct CredentialJson<'a> {
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
    /// By whom, since when and why; there while it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldJson<'a>>,
    revocation_owed: bool,
    environment_proven: bool,
    /// A staged edit has the same fields.
    pending: Option<&'a PendingEdit>,
    token: Option<TokenJson<'a>>,
    last_test: Option<TestedJson<'a>>,
    authorization: Option<AuthorizationJson>,
    rotate_due: Option<String>,
}

#[derive(Serialize)]
struct HoldJson<'a> {
    reason: &'a str,
    by: &'a str,
    since: String,
}

#[derive(Serialize)]
struct TokenJson<'a> {
    instance_url: &'a str,
    issued_at: String,
    expires_at: String,
    expiry_known: bool,
    scopes: &'a [String],
    flow: Flow,
    generation: Generation,
}

#[derive(Serialize)]
struct TestedJson<'a> {
    at: String,
    outcome: CheckOutcome,
    latency_ms: u64,
    message: &'a str,
}

#[derive(Serialize)]
struct AuthorizationJson {
    flow: Flow,
    started_at: String,
    expires_at: String,
}

/// A credential as JSON.
pub(crate) fn credential_json(credential: &Credential, now: UnixMillis) -> CredentialJson<'_> {
    CredentialJson {
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
        cause: credential.cause(now).map(Cause::as_str),
        held: credential.held.is_some(),
        hold: credential.held.as_ref().map(|hold| HoldJson {
            reason: &hold.reason,
            by: &hold.by,
            since: hold.since.rfc3339(),
        }),
        revocation_owed: credential.revocation_owed,
        environment_proven: credential.environment_proven,
        pending: credential.pending.as_ref(),
        token: credential.token.as_ref().map(|token| TokenJson {
            instance_url: token.instance_url.as_str(),
            issued_at: token.issued_at.rfc3339(),
            expires_at: token.expiry.at.rfc3339(),
            expiry_known: token.expiry.known,
            scopes: &token.scopes,
            flow: token.flow,
            generation: token.generation,
        }),
        last_test: credential.last_test.as_ref().map(|test| TestedJson {
            at: test.at.rfc3339(),
            outcome: test.outcome,
            latency_ms: test.latency_ms,
            message: &test.message,
        }),
        authorization: credential.pending_authorization(now).map(|pending| AuthorizationJson {
            flow: pending.flow,
            started_at: pending.started_at.rfc3339(),
            expires_at: pending.expires_at.rfc3339(),
        }),
        rotate_due: credential.rotate_due.map(UnixMillis::rfc3339),
    }
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
