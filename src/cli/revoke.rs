//! `revoke`: one, several or all that pass a filter, each with its receipt.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::domain::credential::{Cause, State};
use crate::domain::name::Address;
use crate::domain::packed::Row;
use crate::domain::time::UnixMillis;
use crate::engine::operation::RevokeRequest;
use crate::engine::outcome::{OwedReport, Proof, Revocation, RevokeReceipt};
use crate::engine::{Failure, Operation, Outcome, Selection, exit, now};

use super::args::Revoke;
use super::context::Context;
use super::edit::confirm;
use super::many::{self, Chosen, Names};
use super::output::{Done, Ended};
use super::unexpected;
use super::words::{proof_in_words, revocation_in_words};

/// Revocations that run at once: a dead host must not hold the rest.
const AT_ONCE: usize = 32;

/// Revokes, after the name or the number was typed.
pub(crate) async fn run(revoke: Revoke, context: &Context) -> Done {
    if revoke.owed {
        return pay_owed(context).await;
    }
    let Chosen { addresses, left_out, names } =
        many::choose(&revoke.many, Names::MustBeClear, has_token, context).await?;
    if left_out > 0 {
        context.output.say(&format!("left out, without a token: {left_out}"));
    }
    if revoke.dry_run {
        return print_plan(&addresses, context);
    }
    let is_one = revoke.many.targets.len() == 1;
    if addresses.is_empty() {
        return finish(&[], context);
    }
    let choices = if is_one { names } else { vec![addresses.len().to_string()] };
    let shown = &choices[0];
    let what = if is_one {
        format!("This revokes the token of {shown} at Salesforce; what is saved stays.")
    } else {
        format!(
            "This revokes the tokens of {shown} credentials at Salesforce; what is saved stays."
        )
    };
    confirm(&choices, &what, "revoke", revoke.confirm.as_deref(), context).await?;
    let (total, reason) = (addresses.len(), revoke.reason.as_deref());
    let mut running = futures_util::stream::iter(addresses)
        .map(|address| revoke_one(address, reason, context))
        .buffered(AT_ONCE);
    let (mut receipts, mut failed) = (Vec::new(), None);
    while let Some((address, result)) = running.next().await {
        match result {
            Ok(receipt) => {
                if !context.output.json {
                    context.output.text(&line(&receipt))?;
                }
                receipts.push(receipt);
            }
            // One that fails does not keep the rest from being revoked.
            Err(Ended::Failure(failure)) if total > 1 => {
                context.output.say(&format!("{address}: {}; {}", failure.message, failure.remedy));
                failed = failed.or(Some(failure));
            }
            Err(ended) => return Err(ended),
        }
    }
    finish(&receipts, context)?;
    conclude(&receipts, failed)
}

/// Whether there is something to revoke, something owed, or a lost answer that may be a token.
fn has_token(row: &Row<'_>) -> bool {
    let was_revoked = matches!(row.standing.token, Some((_, Some(Cause::Revoked))));
    (row.has_token_to_test() && !was_revoked)
        || row.standing.has_candidate
        || row.is_draining()
        || row.owes_revocation()
        || row.state(now()) == State::Uncertain
}

async fn revoke_one(
    address: Address,
    reason: Option<&str>,
    context: &Context,
) -> (Address, Result<RevokeReceipt, Ended>) {
    let selection = Selection::exactly(&address);
    let request = RevokeRequest { selection, reason: reason.map(str::to_owned) };
    let result = match context.ask(Operation::Revoke(request)).await {
        Ok(Outcome::Revoked(receipt)) => Ok(receipt),
        Ok(_) => Err(unexpected()),
        Err(ended) => Err(ended),
    };
    (address, result)
}

fn conclude(receipts: &[RevokeReceipt], failed: Option<Box<Failure>>) -> Done {
    match failed {
        Some(failure) => Err(Ended::Code(failure.exit_code)),
        None if receipts.iter().any(|one| one.revocation == Revocation::Owed) => {
            Err(Ended::Code(exit::UNREACHABLE))
        }
        None => Ok(()),
    }
}

fn print_plan(addresses: &[Address], context: &Context) -> Done {
    if context.output.json {
        let would: Vec<Value> = addresses
            .iter()
            .map(|address| json!({ "name": address.name, "environment": address.environment }))
            .collect();
        let count = addresses.len();
        return context
            .output
            .object(&json!({ "schema": 1, "would_revoke": would, "count": count }));
    }
    addresses.iter().try_for_each(|address| context.output.text(&address.to_string()))?;
    context.output.say(&match addresses {
        [] => "nothing would be revoked: no such credential has a token".into(),
        [address] => format!("nothing was revoked; this one would be: --confirm {address}"),
        all => format!("nothing was revoked; these {0} would be: --confirm {0}", all.len()),
    });
    Ok(())
}

