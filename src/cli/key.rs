//! `key`: make and inspect the sealing key.

use serde_json::json;

use crate::engine::operation::CreateKey;
use crate::engine::outcome::{KeyProtection, KeyReport};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Operation, Outcome};
use crate::platform::terminal;

use super::args::Key;
use super::context::{Context, choose_passphrase};
use super::output::Done;
use super::{unexpected, usage_failure};

/// Makes the key, or says how it is protected.
pub(crate) async fn run(key: Key, context: &Context) -> Done {
    match key {
        Key::Status => {
            let Outcome::Key(report) = context.ask(Operation::KeyStatus).await? else {
                return Err(unexpected());
            };
            print(&report, context)
        }
        Key::Init { no_passphrase, recovery } => init(no_passphrase, recovery, context).await,
    }
}

async fn init(no_passphrase: bool, recovery: bool, context: &Context) -> Done {
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
    let passphrase = match (no_passphrase, context.passphrase_file()) {
        (true, _) => None,
        (false, Some(file)) => Some(Sensitive(
            crate::platform::secret_file::read_secret_file(&file)
                .map_err(|error| crate::engine::Failure::from(crate::engine::Error::from(error)))?,
        )),
        (false, None) if terminal::stdin_is_terminal() => Some(choose_passphrase().await?),
        (false, None) => {
            return Err(usage_failure(
                "the passphrase is asked for on a terminal, and standard input is none",
                "name a file in ORGKEY_PASSPHRASE_FILE, or make a bare key with --no-passphrase",
            )
            .into());
        }
    };
    let request = CreateKey { passphrase, recovery };
    let Outcome::Key(report) = context.ask(Operation::CreateKey(request)).await? else {
        return Err(unexpected());
    };
    print(&report, context)
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
