//! Every screen at three sizes.

use std::fmt::Write as _;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::domain::loopback::SshSession;
use crate::engine::outcome::{FailureDetail, Field, Progress};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Event, Operation, Outcome};
use crate::tui::input::Key;
use crate::tui::message::Message;
use crate::tui::model::round::tests::{before_round, in_round, worklist};
use crate::tui::model::tests::{
    answer, begun, deny, failure, hear, in_setup, keys, loaded, loaded_as, press, sized, started,
    wrong_account,
};
use crate::tui::model::{Look, Model, sample};

/// The screen as text, trailing blanks cut, and the cursor's place.
fn screen(model: &Model) -> String {
    let backend = TestBackend::new(model.size.width, model.size.height);
    let mut terminal = Terminal::new(backend).unwrap();
    let mut cursor = None;
    terminal
        .draw(|frame| {
            let area = frame.area();
            cursor = super::draw(model, frame.buffer_mut(), area);
        })
        .unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(buffer.area.width)) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    match cursor {
        Some(cursor) => writeln!(text, "cursor {},{}", cursor.x, cursor.y).unwrap(),
        None => text.push_str("no cursor\n"),
    }
    text
}

/// The three sizes of a screen, one under the other; blank rows at the end of the widest are cut.
fn at_three_sizes(model: &Model) -> String {
    [(80, 24), (40, 12), (200, 50)]
        .map(|(width, height)| {
            let text = screen(&sized(model.clone(), width, height));
            let mut shown = String::new();
            let mut blank = 0;
            for line in text.lines() {
                if line.is_empty() {
                    blank += 1;
                    continue;
                }
                match blank {
                    0..=3 => (0..blank).for_each(|_| shown.push('\n')),
                    more => writeln!(shown, "({more} blank rows)").unwrap(),
                }
                blank = 0;
                writeln!(shown, "{line}").unwrap();
            }
            format!("{width}x{height}\n{shown}")
        })
        .join("\n")
}

fn snapshot(name: &str, model: &Model) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, at_three_sizes(model));
    });
}

#[test]
fn the_list_empty_one_many_and_failing() {
    snapshot("list_loading", &started().0);
    let (first_rows, index) = begun();
    snapshot("list_first_rows", &first_rows);
    let mut unread = first_rows;
    let refused = failure(
        "the store is damaged: a name does not read as one",
        "orgkey doctor",
        FailureDetail::None,
    );
    let event = Box::new(Event::Done(Err(refused)));
    unread.update(Message::Engine { job: index, event }, sample::NOW);
    snapshot("list_rest_unread", &unread);
    snapshot("list_empty", &loaded(vec![]));
    snapshot("list_one", &loaded(vec![sample::saved("acme", "production")]));
    snapshot("list_many", &loaded(sample::many()));
    let mut long = loaded(sample::numbered(1_000));
    press(&mut long, Key::End);
    long.update(Message::Deadline, sample::NOW.plus(std::time::Duration::from_secs(1)));
    snapshot("list_thousand_at_its_end", &long);
    let mut failing = loaded(sample::many());
    keys(&mut failing, "jjjjt");
    deny(
        &mut failing,
        failure(
            "login.salesforce.com did not answer within 20 s",
            "try again later",
            FailureDetail::None,
        ),
    );
    snapshot("list_failing", &failing);
    let mut busy = loaded(sample::many());
    keys(&mut busy, "t!");
    snapshot("list_testing_problems_only", &busy);
    let mut filtering = loaded(sample::many());
    keys(&mut filtering, "/env:prod");
    snapshot("list_filter_typed", &filtering);
}

#[test]
fn what_drains_and_what_is_due() {
    let due = |name: &str, days: u64| {
        let mut credential = sample::ready(name, "production");
        credential.rotate_due =
            Some(sample::NOW.plus(std::time::Duration::from_secs(days * 86_400)));
        credential
    };
    let all = || {
        let plain = sample::ready("initech", "production");
        vec![sample::draining(), due("globex", 20), plain, due("umbrella", 3)]
    };
    let mut ordered = loaded(all());
    keys(&mut ordered, "ooo");
    snapshot("list_due_first_and_old_token", &ordered);
    let mut soon = loaded(all());
    keys(&mut soon, "/due:7d");
    snapshot("list_due_within_a_week", &soon);
    let mut details = loaded(all());
    keys(&mut details, "\r");
    snapshot("details_draining", &details);
}

