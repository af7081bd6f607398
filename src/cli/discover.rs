//! `setup --discover`: sign in first, see what Salesforce answers, and a y saves it. In one go on a
//! terminal; elsewhere in three steps (`--start`, `--finish -`, `--confirm ORG_ID/USER_ID`), of which
//! none prompts and the last alone saves.

use std::io::Write;

use serde_json::{Value, json};

use crate::domain::app::Flow;
use crate::engine::operation::{BeginDiscovery, CompleteDiscovery, ConfirmDiscovery};
use crate::engine::outcome::{Discovered, DiscoveryStarted, Revocation};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Operation, Outcome, Selection};
use crate::platform::terminal;

use super::args::{Finish, Setup};
use super::context::{Asked, Context, answered, read_stdin, visible};
use super::edit::refused;
use super::output::{Done, Ended};
use super::read::selection;
use super::setup::{Answer, Begun, Occasion, PASTE_LIMIT, Talk, report_outcome};
use super::{loopback, unexpected, usage_failure};

/// Saves what a sign-in tells.
pub(crate) async fn run(setup: Setup, context: &Context) -> Done {
    let Setup { named, flow, start, finish, cancel, reason, draft, .. } = setup;
    let selection = selection(named);
    if cancel {
        let (address, revocation) =
            (selection.target.to_string(), decline(selection, reason, context).await?);
        return report_end(&address, revocation, context);
    }
    if let Some(account) = draft.confirm {
        let operation = Operation::ConfirmDiscovery(ConfirmDiscovery { selection, account });
        return report_outcome(context.ask(operation.because(reason)).await?, context);
    }
    match finish {
        Some(Finish::Address) => {
            let request = CompleteDiscovery { selection, pasted: read_stdin(PASTE_LIMIT)? };
            let operation = Operation::CompleteDiscovery(request).because(reason.clone());
            return conclude((context.ask(operation).await?, None), reason, context).await;
        }
        Some(Finish::Approval) => {
            return Err(usage_failure(
                "--finish without '-' waits for a device flow, which does not tell IDs",
                "give the address on standard input: orgkey setup NAME --discover --finish -",
            )
            .into());
        }
        None => {}
    }
    if !start {
        refuse_without_terminal()?;
    }
    let Some(login_url) = draft.my_domain else {
        return show_again(selection, start, reason, context).await;
    };
    if start && flow == Some(Flow::Loopback) {
        loopback::refuse_without_agent(context).await?;
    }
    let (sandbox, app, tags) = (draft.sandbox, draft.app, draft.tags);
    let request = BeginDiscovery { selection, sandbox, login_url, app, tags, flow };
    let operation = Operation::BeginDiscovery(request).because(reason.clone());
    let started = match context.ask(operation).await? {
        Outcome::DiscoveryStarted(started) => started,
        // Before a hang-up, say.
        found => return conclude((found, None), reason, context).await,
    };
    if start {
        return print_start(&started, context).await;
    }
    conclude(converse(&started, reason.clone(), context).await?, reason, context).await
}

/// Without a My Domain there is nothing to begin; who signed in before is shown.
async fn show_again(
    selection: Selection,
    start: bool,
    reason: Option<String>,
    context: &Context,
) -> Done {
    if !start {
        match context.ask(Operation::ShowDiscovery(selection)).await {
            Ok(found @ Outcome::Discovered(_)) => {
                return conclude((found, None), reason, context).await;
            }
            Err(Ended::Failure(failure)) if failure.code != "nothing_pending" => {
                return Err(Ended::Failure(failure));
            }
            _ => {}
        }
    }
    Err(usage_failure(
        "to sign in, --discover needs the org's My Domain",
        "orgkey setup NAME --discover --my-domain https://acme.my.salesforce.com (Setup > My Domain)",
    )
    .into())
}

fn refuse_without_terminal() -> Done {
    if terminal::stdin_is_terminal() {
        return Ok(());
    }
    Err(usage_failure(
        "a sign-in is answered on a terminal, and standard input is none",
        "run it in steps: orgkey setup NAME --discover --my-domain URL --start, then --discover --finish -, then --discover --confirm ORG_ID/USER_ID",
    )
    .into())
}

/// Leads a person through the sign-in.
async fn converse(
    started: &DiscoveryStarted,
    reason: Option<String>,
    context: &Context,
) -> Result<(Outcome, Option<Asked>), Ended> {
    let selection = Selection::exactly(&started.address);
    let complete = |pasted| {
        let request = CompleteDiscovery { selection: selection.clone(), pasted };
        Operation::CompleteDiscovery(request).because(reason.clone())
    };
    let talk = Talk {
        intro: who_signs_in(started),
        url: &started.url,
        redirect_uri: &started.redirect_uri,
        later: format!("orgkey setup {} --discover --finish -", started.address),
        waiting: Operation::AwaitDiscovery(selection.clone()),
        complete: &complete,
        occasion: Occasion::Alone,
    };
    let (answer, asked) = talk.lead(started.flow, context).await?;
    match answer {
        Answer::Completed(outcome) => Ok((outcome, asked)),
        // Nobody is asked for these words outside a round.
        Answer::Skip | Answer::Leave => Err(unexpected()),
    }
}

