//! The update function under tables.

use crate::config::settings::TerminalUse;
use crate::tui::terminal::Multiplexer;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::domain::copy::CopyStanding;
use crate::domain::credential::{CheckOutcome, Credential, PendingEdit, State};
use crate::domain::host::HostPolicy;
use crate::domain::id::UserId;
use crate::domain::packed::Packed;
use crate::domain::policy::Account;
use crate::engine::operation::Selection;
use crate::engine::outcome::{
    FailureDetail, Field, KeyProtection, KeyReport, Progress, Revocation, SetupReceipt, TestReport,
    WrongAccount,
};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Event, Failure, Operation, Outcome};
use crate::tui::effect::Effect;
use crate::tui::input::Key;
use crate::tui::message::{JobId, Message, Signal, Size};
use crate::tui::model::form::Focus;
use crate::tui::model::notice::Tone;
use crate::tui::model::{Look, Model, Screen, jobs, sample};

/// A dashboard that has asked for everything and heard nothing yet.
pub(crate) fn started() -> (Model, Vec<Effect>) {
    let look = Look {
        color: true,
        ascii: false,
        demo: false,
        multiplexer: Multiplexer::None,
        terminal: TerminalUse::default(),
        beside_browser: false,
    };
    let size = Size { width: 80, height: 24 };
    let mut model = Model::new(size, look, TimeZone::UTC, HostPolicy::default(), sample::NOW);
    let effects = model.update(Message::Start, sample::NOW);
    (model, effects)
}

pub(super) fn key_report(open: bool) -> Outcome {
    Outcome::Key(KeyReport {
        protection: KeyProtection::Passphrase,
        open,
        open_until: None,
        agent: None,
        recovery_identity: None,
    })
}

/// A dashboard with these credentials, an open key and one app.
pub(crate) fn loaded(credentials: Vec<Credential>) -> Model {
    loaded_as(credentials, CopyStanding::default())
}

/// The same of a store that may be a copy, or was moved.
#[expect(clippy::needless_pass_by_value, reason = "tests read better without a borrow")]
pub(crate) fn loaded_as(credentials: Vec<Credential>, standing: CopyStanding) -> Model {
    let (mut model, effects) = started();
    for effect in effects {
        let Effect::Submit { job, operation } = effect else { panic!("{effect:?}") };
        if operation == Operation::AwaitChange(None) {
            // Nobody else is at work, but in the tests of that.
            model.jobs.end(job);
            continue;
        }
        let outcome = match operation {
            Operation::KeyStatus => key_report(true),
            Operation::Index => Outcome::Index(credentials.iter().cloned().collect()),
            Operation::Apps => Outcome::Apps(vec![sample::app()]),
            Operation::CopyStanding => Outcome::CopyStanding(standing.clone()),
            Operation::Owed => Outcome::Owed(Vec::new()),
            Operation::Round => Outcome::Round(None),
            other => panic!("{other:?}"),
        };
        let event = Box::new(Event::Done(Ok(outcome)));
        assert_eq!(model.update(Message::Engine { job, event }, sample::NOW), []);
    }
    model
}

/// A dashboard that knows the first three of [`sample::many`] while the rest is read.
pub(crate) fn begun() -> (Model, JobId) {
    let (mut model, _) = started();
    let index = model.jobs.asking(&Operation::Index).expect("the list is asked for");
    let all: Packed = sample::many().into_iter().collect();
    let rows = (0..3).filter_map(|index| all.get(index)).collect();
    let event = Box::new(Event::FirstRows(rows));
    assert_eq!(model.update(Message::Engine { job: index, event }, sample::NOW), []);
    (model, index)
}

/// Answers the newest job that is no list.
pub(crate) fn answer(
    model: &mut Model,
    outcome: impl FnOnce(&Operation) -> Outcome,
) -> Vec<Effect> {
    let (job, operation) = newest(model);
    let event = Box::new(Event::Done(Ok(outcome(&operation))));
    model.update(Message::Engine { job, event }, sample::NOW)
}

/// Refuses the newest job that is no list.
pub(crate) fn deny(model: &mut Model, failure: Failure) -> Vec<Effect> {
    let (job, _) = newest(model);
    model.update(Message::Engine { job, event: Box::new(Event::Done(Err(failure))) }, sample::NOW)
}

