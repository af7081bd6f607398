//! `backup`, `restore`, `move` and `adopt`.

use serde_json::{Value, json};

use crate::domain::copy::CopyStanding;
use crate::domain::name::Address;
use crate::engine::outcome::AdoptReceipt;
use crate::engine::{Operation, Outcome};

use super::args::{Adopt, Move};
use super::context::Context;
use super::output::Done;
use super::unexpected;

/// Says that this copy goes on.
pub(crate) async fn adopt(adopt: Adopt, context: &Context) -> Done {
    let Outcome::Adopted(receipt) = context.ask(Operation::Adopt(adopt.reason)).await? else {
        return Err(unexpected());
    };
    show_adopted(&receipt, context)
}

fn show_adopted(receipt: &AdoptReceipt, context: &Context) -> Done {
    if context.output.json {
        let AdoptReceipt { before, spent } = receipt;
        return context.output.object(&json!({
            "schema": 1,
            "adopted": { "before": standing_json(before), "spent": addresses_json(spent) },
        }));
    }
    context.output.text("this store goes on, on this host")?;
    show_spent(&receipt.spent, context)
}

/// Who has to sign in again, and why.
fn show_spent(spent: &[Address], context: &Context) -> Done {
    for address in spent {
        context.output.text(&format!("{address} needs setup: its token was spent elsewhere"))?;
    }
    if let [first, ..] = spent {
        context.output.say(&format!("next: orgkey setup {first}"));
    }
    Ok(())
}

/// Lets another copy go on.
pub(crate) async fn move_away(request: Move, context: &Context) -> Done {
    let operation = Operation::LeaveToCopy(request.reason);
    let Outcome::CopyStanding(standing) = context.ask(operation).await? else {
        return Err(unexpected());
    };
    if context.output.json {
        let standing = standing_json(&standing);
        return context.output.object(&json!({ "schema": 1, "standing": standing }));
    }
    context.output.text("another copy goes on; nothing is refreshed or signed in here")?;
    context.output.say("access tokens are served while they live; orgkey adopt takes it back");
    Ok(())
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