#[test]
fn the_form_fresh_wrong_and_staged() {
    let mut model = loaded(vec![]);
    keys(&mut model, "n");
    snapshot("form_new", &model);
    keys(&mut model, "acme\t00D5g00000Abc1X\t0055g00000FgHiJAAX");
    snapshot("form_wrong_suffix", &model);
    let mut reset = loaded(sample::many());
    keys(&mut reset, "r\t\t");
    press(&mut reset, Key::Ctrl('u'));
    keys(&mut reset, "005000000000AbC");
    snapshot("form_reset_staged", &reset);
    let mut refused = loaded(sample::many());
    keys(&mut refused, "r");
    press(&mut refused, Key::Char('x'));
    for _ in 0..8 {
        press(&mut refused, Key::Tab);
    }
    press(&mut refused, Key::Enter);
    deny(
        &mut refused,
        failure("the name 'acmex' is taken", "choose another", FailureDetail::Field(Field::Name)),
    );
    snapshot("form_refused", &refused);
}

#[test]
fn the_set_up_pane_from_its_beginning_to_a_wrong_account() {
    let mut starting = loaded(sample::many());
    keys(&mut starting, "s");
    snapshot("setup_starting", &starting);
    let mut model = in_setup();
    snapshot("setup_waiting", &model);
    let mut expired = model.clone();
    expired.update(Message::Deadline, sample::NOW.plus(std::time::Duration::from_secs(900)));
    snapshot("setup_expired", &expired);
    keys(&mut model, "v");
    snapshot("setup_plain", &model);
    keys(&mut model, "v\r");
    keys(&mut model, "typed");
    snapshot("setup_typing", &model);
    press(&mut model, Key::Esc);
    let pasted =
        "https://login.salesforce.com/services/oauth2/success?code=aPrxCanaryCanary&state=s";
    model.update(Message::Paste(Sensitive::new(pasted.into())), sample::NOW);
    snapshot("setup_completing", &model);
    let mut mistyped = model.clone();
    deny(
        &mut mistyped,
        failure(
            "the pasted address belongs to another set-up: its state differs",
            "paste the address of the sign-in that began here",
            FailureDetail::None,
        ),
    );
    snapshot("setup_mistyped", &mistyped);
    deny(&mut model, wrong_account());
    snapshot("wrong_account", &model);
}

/// The set-up pane of a device flow.
fn in_device() -> Model {
    let mut model = loaded(sample::many());
    keys(&mut model, "s");
    answer(&mut model, |_| Outcome::AuthorizationStarted(sample::device("acme")));
    model
}

#[test]
fn the_set_up_pane_of_a_device_flow() {
    let mut model = in_device();
    snapshot("device_waiting", &model);
    let later = |seconds| sample::NOW.plus(std::time::Duration::from_secs(seconds));
    let mut hinted = model.clone();
    hinted.update(Message::Deadline, later(60));
    snapshot("device_hint", &hinted);
    let mut expired = model.clone();
    expired.update(Message::Deadline, later(600));
    snapshot("device_expired", &expired);
    snapshot("device_small", &sized(model.clone(), 60, 16));
    keys(&mut model, "i");
    snapshot("device_qr_code", &model);
    keys(&mut model, "i");
    let words = ("acme.my.salesforce.com reports that access was denied", "start it again");
    deny(&mut model, failure(words.0, words.1, FailureDetail::None));
    snapshot("device_refused", &model);
}

