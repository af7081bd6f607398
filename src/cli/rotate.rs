//! `rotate`: one or many, side by side; what needs a person is begun for one, and listed for many.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::domain::credential::CheckOutcome;
use crate::domain::name::Address;
use crate::domain::packed::Row;
use crate::engine::operation::{BeginSetup, RotateRequest};
use crate::engine::outcome::{AuthorizationStarted, OldToken, RotationHow, RotationReport};
use crate::engine::{Failure, Operation, Outcome, Selection, exit, exit_code_of, now};
use crate::platform::terminal;

use super::args::Rotate;
use super::context::Context;
use super::many::{self, Chosen, Names};
use super::output::{Done, Ended};
use super::setup::{self, Occasion};
use super::test::{AT_ONCE, end_of_many, is_of_the_store};
use super::unexpected;
use super::words::rotation_line;

/// Rotates the credentials that are named, or of those that pass all that have a token.
pub(crate) async fn run(rotate: Rotate, context: &Context) -> Done {
    // Two environments under one name: which one is rotated has to be said (product.md).
    if let [target] = rotate.many.targets.as_slice() {
        let selection = Selection { target: target.clone(), expect: rotate.many.expect };
        return one(selection, &rotate, context).await;
    }
    let takes_all = rotate.dry_run;
    let fits = |row: &Row<'_>| takes_all || (row.has_token_to_test() && !row.is_held());
    let Chosen { addresses, left_out, .. } =
        many::choose(&rotate.many, Names::MustBeClear, fits, context).await?;
    if left_out > 0 {
        context.output.say(&format!("left out, without a token or on hold: {left_out}"));
    }
    let width = addresses.iter().map(|address| address.to_string().len()).max().unwrap_or(0);
    let tell = |report: &RotationReport| {
        let waits_for_person = needs_person(report) && !rotate.dry_run;
        if context.output.json || waits_for_person {
            return Ok(());
        }
        context.output.text(&line(report, width, rotate.dry_run))
    };
    let reason = rotate.reason.as_ref();
    let (mut reports, refused) =
        rotate_all(addresses, rotate.dry_run, reason, tell, context).await?;
    reports.sort_by_cached_key(|report| report.address.to_string());
    if context.output.json {
        let all: Vec<_> = reports.iter().map(rotation_json).collect();
        context.output.object(&json!({ "schema": 1, "rotated": all }))?;
    } else if !rotate.dry_run {
        list_those_for_a_person(&reports, width, context)?;
    }
    if let Some(failure) = refused {
        return Err(Ended::Failure(failure));
    }
    if rotate.dry_run {
        return Ok(());
    }
    end_of_many(&reports.iter().map(code_of).collect::<Vec<_>>())
}

/// Rotates side by side, and tells each result as it comes. What is refused for the whole store is
/// answered once, after what could be rotated.
pub(super) async fn rotate_all(
    addresses: Vec<Address>,
    dry_run: bool,
    reason: Option<&String>,
    mut tell: impl FnMut(&RotationReport) -> Done,
    context: &Context,
) -> Result<(Vec<RotationReport>, Option<Box<Failure>>), Ended> {
    let request = |address: &Address| RotateRequest {
        selection: Selection::exactly(address),
        dry_run,
        reason: reason.cloned(),
    };
    let mut results = futures_util::stream::iter(addresses)
        .map(|address| rotate_one(request(&address), context, Some(address)))
        .buffer_unordered(AT_ONCE);
    let (mut reports, mut refused) = (Vec::new(), None);
    while let Some(result) = results.next().await {
        match result {
            Ok(report) => {
                tell(&report)?;
                reports.push(report);
            }
            Err(Ended::Failure(failure)) if is_of_the_store(&failure) => {
                refused = refused.or(Some(failure));
            }
            Err(ended) => return Err(ended),
        }
    }
    Ok((reports, refused))
}

