//! `backup`, `restore`, `move` and `adopt`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::domain::copy::{BackupPurpose, CopyStanding};
use crate::domain::name::Address;
use crate::domain::text::{clean_and_mask, counted};
use crate::engine::operation::{BackupRequest, RestoreRequest};
use crate::engine::outcome::{
    AdoptReceipt, BackupFacts, BackupReceipt, MoveReceipt, Present, RestoreReceipt,
};
use crate::engine::{Operation, Outcome, Settings, inspect_backup, set_damaged_aside};
use crate::platform::terminal;

use super::args::{Adopt, Backup, Move, Restore};
use super::context::{Context, visible};
use super::edit::refused;
use super::output::{Done, Ended, Output};
use super::{signals, unexpected};

/// Writes a backup.
pub(crate) async fn backup(backup: Backup, context: &Context) -> Done {
    let request = BackupRequest { file: full(&backup.file)?, reason: backup.reason };
    let Outcome::BackedUp(receipt) = context.ask(Operation::Backup(request)).await? else {
        return Err(unexpected());
    };
    if context.output.json {
        let backup = backup_json(&receipt);
        return context.output.object(&json!({ "schema": 1, "backup": backup }));
    }
    context.output.text(&format!("{} written: {}", receipt.file, held(&receipt)))?;
    context.output.say(NO_IDENTITY);
    Ok(())
}

/// What a backup can't do alone.
const NO_IDENTITY: &str = "it has no identity in it: keep identity.age, identity.key or the recovery identity elsewhere,\n\
     for nothing else opens what is sealed";

/// Restores a backup.
pub(crate) fn restore(restore: Restore, settings: Settings, output: Output) -> Done {
    let file = full(&restore.file)?;
    let damaged = make_way(&file, restore.confirm.as_deref(), &settings, output)?;
    signals::block_on(settings, |engine| async move {
        let context = Context::new(engine, output);
        let request = RestoreRequest { file, reason: restore.reason };
        let receipt = ask_restore(request, damaged, &context).await?;
        if output.json {
            let restored = restore_json(&receipt);
            return output.object(&json!({ "schema": 1, "restored": restored }));
        }
        show_restored(&receipt, output)?;
        if receipt.question.is_some() {
            output.say(
                "tokens may have been spent since: nothing single-use is refreshed before you say which copy goes on\n\
                 next: orgkey adopt if this one does; orgkey move --elsewhere if another does",
            );
        }
        Ok(())
    })
}

/// Says that this copy goes on, restored from a file first where one is named.
pub(crate) fn adopt(adopt: Adopt, settings: Settings, output: Output) -> Done {
    let file = adopt.file.as_deref().map(full).transpose()?;
    let damaged = match &file {
        Some(file) => make_way(file, adopt.confirm.as_deref(), &settings, output)?,
        None => None,
    };
    let store_file = settings.locations.store_file();
    let name = store_file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    signals::block_on(settings, |engine| async move {
        let context = Context::new(engine, output);
        let restored = match file {
            None => {
                confirm_take_back(&name, adopt.confirm.as_deref(), &context).await?;
                None
            }
            Some(file) => {
                let request = RestoreRequest { file, reason: adopt.reason.clone() };
                Some(ask_restore(request, damaged, &context).await?)
            }
        };
        let Outcome::Adopted(receipt) = context.ask(Operation::Adopt(adopt.reason)).await? else {
            return Err(unexpected());
        };
        show_adopted(restored.as_ref(), &receipt, output)
    })
}