#[test]
fn the_set_up_pane_whose_answer_comes_back_by_itself() {
    let mut model = in_setup();
    keys(&mut model, "w");
    snapshot("setup_ways", &model);
    keys(&mut model, "2");
    answer(&mut model, |_| Outcome::AuthorizationStarted(sample::loopback("acme")));
    let session = SshSession::new(Some("ana"), Some("192.0.2.7 5000 198.51.100.1 2222"), "jump1");
    model.update(Message::Session(session), sample::NOW);
    hear(&mut model, Progress::Listening);
    snapshot("setup_forward", &model);
    hear(&mut model, Progress::TunnelSeen);
    snapshot("setup_tunnel", &model);
    hear(&mut model, Progress::RedirectCame);
    hear(&mut model, Progress::Exchanging);
    snapshot("setup_redirected", &model);
    deny(
        &mut model,
        failure(
            "Salesforce refused the sign-in: access_denied",
            "sign in again and press Allow",
            FailureDetail::None,
        ),
    );
    snapshot("setup_redirect_refused", &model);
}

#[test]
fn the_dialogs() {
    let mut model = loaded(sample::many());
    keys(&mut model, "Dacme\r");
    snapshot("delete_mistyped", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "U");
    snapshot("confirm_use", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "Vacme\r");
    snapshot("revoke_mistyped", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "*V");
    snapshot("revoke_several", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "Hana leaves");
    snapshot("hold", &model);
    let mut held: Vec<_> = sample::many();
    held[0] = sample::held(held[0].clone());
    let mut model = loaded(held);
    model.owed = 1;
    snapshot("list_held_and_owed", &model);
    keys(&mut model, "H");
    snapshot("release", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "y");
    snapshot("copy", &model);
    for (name, protection) in [
        ("key_create", crate::engine::outcome::KeyProtection::Missing),
        ("key_open", crate::engine::outcome::KeyProtection::Passphrase),
    ] {
        let mut model = loaded(sample::many());
        model.key = Some((protection, false));
        keys(&mut model, "s");
        snapshot(name, &model);
    }
}

#[test]
fn a_wide_header_tells_that_the_agent_ends_with_the_last_session() {
    use crate::domain::lifetime::Lifetime;
    let header = |agent, width, filter: &str| {
        let mut model = loaded(sample::many());
        model.agent = agent;
        if !filter.is_empty() {
            keys(&mut model, "/");
            keys(&mut model, filter);
            press(&mut model, Key::Enter);
        }
        screen(&sized(model, width, 50)).lines().next().unwrap().to_owned()
    };
    let words = "agent ends with your last session  key open";
    for ends in [Lifetime::EndsWithSession, Lifetime::EndsWithManager] {
        assert!(header(Some(ends), 140, "").ends_with(words));
        assert!(header(Some(ends), 200, "").ends_with(words));
        for without in [header(Some(ends), 80, ""), header(Some(ends), 139, "")] {
            assert!(without.ends_with("key open") && !without.contains("agent"), "{without}");
        }
    }
    for silent in [None, Some(Lifetime::Lingers), Some(Lifetime::RuleUnknown)] {
        assert!(!header(silent, 200, "").contains("agent"), "{silent:?}");
    }
    // What stands there already is worth more.
    let long = "a word that is in no credential and takes most of the line that there is here";
    let filtered = header(Some(Lifetime::EndsWithSession), 140, long);
    assert!(filtered.contains(long) && !filtered.contains("agent ends"), "{filtered}");
}

#[test]
fn a_store_that_may_be_a_copy_or_was_moved() {
    let mut asked = loaded_as(sample::many(), sample::copied());
    press(&mut asked, Key::Tab);
    snapshot("copied", &asked);
    press(&mut asked, Key::Esc);
    snapshot("list_copied", &asked);
    let mut moved = loaded_as(sample::many(), sample::moved());
    snapshot("list_moved", &moved);
    keys(&mut moved, "C");
    snapshot("moved", &moved);
}

#[test]
fn the_pages_to_read() {
    let mut model = loaded(sample::many());
    keys(&mut model, "jj\r");
    snapshot("details", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "h");
    answer(&mut model, |operation| {
        assert!(matches!(operation, Operation::History(_)));
        crate::engine::Outcome::History(sample::history())
    });
    snapshot("history", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "?");
    snapshot("help", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "oom");
    snapshot("messages", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, ":te");
    snapshot("palette", &model);
}