fn line(receipt: &RevokeReceipt) -> String {
    let RevokeReceipt { address, revocation, proof, message, .. } = receipt;
    let words = format!("{}{}", revocation_in_words(*revocation), proof_in_words(*proof));
    let more = if message.is_empty() { String::new() } else { format!("; {message}") };
    format!("{address}: {words}{more}")
}

/// The whole receipt as JSON, or what closes the lines that were told.
fn finish(receipts: &[RevokeReceipt], context: &Context) -> Done {
    if context.output.json {
        let revoked: Vec<Value> = receipts.iter().map(receipt_json).collect();
        return context.output.object(&json!({ "schema": 1, "revoked": revoked }));
    }
    let count = |wanted| receipts.iter().filter(|one| one.revocation == wanted).count();
    if receipts.len() > 1 {
        let still = receipts.iter().filter(|one| one.proof == Some(Proof::StillServed)).count();
        let mut parts = vec![format!("{} revoked", count(Revocation::Confirmed))];
        parts.extend(
            [
                (count(Revocation::Owed), "owed: orgkey revoke --owed tries again"),
                (count(Revocation::NothingToRevoke), "without a live token"),
                (still, "whose access token lives until its session ends"),
            ]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}")),
        );
        context.output.say(&parts.join("; "));
    }
    let mut apps: Vec<&str> = receipts.iter().map(|receipt| receipt.app.as_str()).collect();
    apps.sort_unstable();
    apps.dedup();
    if count(Revocation::Confirmed) + count(Revocation::Owed) > 0 {
        context.output.say(&format!(
            "whoever has the password signs in anew: to keep that out, block the app ({}) in Setup > Connected Apps OAuth Usage, or freeze the user in Setup > Users",
            apps.join(", ")
        ));
    } else {
        context.output.say("there was nothing to revoke");
    }
    Ok(())
}

fn receipt_json(receipt: &RevokeReceipt) -> Value {
    json!({
        "name": receipt.address.name, "environment": receipt.address.environment,
        "revocation": receipt.revocation, "proof": receipt.proof,
        "token_sets": receipt.token_sets, "app": receipt.app, "message": receipt.message,
    })
}

/// Tries again what could not be delivered.
async fn pay_owed(context: &Context) -> Done {
    let Outcome::Owed(before) = context.ask(Operation::Owed).await? else {
        return Err(unexpected());
    };
    let Outcome::Owed(owed) = context.ask(Operation::PayOwed).await? else {
        return Err(unexpected());
    };
    let is_left = |one: &OwedReport| {
        owed.iter().any(|left| (&left.address, left.since) == (&one.address, one.since))
    };
    if !context.output.json {
        for one in before.iter().filter(|one| !is_left(one)) {
            let text = format!("{}: the token was revoked at Salesforce (confirmed)", one.address);
            context.output.text(&text)?;
        }
    }
    if context.output.json {
        let owed: Vec<Value> = owed.iter().map(owed_json).collect();
        context.output.object(&json!({ "schema": 1, "owed": owed }))?;
    } else {
        for one in &owed {
            context.output.text(&owed_line(one))?;
        }
        if owed.is_empty() {
            context.output.say("no revocation is owed now");
        }
    }
    if owed.is_empty() { Ok(()) } else { Err(Ended::Code(exit::UNREACHABLE)) }
}

fn owed_line(owed: &OwedReport) -> String {
    let address = &owed.address;
    match owed.waits_until {
        Some(end) => format!(
            "{address}: waits for a yes until {}: orgkey setup {address} --discover",
            end.rfc3339()
        ),
        None => format!(
            "{address}: owed since {}, tried {} times: {}",
            owed.since.rfc3339(),
            owed.attempts,
            owed.last_error
        ),
    }
}

fn owed_json(owed: &OwedReport) -> Value {
    json!({
        "name": owed.address.name, "environment": owed.address.environment,
        "org_id": owed.account.as_ref().map(|account| &account.org_id),
        "user_id": owed.account.as_ref().map(|account| &account.user_id),
        "host": owed.host, "since": owed.since.rfc3339(),
        "waits_until": owed.waits_until.map(UnixMillis::rfc3339),
        "attempts": owed.attempts, "last_error": owed.last_error,
    })
}
