//! `test`: one or many, side by side, reported in the order asked.

use futures_util::StreamExt;
use serde_json::json;

use crate::domain::credential::{Check, CheckKind, CheckOutcome};
use crate::domain::name::Address;
use crate::domain::packed::Row;
use crate::engine::outcome::TestReport;
use crate::engine::{Failure, Operation, Outcome, Selection, exit, exit_code_of, now};

use super::args::Many;
use super::context::Context;
use super::many::{self, Chosen, Names};
use super::output::{Done, Ended, test_json};
use super::unexpected;
use super::words::test_line;

/// Tests that run at once: a dead host must not hold the rest.
pub(crate) const AT_ONCE: usize = 64;
/// Which exit code counts first when many were tested (product.md).
const FIRST_OF: [u8; 5] =
    [exit::REFUSED, exit::NEEDS_SETUP, exit::UNCERTAIN, exit::INVALID, exit::UNREACHABLE];

/// Tests the credentials that are named, or of those that pass all that have a token.
pub(crate) async fn run(test: Many, context: &Context) -> Done {
    let Chosen { addresses, left_out, .. } =
        many::choose(&test, Names::InUse, has_token, context).await?;
    if left_out > 0 {
        context.output.say(&format!("left out, without a token: {left_out}"));
    }
    let width = addresses.iter().map(|address| address.to_string().len()).max().unwrap_or(0);
    let mut results = futures_util::stream::iter(addresses)
        .map(|address| test_one(address, test.expect, context))
        .buffered(AT_ONCE);
    let (mut reports, mut refused) = (Vec::new(), None);
    while let Some(result) = results.next().await {
        let report = match result {
            Ok(report) => report,
            // What is refused for the whole store is told once, after what could be tested.
            Err(Ended::Failure(failure)) if is_of_the_store(&failure) => {
                refused = refused.or(Some(failure));
                continue;
            }
            Err(ended) => return Err(ended),
        };
        if !context.output.json {
            context.output.text(&test_line(&report, width))?;
        }
        reports.push(report);
    }
    if context.output.json {
        let all: Vec<_> = reports.iter().map(test_json).collect();
        context.output.object(&json!({ "schema": 1, "results": all }))?;
    }
    if let Some(failure) = refused {
        return Err(Ended::Failure(failure));
    }
    let codes: Vec<u8> = reports.iter().map(|report| exit_code_of(report.check.outcome)).collect();
    end_of_many(&codes)
}

/// How a command of many ends, by the exit codes of each.
pub(crate) fn end_of_many(codes: &[u8]) -> Done {
    match FIRST_OF.iter().find(|code| codes.contains(code)) {
        Some(code) => Err(Ended::Code(*code)),
        None => Ok(()),
    }
}

/// Whether there is something to test.
fn has_token(row: &Row<'_>) -> bool {
    row.has_token_to_test()
}

/// Whether it stands for every credential of the store.
pub(crate) fn is_of_the_store(failure: &Failure) -> bool {
    ["store_copied", "moved_elsewhere"].contains(&failure.code.as_str())
}

async fn test_one(
    address: Address,
    expect: Option<crate::domain::name::Environment>,
    context: &Context,
) -> Result<TestReport, Ended> {
    let selection = Selection { target: address.target(), expect };
    match context.ask(Operation::Test(selection)).await {
        Ok(Outcome::Tested(report)) => Ok(report),
        Ok(_) => Err(unexpected()),
        // A credential without a token is a result among others, not the end of the command.
        Err(Ended::Failure(failure)) if failure.exit_code == exit::NEEDS_SETUP => {
            Ok(without_token(address, &failure))
        }
        Err(ended) => Err(ended),
    }
}

fn without_token(address: Address, failure: &Failure) -> TestReport {
    let check = Check {
        kind: CheckKind::Test,
        at: now(),
        outcome: CheckOutcome::NeedsSetup,
        latency_ms: 0,
        message: failure.message.clone(),
        remedy: failure.remedy.clone(),
    };
    TestReport { address, check, api_requests: None }
}