/// The newest job that is no list tells a step.
pub(crate) fn hear(model: &mut Model, progress: Progress) {
    let (job, _) = newest(model);
    let event = Box::new(Event::Progress(progress));
    model.update(Message::Engine { job, event }, sample::NOW);
}

pub(crate) fn newest(model: &Model) -> (JobId, Operation) {
    let jobs = model.jobs.running().filter(|(_, job)| {
        !matches!(
            job.operation,
            Operation::Index | Operation::Show(_) | Operation::Owed | Operation::Round
        )
    });
    let (job, running) = jobs.last().expect("a job is under way");
    (*job, running.operation.clone())
}

pub(crate) fn failure(message: &str, remedy: &str, detail: FailureDetail) -> Failure {
    Failure {
        code: "test".into(),
        message: message.into(),
        remedy: remedy.into(),
        exit_code: 4,
        detail,
    }
}

/// Somebody else signed in to acme/production.
pub(crate) fn wrong_account() -> Failure {
    let saved = sample::saved("acme", "production");
    let account = Account { org_id: saved.org_id.clone(), user_id: saved.user_id.clone() };
    let other = Account {
        org_id: saved.org_id.clone(),
        user_id: UserId::parse("005000000000AbC").unwrap(),
    };
    let found = WrongAccount {
        address: saved.address,
        saved: account,
        saved_username: saved.username,
        signed_in: other,
        signed_in_username: Some("bob@acme.com".into()),
        signed_in_environment: None,
        revocation: Revocation::Confirmed,
        old_token_kept: true,
    };
    failure("another account", "s", FailureDetail::WrongAccount(Box::new(found)))
}

/// A dashboard in the set-up pane of acme/production, its address shown.
pub(crate) fn in_setup() -> Model {
    let mut model = loaded(sample::many());
    keys(&mut model, "s");
    answer(&mut model, |_| Outcome::AuthorizationStarted(sample::authorization("acme")));
    model
}

/// The same at another size.
pub(crate) fn sized(mut model: Model, width: u16, height: u16) -> Model {
    model.update(Message::Resize(Size { width, height }), sample::NOW);
    model
}

pub(crate) fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    model.update(Message::Key(key), sample::NOW)
}

/// Types characters; a line break is Enter, a tabulator Tab.
pub(crate) fn keys(model: &mut Model, typed: &str) -> Vec<Effect> {
    let key = |character| match character {
        '\r' => Key::Enter,
        '\t' => Key::Tab,
        other => Key::Char(other),
    };
    typed.chars().flat_map(|character| press(model, key(character))).collect()
}

pub(crate) fn submitted(effects: &[Effect]) -> Vec<&Operation> {
    fn operation(effect: &Effect) -> Option<&Operation> {
        match effect {
            Effect::Submit { operation, .. } => Some(operation),
            _ => None,
        }
    }
    effects.iter().filter_map(operation).collect()
}

pub(crate) fn paste(model: &mut Model, text: &str) -> Vec<Effect> {
    model.update(Message::Paste(Sensitive::new(text.into())), sample::NOW)
}

#[test]
fn a_second_press_while_an_operation_runs_asks_nothing_twice() {
    let mut model = loaded(sample::many());
    assert_eq!(submitted(&keys(&mut model, "t")).len(), 1);
    assert_eq!(keys(&mut model, "t"), []);
    let notice = model.notices.newest().unwrap();
    assert_eq!(notice.text, "acme/production: testing access");
}

#[test]
fn a_passed_test_is_told_in_its_row_and_in_words() {
    let mut model = loaded(vec![sample::unreachable("globex")]);
    keys(&mut model, "t");
    let check = sample::check(CheckOutcome::Ok, 0, "Access test successful", "");
    let effects = answer(&mut model, |_| {
        Outcome::Tested(TestReport {
            address: sample::address("globex", "production"),
            check,
            api_requests: Some((127, 100_000)),
        })
    });
    let globex = Selection::exactly(&sample::address("globex", "production"));
    assert_eq!(submitted(&effects), [&Operation::Show(globex)]);
    assert_eq!(model.dashboard.selected().unwrap().state(sample::NOW), State::Ready);
    let notice = model.notices.newest().unwrap();
    assert_eq!(
        notice.text,
        "globex/production: Access test successful (184 ms, API requests 127 of 100,000)"
    );
}

