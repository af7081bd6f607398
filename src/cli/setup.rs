//! `setup`: in one go as plain prompts, or in two steps that survive a hang-up in between.

use serde_json::json;

use crate::domain::app::Flow;
use crate::domain::name::Address;
use crate::domain::time::{UnixMillis, span_in_words};
use crate::engine::operation::{BeginSetup, CompleteSetup};
use crate::engine::outcome::{AuthorizationStarted, Revocation, SetupReceipt};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Failure, Operation, Outcome, Selection, exit, now};
use crate::platform::terminal;

use super::args::{Finish, Setup};
use super::context::{Asked, Context, answered, hidden, read_stdin};
use super::output::{Done, Ended, credential_json};
use super::read::{selection, show_credential};
use super::words::{draining_in_words, revocation_in_words};
use super::{device, loopback};
use super::{unexpected, usage_failure};

/// Longest redirect URL that is read, in bytes.
pub(super) const PASTE_LIMIT: u64 = 8 * 1024;

/// Sets up tokens.
pub(crate) async fn run(setup: Setup, context: &Context) -> Done {
    let selection = selection(setup.named);
    if setup.cancel {
        let operation = Operation::AbandonSetup(selection).because(setup.reason);
        let outcome = context.ask(operation).await?;
        let Outcome::Credential(credential) = outcome else { return Err(unexpected()) };
        if context.output.json {
            return show_credential(&credential, context);
        }
        let address = &credential.address;
        return context.output.text(&format!("{address}: no set-up is pending now"));
    }
    match setup.finish {
        Some(Finish::Address) => {
            let pasted = read_stdin(PASTE_LIMIT)?;
            return finish(selection, pasted, setup.reason, context).await;
        }
        Some(Finish::Approval) => {
            return device::wait_for_pending(selection, setup.reason, context).await;
        }
        None => {}
    }
    let may_be_device = setup.flow.is_none_or(|flow| flow == Flow::Device);
    // One that is pending is gone on with: its code may be typed in already.
    if !setup.start
        && may_be_device
        && device::resume(&selection, setup.reason.as_ref(), context).await?
    {
        return Ok(());
    }
    if !setup.start && setup.flow != Some(Flow::Device) && !terminal::stdin_is_terminal() {
        return Err(usage_failure(
            "a sign-in is answered on a terminal, and standard input is none",
            "run it in two steps: orgkey setup NAME --start, then orgkey setup NAME --finish -",
        )
        .into());
    }
    let flow = match setup.flow {
        Some(flow) => flow,
        None => first_flow(&selection, context).await?,
    };
    if setup.start && flow == Flow::Loopback {
        loopback::refuse_without_agent(context).await?;
    }
    let request =
        BeginSetup { flow: Some(flow), drain: setup.drain, ..BeginSetup::plain(selection.clone()) };
    let operation = Operation::BeginSetup(request).because(setup.reason.clone());
    let Outcome::AuthorizationStarted(started) = context.ask(operation).await? else {
        return Err(unexpected());
    };
    if setup.start {
        return show_started(&started, context).await;
    }
    go_on(&started, Occasion::Alone, setup.reason, context).await.map(|_| ())
}

/// What a sign-in is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A command about this one alone.
    Alone,
    /// A round: a word in place of the address passes it over, or leaves the round.
    Round,
}

/// What the person did where an address was asked for.
pub(super) enum Answer<T> {
    /// Signed in.
    Completed(T),
    /// Passed it over.
    Skip,
    /// Left the round.
    Leave,
}

impl Occasion {
    /// What a person typed in place of the address.
    pub(super) fn word<T>(self, typed: &Sensitive) -> Option<Answer<T>> {
        let is = |word: &str| *typed == Sensitive::new(word.to_owned());
        match self {
            Self::Round if is("s") => Some(Answer::Skip),
            Self::Round if is("q") => Some(Answer::Leave),
            Self::Alone | Self::Round => None,
        }
    }

