//! The pane whose answer comes back by itself, without any engine.

use super::*;
use crate::engine::outcome::{FailureDetail, Revocation, SetupReceipt};
use crate::engine::{Event, Outcome};
use crate::tui::message::{JobId, Message};
use crate::tui::model::notice::Tone;
use crate::tui::model::sample;
use crate::tui::model::tests::{answer, deny, failure, hear, in_setup, keys, paste, submitted};

/// A dashboard in the set-up pane of acme/production that waits for a redirect.
fn in_loopback() -> Model {
    let mut model = in_setup();
    let effects = keys(&mut model, "f");
    let [Operation::BeginSetup(begun)] = submitted(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(begun.flow, Some(Flow::Loopback));
    let effects = answer(&mut model, |_| Outcome::AuthorizationStarted(sample::loopback("acme")));
    assert!(matches!(submitted(&effects)[..], [Operation::AwaitRedirect(_), ..]), "{effects:?}");
    assert!(effects.contains(&Effect::LookForSession));
    hear(&mut model, Progress::Listening);
    assert_eq!(keys(&mut model, "f"), [], "it listens already");
    model
}

fn completed() -> Outcome {
    let credential = sample::ready("acme", "production");
    let test = credential.last_test.clone().unwrap();
    let replaced = Revocation::NothingToRevoke;
    Outcome::SetupCompleted(Box::new(SetupReceipt {
        credential,
        test,
        replaced,
        is_rotation: false,
    }))
}

/// The job that asks such a thing.
fn job_of(model: &Model, wanted: fn(&Operation) -> bool) -> JobId {
    let mut running = model.jobs.running().filter(|(_, job)| wanted(&job.operation));
    *running.next().expect("it is asked").0
}

const PASTED: &str = "http://localhost:1717/OauthRedirect?code=aPrxCanary&state=s";

#[test]
fn the_redirect_completes_the_set_up_by_itself_and_a_paste_that_was_slower_is_forgotten() {
    let mut model = in_loopback();
    hear(&mut model, Progress::TunnelSeen);
    hear(&mut model, Progress::RedirectCame);
    assert_eq!(paste(&mut model, PASTED), [], "it has come already");
    answer(&mut model, |_| completed());
    assert!(model.screens.is_empty());
    assert_eq!(model.notices.newest().unwrap().tone, Tone::Good);

    let mut model = in_loopback();
    paste(&mut model, PASTED);
    let awaits = |operation: &Operation| matches!(operation, Operation::AwaitRedirect(_));
    let completes = |operation: &Operation| matches!(operation, Operation::CompleteSetup(_));
    let (waiting, pasted) = (job_of(&model, awaits), job_of(&model, completes));
    let mut outrun = model.clone();
    // Either answer is the first: the other is not told.
    let event = Box::new(Event::Done(Ok(completed())));
    let effects = model.update(Message::Engine { job: waiting, event }, sample::NOW);
    assert!(effects.contains(&Effect::Cancel(pasted)), "{effects:?}");
    let late = Failure { code: "nothing_pending".into(), ..failure("n", "r", FailureDetail::None) };
    let event = Box::new(Event::Done(Err(late)));
    outrun.update(Message::Engine { job: pasted, event }, sample::NOW);
    assert!(matches!(outrun.screens.as_slice(), [Screen::Setup(setup)] if setup.problem.is_none()));
    let event = Box::new(Event::Done(Ok(completed())));
    outrun.update(Message::Engine { job: waiting, event }, sample::NOW);
    assert!(outrun.screens.is_empty());
}

#[test]
fn a_port_that_closed_is_told_and_opened_again_by_one_key() {
    let mut model = in_loopback();
    let over = Failure { code: "listening_over".into(), ..failure("o", "r", FailureDetail::None) };
    deny(&mut model, over);
    let [Screen::Setup(setup)] = model.screens.as_slice() else { panic!("no pane") };
    assert!(setup.problem.as_ref().unwrap().1.contains("f listens again"));
    let effects = keys(&mut model, "f");
    assert!(matches!(submitted(&effects)[..], [Operation::AwaitRedirect(_)]), "{effects:?}");
    // Another way: from the list, by its number or with the cursor.
    for chosen in ["w1", "wk\r"] {
        let mut other = model.clone();
        let effects = keys(&mut other, chosen);
        let [Operation::BeginSetup(begun)] = submitted(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!(begun.flow, Some(Flow::Paste));
    }
    assert_eq!(keys(&mut model, "ww"), [Effect::Redraw, Effect::Redraw]);
}