#[test]
fn a_test_without_a_token_says_what_to_do_first() {
    let mut model = loaded(vec![sample::saved("acme", "production")]);
    assert_eq!(keys(&mut model, "t"), []);
    assert_eq!(model.notices.newest().unwrap().remedy, "s sets up the OAuth token");
}

#[test]
fn more_than_fifty_tests_are_counted_before_they_begin() {
    let mut model = loaded(sample::numbered(51));
    assert_eq!(keys(&mut model, "T"), []);
    let Some(Screen::Confirm(dialog)) = model.screens.last() else { panic!("not asked") };
    assert!(dialog.title.contains("51"), "{}", dialog.title);
    assert_eq!(keys(&mut model, "\r"), []);
    assert_eq!(submitted(&keys(&mut model, "T\t\r")).len(), 51);
    let mut model = loaded(sample::numbered(50));
    assert_eq!(submitted(&keys(&mut model, "T")).len(), 50);
}

#[test]
fn a_closed_key_is_asked_for_once_and_then_the_work_goes_on() {
    let mut model = loaded(sample::many());
    model.key = Some((KeyProtection::Passphrase, false));
    assert_eq!(keys(&mut model, "s"), []);
    let effects = keys(&mut model, "correct horse\r");
    assert!(matches!(submitted(&effects).as_slice(), [Operation::OpenKey(_)]));
    let effects = answer(&mut model, |_| key_report(true));
    assert!(matches!(submitted(&effects).as_slice(), [Operation::BeginSetup(_)]));
    assert!(matches!(model.screens.as_slice(), [Screen::Setup(_)]));
}

#[test]
fn a_wrong_passphrase_leaves_the_dialog_open_and_escape_leaves_nothing_half_done() {
    let mut model = loaded(sample::many());
    model.key = Some((KeyProtection::Passphrase, false));
    keys(&mut model, "swrong\r");
    deny(&mut model, failure("the passphrase does not open the key", "", FailureDetail::None));
    let Some(Screen::Key(dialog)) = model.screens.last() else { panic!("closed") };
    assert_eq!(dialog.problem.as_deref(), Some("the passphrase does not open the key"));
    press(&mut model, Key::Esc);
    assert!(model.screens.is_empty());
    assert_eq!(model.jobs.running().len(), 0);
}

#[test]
fn a_key_that_was_locked_meanwhile_is_asked_for_and_the_operation_is_asked_again() {
    let mut model = loaded(sample::many());
    keys(&mut model, "t");
    let closed = FailureDetail::Key(KeyProtection::Passphrase);
    deny(&mut model, failure("the key is locked", "", closed));
    keys(&mut model, "correct horse\r");
    let effects = answer(&mut model, |_| key_report(true));
    let acme = Selection::exactly(&sample::address("acme", "production"));
    assert_eq!(submitted(&effects), [&Operation::Test(acme)]);
}

#[test]
fn the_whole_set_up_goes_by_keys_and_one_paste() {
    let mut model = loaded(vec![sample::saved("acme", "production")]);
    assert!(matches!(submitted(&keys(&mut model, "s")).as_slice(), [Operation::BeginSetup(_)]));
    let started = sample::authorization("acme");
    let url = started.url.clone();
    answer(&mut model, |_| Outcome::AuthorizationStarted(started));
    assert_eq!(keys(&mut model, "y"), [Effect::Copy(url)]);
    model.look.terminal.clipboard = false;
    assert_eq!(keys(&mut model, "y"), [Effect::Redraw], "config.toml forbids it");
    model.look.terminal.clipboard = true;
    let effects = paste(&mut model, "https://login.salesforce.com/x?code=aPrxCanary&state=s");
    assert!(matches!(submitted(&effects).as_slice(), [Operation::CompleteSetup(_)]));
    let (job, _) = newest(&model);
    let event = Box::new(Event::Progress(Progress::CheckingIdentity));
    model.update(Message::Engine { job, event }, sample::NOW);
    let credential = sample::ready("acme", "production");
    let test = credential.last_test.clone().unwrap();
    answer(&mut model, |_| {
        let replaced = Revocation::NothingToRevoke;
        Outcome::SetupCompleted(Box::new(SetupReceipt {
            credential,
            test,
            replaced,
            is_rotation: false,
        }))
    });
    assert!(model.screens.is_empty());
    assert_eq!(model.notices.newest().unwrap().tone, Tone::Good);
    assert_eq!(model.dashboard.selected().unwrap().state(sample::NOW), State::Ready);
}

