//! `save`, `reset`, `use` and `delete`.

use serde_json::json;

use crate::domain::name::{Address, ConnectionName, Environment, Target};
use crate::domain::text::clean_and_mask;
use crate::engine::operation::{DeleteRequest, ResetRequest, SaveRequest};
use crate::engine::{Error, Failure, Invalid, Operation, Outcome, Refusal, Selection, exit, now};
use crate::platform::terminal;

use super::args::{Delete, Reset, Save, Use};
use super::context::{Context, visible};
use super::output::{Done, Ended, credential_json};
use super::read::{selection, show_credential};
use super::words::{proof_in_words, revocation_in_words};
use super::{bulk, unexpected};

/// Saves one credential, or many from a file.
pub(crate) async fn save(save: Save, context: &Context) -> Done {
    let many = save.from.is_some();
    let requests = match &save.from {
        Some(file) => bulk::save_requests(file, save.account.reason.as_deref())?,
        None => vec![SaveRequest {
            name: save.name.unwrap_or_default(),
            sandbox: save.sandbox,
            org_id: save.org_id.unwrap_or_default(),
            user_id: save.user_id.unwrap_or_default(),
            username: save.account.username,
            login_url: save.account.login_url,
            app: save.account.app,
            tags: save.account.tags,
            reason: save.account.reason,
            ..SaveRequest::default()
        }],
    };
    let Outcome::Credentials(saved) = context.ask(Operation::Save(requests)).await? else {
        return Err(unexpected());
    };
    if context.output.json {
        let all: Vec<_> = saved.iter().map(|one| credential_json(one, now())).collect();
        let object = if many {
            json!({ "schema": 1, "credentials": all })
        } else {
            json!({ "schema": 1, "credential": all.first() })
        };
        return context.output.object(&object);
    }
    for credential in &saved {
        let address = &credential.address;
        context.output.text(&format!(
            "{address} saved: org {} user {} at {}",
            credential.org_id,
            credential.user_id,
            credential.login_url.host()
        ))?;
        if !credential.in_use {
            let other = address.environment.other();
            let name = &address.name;
            context.output.say(&format!(
                "{name}/{other} stays in use; orgkey use {address} switches\n\
                 from now on token and delete want {name}/{other} or {address} in full, or --expect"
            ));
        }
    }
    if let [credential] = saved.as_slice() {
        context.output.say(&format!(
            "next: orgkey setup {0}   also: test, reset, delete {0}",
            credential.address
        ));
    }
    Ok(())
}

/// Edits a credential without clearing it.
pub(crate) async fn reset(reset: Reset, context: &Context) -> Done {
    let mut selection = selection(reset.named);
    if reset.sandbox {
        choose_sandbox(&mut selection)?;
    }
    if reset.discard {
        let operation = Operation::DiscardPending(selection).because(reset.account.reason);
        let outcome = context.ask(operation).await?;
        let Outcome::Credential(credential) = outcome else { return Err(unexpected()) };
        show_credential(&credential, context)?;
        context.output.say(&format!("{}: nothing is staged now", credential.address));
        return Ok(());
    }
    let rename = reset.rename.as_deref().map(ConnectionName::parse).transpose();
    let rename = rename.map_err(|error| {
        let remedy = "choose a name of letters, digits, '.', '_' and '-'";
        invalid(Invalid::input(error.to_string(), remedy))
    })?;
    let tags = match (reset.no_tags, reset.account.tags) {
        (true, _) => Some(Vec::new()),
        (false, tags) if tags.is_empty() => None,
        (false, tags) => Some(tags),
    };
    let request = ResetRequest {
        selection,
        rename,
        org_id: reset.org_id,
        user_id: reset.user_id,
        username: reset.account.username,
        login_url: reset.account.login_url,
        app: reset.account.app,
        tags,
        reason: reset.account.reason,
    };
    let outcome = context.ask(Operation::Reset(request)).await?;
    show_changed(outcome, context)
}

fn show_changed(outcome: Outcome, context: &Context) -> Done {
    let Outcome::Credential(credential) = outcome else { return Err(unexpected()) };
    show_credential(&credential, context)?;
    let done = if credential.pending.is_some() { "staged" } else { "saved" };
    context.output.say(&format!("{} is {done}", credential.address));
    if credential.pending.is_some() {
        context.output.say(&format!(
            "the present token is kept and works until the new account has signed in: orgkey setup {}",
            credential.address
        ));
    }
    Ok(())
}

/// The box chooses which set is edited.
fn choose_sandbox(selection: &mut Selection) -> Result<(), Ended> {
    match selection.target.environment {
        Some(Environment::Production) => {
            let message = format!("{} is production, but --sandbox was given", selection.target);
            Err(invalid(Invalid::input(message, "leave one of them out")))
        }
        Some(Environment::Sandbox) | None => {
            selection.target.environment = Some(Environment::Sandbox);
            Ok(())
        }
    }
}

/// Makes an environment the one in use.
pub(crate) async fn put_in_use(place: Use, context: &Context) -> Done {
    let operation = Operation::Use(place.address).because(place.reason);
    let Outcome::Credential(credential) = context.ask(operation).await? else {
        return Err(unexpected());
    };
    if context.output.json {
        return show_credential(&credential, context);
    }
    context.output.text(&format!("{} is in use now", credential.address))
}