/// One credential: a sign-in that is needed is begun.
async fn one(selection: Selection, rotate: &Rotate, context: &Context) -> Done {
    let request =
        RotateRequest { selection, dry_run: rotate.dry_run, reason: rotate.reason.clone() };
    let report = rotate_one(request, context, None).await?;
    let begin = needs_person(&report) && !rotate.dry_run;
    let started = if begin { Some(begin_sign_in(&report, rotate, context).await?) } else { None };
    if context.output.json {
        let mut rotated = rotation_json(&report);
        if let (Some(started), Some(object)) = (&started, rotated.as_object_mut()) {
            object.insert(
                "authorization".into(),
                json!({ "url": started.url, "expires_at": started.expires_at.rfc3339() }),
            );
        }
        context.output.object(&json!({ "schema": 1, "rotated": [rotated] }))?;
        return ended(&report, rotate);
    }
    let Some(started) = started else {
        context.output.text(&line(&report, 0, rotate.dry_run))?;
        return ended(&report, rotate);
    };
    context.output.say(&format!("{}: {}", report.address, report.message));
    if terminal::stdin_is_terminal() {
        let reason = rotate.reason.clone();
        return setup::converse(&started, Occasion::Alone, reason, context).await.map(|_| ());
    }
    setup::print_start(&started, context)?;
    Err(Ended::Code(exit::NEEDS_SETUP))
}

fn ended(report: &RotationReport, rotate: &Rotate) -> Done {
    match code_of(report) {
        code if code != 0 && !rotate.dry_run => Err(Ended::Code(code)),
        _ => Ok(()),
    }
}

async fn begin_sign_in(
    report: &RotationReport,
    rotate: &Rotate,
    context: &Context,
) -> Result<AuthorizationStarted, Ended> {
    let request = BeginSetup {
        is_rotation: true,
        drain: rotate.drain,
        reason: rotate.reason.clone(),
        ..BeginSetup::plain(Selection::exactly(&report.address))
    };
    match context.ask(Operation::BeginSetup(request)).await? {
        Outcome::AuthorizationStarted(started) => Ok(started),
        _ => Err(unexpected()),
    }
}

/// Asks for one; among many a refusal is a result like others.
async fn rotate_one(
    request: RotateRequest,
    context: &Context,
    among_many: Option<Address>,
) -> Result<RotationReport, Ended> {
    match (context.ask(Operation::Rotate(request)).await, among_many) {
        (Ok(Outcome::Rotated(report)), _) => Ok(*report),
        (Ok(_), _) => Err(unexpected()),
        (Err(Ended::Failure(failure)), Some(address)) if failure.code == "held" => {
            Ok(RotationReport {
                address,
                how: RotationHow::OnHold,
                outcome: CheckOutcome::WrongAccount,
                generation: None,
                old: OldToken::Kept,
                message: failure.message,
                remedy: failure.remedy,
            })
        }
        (Err(ended), _) => Err(ended),
    }
}

/// Whether nothing but a sign-in helps, and the old token lives.
fn needs_person(report: &RotationReport) -> bool {
    report.how == RotationHow::SignIn && report.outcome == CheckOutcome::NeedsSetup
}

fn code_of(report: &RotationReport) -> u8 {
    match report.how {
        RotationHow::OnHold => exit::REFUSED,
        _ => exit_code_of(report.outcome),
    }
}

fn list_those_for_a_person(reports: &[RotationReport], width: usize, context: &Context) -> Done {
    let waiting: Vec<_> = reports.iter().filter(|report| needs_person(report)).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    context.output.text(&format!("a person has to sign in for {}:", waiting.len()))?;
    for report in waiting {
        let address = report.address.to_string();
        context.output.text(&format!("{address:width$}  orgkey rotate {address}"))?;
    }
    Ok(())
}

/// A line of text: what was done, or what would be.
fn line(report: &RotationReport, width: usize, dry_run: bool) -> String {
    if !dry_run {
        return rotation_line(report, width, now());
    }
    format!("{:width$}  {}", report.address.to_string(), report.message)
}

fn rotation_json(report: &RotationReport) -> Value {
    let old = match &report.old {
        OldToken::Kept => json!({ "state": "kept" }),
        OldToken::Spent => json!({ "state": "spent" }),
        OldToken::Revoked => json!({ "state": "revoked" }),
        OldToken::Owed => json!({ "state": "owed" }),
        OldToken::Draining(draining) => json!({
            "state": "draining", "until": draining.until.rfc3339(),
            "taken_by": draining.taken.as_ref().map(|taken| json!({
                "at": taken.at.rfc3339(), "program": taken.program, "terminal": taken.terminal,
            })),
        }),
    };
    let outcome = (report.how != RotationHow::OnHold).then_some(report.outcome);
    json!({
        "name": report.address.name, "environment": report.address.environment,
        "how": report.how, "outcome": outcome, "generation": report.generation,
        "old": old, "message": report.message, "remedy": report.remedy,
    })
}