    fn prompt(self) -> &'static str {
        match self {
            Self::Alone => "Paste it here (it is not shown), then Enter: ",
            Self::Round => {
                "Paste it here (it is not shown); or s to pass over, q to leave; then Enter: "
            }
        }
    }
}

/// Shows what was begun, and leaves it pending.
pub(super) async fn show_started(started: &AuthorizationStarted, context: &Context) -> Done {
    if let Some(device) = &started.device {
        return device::print_start(started, device, context);
    }
    if started.flow == Flow::Loopback {
        let waiting = Operation::AwaitRedirect(Selection::exactly(&started.address));
        loopback::leave_listening(waiting, context).await?;
    }
    print_start(started, context)
}

/// Shows what was begun, and goes on to its end.
pub(super) async fn go_on(
    started: &AuthorizationStarted,
    occasion: Occasion,
    reason: Option<String>,
    context: &Context,
) -> Result<Answer<()>, Ended> {
    if let Some(device) = &started.device {
        device::converse(started, device, reason, context).await?;
        return Ok(Answer::Completed(()));
    }
    converse(started, occasion, reason, context).await
}

/// Paste, but for an app of the device flow alone.
pub(super) async fn first_flow(selection: &Selection, context: &Context) -> Result<Flow, Ended> {
    let shown = context.ask(Operation::Show(selection.clone())).await?;
    let apps = context.ask(Operation::Apps).await?;
    let (Outcome::Credential(credential), Outcome::Apps(apps)) = (shown, apps) else {
        return Err(unexpected());
    };
    let app = apps.iter().find(|app| app.name.eq_ignore_ascii_case(&credential.app));
    let device = app.is_some_and(|app| !app.allows(Flow::Paste) && app.allows(Flow::Device));
    Ok(if device { Flow::Device } else { Flow::Paste })
}

/// A sign-in that was begun and is left to be completed later, whatever it is for.
pub(super) struct Begun<'a> {
    /// Of which credential.
    pub(super) address: &'a Address,
    /// How.
    pub(super) flow: Flow,
    /// What to open.
    pub(super) url: &'a str,
    /// Where the browser ends.
    pub(super) redirect_uri: &'a str,
    /// When it was begun.
    pub(super) started_at: UnixMillis,
    /// When it is worth nothing any more.
    pub(super) expires_at: UnixMillis,
    /// Who signs in.
    pub(super) intro: String,
    /// The command that completes it.
    pub(super) later: String,
}

impl Begun<'_> {
    /// The URL alone on standard output, the words on standard error.
    pub(super) fn print(&self, context: &Context) -> Done {
        let Self { address, flow, url, redirect_uri, started_at, expires_at, .. } = self;
        if context.output.json {
            return context.output.object(&json!({
                "schema": 1,
                "authorization": {
                    "name": address.name, "environment": address.environment,
                    "flow": flow, "url": url, "redirect_uri": redirect_uri,
                    "started_at": started_at.rfc3339(), "expires_at": expires_at.rfc3339(),
                },
            }));
        }
        context.output.say(&self.intro);
        context.output.text(url)?;
        if *flow == Flow::Loopback {
            loopback::introduce(redirect_uri, context);
            context
                .output
                .say("The agent listens for the answer, 15 minutes. Where it does not come back:");
        }
        context.output.say(&where_it_ends(redirect_uri));
        let left = span_in_words(expires_at.since(now()));
        let words = format!("then give that address to: {}   ({left} left)", self.later);
        context.output.say(&words);
        Ok(())
    }
}

/// Shows the address of a set-up, and leaves it pending.
pub(crate) fn print_start(started: &AuthorizationStarted, context: &Context) -> Done {
    let begun = Begun {
        address: &started.address,
        flow: started.flow,
        url: &started.url,
        redirect_uri: &started.redirect_uri,
        started_at: started.started_at,
        expires_at: started.expires_at,
        intro: who_signs_in(started),
        later: format!("orgkey setup {} --finish -", started.address),
    };
    begun.print(context)
}

