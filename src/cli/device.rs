//! `setup` by device flow: the user code for the person, and the waiting.

use std::time::Duration;

use serde_json::json;

use crate::domain::time::span_in_words;
use crate::engine::outcome::{AuthorizationStarted, DeviceCode};
use crate::engine::{Operation, Outcome, Selection, now};

use crate::tui::large_letters;

use super::context::Context;
use super::output::{Done, Ended, Output};
use super::setup::report;
use super::{unexpected, usage_failure};

/// Columns for the code in large letters; a terminal has 80.
const LARGE: usize = 70;
/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// After so long without an answer the page may have shown an error that nobody here hears of.
const HINT_AFTER: Duration = Duration::from_secs(60);
/// What the page may have shown (Salesforce OAuth facts 3.4).
const HINT: &str = "If the browser shows OAUTH_APPROVAL_ERROR_GENERIC, or that the app is blocked or must be installed: an admin must install the app, or give you 'Approve Uninstalled Connected Apps'. Salesforce tells it there alone.";

/// URL and user code on a line each, the words on standard error.
pub(super) fn print_start(
    started: &AuthorizationStarted,
    device: &DeviceCode,
    context: &Context,
) -> Done {
    if context.output.json {
        return context.output.object(&json!({
            "schema": 1,
            "authorization": {
                "name": started.address.name, "environment": started.address.environment,
                "flow": started.flow, "url": started.url,
                "verification_uri": device.verification_uri, "user_code": device.user_code,
                "started_at": started.started_at.rfc3339(),
                "expires_at": started.expires_at.rfc3339(),
            },
        }));
    }
    context.output.say(&who_approves(started, device));
    context.output.text(&device.verification_uri)?;
    context.output.text(&device.user_code)?;
    context.output.say(&format!(
        "then wait for it with: orgkey setup {} --finish   ({} left)",
        started.address,
        span_in_words(started.expires_at.since(now()))
    ));
    Ok(())
}

/// Shows what the person needs, and waits for the approval.
pub(super) async fn converse(
    started: &AuthorizationStarted,
    device: &DeviceCode,
    reason: Option<String>,
    context: &Context,
) -> Done {
    let output = context.output;
    output.say(&who_approves(started, device));
    output.say("");
    output.say(&format!("    {}", device.verification_uri));
    output.say("");
    if let Some(rows) = large_letters::rows(&device.user_code, LARGE) {
        for row in &rows {
            output.say(&format!("        {row}"));
        }
        output.say("");
    }
    output.say(&format!("        {}", device.user_code));
    output.say("");
    output.say(&format!("This address fills the code in:\n{}", started.url));
    wait(started, reason, context).await
}

/// Shows a device flow that is pending and waits on; `false` where none is.
pub(super) async fn resume(
    selection: &Selection,
    reason: Option<&String>,
    context: &Context,
) -> Result<bool, Ended> {
    let shown = match context.ask(Operation::ShowSetup(selection.clone())).await {
        Err(Ended::Failure(failure)) if failure.code == "nothing_pending" => return Ok(false),
        shown => shown?,
    };
    let Outcome::AuthorizationStarted(started) = shown else { return Err(unexpected()) };
    let Some(device) = started.device.clone() else { return Ok(false) };
    converse(&started, &device, reason.cloned(), context).await.map(|()| true)
}

/// Waits for the pending approval, of which all was said before.
pub(super) async fn wait_for_pending(
    selection: Selection,
    reason: Option<String>,
    context: &Context,
) -> Done {
    let shown = context.ask(Operation::ShowSetup(selection)).await?;
    let Outcome::AuthorizationStarted(started) = shown else { return Err(unexpected()) };
    if started.device.is_none() {
        return Err(usage_failure(
            "the pending sign-in is no device flow: it is completed with the address that the browser ended at",
            "give it on standard input: orgkey setup NAME --finish -",
        )
        .into());
    }
    wait(&started, reason, context).await
}

/// Waits for the pending approval, and tells the time that is left.
async fn wait(started: &AuthorizationStarted, reason: Option<String>, context: &Context) -> Done {
    let selection = Selection::exactly(&started.address);
    let mut leaving = Leaving { output: context.output, address: Some(started) };
    let waiting = context.ask(Operation::AwaitApproval(selection).because(reason));
    tokio::pin!(waiting);
    let mut ticks = tokio::time::interval(LOOK);
    let (mut minutes, mut hinted) = (None, false);
    let ended = loop {
        tokio::select! {
            ended = &mut waiting => break ended,
            _ = ticks.tick() => {}
        }
        let left = started.expires_at.since(now());
        if minutes.replace(left.as_secs() / 60) != Some(left.as_secs() / 60) {
            context.output.say(&format!("waiting for the approval: {} left", span_in_words(left)));
        }
        if !hinted && now().since(started.started_at) >= HINT_AFTER {
            context.output.say(HINT);
            hinted = true;
        }
    };
    let goes_on = matches!(&ended, Err(Ended::Failure(failure)) if failure.code == "still_pending");
    if !goes_on {
        leaving.address = None;
    }
    let Outcome::SetupCompleted(receipt) = ended? else { return Err(unexpected()) };
    report(&receipt, context)
}

/// Says at the end how to go on, when the waiting is left by a signal.
struct Leaving<'a> {
    output: Output,
    address: Option<&'a AuthorizationStarted>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(started) = self.address {
            self.output.say(&format!(
                "the sign-in stays pending: orgkey setup {} --finish",
                started.address
            ));
        }
    }
}

fn who_approves(started: &AuthorizationStarted, device: &DeviceCode) -> String {
    let user = match &started.username {
        Some(username) => format!("{username} (User ID {})", started.user_id),
        None => format!("the user with User ID {}", started.user_id),
    };
    let scopes = match device.scopes.as_slice() {
        [] => "all of its scopes".to_owned(),
        scopes => scopes.join(" "),
    };
    format!(
        "{}: open the address in any browser, enter the code and sign in as {user}.\nThe app {} asks for {scopes}. Only approve it if you started this yourself.\nNothing is stored unless that account approves.",
        started.address, device.app
    )
}