#[test]
fn a_wrong_account_is_shown_where_it_was_set_up_and_tears_nobody_out_of_a_form() {
    let mut model = in_setup();
    paste(&mut model, "https://login.salesforce.com/x?code=aPrxCanary&state=s");
    let mut elsewhere = model.clone();
    deny(&mut model, wrong_account());
    assert!(matches!(model.screens.as_slice(), [Screen::WrongAccount(_)]));
    keys(&mut model, "r");
    let [Screen::Form(form)] = model.screens.as_slice() else { panic!("no form") };
    assert_eq!(form.focus, Focus::Field(Field::UserId));
    assert_eq!(form.values.user_id.value(), "005000000000AbCAAU");
    press(&mut elsewhere, Key::Esc);
    keys(&mut elsewhere, "n");
    deny(&mut elsewhere, wrong_account());
    assert!(matches!(elsewhere.screens.as_slice(), [Screen::Form(_)]));
    assert!(elsewhere.notices.newest().unwrap().text.contains("nothing was stored"));
}

#[test]
fn a_pending_set_up_is_shown_again_and_not_begun_anew() {
    let mut model = loaded(vec![sample::authorizing("umbrella")]);
    assert!(matches!(submitted(&keys(&mut model, "s")).as_slice(), [Operation::ShowSetup(_)]));
}

#[test]
fn a_paste_on_the_list_never_acts_as_keys() {
    let mut model = loaded(sample::many());
    assert_eq!(paste(&mut model, "DqnXsTtUL!"), []);
    assert!(model.screens.is_empty());
    let notice = model.notices.newest().unwrap();
    assert_eq!(notice.text, "pasted text was not taken (10 characters)");
}

