//! `round`: sign-ins for many, one after another, by whoever has time for them.

use serde_json::{Value, json};

use crate::domain::app::Flow;
use crate::domain::name::Address;
use crate::domain::packed::Row;
use crate::domain::round::{self, Round, RoundItem, RoundItemState, RoundPurpose};
use crate::domain::time::UnixMillis;
use crate::engine::operation::{BeginSetup, SkipInRound, StartRound};
use crate::engine::outcome::AuthorizationStarted;
use crate::engine::{Failure, Operation, Outcome, Selection, exit, now};
use crate::platform::terminal;

use super::args::{Many, Named, Round as RoundCommand, RoundNext, RoundSkip, RoundStart};
use super::context::{Context, hidden, visible};
use super::many::{self, Chosen, Names};
use super::output::{Done, Ended};
use super::rotate::rotate_all;
use super::setup::{self, Answer, Occasion};
use super::words::{rotation_line, round_card};
use super::{unexpected, usage_failure};

/// Works on rounds.
pub(crate) async fn run(command: RoundCommand, context: &Context) -> Done {
    match command {
        RoundCommand::Start(start) => begin(start, context).await,
        RoundCommand::Next(next) if next.start => print_next(&next, context).await,
        RoundCommand::Next(next) => {
            refuse_without_terminal(context)?;
            go_on(&next, context).await
        }
        RoundCommand::Skip(skip) => pass_over(skip, context).await,
        RoundCommand::Show => show(context).await,
        RoundCommand::End { reason } => {
            let ended = ask(Operation::EndRound.because(reason), context).await?;
            print(&ended, context)
        }
    }
}

async fn ask(operation: Operation, context: &Context) -> Result<Round, Ended> {
    match context.ask(operation).await? {
        Outcome::Round(Some(round)) => Ok(*round),
        Outcome::Round(None) => Err(Failure {
            code: "no_round".into(),
            message: "there was no round yet".into(),
            remedy: "begin one: orgkey round start --filter FILTER --why rotate".into(),
            exit_code: exit::REFUSED,
            detail: crate::engine::outcome::FailureDetail::None,
        }
        .into()),
        _ => Err(unexpected()),
    }
}

/// The open round; that there is none is a refusal.
async fn open_round(context: &Context) -> Result<Round, Ended> {
    let round = ask(Operation::Round, context).await?;
    if round.is_open() {
        return Ok(round);
    }
    let ended = round.facts.ended_at.map(UnixMillis::rfc3339).unwrap_or_default();
    Err(Failure {
        code: "no_round".into(),
        message: format!("no round is open: the last one ended {ended}"),
        remedy: "begin one: orgkey round start --filter FILTER --why rotate; orgkey round show prints the receipt of the last".into(),
        exit_code: exit::REFUSED,
        detail: crate::engine::outcome::FailureDetail::None,
    }
    .into())
}

async fn begin(start: RoundStart, context: &Context) -> Done {
    let RoundStart { many, why: purpose, dry_run, reason } = start;
    let at = now();
    let fits = |row: &Row<'_>| round::takes(purpose, row, at);
    let Chosen { addresses, left_out, .. } =
        many::choose(&many, Names::MustBeClear, fits, context).await?;
    if left_out > 0 {
        let which = match purpose {
            RoundPurpose::Setup => "with a token that works, or on hold",
            RoundPurpose::Rotate => "without a token that works, or on hold",
        };
        context.output.say(&format!("left out, {which}: {left_out}"));
    }
    let chosen_by = chosen_by(&many);
    let request = StartRound { purpose, addresses, chosen_by, dry_run, reason: reason.clone() };
    let round = ask(Operation::StartRound(request), context).await?;
    if dry_run {
        context.output.say("nothing was begun; this would be the round:");
        return print(&round, context);
    }
    run_unattended(&round, reason, context).await?;
    if terminal::stdin_is_terminal() && !context.output.json {
        return go_on(&RoundNext { start: false, flow: None, drain: None }, context).await;
    }
    let round = ask(Operation::Round, context).await?;
    let left = round.counts().waiting;
    let round = if left == 0 { ask(Operation::EndRound, context).await? } else { round };
    print(&round, context)?;
    if left == 0 {
        return Ok(());
    }
    context
        .output
        .say("orgkey round next goes on with it, on a terminal; --start prints the next address");
    Err(Ended::Code(exit::NEEDS_SETUP))
}

