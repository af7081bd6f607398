//! `status`: how many credentials are in which state, for people, scripts and a scraper. It asks
//! nobody but the store, and opens no key.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::domain::credential::State;
use crate::domain::packed::Packed;
use crate::domain::time::UnixMillis;
use crate::engine::outcome::{KeyProtection, KeyReport};
use crate::engine::{Operation, Outcome, exit, now};

use super::args::{Status, StatusFormat};
use super::context::Context;
use super::output::Done;
use super::test::end_of_many;
use super::unexpected;

/// A rotation that is due within this is told before it is overdue.
const SOON: Duration = Duration::from_secs(7 * 86_400);

/// What is counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// By state, in the order of product.md.
    states: Vec<(State, usize)>,
    all: usize,
    held: usize,
    /// Revocations, also of credentials that were deleted since.
    owed: usize,
    overdue: usize,
    due_soon: usize,
    pending: usize,
    draining: usize,
}

impl Counts {
    fn of(index: &Packed, owed: usize, now: UnixMillis) -> Self {
        let mut counts = Self {
            states: State::IN_ORDER.iter().map(|state| (*state, 0)).collect(),
            owed,
            ..Self::default()
        };
        for row in index.rows() {
            let state = row.state(now);
            if let Some((_, count)) = counts.states.iter_mut().find(|(one, _)| *one == state) {
                *count += 1;
            }
            counts.all += 1;
            counts.held += usize::from(row.is_held());
            counts.draining += usize::from(row.is_draining());
            let is_pending = row.standing.authorization_ends.is_some_and(|end| end > now);
            counts.pending += usize::from(is_pending);
            match row.rotate_due {
                Some(due) if due <= now => counts.overdue += 1,
                Some(due) if due <= now.plus(SOON) => counts.due_soon += 1,
                _ => {}
            }
        }
        counts
    }