/// The URL alone on standard output, the words on standard error.
async fn print_start(started: &DiscoveryStarted, context: &Context) -> Done {
    if started.flow == Flow::Loopback {
        let waiting = Operation::AwaitDiscovery(Selection::exactly(&started.address));
        loopback::leave_listening(waiting, context).await?;
    }
    let begun = Begun {
        address: &started.address,
        flow: started.flow,
        url: &started.url,
        redirect_uri: &started.redirect_uri,
        started_at: started.started_at,
        expires_at: started.expires_at,
        intro: who_signs_in(started),
        later: format!("orgkey setup {} --discover --finish -", started.address),
    };
    begun.print(context)
}

fn who_signs_in(started: &DiscoveryStarted) -> String {
    format!(
        "{}: open this address in any browser and sign in as the user whose token it is to be.\nNothing is saved before you have seen the IDs and said yes.",
        started.address
    )
}

/// Shows who signed in, and asks whether that is to be saved. Where nobody can be asked, nothing is
/// saved, and it is said how it is.
async fn conclude(
    (outcome, asked): (Outcome, Option<Asked>),
    reason: Option<String>,
    context: &Context,
) -> Done {
    let Outcome::Discovered(found) = outcome else { return Err(unexpected()) };
    let address = &found.address;
    if !terminal::stdin_is_terminal() {
        if context.output.json {
            context.output.object(&json!({ "schema": 1, "discovered": found_json(&found) }))?;
        } else {
            context.output.text(&card(&found))?;
        }
        let (org, user) = (&found.account.org_id, &found.account.user_id);
        return Err(refused(
            "confirmation_missing",
            format!("{address} is not saved yet: these IDs have to be confirmed"),
            format!(
                "orgkey setup {address} --discover --confirm {org}/{user}; --cancel in its place revokes the token at once"
            ),
        ));
    }
    let selection = Selection::exactly(address);
    let question = format!("{}\nSave {address} with these IDs? [y/N] ", card(&found));
    let is_yes = match ask(&question, asked).await {
        Ok(is_yes) => is_yes,
        Err(ended) => {
            context.output.say(&format!(
                "\nnothing is saved; it is asked again with orgkey setup {address} --discover"
            ));
            return Err(ended);
        }
    };
    if !is_yes {
        let revocation = decline(selection, reason, context).await?;
        return Err(refused(
            "not_confirmed",
            format!("{address} was not saved; {}", revocation.of_new_token()),
            "sign in again as the right user: orgkey setup NAME --discover --my-domain URL".into(),
        ));
    }
    let account = found.account.clone();
    let operation = Operation::ConfirmDiscovery(ConfirmDiscovery { selection, account });
    report_outcome(context.ask(operation.because(reason)).await?, context)
}

/// Whether the next line that is typed is a yes; a question that waits already is answered by it.
async fn ask(question: &str, asked: Option<Asked>) -> Result<bool, Ended> {
    let answer = if let Some(asked) = asked {
        let mut stderr = std::io::stderr();
        write!(stderr, "{question}")?;
        stderr.flush()?;
        answered(asked.await)?
    } else {
        Sensitive::new(visible(question).await?)
    };
    Ok(["y", "Y", "yes", "Yes", "YES"].iter().any(|yes| answer == Sensitive::new((*yes).into())))
}

async fn decline(
    selection: Selection,
    reason: Option<String>,
    context: &Context,
) -> Result<Revocation, Ended> {
    let operation = Operation::DeclineDiscovery(selection).because(reason);
    match context.ask(operation).await? {
        Outcome::DiscoveryEnded(revocation) => Ok(revocation),
        _ => Err(unexpected()),
    }
}

fn report_end(name: &str, revocation: Revocation, context: &Context) -> Done {
    if context.output.json {
        return context.output.object(&json!({ "schema": 1, "revocation": revocation }));
    }
    let done = match revocation {
        Revocation::NothingToRevoke => "no sign-in is pending now",
        other => other.of_new_token(),
    };
    context.output.text(&format!("{name}: nothing was saved; {done}"))
}

/// What Salesforce answered, in its own labels.
fn card(found: &Discovered) -> String {
    let Discovered { address, account, username, login_url, instance_url, .. } = found;
    let proof = if found.environment_proven {
        "proven"
    } else {
        "not proven: neither the host nor the org said which it is"
    };
    let rows = [
        ("Salesforce Org ID", account.org_id.to_string()),
        ("Salesforce User ID", account.user_id.to_string()),
        ("Username", username.clone().unwrap_or_else(|| "not told".into())),
        ("Login URL", login_url.as_str().to_owned()),
        ("Instance", instance_url.as_str().to_owned()),
        ("Environment", format!("{} ({proof})", address.environment)),
        ("App", found.app.clone()),
    ];
    let rows = rows.map(|(label, value)| format!("  {label:18}  {value}"));
    format!(
        "Salesforce answered:\n{}\nWithout a yes until {} nothing is saved, and the token is revoked.",
        rows.join("\n"),
        found.waits_until.rfc3339()
    )
}

fn found_json(found: &Discovered) -> Value {
    json!({
        "name": found.address.name, "environment": found.address.environment,
        "environment_proven": found.environment_proven,
        "org_id": found.account.org_id, "user_id": found.account.user_id,
        "username": found.username, "login_url": found.login_url,
        "instance_url": found.instance_url, "app": found.app,
        "waits_until": found.waits_until.rfc3339(),
    })
}
