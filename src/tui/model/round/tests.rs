//! A round worked through by keys and pastes.

use super::*;
use crate::domain::round::{RoundFacts, RoundItem};
use crate::domain::time::UnixMillis;
use crate::engine::outcome::{Revocation, RotationHow, SetupReceipt, WrongAccount};
use crate::engine::{Event, Outcome};
use crate::tui::message::Message;
use crate::tui::model::sample;
use crate::tui::model::tests::{
    answer, deny, keys, loaded, paste, press, submitted, wrong_account,
};

const REDIRECT: &str = "https://login.salesforce.com/x?code=aPrxCanary&state=s";

fn item(name: &str, is_unattended: bool) -> RoundItem {
    RoundItem {
        address: sample::address(name, "production"),
        user: format!("svc-sync@{name}.com"),
        state: RoundItemState::Waiting,
        at: None,
        note: String::new(),
        is_unattended,
        drains_until: None,
        owes_revocation: false,
    }
}

/// An open round of these, the first of them refreshed by themselves.
pub(crate) fn round(purpose: RoundPurpose, names: &[(&str, bool)]) -> Round {
    let facts = RoundFacts {
        purpose,
        chosen_by: "tag:eu".into(),
        reason: String::new(),
        started_by: "ana".into(),
        started_at: UnixMillis(sample::NOW.0 - 3_600_000),
        ended_at: None,
    };
    Round { facts, items: names.iter().map(|(name, alone)| item(name, *alone)).collect() }
}

/// Answers what was asked about the round with how it stands.
fn tell(model: &mut Model, round: &Round) -> Vec<Effect> {
    let is_of_round = |operation: &Operation| {
        matches!(
            operation,
            Operation::Round
                | Operation::StartRound(_)
                | Operation::SkipInRound(_)
                | Operation::EndRound
        )
    };
    let (job, _) = model
        .jobs
        .running()
        .find(|(_, job)| is_of_round(&job.operation))
        .expect("the round is asked for");
    let job = *job;
    let event = Box::new(Event::Done(Ok(Outcome::Round(Some(Box::new(round.clone()))))));
    model.update(Message::Engine { job, event }, sample::NOW)
}

/// At the worklist of a round, with some of it settled.
pub(crate) fn worklist() -> (Model, Round) {
    let mut model = loaded(sample::many());
    let names = [("globex", true), ("acme", false), ("initech", false), ("umbrella", false)];
    let mut round = round(RoundPurpose::Rotate, &names);
    settle(&mut round, "globex", RoundItemState::Refreshed);
    settle(&mut round, "umbrella", RoundItemState::Skipped);
    round.items[3].note = "left the company".into();
    round.items[0].drains_until = Some(UnixMillis(sample::NOW.0 + 3_600_000));
    keys(&mut model, "Q");
    tell(&mut model, &round);
    (model, round)
}

/// In the pane of the second of them.
pub(crate) fn in_round() -> Model {
    let (mut model, _) = worklist();
    press(&mut model, Key::Enter);
    authorized(&mut model, "acme");
    model
}

/// At what a round can be begun with, after one.
pub(crate) fn before_round() -> Model {
    let (mut model, mut round) = worklist();
    press(&mut model, Key::Esc);
    round.facts.ended_at = Some(sample::NOW);
    keys(&mut model, "Q");
    tell(&mut model, &round);
    model
}

fn settle(round: &mut Round, name: &str, state: RoundItemState) {
    let address = sample::address(name, "production");
    let item = round.items.iter_mut().find(|item| item.address == address).unwrap();
    (item.state, item.at) = (state, Some(sample::NOW));
}

fn authorized(model: &mut Model, name: &str) -> Vec<Effect> {
    let started = sample::authorization(name);
    answer(model, |_| Outcome::AuthorizationStarted(started))
}

fn signed_in(model: &mut Model, name: &str) -> Vec<Effect> {
    let credential = sample::ready(name, "production");
    let test = credential.last_test.clone().unwrap();
    let replaced = Revocation::Confirmed;
    answer(model, |_| {
        Outcome::SetupCompleted(Box::new(SetupReceipt {
            credential,
            test,
            replaced,
            is_rotation: true,
        }))
    })
}

fn three() -> Model {
    loaded(["alpha", "beta", "gamma"].map(|name| sample::ready(name, "production")).into())
}

/// At the worklist of a round that was begun before.
fn at_worklist(purpose: RoundPurpose) -> (Model, Round) {
    let mut model = three();
    let round = round(purpose, &[("alpha", false), ("beta", false), ("gamma", false)]);
    keys(&mut model, "Q");
    tell(&mut model, &round);
    assert!(matches!(model.screens.as_slice(), [Screen::Round]));
    (model, round)
}

