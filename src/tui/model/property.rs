//! Any sequence of events keeps the dashboard whole.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use crate::domain::audit::HistoryEntry;
use crate::domain::change::{ChangeMark, Changes};
use crate::domain::round::{Round, RoundPurpose};
use crate::engine::outcome::{
    AdoptReceipt, Changed, FailureDetail, KeyProtection, Progress, Revocation, SetupReceipt,
    TestReport,
};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Event, Operation, Outcome};
use crate::tui::effect::Effect;
use crate::tui::input::Key;
use crate::tui::message::{JobId, Message, Size};
use crate::tui::model::round::tests::round;
use crate::tui::model::tests::{failure, key_report, loaded_as, started, wrong_account};
use crate::tui::model::{Screen, sample};

/// What can happen, for the property below; answers go to a job that is under way.
#[derive(Clone, Debug)]
enum Happening {
    Key(Key),
    Paste(String),
    Resize(u16, u16),
    Answer(usize, u8),
    Time(u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    let plain = prop::sample::select(
        "abCDdeEfhjkgGlLmnopqQrRsStTUuvwxXyz?!*-./ :0".chars().collect::<Vec<_>>(),
    );
    let key = prop_oneof![
        6 => plain.prop_map(Key::Char),
        2 => prop::sample::select(vec![
            Key::Enter, Key::Esc, Key::Tab, Key::BackTab, Key::Backspace, Key::Delete, Key::Up,
            Key::Down, Key::Left, Key::Right, Key::Home, Key::End, Key::PageUp, Key::PageDown,
            Key::Ctrl('u'), Key::Ctrl('l'), Key::Ctrl('w'),
        ]),
    ];
    let pasted = prop::sample::select(vec![
        "acme/production",
        "correct horse battery",
        "https://login.salesforce.com/x?code=aPrxCanaryCanary&state=s",
        "https://acme.lightning.force.com/lightning/setup/x?address=%2F0055g00000FgHiJ",
        "00D5g00000Abc1XEAR",
    ]);
    prop_oneof![
        8 => key.prop_map(Happening::Key),
        1 => pasted.prop_map(|text| Happening::Paste(text.to_owned())),
        1 => (1_u16..220, 1_u16..60).prop_map(|(w, h)| Happening::Resize(w, h)),
        4 => (any::<usize>(), 0_u8..7).prop_map(|(which, how)| Happening::Answer(which, how)),
        1 => any::<u16>().prop_map(Happening::Time),
    ]
}

fn some_progress(operation: &Operation) -> Progress {
    match operation {
        Operation::AwaitRedirect(_) => Progress::RedirectCame,
        _ => Progress::Exchanging,
    }
}

/// Any answer that an engine could give to an operation.
fn some_answer(operation: &Operation, how: u8) -> Event {
    let detail = match how {
        0 => FailureDetail::None,
        1 => FailureDetail::Key(KeyProtection::Passphrase),
        2 => return Event::Progress(some_progress(operation)),
        3 => return Event::Done(Err(wrong_account())),
        4 => return Event::FirstRows(sample::many().into_iter().take(3).collect()),
        _ => return Event::Done(Ok(good_answer(operation))),
    };
    Event::Done(Err(failure("no", "again", detail)))
}

/// A round as it may stand after an operation.
fn some_round(operation: &Operation) -> Round {
    let mut round = round(RoundPurpose::Rotate, &[("acme", false), ("globex", true)]);
    round.facts.ended_at = (*operation == Operation::EndRound).then_some(sample::NOW);
    round
}

fn good_answer(operation: &Operation) -> Outcome {
    let address = crate::tui::model::jobs::address_of(operation);
    let address = address.unwrap_or_else(|| sample::address("acme", "production"));
    let mut credential = sample::ready("acme", "production");
    credential.address = address.clone();
    let check = credential.last_test.clone().unwrap();
    match operation {
        Operation::Index => Outcome::Index(sample::many().into_iter().collect()),
        Operation::Save(_) => Outcome::Credentials(vec![credential]),
        Operation::History(_) => Outcome::History(vec![HistoryEntry::Check(check)]),
        Operation::Delete(_) => Outcome::Deleted(vec![]),
        Operation::BeginSetup(_) | Operation::ShowSetup(_) => {
            let mut started = sample::authorization("acme");
            started.address = address;
            Outcome::AuthorizationStarted(started)
        }
        Operation::CompleteSetup(_) => Outcome::SetupCompleted(Box::new(SetupReceipt {
            credential,
            test: check,
            replaced: Revocation::Draining,
            is_rotation: false,
        })),
        Operation::Test(_) => Outcome::Tested(TestReport { address, check, api_requests: None }),
        Operation::Rotate(_) => Outcome::Rotated(Box::new(sample::rotation(&address))),
        Operation::Apps | Operation::AddApps(_) | Operation::EditApp(_) => {
            Outcome::Apps(vec![sample::app()])
        }
        Operation::Round
        | Operation::StartRound(_)
        | Operation::SkipInRound(_)
        | Operation::EndRound => Outcome::Round(Some(Box::new(some_round(operation)))),
        Operation::AwaitChange(_) => Outcome::Changed(Changed {
            mark: ChangeMark { audit: 7, check: 7 },
            changes: Changes::Of(vec![address]),
        }),
        Operation::DeleteApp(_) => Outcome::Done,
        Operation::TestApp(_) => Outcome::AppTested(sample::app_report()),
        Operation::LockKey => key_report(false),
        Operation::Adopt(_) => {
            Outcome::Adopted(AdoptReceipt { before: sample::copied(), spent: vec![address] })
        }
        Operation::Owed | Operation::PayOwed => Outcome::Owed(Vec::new()),
        Operation::Hold(_) | Operation::Release(_) => Outcome::Credentials(vec![credential]),
        Operation::Revoke(_) => Outcome::Revoked(sample::revoked()),
        Operation::CopyStanding => Outcome::CopyStanding(sample::copied()),
        Operation::LeaveToCopy(_) => Outcome::CopyStanding(sample::moved()),
        Operation::KeyStatus | Operation::CreateKey(_) | Operation::OpenKey(_) => key_report(true),
        _ => Outcome::Credential(Box::new(credential)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_events_keeps_the_invariants(
        read in any::<bool>(),
        happenings in prop::collection::vec(happening(), 1..120),
    ) {
        let mut model = if read {
            loaded_as(sample::many(), sample::copied())
        } else {
            started().0
        };
        let mut now = sample::NOW;
        let mut open: BTreeSet<JobId> = model.jobs.running().map(|(job, _)| *job).collect();
        for happening in happenings {
            let message = match happening {
                Happening::Key(key) => Message::Key(key),
                Happening::Paste(text) => Message::Paste(Sensitive::new(text)),
                Happening::Resize(width, height) => Message::Resize(Size { width, height }),
                Happening::Time(millis) => {
                    now = now.plus(Duration::from_millis(millis.into()));
                    Message::Deadline
                }
                Happening::Answer(which, how) => {
                    let running: Vec<_> = model.jobs.running().collect();
                    if running.is_empty() {
                        continue;
                    }
                    let (job, running) = running[which % running.len()];
                    let event = some_answer(&running.operation, how);
                    if matches!(event, Event::Done(_)) {
                        open.remove(job);
                    }
                    Message::Engine { job: *job, event: Box::new(event) }
                }
            };
            for effect in model.update(message, now) {
                match effect {
                    Effect::Submit { job, .. } => {
                        prop_assert!(open.insert(job), "a job's number was used twice");
                    }
                    Effect::Cancel(job) => {
                        prop_assert!(open.remove(&job), "no such job was to be cancelled");
                    }
                    _ => {}
                }
            }
            let running: BTreeSet<JobId> = model.jobs.running().map(|(job, _)| *job).collect();
            prop_assert_eq!(&running, &open, "a job was lost");
            let dashboard = &model.dashboard;
            prop_assert_eq!(dashboard.selected().is_none(), dashboard.shown() == 0);
            let cursors = dashboard.on_screen().filter(|(cursor, _)| *cursor).count();
            prop_assert_eq!(cursors, usize::from(dashboard.shown() > 0));
            for screen in &model.screens {
                if let Screen::Form(form) = screen {
                    prop_assert!(crate::tui::model::form::ORDER.contains(&form.focus));
                }
            }
            prop_assert!(model.next_deadline().is_none_or(|at| at > now), "a deadline is past");
            let backend = ratatui::backend::TestBackend::new(model.size.width, model.size.height);
            let mut terminal = ratatui::Terminal::new(backend).unwrap();
            terminal.draw(|frame| crate::tui::view::view(&model, frame)).unwrap();
            let shown: String =
                terminal.backend().buffer().content().iter().map(ratatui::buffer::Cell::symbol).collect();
            prop_assert!(!shown.contains("Canary"), "a code was drawn");
        }
    }
}