/// A store that was left to another copy is taken back only on a word: that copy may have spent what
/// is here.
async fn confirm_take_back(name: &str, confirmed: Option<&str>, context: &Context) -> Done {
    let outcome = context.ask(Operation::CopyStanding).await?;
    let Outcome::CopyStanding(standing) = outcome else { return Err(unexpected()) };
    let Some(moved) = standing.moved else { return Ok(()) };
    let what = if moved.to.is_empty() {
        "this store was left to another copy".to_owned()
    } else {
        format!("this store was moved to {}", moved.to)
    };
    let typed = match confirmed {
        Some(typed) => typed.to_owned(),
        None if terminal::stdin_is_terminal() => {
            context.output.say(&format!(
                "{what}\non {}. If that one refreshed since, the tokens here\n\
                 are spent, and to send them again can end its own.",
                moved.at.rfc3339()
            ));
            visible(&format!("Type {name} to take it back: ")).await?
        }
        None => {
            return Err(refused(
                "confirmation_missing",
                format!(
                    "{what}, which may have refreshed since; it is taken back only when its name is given"
                ),
                format!("see that the other one is used no more, then add --confirm {name}"),
            ));
        }
    };
    matches_name(&typed, name, "taken back")
}

fn show_adopted(restored: Option<&RestoreReceipt>, receipt: &AdoptReceipt, output: Output) -> Done {
    let AdoptReceipt { before, spent } = receipt;
    if output.json {
        return output.object(&json!({
            "schema": 1,
            "adopted": {
                "before": standing_json(before), "spent": addresses_json(spent),
                "restored": restored.map(restore_json),
            },
        }));
    }
    if let Some(restored) = restored {
        show_restored(restored, output)?;
        if restored.backup.purpose == BackupPurpose::Backup {
            output
                .say("note: it was no move: see that the store it came from is not used any more");
        }
    }
    output.text("this store goes on, on this host")?;
    for address in spent {
        output.text(&format!("{address} needs setup: its token was spent elsewhere"))?;
    }
    if let [first, ..] = spent.as_slice() {
        output.say(&format!("next: orgkey setup {first}"));
    }
    Ok(())
}

/// Lets another copy go on: one that is written now, or one that is there.
pub(crate) async fn move_away(request: Move, context: &Context) -> Done {
    let Move { to, reason, .. } = request;
    let Some(to) = to else { return leave_to_copy(reason, context).await };
    let request = BackupRequest { file: full(&to)?, reason };
    let Outcome::Moved(receipt) = context.ask(Operation::MoveTo(request)).await? else {
        return Err(unexpected());
    };
    let MoveReceipt { moved, backup } = receipt;
    if context.output.json {
        let standing = CopyStanding { question: None, moved: Some(moved) };
        return context.output.object(&json!({
            "schema": 1, "standing": standing_json(&standing), "backup": backup_json(&backup),
        }));
    }
    context.output.text(&format!("moved to {}: {}", backup.file, held(&backup)))?;
    context.output.say(NO_IDENTITY);
    context
        .output
        .say("next, on the other host, once: carry the identity there too, then orgkey adopt FILE");
    Ok(())
}

async fn leave_to_copy(reason: Option<String>, context: &Context) -> Done {
    let outcome = context.ask(Operation::LeaveToCopy(reason)).await?;
    let Outcome::CopyStanding(standing) = outcome else { return Err(unexpected()) };
    if context.output.json {
        let standing = standing_json(&standing);
        return context.output.object(&json!({ "schema": 1, "standing": standing }));
    }
    context.output.text("another copy goes on; nothing is refreshed or signed in here")?;
    context.output.say("access tokens are served while they live; orgkey adopt takes it back");
    Ok(())
}

/// Looks at the backup first, then asks before it takes the place of anything; sets a damaged store
/// aside and answers its new name.
fn make_way(
    file: &Path,
    confirmed: Option<&str>,
    settings: &Settings,
    output: Output,
) -> Result<Option<String>, Ended> {
    let facts = inspect_backup(settings, file)?;
    if facts.present == Present::Nothing {
        return Ok(None);
    }
    confirm(&facts, confirmed, output)?;
    match facts.present {
        Present::Damaged => Ok(Some(set_damaged_aside(settings)?)),
        Present::Nothing | Present::Store => Ok(None),
    }
}