#[test]
fn the_apps() {
    let mut model = loaded(sample::many());
    keys(&mut model, "a");
    snapshot("apps", &model);
    keys(&mut model, "e");
    snapshot("app_edit", &model);
    let mut model = loaded(vec![]);
    model.apps = Some(vec![]);
    keys(&mut model, "a");
    snapshot("apps_none", &model);
    keys(&mut model, "g");
    snapshot("app_guide", &model);
    let mut model = loaded(sample::many());
    model.apps = Some(vec![]);
    keys(&mut model, "s");
    snapshot("app_needed_for_set_up", &model);
    let mut model = loaded(sample::many());
    keys(&mut model, "at");
    answer(&mut model, |_| crate::engine::Outcome::AppTested(sample::app_report()));
    snapshot("app_report", &model);
}

#[test]
fn a_round() {
    snapshot("round_start", &before_round());
    let mut receipt = before_round();
    keys(&mut receipt, "l");
    snapshot("round_receipt", &receipt);
    let (mut model, _) = worklist();
    snapshot("round", &model);
    press(&mut model, Key::Esc);
    snapshot("list_with_a_round", &model);
    let mut pane = in_round();
    snapshot("round_set_up", &pane);
    keys(&mut pane, "n");
    snapshot("round_skip", &pane);
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    for (width, height) in [(1, 1), (10, 3), (39, 24), (80, 9)] {
        let text = screen(&sized(loaded(sample::many()), width, height));
        assert!(text.starts_with(&"too small"[..usize::from(width.min(3))]), "{text}");
    }
}

#[test]
fn every_screen_is_drawn_at_every_size() {
    let mut models = vec![loaded(sample::many()), in_setup(), loaded(vec![]), started().0];
    models.push(loaded_as(sample::many(), sample::copied()));
    models.push(loaded_as(sample::many(), sample::moved()));
    models.push(in_device());
    models.extend([before_round(), worklist().0, in_round()]);
    for typed in ["n", "r", "D", "U", "y", "h", "a", "ae", "?", "m", "\r", "/x", "q"] {
        let mut model = loaded(sample::many());
        keys(&mut model, typed);
        models.push(model);
    }
    for model in models {
        for width in (1..=220).step_by(13) {
            for height in (1..=60).step_by(7) {
                screen(&sized(model.clone(), width, height));
            }
        }
    }
}

#[test]
fn without_colour_every_state_is_still_told_apart_and_ascii_is_ascii() {
    let mut credential = sample::ready("acme", "production");
    credential.username = Some("jos\u{e9}@acme.com".into());
    let mut model = loaded(vec![credential]);
    model.look = Look { color: false, ascii: true, ..model.look };
    let backend = TestBackend::new(80, 24);
    let mut terminal = Terminal::new(backend).unwrap();
    terminal.draw(|frame| super::view(&model, frame)).unwrap();
    for cell in terminal.backend().buffer().content() {
        assert!(cell.symbol().is_ascii());
        assert_eq!(cell.fg, ratatui::style::Color::Reset);
    }
    let marks: std::collections::BTreeSet<char> =
        crate::domain::credential::State::ALL.iter().map(|state| state.mark()).collect();
    assert_eq!(marks.len(), crate::domain::credential::State::ALL.len());
}

#[test]
fn what_must_not_be_overlooked_fills_the_screen() {
    let mut model = loaded(sample::many());
    let effects = press(&mut model, Key::Char('t'));
    let Some(crate::tui::effect::Effect::Submit { job, .. }) = effects.first().cloned() else {
        panic!("{effects:?}")
    };
    let words = "the new token is in the memory of this process alone (the store could not be \
                 written: no space left on its file system): do not end it, free some space on the \
                 disk; it is tried again every 2 s";
    let event = Box::new(Event::Alarm(words.into()));
    model.update(Message::Engine { job, event }, sample::NOW);
    snapshot("alarm", &model);
}