/// A sign-in that a person is led through on the terminal, whatever it is for.
pub(super) struct Talk<'a> {
    /// Who signs in.
    pub(super) intro: String,
    /// What to open.
    pub(super) url: &'a str,
    /// Where the browser ends.
    pub(super) redirect_uri: &'a str,
    /// The command that completes it later.
    pub(super) later: String,
    /// Waits for the redirect.
    pub(super) waiting: Operation,
    /// Completes it with what was pasted.
    pub(super) complete: &'a dyn Fn(Sensitive) -> Operation,
    /// What it is part of.
    pub(super) occasion: Occasion,
}

impl Talk<'_> {
    /// Leads the person through it by that flow. A question that nobody answered, because the
    /// redirect came first, still has the terminal: it is given back.
    pub(super) async fn lead(
        &self,
        flow: Flow,
        context: &Context,
    ) -> Result<(Answer<Outcome>, Option<Asked>), Ended> {
        match flow {
            Flow::Loopback => loopback::converse(self, context).await,
            _ => Ok((take_paste(self, context).await?, None)),
        }
    }
}

/// Leads a person through the set-up of a credential, and tells how it ended.
pub(crate) async fn converse(
    started: &AuthorizationStarted,
    occasion: Occasion,
    reason: Option<String>,
    context: &Context,
) -> Result<Answer<()>, Ended> {
    let selection = Selection::exactly(&started.address);
    let complete = |pasted| {
        let request = CompleteSetup { selection: selection.clone(), pasted };
        Operation::CompleteSetup(request).because(reason.clone())
    };
    let talk = Talk {
        intro: who_signs_in(started),
        url: &started.url,
        redirect_uri: &started.redirect_uri,
        later: format!("orgkey setup {} --finish -", started.address),
        waiting: Operation::AwaitRedirect(selection.clone()),
        complete: &complete,
        occasion,
    };
    let (answer, asked) = talk.lead(started.flow, context).await?;
    let outcome = match answer {
        Answer::Completed(outcome) => outcome,
        Answer::Skip => return Ok(Answer::Skip),
        Answer::Leave => return Ok(Answer::Leave),
    };
    let told = report_outcome(outcome, context);
    // The question for the paste still waits for a line, which must not be taken for another's.
    if let Some(asked) = asked.filter(|_| occasion == Occasion::Round) {
        context.output.say("Enter goes on with the round, q leaves it: ");
        if let Some(answer) = occasion.word(&answered(asked.await)?) {
            return told.map(|()| answer);
        }
    }
    told.map(Answer::Completed)
}

/// Shows the URL, takes the paste, and asks again after a paste that was not right.
async fn take_paste(talk: &Talk<'_>, context: &Context) -> Result<Answer<Outcome>, Ended> {
    context.output.say(&talk.intro);
    context.output.say("");
    context.output.text(talk.url)?;
    context.output.say("");
    context.output.say(&where_it_ends(talk.redirect_uri));
    loop {
        let pasted = match hidden(talk.occasion.prompt()).await {
            Ok(pasted) => pasted,
            Err(ended) => {
                context.output.say(&format!("the sign-in stays pending: {}", talk.later));
                return Err(ended);
            }
        };
        if let Some(answer) = talk.occasion.word(&pasted) {
            return Ok(answer);
        }
        match context.ask((talk.complete)(pasted)).await {
            Err(Ended::Failure(failure)) if is_about_the_paste(&failure) => {
                context.output.failure(&failure);
            }
            done => return done.map(Answer::Completed),
        }
    }
}

/// Whether another paste can mend it: nothing was sent.
pub(super) fn is_about_the_paste(failure: &Failure) -> bool {
    failure.exit_code == exit::INVALID
        && matches!(
            failure.code.as_str(),
            "paste_empty"
                | "paste_too_long"
                | "paste_cut"
                | "state_missing"
                | "other_attempt"
                | "two_addresses"
                | "authorization_url"
                | "no_code"
                | "misplaced_secret"
                | "not_a_code"
        )
}

