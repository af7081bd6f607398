//! `key`: make and inspect the sealing key.

use serde_json::json;

use crate::domain::time::UnixMillis;
use crate::engine::operation::CreateKey;
use crate::engine::outcome::{KeyFacts, KeyProtection, KeyReport};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Error, Failure, Operation, Outcome};
use crate::platform::terminal;

use super::args::Key;
use super::context::{Context, choose_passphrase};
use super::output::{Done, Ended};
use super::{recipient, unexpected, usage_failure};

/// Makes the key, or says how it is protected.
pub(crate) async fn run(key: Key, context: &Context) -> Done {
    match key {
        Key::Status => {
            let Outcome::Key(report) = context.ask(Operation::KeyStatus).await? else {
                return Err(unexpected());
            };
            let Outcome::KeyFacts(facts) = context.ask(Operation::KeyFacts).await? else {
                return Err(unexpected());
            };
            print_status(&report, &facts, context)
        }
        Key::Init { no_passphrase, recovery, reason } => {
            init(no_passphrase, recovery, reason, context).await
        }
        Key::Passphrase { no_passphrase, reason } => {
            let passphrase = new_passphrase(no_passphrase, context).await?;
            let operation = Operation::ProtectKey(passphrase).because(reason);
            let Outcome::Key(report) = context.ask(operation).await? else {
                return Err(unexpected());
            };
            print(&report, context)
        }
        Key::Rotate { reason } => recipient::rotate(reason, context).await,
        Key::Recipient(which) => recipient::run(which, context).await,
    }
}

/// A passphrase from the file that the environment names, or asked for twice; none for a bare key.
async fn new_passphrase(
    no_passphrase: bool,
    context: &Context,
) -> Result<Option<Sensitive>, Ended> {
    match context.passphrase_file() {
        _ if no_passphrase => Ok(None),
        Some(file) => crate::platform::secret_file::read_secret_file(&file)
            .map(|passphrase| Some(Sensitive(passphrase)))
            .map_err(|error| Failure::from(Error::SecretFile(error)).into()),
        None if terminal::stdin_is_terminal() => Ok(Some(choose_passphrase().await?)),
        None => Err(usage_failure(
            "the passphrase is asked for on a terminal, and standard input is none",
            "name a file in ORGKEY_PASSPHRASE_FILE, or take a bare key with --no-passphrase",
        )
        .into()),
    }
}

async fn init(
    no_passphrase: bool,
    recovery: bool,
    reason: Option<String>,
    context: &Context,
) -> Done {
    let Outcome::Key(status) = context.ask(Operation::KeyStatus).await? else {
        return Err(unexpected());
    };
    if status.protection != KeyProtection::Missing {
        return Err(usage_failure(
            "there is a sealing key already",
            "it is kept: what it sealed opens with it alone",
        )
        .into());
    }
    let passphrase = new_passphrase(no_passphrase, context).await?;
    let request = CreateKey { passphrase, recovery };
    let operation = Operation::CreateKey(request).because(reason);
    let Outcome::Key(report) = context.ask(operation).await? else {
        return Err(unexpected());
    };
    print(&report, context)
}

/// Whether the key is open: here, or in an agent. What needs nobody to open it is open.
fn is_open(report: &KeyReport, context: &Context) -> bool {
    let unattended = match report.protection {
        KeyProtection::Missing => false,
        KeyProtection::Bare => true,
        KeyProtection::Passphrase => context.engine.settings().opens_unattended(),
    };
    report.open || unattended
}

fn print_status(report: &KeyReport, facts: &KeyFacts, context: &Context) -> Done {
    let (output, open) = (context.output, is_open(report, context));
    let (until, rotated) = (report.open_until, facts.rotated_at);
    if output.json {
        return output.object(&json!({
            "schema": 1,
            "key": {
                "protection": report.protection,
                "recovery_identity": null,
                "open": open,
                "open_until": until.map(UnixMillis::rfc3339),
                "id": facts.key_id,
                "recipients": facts.recipients,
                "rotated_at": rotated.map(UnixMillis::rfc3339),
            },
        }));
    }
    print(report, context)?;
    if report.protection == KeyProtection::Missing {
        return Ok(());
    }
    output.text(&match (open, until) {
        (true, Some(until)) => format!("open: the agent holds it until {}", until.rfc3339()),
        (true, None) if report.agent.is_some() && report.open => "open: the agent holds it".into(),
        (true, None) => "open: it opens without a question".into(),
        (false, _) => "locked: orgkey unlock opens it".into(),
    })?;
    let count = match facts.recipients {
        Some(1) => "1 recipient".to_owned(),
        Some(count) => format!("{count} recipients"),
        None => "no store.age".to_owned(),
    };
    let id = facts
        .key_id
        .as_deref()
        .map_or_else(|| "nothing sealed yet".to_owned(), |id| format!("data key {id}"));
    let rotated =
        rotated.map_or_else(|| "never".to_owned(), |rotated| format!("last {}", rotated.rfc3339()));
    output.text(&format!("{count}; {id}, rotated: {rotated}"))
}

#[expect(clippy::disallowed_methods, reason = "the recovery identity is shown once, at its making")]
fn print(report: &KeyReport, context: &Context) -> Done {
    use secrecy::ExposeSecret;
    let recovery =
        report.recovery_identity.as_ref().map(|identity| identity.0.expose_secret().to_owned());
    if context.output.json {
        return context.output.object(&json!({
            "schema": 1,
            "key": { "protection": report.protection, "recovery_identity": recovery },
        }));
    }
    context.output.text(match report.protection {
        KeyProtection::Missing => "no sealing key yet; it is made at the first set-up",
        KeyProtection::Passphrase => "the sealing key is protected by a passphrase",
        KeyProtection::Bare => {
            "the sealing key is a bare file: whoever reads this user's files can open it"
        }
    })?;
    if let Some(identity) = recovery {
        context.output.say("recovery identity, shown this once; print it and put it in the safe:");
        context.output.text(&identity)?;
    }
    Ok(())
}
