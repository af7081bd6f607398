//! `key recipient` and `key rotate`: who can open the sealing key, and the end of that.

use serde_json::{Value, json};

use crate::engine::operation::{AddRecipient, RemoveRecipient};
use crate::engine::outcome::{KeyRotation, ReadableToken, RecipientRemoval, RecipientReport};
use crate::engine::{Error, Failure, Operation, Outcome, Refusal};
use crate::platform::terminal;

use super::args::Recipient;
use super::context::{Context, visible};
use super::edit::{invalid, refused};
use super::output::{Done, Ended};
use super::unexpected;
use crate::engine::Invalid;

/// Said after a removal: what no new key can undo.
const COPIES: &str = "A copy of the former store.age and of the database still opens with the removed identity, \
                      whoever has it: only rotating these tokens ends that.";

/// Lists, adds or removes recipients.
pub(crate) async fn run(recipient: Recipient, context: &Context) -> Done {
    match recipient {
        Recipient::List => print_all(&list(context).await?, context),
        Recipient::Add { public_key, label, reason } => {
            let request = AddRecipient { public_key, label, reason };
            let Outcome::Recipients(all) = context.ask(Operation::AddRecipient(request)).await?
            else {
                return Err(unexpected());
            };
            print_all(&all, context)
        }
        Recipient::Remove { named, own, confirm, reason } => {
            let found = choose(&list(context).await?, named.trim(), own)?;
            confirm_removal(&named, &found, confirm.as_deref(), context).await?;
            // By its key: a label may be another's by now.
            let request = RemoveRecipient { named: found.public_key, own, reason };
            let outcome = context.ask(Operation::RemoveRecipient(request)).await?;
            let Outcome::RecipientRemoved(removal) = outcome else { return Err(unexpected()) };
            print_removal(&removal, context)
        }
    }
}

/// Gives the store a new data key.
pub(crate) async fn rotate(reason: Option<String>, context: &Context) -> Done {
    let Outcome::KeyRotated(rotation) = context.ask(Operation::RotateKey(reason)).await? else {
        return Err(unexpected());
    };
    if context.output.json {
        return context.output.object(&json!({ "schema": 1, "key": rotation_json(&rotation) }));
    }
    print_rotation(&rotation, context)
}

async fn list(context: &Context) -> Result<Vec<RecipientReport>, Ended> {
    match context.ask(Operation::Recipients).await? {
        Outcome::Recipients(all) => Ok(all),
        _ => Err(unexpected()),
    }
}

fn print_all(all: &[RecipientReport], context: &Context) -> Done {
    if context.output.json {
        return context.output.object(&json!({ "schema": 1, "recipients": all }));
    }
    all.iter().try_for_each(|one| {
        let mine = if one.mine { "  (opens it here)" } else { "" };
        context.output.text(&format!("{}  {}{mine}", one.public_key, one.label))
    })
}

/// The recipient that is meant; refused before anyone is asked to confirm what can't be done.
fn choose(all: &[RecipientReport], named: &str, own: bool) -> Result<RecipientReport, Ended> {
    let by_key = all.iter().find(|one| one.public_key == named);
    let mut by_label = all.iter().filter(|one| !named.is_empty() && one.label == named);
    let found = match (by_key.or_else(|| by_label.next()), by_label.next()) {
        (Some(found), None) => found,
        (Some(found), Some(_)) if found.public_key == named => found,
        (Some(_), Some(_)) => {
            return Err(invalid(Invalid::input(
                format!("more than one recipient is labelled {named}"),
                "give its public key: see them with orgkey key recipient list",
            )));
        }
        (None, _) => {
            return Err(Failure::from(Error::NotFound(format!("recipient {named}"))).into());
        }
    };
    let refusal = match found {
        _ if all.len() == 1 => Refusal::LastRecipient,
        found if found.mine && !own => Refusal::OwnRecipient(named.to_owned()),
        found => return Ok(found.clone()),
    };
    Err(Failure::from(Error::Refused(refusal)).into())
}

async fn confirm_removal(
    named: &str,
    found: &RecipientReport,
    confirmed: Option<&str>,
    context: &Context,
) -> Done {
    let typed = match confirmed {
        Some(typed) => typed.to_owned(),
        None if terminal::stdin_is_terminal() => {
            context.output.say(&format!(
                "{} {} will not open the sealing key any more, nor anything sealed from now on.",
                found.public_key, found.label
            ));
            visible(&format!("Type {named} to remove it: ")).await?
        }
        None => {
            return Err(refused(
                "confirmation_missing",
                format!("{named} is removed only when it is given twice"),
                format!("add --confirm {}", shell_word(named)),
            ));
        }
    };
    if typed.trim() == named.trim() {
        return Ok(());
    }
    Err(refused(
        "confirmation_differs",
        format!("what was typed is not {named}; nothing was removed"),
        format!("type {named} exactly"),
    ))
}

/// A label may have blanks in it.
fn shell_word(word: &str) -> String {
    if word.chars().all(|one| one.is_ascii_alphanumeric() || "-_.".contains(one)) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn print_removal(removal: &RecipientRemoval, context: &Context) -> Done {
    let RecipientRemoval { removed, could_read, apps, rotation } = removal;
    let output = context.output;
    if output.json {
        let could_read: Vec<Value> = could_read.iter().map(readable_json).collect();
        return output.object(&json!({
            "schema": 1,
            "removed": removed,
            "could_read": could_read,
            "apps": apps,
            "key": rotation_json(rotation),
        }));
    }
    output.text(&format!("removed: {}  {}", removed.public_key, removed.label))?;
    print_rotation(rotation, context)?;
    if could_read.is_empty() && apps.is_empty() {
        return output.text("there was no token and no client secret that it could read");
    }
    output.text("it could read, so rotate these next:")?;
    for ReadableToken { address, generation, flow } in could_read {
        output.text(&format!("  orgkey rotate {address}   generation {generation}, {flow}"))?;
    }
    for app in apps {
        output.text(&format!(
            "  the client secret of app {app}: a new one in Salesforce, then orgkey app edit {app} --secret-from -"
        ))?;
    }
    output.say(COPIES);
    Ok(())
}

fn readable_json(readable: &ReadableToken) -> Value {
    json!({
        "name": readable.address.name,
        "environment": readable.address.environment,
        "generation": readable.generation,
        "flow": readable.flow,
    })
}

fn rotation_json(rotation: &KeyRotation) -> Value {
    json!({
        "id": rotation.key_id,
        "resealed": rotation.resealed,
        "unopened": rotation.unopened,
        "former_kept": rotation.former_kept,
    })
}

fn print_rotation(rotation: &KeyRotation, context: &Context) -> Done {
    let KeyRotation { key_id, resealed, unopened, former_kept } = rotation;
    context
        .output
        .text(&format!("the data key is new: {key_id}; sealed anew with it: {resealed} values"))?;
    if *unopened > 0 {
        context.output.say(&format!(
            "note: {unopened} values opened by no key and were left as they are; orgkey doctor looks at the store"
        ));
    }
    if *former_kept {
        context.output.say(
            "note: the former key is kept a while longer, for what waits in the inbox; it goes by itself",
        );
    }
    Ok(())
}