#[test]
fn saving_closes_the_form_and_selects_what_was_saved() {
    let mut model = loaded(sample::many());
    keys(&mut model, "nzeta\t00D5g00000Abc1X\t0055g00000FgHiJ\t\t\t\t\t\t");
    let effects = keys(&mut model, "\r");
    let [Operation::Save(requests)] = submitted(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((requests[0].name.as_str(), requests[0].sandbox), ("zeta", false));
    answer(&mut model, |_| Outcome::Credentials(vec![sample::saved("zeta", "production")]));
    assert!(model.screens.is_empty());
    let selected = model.dashboard.selected().unwrap();
    assert_eq!(selected.address.to_string(), "zeta/production");
    assert_eq!(model.notices.newest().unwrap().remedy, "s sets up its OAuth token");
}

#[test]
fn a_reset_speaks_of_a_token_only_where_there_is_one() {
    let staged = {
        let mut credential = sample::ready("acme", "production");
        credential.pending = Some(PendingEdit {
            org_id: credential.org_id.clone(),
            user_id: UserId::parse("005000000000AbC").unwrap(),
            username: None,
            login_url: credential.login_url.clone(),
            app: credential.app.clone(),
        });
        credential
    };
    let table = [
        (staged, "staged: the token works on until the new account has signed in: s"),
        (sample::ready("acme", "production"), ""),
        (sample::saved("acme", "production"), "s sets up its OAuth token"),
    ];
    for (credential, remedy) in table {
        let mut model = loaded(vec![credential.clone()]);
        keys(&mut model, "r\t\t\t\t\t\t\t eu2\t\r");
        answer(&mut model, |_| Outcome::Credential(Box::new(credential)));
        assert_eq!(model.notices.newest().unwrap().remedy, remedy);
    }
}

#[test]
fn a_changed_form_is_not_left_without_a_question_and_an_unchanged_one_is() {
    let mut model = loaded(sample::many());
    keys(&mut model, "n");
    press(&mut model, Key::Esc);
    assert!(model.screens.is_empty());
    keys(&mut model, "nx");
    press(&mut model, Key::Esc);
    assert!(matches!(model.screens.as_slice(), [Screen::Form(_), Screen::Confirm(_)]));
    keys(&mut model, "\r");
    assert!(matches!(model.screens.as_slice(), [Screen::Form(_)]));
    press(&mut model, Key::Esc);
    keys(&mut model, "\t\r");
    assert!(model.screens.is_empty());
}

#[test]
fn signals_end_with_their_exit_codes_and_a_hang_up_lets_go() {
    let table = [
        (Signal::Terminate, Effect::Quit(143)),
        (Signal::Interrupt, Effect::Quit(130)),
        (Signal::HangUp, Effect::LetGo(129)),
        (Signal::Suspend, Effect::Suspend),
        (Signal::Continue, Effect::Retake),
    ];
    for (signal, effect) in table {
        let mut model = in_setup();
        assert_eq!(model.update(Message::Signal(signal), sample::NOW), [effect]);
    }
}

#[test]
fn a_suspend_waits_for_the_answer_of_salesforce() {
    let mut model = loaded(sample::many());
    assert_eq!(press(&mut model, Key::Ctrl('z')), [Effect::Suspend]);
    keys(&mut model, "t");
    assert_eq!(model.update(Message::Signal(Signal::Suspend), sample::NOW), []);
    let effects = deny(&mut model, failure("no answer", "", FailureDetail::None));
    assert_eq!(effects.last(), Some(&Effect::Suspend));
    assert!(!press(&mut model, Key::Down).contains(&Effect::Suspend));
}

#[test]
fn quitting_asks_while_an_exchange_runs_and_a_second_press_leaves() {
    let mut model = loaded(sample::many());
    assert_eq!(press(&mut model, Key::Ctrl('c')), [Effect::Quit(0)]);
    let mut model = in_setup();
    paste(&mut model, "https://login.salesforce.com/x?code=aPrxCanary&state=s");
    assert_eq!(press(&mut model, Key::Ctrl('c')), []);
    assert_eq!(press(&mut model, Key::Ctrl('c')), [Effect::Quit(0)]);
}

#[test]
fn escape_leaves_out_the_tests_that_wait() {
    let mut model = loaded(sample::numbered(300));
    assert_eq!(submitted(&keys(&mut model, "T\t\r")).len(), 128);
    press(&mut model, Key::Esc);
    assert_eq!(model.jobs.tests_left(), 128);
    assert!(model.notices.newest().unwrap().text.starts_with("172 tests are left out"));
}

#[test]
fn a_page_that_is_left_early_cancels_what_it_asked() {
    let mut model = loaded(sample::many());
    let effects = keys(&mut model, "h");
    let [Effect::Submit { job, .. }] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(press(&mut model, Key::Esc), [Effect::Cancel(job)]);
    assert_eq!(model.jobs.running().len(), 0);
}

#[test]
fn an_idle_dashboard_has_no_deadline() {
    assert_eq!(loaded(sample::numbered(10)).next_deadline(), None);
    let mut pending = loaded(vec![sample::authorizing("umbrella")]);
    let next = pending.next_deadline().unwrap();
    assert!(next.since(sample::NOW) > Duration::from_secs(1));
    pending.update(Message::Deadline, next);
    assert!(pending.next_deadline().unwrap().since(next) > Duration::from_secs(59));
}

#[test]
fn the_simulated_person_is_asked_in_the_demo_alone() {
    let mut model = in_setup();
    assert_eq!(keys(&mut model, "p"), []);
    model.look.demo = true;
    let effects = keys(&mut model, "p");
    assert!(matches!(effects.as_slice(), [Effect::PlayPerson { .. }]));
    let answer = Ok(Sensitive::new("http://localhost/?code=aPrxCanary&state=s".into()));
    let effects = model.update(Message::Person(answer), sample::NOW);
    assert!(matches!(submitted(&effects).as_slice(), [Operation::CompleteSetup(_)]));
}

#[test]
fn after_many_tests_the_list_is_read_once_and_after_one_only_its_row() {
    let mut model = loaded(sample::many());
    let pass = |operation: &Operation| {
        let address = jobs::address_of(operation).unwrap();
        let check = sample::check(CheckOutcome::Ok, 0, "Access test successful", "");
        Outcome::Tested(TestReport { address, check, api_requests: None })
    };
    keys(&mut model, "T");
    let under_way = model.jobs.tests_left();
    assert!(under_way > 1);
    for left in (0..under_way).rev() {
        let effects = answer(&mut model, pass);
        let asked = submitted(&effects);
        assert_eq!(asked, if left > 0 { vec![] } else { vec![&Operation::Index] });
    }
    finish(&mut model);
    keys(&mut model, "t");
    let effects = answer(&mut model, pass);
    let acme = Selection::exactly(&sample::address("acme", "production"));
    assert_eq!(submitted(&effects), [&Operation::Show(acme)]);
}

#[test]
fn a_row_that_can_not_be_read_again_has_the_list_read() {
    let mut model = loaded(sample::many());
    let acme = Operation::Show(Selection::exactly(&sample::address("acme", "production")));
    let [Effect::Submit { job, .. }] = model.ask(acme)[..] else { panic!("not asked") };
    let gone = Event::Done(Err(failure("no such credential", "", FailureDetail::None)));
    let effects = model.update(Message::Engine { job, event: Box::new(gone) }, sample::NOW);
    assert_eq!(submitted(&effects), [&Operation::Index]);
    assert!(model.notices.newest().is_none_or(|notice| notice.tone != Tone::Bad));
}

#[test]
fn the_first_rows_take_keys_and_the_cursor_stays_on_its_row_when_the_rest_comes() {
    let (mut model, _) = begun();
    keys(&mut model, "j");
    let address = model.dashboard.selected().unwrap().address;
    assert!(matches!(submitted(&keys(&mut model, "t")).as_slice(), [Operation::Test(_)]));
    keys(&mut model, " ");
    keys(&mut model, "k");
    assert_eq!(model.dashboard.shown(), 3);
    finish(&mut model);
    assert_eq!(model.dashboard.shown(), sample::many().len());
    assert_eq!(model.dashboard.selected().unwrap().address, address);
    assert!(model.dashboard.marked.contains(&address));
    // A part that comes late takes nothing away.
    model.dashboard.begin(Packed::default(), sample::NOW);
    assert_eq!(model.dashboard.shown(), sample::many().len());
}

#[test]
fn a_filter_typed_on_the_first_rows_holds_for_the_rest() {
    let (mut model, _) = begun();
    keys(&mut model, "/umbrella");
    assert_eq!(model.dashboard.shown(), 0);
    finish(&mut model);
    let selected = model.dashboard.selected().unwrap();
    assert_eq!(selected.address.name.as_str(), "umbrella");
    assert_eq!(model.dashboard.typed.value(), "umbrella");
}

#[test]
fn what_is_meant_for_all_waits_until_all_are_known() {
    let (mut model, _) = begun();
    assert_eq!(keys(&mut model, "T*"), []);
    assert!(model.screens.is_empty() && model.dashboard.marked.is_empty());
    assert_eq!(model.notices.newest().unwrap().text, "the list is not read to its end yet");
    keys(&mut model, " ");
    assert_eq!(submitted(&keys(&mut model, "T")).len(), 1, "a marked one is known");
    finish(&mut model);
    keys(&mut model, "*");
    assert_eq!(model.dashboard.marked.len(), sample::many().len());
}

/// Answers the list that is asked for with what is there.
fn finish(model: &mut Model) {
    let index = model.jobs.asking(&Operation::Index).expect("the list is asked for");
    let event = Event::Done(Ok(Outcome::Index(sample::many().into_iter().collect())));
    model.update(Message::Engine { job: index, event: Box::new(event) }, sample::NOW);
}

#[test]
fn while_a_token_is_in_memory_alone_no_key_ends_the_program() {
    let mut model = loaded(sample::many());
    let effects = press(&mut model, Key::Char('t'));
    let Some(Effect::Submit { job, .. }) = effects.first().cloned() else { panic!("{effects:?}") };
    let tell = |model: &mut Model, event| {
        model.update(Message::Engine { job, event: Box::new(event) }, sample::NOW)
    };
    tell(&mut model, Event::Alarm("the new token is in memory alone".into()));
    let screens = model.screens.len();
    assert_eq!(press(&mut model, Key::Char('q')), []);
    assert_eq!(model.update(Message::Key(Key::Ctrl('c')), sample::NOW), []);
    assert_eq!(model.update(Message::Paste(Sensitive::new("x".into())), sample::NOW), []);
    assert_eq!(press(&mut model, Key::Char('D')), []);
    assert_eq!(model.screens.len(), screens);
    assert_eq!(model.update(Message::Key(Key::Ctrl('l')), sample::NOW), [Effect::Redraw]);
    tell(&mut model, Event::Done(Err(failure("kept", "free some space", FailureDetail::None))));
    assert!(model.alarm.is_none());
    assert_eq!(press(&mut model, Key::Char('q')), [Effect::Quit(0)]);
}