/// How the credentials were chosen, as it was written.
fn chosen_by(many: &Many) -> String {
    match &many.filter {
        Some(filter) => filter.typed().to_owned(),
        None if many.all => "all".into(),
        None => many.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

/// What needs nobody goes first.
async fn run_unattended(round: &Round, reason: Option<String>, context: &Context) -> Done {
    let addresses: Vec<Address> = round
        .waiting()
        .filter(|item| item.is_unattended)
        .map(|item| item.address.clone())
        .collect();
    let width = addresses.iter().map(|address| address.to_string().len()).max().unwrap_or(0);
    let tell = |report: &_| {
        context.output.say(&rotation_line(report, width, now()));
        Ok(())
    };
    let (_, refused) = rotate_all(addresses, false, reason.as_ref(), tell, context).await?;
    refused.map_or(Ok(()), |failure| Err(Ended::Failure(failure)))
}

/// What a person wants after a sign-in that did not come to its end.
enum Wish {
    Again,
    Skip,
    Leave,
}

/// One sign-in after another, until nobody waits or the person leaves.
async fn go_on(next: &RoundNext, context: &Context) -> Done {
    let mut round = open_round(context).await?;
    let mut last: Option<Address> = None;
    loop {
        let item = match &last {
            Some(last) => round.next_after(last),
            None => round.waiting().next(),
        };
        let Some(item) = item.cloned() else { break };
        context.output.say(&format!("\n{}", heading(&round, &item)));
        let wish = match sign_in(&round, &item, next, context).await {
            Ok(Answer::Completed(())) => None,
            Ok(Answer::Skip) => Some(Wish::Skip),
            Ok(Answer::Leave) => Some(Wish::Leave),
            Err(Ended::Code(
                exit::NEEDS_SETUP | exit::UNREACHABLE | exit::REFUSED | exit::INVALID,
            )) => Some(what_now(context).await?),
            Err(Ended::Failure(failure)) if is_of_the_item(&failure) => {
                context.output.failure(&failure);
                Some(what_now(context).await?)
            }
            Err(ended) => return Err(ended),
        };
        match wish {
            None => last = Some(item.address),
            Some(Wish::Again) => {}
            Some(Wish::Skip) => {
                let note = visible(&format!("Why is {} passed over? ", item.address)).await?;
                if !note.is_empty() {
                    let skip = SkipInRound { address: item.address.clone(), note: Some(note) };
                    ask(Operation::SkipInRound(skip), context).await?;
                    last = Some(item.address);
                }
            }
            Some(Wish::Leave) => return leave(&round, context),
        }
        round = ask(Operation::Round, context).await?;
        if !round.is_open() {
            break;
        }
    }
    // A dashboard beside it may have been faster.
    let ended = if round.is_open() { ask(Operation::EndRound, context).await? } else { round };
    context.output.say("");
    print(&ended, context)
}

fn leave(round: &Round, context: &Context) -> Done {
    let left = round.counts().waiting;
    context.output.say(&format!("the round stays open, {left} left: orgkey round next"));
    Err(Ended::Code(exit::NEEDS_SETUP))
}

/// Whether it says something of one credential, and the round can go on with others.
fn is_of_the_item(failure: &Failure) -> bool {
    matches!(
        failure.exit_code,
        exit::NEEDS_SETUP | exit::UNREACHABLE | exit::REFUSED | exit::INVALID | exit::UNCERTAIN
    ) && !super::test::is_of_the_store(failure)
}

/// What is typed is not shown: it may be an address of the attempt that has ended.
async fn what_now(context: &Context) -> Result<Wish, Ended> {
    let typed = hidden("Enter tries again, s passes it over, q leaves the round: ").await?;
    Ok(match Occasion::Round.word::<()>(&typed) {
        Some(Answer::Skip) => Wish::Skip,
        Some(_) => Wish::Leave,
        None => {
            if !typed.is_empty() {
                context.output.say("that was not taken: sign in at the fresh address that follows");
            }
            Wish::Again
        }
    })
}

/// Where the round stands, and whose turn it is.
fn heading(round: &Round, item: &RoundItem) -> String {
    let (place, of) = (round.place(), round.items.len());
    let purpose = round.facts.purpose.in_words();
    format!("round to {purpose}: {place} of {of}   {}   as {}", item.address, item.user)
}

async fn sign_in(
    round: &Round,
    item: &RoundItem,
    next: &RoundNext,
    context: &Context,
) -> Result<Answer<()>, Ended> {
    let flow = match next.flow {
        Some(flow) => flow,
        None => setup::first_flow(&Selection::exactly(&item.address), context).await?,
    };
    let started = begin_sign_in(round, item, flow, next, context).await?;
    setup::go_on(&started, Occasion::Round, reason_of(round), context).await
}

async fn begin_sign_in(
    round: &Round,
    item: &RoundItem,
    flow: Flow,
    next: &RoundNext,
    context: &Context,
) -> Result<AuthorizationStarted, Ended> {
    let request = BeginSetup {
        flow: Some(flow),
        is_rotation: round.facts.purpose == RoundPurpose::Rotate,
        drain: next.drain,
        ..BeginSetup::plain(Selection::exactly(&item.address))
    };
    let operation = Operation::BeginSetup(request).because(reason_of(round));
    match context.ask(operation).await? {
        Outcome::AuthorizationStarted(started) => Ok(started),
        _ => Err(unexpected()),
    }
}

/// Each sign-in of a round has its reason.
fn reason_of(round: &Round) -> Option<String> {
    Some(round.facts.reason.clone()).filter(|reason| !reason.is_empty())
}

/// The address of the next sign-in alone, for who completes it in a second step.
async fn print_next(next: &RoundNext, context: &Context) -> Done {
    let round = open_round(context).await?;
    let Some(item) = round.waiting().next() else {
        let ended = ask(Operation::EndRound, context).await?;
        if context.output.json {
            return print(&ended, context);
        }
        // Standard output is for an address, and there is none.
        context.output.say(round_card(&ended, now()).trim_end());
        return Ok(());
    };
    context.output.say(&heading(&round, item));
    let flow = next.flow.unwrap_or(Flow::Paste);
    if flow == Flow::Loopback {
        super::loopback::refuse_without_agent(context).await?;
    }
    let started = begin_sign_in(&round, item, flow, next, context).await?;
    setup::show_started(&started, context).await
}

async fn pass_over(skip: RoundSkip, context: &Context) -> Done {
    let RoundSkip { named: Named { target, expect }, note, .. } = skip;
    let selection = Selection { target, expect };
    let Outcome::Credential(credential) = context.ask(Operation::Show(selection)).await? else {
        return Err(unexpected());
    };
    let address = credential.address;
    let request = SkipInRound { address: address.clone(), note };
    let round = ask(Operation::SkipInRound(request), context).await?;
    if context.output.json {
        return print(&round, context);
    }
    let state = round.item(&address).map(|item| item.state);
    let words = match state {
        Some(RoundItemState::Skipped) => "is passed over",
        Some(RoundItemState::Waiting) => "waits again",
        _ => "is done: a note changes nothing of it",
    };
    context.output.text(&format!("{address} {words}; {} left", round.counts().waiting))
}

async fn show(context: &Context) -> Done {
    if context.output.json {
        let Outcome::Round(round) = context.ask(Operation::Round).await? else {
            return Err(unexpected());
        };
        let round = round.as_deref().map(round_json);
        return context.output.object(&json!({ "schema": 1, "round": round }));
    }
    let round = ask(Operation::Round, context).await?;
    print(&round, context)
}

/// Says how the open round goes on after a sign-in that a script completed, where it was one of it.
pub(super) async fn say_how_it_goes_on(address: &Address, context: &Context) {
    let Ok(Outcome::Round(Some(round))) = context.ask_once(Operation::Round).await else { return };
    if !round.is_open() || round.item(address).is_none() {
        return;
    }
    let left = round.counts().waiting;
    let next = if left == 0 {
        "orgkey round end prints its receipt"
    } else {
        "orgkey round next --start prints the next address"
    };
    context.output.say(&format!("the round: {left} left; {next}"));
}

fn refuse_without_terminal(context: &Context) -> Done {
    if terminal::stdin_is_terminal() && !context.output.json {
        return Ok(());
    }
    Err(usage_failure(
        "sign-ins are answered on a terminal, in plain text",
        "run it in two steps: orgkey round next --start, then orgkey setup NAME --finish -",
    )
    .into())
}

fn print(round: &Round, context: &Context) -> Done {
    if context.output.json {
        return context.output.object(&json!({ "schema": 1, "round": round_json(round) }));
    }
    context.output.text(&round_card(round, now()))
}

fn round_json(round: &Round) -> Value {
    let counts = round.counts();
    let items: Vec<_> = round.items.iter().map(item_json).collect();
    json!({
        "why": round.facts.purpose, "chosen_by": round.facts.chosen_by, "reason": round.facts.reason,
        "started_by": round.facts.started_by, "started_at": round.facts.started_at.rfc3339(),
        "ended_at": round.facts.ended_at.map(UnixMillis::rfc3339),
        "total": round.items.len(), "refreshed": counts.refreshed, "signed_in": counts.signed_in,
        "skipped": counts.skipped, "on_hold": counts.on_hold, "deleted": counts.deleted, "left": counts.waiting,
        "draining": counts.draining, "revocations_owed": counts.owed, "items": items,
    })
}

fn item_json(item: &RoundItem) -> Value {
    json!({
        "name": item.address.name, "environment": item.address.environment, "user": item.user,
        "state": item.state, "at": item.at.map(UnixMillis::rfc3339), "note": item.note,
        "unattended": item.is_unattended, "drains_until": item.drains_until.map(UnixMillis::rfc3339),
        "revocation_owed": item.owes_revocation,
    })
}
