//! `list` and `show`.

use serde_json::json;

use crate::engine::{Operation, Outcome, Selection, now};

use super::args::Named;
use super::context::Context;
use super::output::{Done, credential_json};
use super::unexpected;
use super::words::{credential_card, credential_table};

/// Lists all credentials.
pub(crate) async fn list(context: &Context) -> Done {
    let Outcome::Credentials(credentials) = context.ask(Operation::List).await? else {
        return Err(unexpected());
    };
    if context.output.json {
        let now = now();
        let all = credentials.iter().map(|one| credential_json(one, now));
        return context.output.list("credentials", all);
    }
    if credentials.is_empty() {
        context.output.say("nothing is saved yet: orgkey save NAME --org-id ID --user-id ID");
        return Ok(());
    }
    context.output.text(&credential_table(&credentials, now()))
}

/// Shows one credential.
pub(crate) async fn show(named: Named, context: &Context) -> Done {
    let operation = Operation::Show(selection(named));
    let Outcome::Credential(credential) = context.ask(operation).await? else {
        return Err(unexpected());
    };
    show_credential(&credential, context)
}

/// Prints one credential.
pub(crate) fn show_credential(
    credential: &crate::domain::credential::Credential,
    context: &Context,
) -> Done {
    if context.output.json {
        let credential = credential_json(credential, now());
        return context.output.object(&json!({ "schema": 1, "credential": credential }));
    }
    context.output.text(&credential_card(credential, now()))
}

/// What the flags name.
pub(crate) fn selection(named: Named) -> Selection {
    Selection { target: named.target, expect: named.expect }
}