#[test]
fn a_round_is_one_copy_and_one_paste_each_and_the_next_follows_by_itself() {
    let (mut model, mut round) = at_worklist(RoundPurpose::Rotate);
    let begun = press(&mut model, Key::Enter);
    let mut begins = submitted(&begun).into_iter().cloned().collect::<Vec<_>>();
    for name in ["alpha", "beta", "gamma"] {
        let [Operation::BeginSetup(request)] = begins.as_slice() else { panic!("{begins:?}") };
        assert!(request.is_rotation && request.selection.target.name.as_str() == name);
        let url = sample::authorization(name).url;
        assert!(authorized(&mut model, name).contains(&Effect::Copy(url)), "sent by itself");
        let sent = paste(&mut model, REDIRECT);
        assert!(matches!(submitted(&sent).as_slice(), [Operation::CompleteSetup(_)]));
        let effects = signed_in(&mut model, name);
        assert!(submitted(&effects).contains(&&Operation::Round), "{effects:?}");
        settle(&mut round, name, RoundItemState::SignedIn);
        let next = tell(&mut model, &round);
        begins = submitted(&next).into_iter().cloned().collect();
    }
    assert_eq!(begins, [Operation::EndRound]);
    round.facts.ended_at = Some(sample::NOW);
    tell(&mut model, &round);
    assert!(matches!(model.screens.as_slice(), [Screen::Round]), "the receipt stays");
    let notice = model.notices.newest().unwrap();
    assert_eq!(notice.text, "the round is over: 3 of 3 have a new token, 0 passed over");
}

#[test]
fn who_leaves_the_pane_is_asked_for_nothing_more() {
    let (mut model, mut round) = at_worklist(RoundPurpose::Setup);
    press(&mut model, Key::Enter);
    authorized(&mut model, "alpha");
    press(&mut model, Key::Esc);
    assert!(matches!(model.screens.as_slice(), [Screen::Round]));
    // The redirect came by another way.
    settle(&mut round, "alpha", RoundItemState::SignedIn);
    press(&mut model, Key::Esc);
    keys(&mut model, "Q");
    assert_eq!(submitted(&tell(&mut model, &round)), Vec::<&Operation>::new());
    let begun = press(&mut model, Key::Enter);
    let [Operation::BeginSetup(request)] = submitted(&begun)[..] else { panic!("{begun:?}") };
    assert_eq!(request.selection.target.name.as_str(), "beta", "what is done is not begun again");
    assert!(!request.is_rotation);
}

#[test]
fn one_is_passed_over_with_a_note_and_its_row_takes_it_back() {
    let (mut model, mut round) = at_worklist(RoundPurpose::Setup);
    press(&mut model, Key::Enter);
    authorized(&mut model, "alpha");
    keys(&mut model, "n\r");
    let Some(Screen::Typed(dialog)) = model.screens.last() else { panic!("no dialog") };
    assert!(dialog.mistyped, "a note is needed");
    let effects = keys(&mut model, "left the company\r");
    let [Operation::SkipInRound(skip)] = submitted(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(skip.note.as_deref(), Some("left the company"));
    settle(&mut round, "alpha", RoundItemState::Skipped);
    let begun = tell(&mut model, &round);
    let [Operation::BeginSetup(request)] = submitted(&begun)[..] else { panic!("{begun:?}") };
    assert_eq!(request.selection.target.name.as_str(), "beta");
    authorized(&mut model, "beta");
    press(&mut model, Key::Esc);
    model.round.cursor = 0;
    let effects = keys(&mut model, "n");
    let [Operation::SkipInRound(skip)] = submitted(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(skip.note, None);
}

#[test]
fn a_wrong_account_is_tried_again_within_the_round() {
    let mut model = loaded(vec![sample::ready("acme", "production")]);
    let round = round(RoundPurpose::Rotate, &[("acme", false)]);
    keys(&mut model, "Q");
    tell(&mut model, &round);
    press(&mut model, Key::Enter);
    authorized(&mut model, "acme");
    paste(&mut model, REDIRECT);
    deny(&mut model, wrong_account());
    let Some(Screen::WrongAccount(found)) = model.screens.last() else { panic!("not shown") };
    let WrongAccount { address, .. } = found.as_ref();
    assert_eq!(address.name.as_str(), "acme");
    let effects = keys(&mut model, "s");
    let [Operation::BeginSetup(request)] = submitted(&effects)[..] else { panic!("{effects:?}") };
    assert!(request.is_rotation);
}

#[test]
fn a_round_begins_with_what_is_marked_and_runs_what_needs_nobody() {
    let mut model = three();
    keys(&mut model, "  Q");
    let none = Outcome::Round(None);
    let job = model.jobs.asking(&Operation::Round).unwrap();
    model.update(Message::Engine { job, event: Box::new(Event::Done(Ok(none))) }, sample::NOW);
    let Some(Screen::RoundStart(start)) = model.screens.last() else { panic!("no choice") };
    assert_eq!((start.choices[0].1.len(), start.choices[1].1.len()), (0, 2));
    let effects = press(&mut model, Key::Enter);
    let [Operation::StartRound(request)] = submitted(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((request.purpose, request.addresses.len()), (RoundPurpose::Rotate, 2));
    assert_eq!(request.chosen_by, "2 marked");
    let mut round = round(RoundPurpose::Rotate, &[("alpha", true), ("beta", false)]);
    let effects = tell(&mut model, &round);
    assert!(matches!(submitted(&effects)[..], [Operation::Rotate(_)]), "{effects:?}");
    // It turns out to need a person: it stays in the worklist, and no pane opens by itself.
    let report = sample::rotation(&sample::address("alpha", "production"));
    assert_eq!(report.how, RotationHow::SignIn);
    let effects = answer(&mut model, |_| Outcome::Rotated(Box::new(report)));
    assert!(submitted(&effects).contains(&&Operation::Round));
    round.items[0].is_unattended = false;
    tell(&mut model, &round);
    assert!(matches!(model.screens.as_slice(), [Screen::Round]));
    assert_eq!(model.round.open().unwrap().counts().waiting, 2);
}