/// Deletes for good, after the name was typed.
pub(crate) async fn delete(delete: Delete, context: &Context) -> Done {
    let mut selection = selection(delete.named);
    let named = if delete.both {
        if let Some(environment) = selection.target.environment {
            let message = format!(
                "{} is the {environment} set alone, but --both was given",
                selection.target
            );
            return Err(invalid(Invalid::input(
                message,
                "leave one of them out; nothing was deleted",
            )));
        }
        vec![selection.target.to_string()]
    } else {
        settle_target(&mut selection, context).await?
    };
    let what = format!(
        "This deletes {} for good: its token is revoked at Salesforce, then it is removed here.",
        named[0]
    );
    confirm(&named, &what, "delete", delete.confirm.as_deref(), context).await?;
    let shown = context.ask(Operation::Show(selection.clone())).await?;
    let was_in_use =
        !delete.both && matches!(&shown, Outcome::Credential(credential) if credential.in_use);
    let request = DeleteRequest { selection, both: delete.both, reason: delete.reason };
    let Outcome::Deleted(receipts) = context.ask(Operation::Delete(request)).await? else {
        return Err(unexpected());
    };
    if context.output.json {
        let deleted: Vec<_> = receipts
            .iter()
            .map(|receipt| {
                json!({
                    "name": receipt.address.name, "environment": receipt.address.environment,
                    "revocation": receipt.revocation, "proof": receipt.proof,
                    "message": receipt.message,
                })
            })
            .collect();
        return context.output.object(&json!({ "schema": 1, "deleted": deleted }));
    }
    for receipt in &receipts {
        let proof = proof_in_words(receipt.proof);
        let words = format!("{}{proof}", revocation_in_words(receipt.revocation));
        context.output.text(&format!("{} deleted; {words}", receipt.address))?;
        if !receipt.message.is_empty() {
            context.output.say(&receipt.message);
        }
    }
    match receipts.as_slice() {
        [one] if was_in_use => say_what_is_left(&one.address, context).await,
        _ => Ok(()),
    }
}

/// A script that says the plain name gets the other environment from now on.
async fn say_what_is_left(deleted: &Address, context: &Context) -> Done {
    let target = Target { name: deleted.name.clone(), environment: None };
    let left = context.ask_once(Operation::Show(Selection { target, expect: None })).await;
    if let Ok(Outcome::Credential(left)) = left {
        let (name, left) = (&deleted.name, &left.address);
        context.output.say(&format!("plain '{name}' means {left} from now on"));
    }
    Ok(())
}

/// The names of which one has to be typed, as it was given first: the full address alone where
/// both environments are saved, which a plain name then can't mean; else the plain name as well.
pub(crate) async fn settle_target(
    selection: &mut Selection,
    context: &Context,
) -> Result<Vec<String>, Ended> {
    let Outcome::Credential(credential) = context.ask(Operation::Show(selection.clone())).await?
    else {
        return Err(unexpected());
    };
    let Outcome::Credentials(all) = context.ask(Operation::List).await? else {
        return Err(unexpected());
    };
    let name = &credential.address.name;
    let both = all.iter().filter(|one| one.address.name == *name).count() > 1;
    let given = selection.target.clone();
    if !both {
        selection.target = credential.address.target();
        let (address, plain) = (credential.address.to_string(), name.to_string());
        return Ok(vec![given.to_string(), address, plain]);
    }
    if given.environment.is_none() && selection.expect.is_none() {
        let named = all.iter().filter(|one| one.address.name == *name);
        let refusal = Refusal::Ambiguous(named.map(|one| one.address.clone()).collect());
        return Err(Failure::from(Error::Refused(refusal)).into());
    }
    selection.target = credential.address.target();
    Ok(vec![credential.address.to_string()])
}

/// What destroys asks for the name once more: by `--confirm`, or on a terminal, where `what` says
/// what is about to happen and `verb` is the command's. Of the names the first is asked for, and
/// each does.
pub(crate) async fn confirm(
    choices: &[String],
    what: &str,
    verb: &str,
    confirmed: Option<&str>,
    context: &Context,
) -> Result<(), Ended> {
    let named = choices.first().map_or("", String::as_str);
    let typed = match confirmed {
        Some(typed) => typed.to_owned(),
        None if terminal::stdin_is_terminal() => {
            context.output.say(what);
            visible(&format!("Type {named} to {verb}: ")).await?
        }
        None => {
            return Err(refused(
                "confirmation_missing",
                if named.bytes().all(|byte| byte.is_ascii_digit()) {
                    format!("{named} credentials are {verb}d only when their number is given")
                } else {
                    format!("{named} is {verb}d only when its name is given twice")
                },
                format!("add --confirm {named}"),
            ));
        }
    };
    let agrees = |choice: &String| match (Target::parse(&typed), Target::parse(choice)) {
        (Ok(typed), Ok(meant)) => {
            typed.environment == meant.environment && typed.name.folded() == meant.name.folded()
        }
        _ => typed == *choice,
    };
    if choices.iter().any(agrees) {
        Ok(())
    } else {
        Err(refused(
            "confirmation_differs",
            format!("'{}' is not {named}; nothing was {verb}d", clean_and_mask(&typed)),
            format!("type {named} exactly"),
        ))
    }
}

/// A refusal as the end of a command.
pub(crate) fn refused(code: &str, message: String, remedy: String) -> Ended {
    crate::engine::Failure {
        code: code.into(),
        message,
        remedy,
        exit_code: exit::REFUSED,
        detail: crate::engine::outcome::FailureDetail::None,
    }
    .into()
}

/// An input error as the end of a command.
pub(crate) fn invalid(invalid: Invalid) -> Ended {
    crate::engine::Failure::from(crate::engine::Error::from(invalid)).into()
}