/// What the person sees at the end, which may look like a failure and is none.
pub(super) fn where_it_ends(redirect_uri: &str) -> String {
    let loads = if redirect_uri.starts_with("http://localhost") {
        "; that page does not load, which is as it should be"
    } else {
        ""
    };
    format!(
        "The browser ends at {redirect_uri} with code= behind it{loads}. Copy the whole address."
    )
}

pub(super) fn who_signs_in(started: &AuthorizationStarted) -> String {
    let user = match &started.username {
        Some(username) => format!("{username} (User ID {})", started.user_id),
        None => format!("the user with User ID {}", started.user_id),
    };
    format!(
        "{}: open this address in any browser and sign in as {user}.\nNothing is stored unless that account signs in.",
        started.address
    )
}

async fn finish(
    selection: Selection,
    pasted: Sensitive,
    reason: Option<String>,
    context: &Context,
) -> Done {
    let request = CompleteSetup { selection, pasted };
    let operation = Operation::CompleteSetup(request).because(reason);
    let outcome = context.ask(operation).await?;
    let Outcome::SetupCompleted(receipt) = &outcome else { return Err(unexpected()) };
    let address = receipt.credential.address.clone();
    let told = report_outcome(outcome, context);
    super::round::say_how_it_goes_on(&address, context).await;
    told
}

/// Tells how a set-up ended.
pub(super) fn report_outcome(outcome: Outcome, context: &Context) -> Done {
    let Outcome::SetupCompleted(receipt) = outcome else { return Err(unexpected()) };
    report(&receipt, context)
}

/// What became of the token set that was replaced; an earlier one may still drain beside it.
fn say_replaced(receipt: &SetupReceipt, context: &Context) {
    let draining = receipt.credential.draining.as_ref();
    let draining = draining.map(|draining| draining_in_words(draining, now()));
    match (receipt.replaced, draining) {
        (Revocation::Draining, Some(old)) => {
            context.output.say(&format!("before: {old}, then it is revoked"));
        }
        (Revocation::NothingToRevoke, _) => {}
        (replaced, earlier) => {
            context.output.say(&format!("before: {}", revocation_in_words(replaced)));
            if let Some(earlier) = earlier {
                context.output.say(&format!("an earlier one drains yet: {earlier}"));
            }
        }
    }
}

/// What a set-up came to.
pub(super) fn report(receipt: &SetupReceipt, context: &Context) -> Done {
    let credential = &receipt.credential;
    if context.output.json {
        context.output.object(&json!({
            "schema": 1,
            "credential": credential_json(credential, now()),
            "test": {
                "outcome": receipt.test.outcome, "latency_ms": receipt.test.latency_ms,
                "message": receipt.test.message, "remedy": receipt.test.remedy,
            },
            "replaced": receipt.replaced,
            "drains_until": credential.draining.as_ref().map(|old| old.until.rfc3339()),
        }))?;
    } else {
        let user = credential.username.as_deref().unwrap_or(credential.user_id.as_str());
        context.output.text(&format!("{}: signed in as {user}", credential.address))?;
        context.output.text(&receipt.test.message)?;
        if !receipt.test.remedy.is_empty() {
            context.output.text(&receipt.test.remedy)?;
        }
        if !credential.environment_proven {
            context
                .output
                .say("environment not proven: neither the host nor the org said which it is");
        }
        if receipt.is_rotation {
            let generation = credential.token.as_ref().map_or(0, |token| token.generation.0);
            context.output.text(&format!("rotated: generation {generation} is in use"))?;
        }
        say_replaced(receipt, context);
    }
    match crate::engine::exit_code_of(receipt.test.outcome) {
        0 => Ok(()),
        code => Err(Ended::Code(code)),
    }
}