/// What takes the place of a store asks for the name of its file.
fn confirm(facts: &BackupFacts, confirmed: Option<&str>, output: Output) -> Result<(), Ended> {
    let BackupFacts { backup, store_file: name, .. } = facts;
    let typed = match confirmed {
        Some(typed) => typed.to_owned(),
        None if terminal::stdin_is_terminal() => {
            output.say(&format!(
                "This puts the backup of {} in the place of {name}: {}.\n\
                 What is there now is kept beside it; token sets that are newer stay.",
                backup.made_at.rfc3339(),
                held(backup)
            ));
            let prompt = format!("Type {name} to restore: ");
            signals::runtime()?.block_on(visible(&prompt))?
        }
        None => {
            return Err(refused(
                "confirmation_missing",
                format!("{name} has something in it, and is replaced only when its name is given"),
                format!("add --confirm {name}"),
            ));
        }
    };
    matches_name(&typed, name, "restored")
}

/// Whether what was typed is the name that was asked for; `done` says what did not happen.
fn matches_name(typed: &str, name: &str, done: &str) -> Done {
    if typed == name {
        return Ok(());
    }
    Err(refused(
        "confirmation_differs",
        format!("'{}' is not {name}; nothing was {done}", clean_and_mask(typed)),
        format!("type {name} exactly"),
    ))
}

async fn ask_restore(
    request: RestoreRequest,
    damaged: Option<String>,
    context: &Context,
) -> Result<RestoreReceipt, Ended> {
    let Outcome::Restored(mut receipt) = context.ask(Operation::Restore(request)).await? else {
        return Err(unexpected());
    };
    receipt.kept_as = damaged.or(receipt.kept_as);
    Ok(receipt)
}

fn show_restored(receipt: &RestoreReceipt, output: Output) -> Done {
    let backup = &receipt.backup;
    output.text(&format!(
        "{} of {} restored: {}",
        backup.file,
        backup.made_at.rfc3339(),
        held(backup)
    ))?;
    for (count, what) in [
        (receipt.newer_here, "with a newer token set here, which stays"),
        (receipt.only_here, "that the backup does not have, and that stays"),
    ] {
        if count > 0 {
            output.text(&format!("{} {what}", counted(count, "credential")))?;
        }
    }
    for kept in [&receipt.kept_as, &receipt.key_kept_as].into_iter().flatten() {
        output.say(&format!("what was here is kept beside it as {kept}"));
    }
    if !receipt.has_identity {
        output.say("no identity is here: put identity.age or identity.key of that store into the folder of store.age");
    }
    Ok(())
}

/// What is in a backup, in words.
fn held(backup: &BackupReceipt) -> String {
    let key = if backup.has_key { "with store.age" } else { "without a key" };
    format!(
        "{}, {} sealed, {key}",
        counted(backup.credentials, "credential"),
        counted(backup.token_sets, "token set")
    )
}

fn backup_json(backup: &BackupReceipt) -> Value {
    json!({
        "file": backup.file, "made_at": backup.made_at.rfc3339(), "purpose": backup.purpose,
        "credentials": backup.credentials, "token_sets": backup.token_sets,
        "has_key": backup.has_key,
    })
}

fn restore_json(receipt: &RestoreReceipt) -> Value {
    json!({
        "backup": backup_json(&receipt.backup), "kept_as": receipt.kept_as,
        "key_kept_as": receipt.key_kept_as, "newer_here": receipt.newer_here,
        "only_here": receipt.only_here, "question_open": receipt.question.is_some(),
        "has_identity": receipt.has_identity,
    })
}

/// How the store stands to its copies, as JSON.
fn standing_json(standing: &CopyStanding) -> Value {
    let CopyStanding { question, moved } = standing;
    json!({
        "copied": question.map(|question| json!({
            "since": question.since.rfc3339(), "sign": question.sign,
        })),
        "moved": moved.as_ref().map(|moved| json!({
            "at": moved.at.rfc3339(), "to": moved.to,
        })),
    })
}

fn addresses_json(addresses: &[Address]) -> Value {
    addresses
        .iter()
        .map(|address| json!({ "name": address.name, "environment": address.environment }))
        .collect()
}

/// The full path: the engine knows no working folder.
fn full(file: &Path) -> Result<PathBuf, Ended> {
    Ok(std::path::absolute(file)?)
}