    /// What is to be looked at although nothing is broken.
    fn warnings(&self) -> [(usize, &'static str); 3] {
        [
            (self.held, "on hold: orgkey list shows which"),
            (self.owed, "revocations owed: orgkey revoke --owed tries them again"),
            (self.overdue, "overdue for rotation: orgkey rotate --filter overdue"),
        ]
    }

    /// As `test` of many ends: by the state that counts first.
    fn exit_codes(&self) -> Vec<u8> {
        let there = self.states.iter().filter(|(_, count)| *count > 0);
        there.filter_map(|(state, _)| code_of(*state)).collect()
    }
}

/// What a state is as an exit code; `None` where nothing is wrong.
fn code_of(state: State) -> Option<u8> {
    match state {
        State::NoToken | State::Authorizing | State::Untested | State::Ready => None,
        State::NeedsSetup => Some(exit::NEEDS_SETUP),
        State::Uncertain => Some(exit::UNCERTAIN),
        State::Misconfigured | State::Limited => Some(exit::INVALID),
        State::Unreachable => Some(exit::UNREACHABLE),
    }
}

/// Counts.
pub(crate) async fn run(status: &Status, context: &Context) -> Done {
    let Outcome::Index(index) = context.ask(Operation::Index).await? else {
        return Err(unexpected());
    };
    let Outcome::Key(key) = context.ask_once(Operation::KeyStatus).await? else {
        return Err(unexpected());
    };
    let Outcome::Owed(owed) = context.ask(Operation::Owed).await? else {
        return Err(unexpected());
    };
    let counts = Counts::of(&index, owed.len(), now());
    match status.format {
        _ if context.output.json => context.output.object(&as_json(&counts, &key))?,
        StatusFormat::Text => context.output.text(&as_text(&counts, &key))?,
        StatusFormat::Prometheus => context.output.text(&as_prometheus(&counts, &key))?,
    }
    end_of_many(&counts.exit_codes())
}

/// Whether scripts get tokens now, without a question.
fn is_open(key: &KeyReport) -> bool {
    key.open || key.protection == KeyProtection::Bare
}

fn as_text(counts: &Counts, key: &KeyReport) -> String {
    let mut text = format!("credentials  {}\n", counts.all);
    for (state, count) in counts.states.iter().filter(|(_, count)| *count > 0) {
        let _ = writeln!(text, "  {} {:15} {count}", state.mark(), state.words());
    }
    let others = [
        ("sign-ins pending", counts.pending),
        ("tokens draining", counts.draining),
        ("rotation due in 7 d", counts.due_soon),
    ];
    for (words, count) in others.into_iter().filter(|(_, count)| *count > 0) {
        let _ = writeln!(text, "{words}  {count}");
    }
    let open = match (key.protection, key.open_until) {
        (KeyProtection::Missing, _) => "not made yet".to_owned(),
        (_, Some(until)) if key.open => format!("open until {}", until.rfc3339()),
        _ if is_open(key) => "open".to_owned(),
        _ => "locked".to_owned(),
    };
    let _ = writeln!(text, "sealing key  {open}");
    for (count, words) in counts.warnings().into_iter().filter(|(count, _)| *count > 0) {
        let _ = writeln!(text, "look: {count} {words}");
    }
    text
}

fn as_json(counts: &Counts, key: &KeyReport) -> Value {
    let states: Map<String, Value> = counts
        .states
        .iter()
        .map(|(state, count)| (state.as_str().to_owned(), json!(count)))
        .collect();
    json!({
        "schema": 1,
        "status": {
            "credentials": counts.all, "states": states, "held": counts.held,
            "revocation_owed": counts.owed, "rotation_overdue": counts.overdue,
            "rotation_due_soon": counts.due_soon, "sign_ins_pending": counts.pending,
            "draining": counts.draining, "key_open": is_open(key),
        },
    })
}

/// Prometheus text exposition format 0.0.4.
fn as_prometheus(counts: &Counts, key: &KeyReport) -> String {
    let mut text = String::new();
    head(&mut text, "orgkey_credentials", "Credentials by state.");
    for (state, count) in &counts.states {
        let _ = writeln!(text, "orgkey_credentials{{state=\"{state}\"}} {count}");
    }
    let gauges = [
        ("orgkey_credentials_held", "Credentials on hold.", counts.held),
        (
            "orgkey_revocations_owed",
            "Revocations that Salesforce could not be told of yet.",
            counts.owed,
        ),
        ("orgkey_rotations_overdue", "Credentials overdue for rotation.", counts.overdue),
        ("orgkey_rotations_due_soon", "Rotations due within 7 days.", counts.due_soon),
        ("orgkey_sign_ins_pending", "Sign-ins that wait for a person.", counts.pending),
        ("orgkey_draining", "Credentials whose replaced token still works.", counts.draining),
        ("orgkey_key_open", "Whether the sealing key is open (1).", usize::from(is_open(key))),
    ];
    for (name, help, value) in gauges {
        head(&mut text, name, help);
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn counted() -> Counts {
        Counts {
            states: State::IN_ORDER.iter().zip(1..).map(|(state, count)| (*state, count)).collect(),
            all: 45,
            held: 1,
            owed: 2,
            overdue: 3,
            due_soon: 4,
            pending: 5,
            draining: 6,
        }
    }

    fn key(open: bool) -> KeyReport {
        KeyReport {
            protection: KeyProtection::Passphrase,
            open,
            open_until: None,
            agent: None,
            recovery_identity: None,
        }
    }

    /// What a scraper makes of it: samples by name and labels, each announced with its type.
    fn scrape(text: &str) -> BTreeMap<String, f64> {
        let (mut samples, mut typed) = (BTreeMap::new(), Vec::new());
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(kind, "gauge");
                typed.push(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.split_once(' ').unwrap().1.ends_with('.') || rest.ends_with("(1)."));
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
                assert!(name.chars().all(is_name) && typed.contains(&name.to_owned()), "{line}");
                if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty())
                {
                    let label = labels.strip_prefix("{state=\"").unwrap();
                    assert!(label.strip_suffix("\"}").unwrap().chars().all(is_name), "{line}");
                }
                let is_new = samples.insert(series.to_owned(), value.parse().unwrap()).is_none();
                assert!(is_new, "twice: {series}");
            }
        }
        samples
    }

    #[test]
    fn what_a_scraper_reads_is_what_was_counted() {
        let samples = scrape(&as_prometheus(&counted(), &key(true)));
        let sample = |series: &str| samples.get(series).copied();
        assert_eq!(sample("orgkey_credentials{state=\"ready\"}"), Some(4.0));
        assert_eq!(sample("orgkey_credentials{state=\"needs_setup\"}"), Some(9.0));
        assert_eq!(sample("orgkey_credentials_held"), Some(1.0));
        assert_eq!(sample("orgkey_revocations_owed"), Some(2.0));
        assert_eq!(sample("orgkey_rotations_overdue"), Some(3.0));
        assert_eq!(sample("orgkey_key_open"), Some(1.0));
        assert_eq!(samples.len(), State::IN_ORDER.len() + 7);
        let locked = scrape(&as_prometheus(&counted(), &key(false)));
        assert_eq!(locked.get("orgkey_key_open"), Some(&0.0));
    }

    #[test]
    fn the_worst_state_ends_it_as_a_test_of_many_does() {
        let with = |states: &[State]| {
            let states = states.iter().map(|state| (*state, 1)).collect();
            let counts = Counts { states, ..Counts::default() };
            match end_of_many(&counts.exit_codes()) {
                Ok(()) => 0,
                Err(super::super::output::Ended::Code(code)) => code,
                Err(super::super::output::Ended::Failure(failure)) => failure.exit_code,
            }
        };
        assert_eq!(with(&[State::Ready, State::NoToken, State::Untested, State::Authorizing]), 0);
        assert_eq!(with(&[State::Unreachable, State::Ready]), 4);
        assert_eq!(with(&[State::Unreachable, State::Limited]), 8);
        assert_eq!(with(&[State::Misconfigured, State::Uncertain]), 10);
        assert_eq!(with(&[State::Uncertain, State::NeedsSetup, State::Unreachable]), 3);
        let none = Counts { states: vec![(State::NeedsSetup, 0)], ..Counts::default() };
        assert_eq!(none.exit_codes(), Vec::<u8>::new());
    }
}
