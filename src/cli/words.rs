//! Credentials and results as text for people: the important word first, the same order of facts
//! everywhere, times relative when near and absolute when far.

use std::collections::HashSet;
use std::fmt::Write;

use crate::domain::credential::{Check, CheckOutcome, Credential};
use crate::domain::hold::Hold;
use crate::domain::name::{ConnectionName, Environment};
use crate::domain::rotation::Draining;
use crate::domain::round::{Round, RoundItem, RoundItemState};
use crate::domain::text::counted;
use crate::domain::time::{UnixMillis, span_in_words};
use crate::engine::outcome::{
    OldToken, Proof, Revocation, RotationHow, RotationReport, TestReport,
};

/// From here on a time is told by its date: a week, in seconds.
const FAR: u64 = 7 * 86_400;

/// A table of all credentials. Which of two environments is in use is told where there are two.
pub(crate) fn credential_table(credentials: &[Credential], now: UnixMillis) -> String {
    let width = credentials.iter().map(|one| one.address.name.as_str().len()).max().unwrap_or(0);
    let width = width.max("NAME".len());
    let mut seen = HashSet::new();
    let twins: HashSet<&ConnectionName> = credentials
        .iter()
        .map(|one| &one.address.name)
        .filter(|name| !seen.insert(*name))
        .collect();
    let has_twin = |one: &Credential| twins.contains(&one.address.name);
    let use_width = if credentials.iter().any(has_twin) { "  in use".len() } else { 0 };
    let mut table = format!(
        "{:width$}  {:7}{:use_width$}  {:15}  {:13}  USER\n",
        "NAME", "ENV", "", "STATE", "TESTED"
    );
    for credential in credentials {
        let state = credential.state(now);
        let environment = match credential.address.environment {
            Environment::Production => "PROD",
            Environment::Sandbox => "sandbox",
        };
        let in_use = if credential.in_use && has_twin(credential) { "  in use" } else { "" };
        let tested =
            credential.last_test.as_ref().map_or_else(|| "-".to_owned(), |test| ago(test.at, now));
        let user = credential.username.as_deref().unwrap_or(credential.user_id.as_str());
        let held = if credential.held.is_some() { "  on hold" } else { "" };
        let _ = writeln!(
            table,
            "{:width$}  {environment:7}{in_use:use_width$}  {} {:13}  {tested:13}  {user}{held}",
            credential.address.name,
            state.mark(),
            state.words(),
        );
    }
    table
}

/// All that is known of one credential, a fact a line.
pub(crate) fn credential_card(credential: &Credential, now: UnixMillis) -> String {
    let in_use = if credential.in_use { "in use" } else { "not in use" };
    let mut card = format!("{}  {in_use}\n", credential.address);
    let facts = account_facts(credential, now)
        .into_iter()
        .chain(token_facts(credential, now))
        .chain(open_facts(credential, now));
    for (label, value) in facts.filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(card, "  {label:9} {value}");
    }
    card
}

/// A fact with its label.
type Fact = (&'static str, String);

fn account_facts(credential: &Credential, now: UnixMillis) -> Vec<Fact> {
    let state = credential.state(now);
    let cause = credential.cause(now).map(|cause| format!(" ({cause})")).unwrap_or_default();
    let user = credential.username.clone();
    vec![
        ("State", format!("{} {}{cause}", state.mark(), state.words())),
        ("Org ID", credential.org_id.to_string()),
        ("User ID", credential.user_id.to_string()),
        ("User", user.unwrap_or_else(|| "learned at the first login".into())),
        ("Login", credential.login_url.to_string()),
        ("App", credential.app.clone()),
        ("Tags", credential.tags.join(" ")),
    ]
}

fn token_facts(credential: &Credential, now: UnixMillis) -> Vec<Fact> {
    let Some(token) = &credential.token else { return Vec::new() };
    let end = if token.refused.is_some() {
        "out of use".to_owned()
    } else if token.expiry.at <= now {
        "ended".to_owned()
    } else {
        format!("ends in {}", span_in_words(token.expiry.at.since(now)))
    };
    let sure = if token.expiry.known || token.refused.is_some() { "" } else { " (assumed)" };
    let signed_in = ago(token.signed_in_at, now);
    let proof = if credential.environment_proven { "" } else { "environment not proven" };
    vec![
        (
            "Token",
            format!(
                "signed in {signed_in} by {}, {end}{sure}, generation {}",
                token.flow, token.generation.0
            ),
        ),
        ("Scopes", token.scopes.join(" ")),
        ("Instance", token.instance_url.to_string()),
        ("Note", proof.to_owned()),
    ]
}

/// What has happened, and what is still open.
fn open_facts(credential: &Credential, now: UnixMillis) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(check) = &credential.last_check {
        facts.push(("Last", check_in_words(check, now)));
    }
    if let Some(pending) = &credential.pending {
        let (org, user, host) = (&pending.org_id, &pending.user_id, pending.login_url.host());
        facts.push(("Staged", format!("org {org} user {user} at {host}; waits for its sign-in")));
    }
    if let Some(pending) = credential.pending_authorization(now) {
        let left = span_in_words(pending.expires_at.since(now));
        facts.push(("Pending", format!("set-up by {}, {left} left", pending.flow)));
    }
    if credential.revocation_owed {
        facts.push(("Owed", "a revocation at Salesforce is tried again".into()));
    }
    if let Some(draining) = &credential.draining {
        facts.push(("Drains", draining_in_words(draining, now)));
    }
    if let Some(due) = credential.rotate_due {
        let words = if due <= now { "overdue since" } else { "due" };
        facts.push(("Rotation", format!("{words} {}", due.rfc3339())));
    }
    facts.push(("Held", credential.held.as_ref().map_or_else(String::new, Hold::to_string)));
    facts
}

fn check_in_words(check: &Check, now: UnixMillis) -> String {
    let mut words = check.message.clone();
    if check.outcome == CheckOutcome::Ok {
        let _ = write!(words, ", {} ms", check.latency_ms);
    }
    let _ = write!(words, ", {}", ago(check.at, now));
    if !check.remedy.is_empty() {
        let _ = write!(words, "\n            {}", check.remedy);
    }
    words
}

/// The result of a test: one line, and a second where something is to be done.
pub(crate) fn test_line(report: &TestReport, width: usize) -> String {
    let check = &report.check;
    let (mark, words) = match check.outcome {
        CheckOutcome::Ok => ('+', "ready"),
        CheckOutcome::Limited => ('%', "limited"),
        CheckOutcome::NeedsSetup => ('!', "needs setup"),
        CheckOutcome::Unreachable => ('~', "unreachable"),
        CheckOutcome::Uncertain => ('?', "uncertain"),
        CheckOutcome::Misconfigured => ('#', "misconfigured"),
        CheckOutcome::WrongAccount => ('!', "wrong account"),
    };
    let address = &report.address;
    let mut line = format!("{address:width$}  {mark} {words:13}  {}", check.message);
    if check.remedy.is_empty() {
        let _ = write!(line, " ({} ms)", check.latency_ms);
    } else {
        let _ = write!(line, "\n{:indent$}{}", "", check.remedy, indent = width + 19);
    }
    line
}

/// What happened to a token at Salesforce, in words.
pub(crate) fn revocation_in_words(revocation: Revocation) -> &'static str {
    match revocation {
        Revocation::NothingToRevoke => "there was no token to revoke",
        Revocation::Confirmed => "the token was revoked at Salesforce (confirmed)",
        Revocation::Owed => {
            "Salesforce could not be told yet: the revocation is owed and is tried again"
        }
        Revocation::Draining => {
            "the old token works until nobody can be using it, then it is revoked"
        }
    }
}

/// How certain it is that a revoked token is dead, behind the words of its revocation.
pub(crate) fn proof_in_words(proof: Option<Proof>) -> &'static str {
    match proof {
        None | Some(Proof::Answered) => "",
        Some(Proof::Refused) => "; its access token is refused",
        Some(Proof::StillServed) => {
            "; its access token still passes, and lives until its session ends"
        }
    }
}

/// What is left of a token that was replaced: when it dies, and who got it last.
pub(crate) fn draining_in_words(draining: &Draining, now: UnixMillis) -> String {
    let until = draining.until.rfc3339();
    match &draining.taken {
        Some(taken) => {
            let (holder, ago) = (taken.holder(), ago(taken.at, now));
            format!("the old token works until {until} ({holder} took it {ago})")
        }
        None => format!("the old token works until {until}"),
    }
}

/// The result of a rotation: one line, and a second where something is to be done.
pub(crate) fn rotation_line(report: &RotationReport, width: usize, now: UnixMillis) -> String {
    let (mark, words) = match (report.how, report.outcome) {
        (RotationHow::OnHold, _) => ('!', "on hold"),
        (RotationHow::NoToken, _) => ('.', "no token"),
        (RotationHow::SignIn, CheckOutcome::NeedsSetup) => ('!', "sign-in"),
        (_, CheckOutcome::Ok) => ('+', "rotated"),
        (_, CheckOutcome::Limited) => ('%', "limited"),
        (_, CheckOutcome::NeedsSetup) => ('!', "needs setup"),
        (_, CheckOutcome::Unreachable) => ('~', "unreachable"),
        (_, CheckOutcome::Uncertain) => ('?', "uncertain"),
        (_, CheckOutcome::Misconfigured) => ('#', "misconfigured"),
        (_, CheckOutcome::WrongAccount) => ('!', "wrong account"),
    };
    let address = report.address.to_string();
    let mut line = format!("{address:width$}  {mark} {words:13}  {}", report.message);
    if report.outcome == CheckOutcome::Ok
        && let Some(generation) = report.generation
    {
        let _ = write!(line, ", generation {}", generation.0);
    }
    if let OldToken::Draining(draining) = &report.old {
        let _ = write!(line, "; {}", draining_in_words(draining, now));
    }
    if !report.remedy.is_empty() {
        let indent = width.max(address.len()) + 19;
        let _ = write!(line, "\n{:indent$}{}", "", report.remedy);
    }
    line
}

/// A round: how far it is, what became of replaced tokens, and each credential.
pub(crate) fn round_card(round: &Round, now: UnixMillis) -> String {
    let counts = round.counts();
    let count = |count: usize, words: &str| (count > 0).then(|| format!("{count} {words}"));
    let done = [
        count(counts.refreshed, "refreshed"),
        count(counts.signed_in, "signed in"),
        count(counts.skipped, "passed over"),
        count(counts.on_hold, "on hold"),
        count(counts.deleted, "deleted"),
        count(counts.waiting, if round.is_open() { "left" } else { "left undone" }),
    ];
    let old = [
        count(counts.draining, "draining"),
        count(counts.owed, "owed to be revoked (orgkey revoke --owed)"),
    ];
    let join =
        |parts: &[Option<String>]| parts.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let end = match round.facts.ended_at {
        Some(at) => format!("ended {}", ago(at, now)),
        None => "open".into(),
    };
    let by = if round.facts.started_by.is_empty() {
        String::new()
    } else {
        format!(" by {}", round.facts.started_by)
    };
    let mut card = format!(
        "round to {}: {}, {}; begun {}{by}, {end}\n",
        round.facts.purpose.in_words(),
        counted(round.items.len() as u64, "credential"),
        round.facts.chosen_by,
        ago(round.facts.started_at, now),
    );
    let reason = if round.facts.reason.is_empty() {
        String::new()
    } else {
        format!("reason: {}", round.facts.reason)
    };
    for line in [join(&done), join(&old), reason].iter().filter(|line| !line.is_empty()) {
        let _ = writeln!(card, "  {line}");
    }
    let width = round.items.iter().map(|item| item.address.to_string().len()).max().unwrap_or(0);
    let user_width = round.items.iter().map(|item| item.user.chars().count()).max().unwrap_or(0);
    for item in &round.items {
        let address = item.address.to_string();
        let words = round_item_in_words(item, round.is_open(), now);
        let _ = writeln!(card, "  {address:width$}  {:user_width$}  {words}", item.user);
    }
    card
}

/// How a credential of a round stands.
fn round_item_in_words(item: &RoundItem, is_open: bool, now: UnixMillis) -> String {
    let at = item.at.map(|at| format!(" {}", ago(at, now))).unwrap_or_default();
    match item.state {
        RoundItemState::Waiting if !is_open => ". left undone".into(),
        RoundItemState::OnHold => "! on hold: orgkey release, or orgkey round skip".into(),
        RoundItemState::Waiting if item.is_unattended => ". waits, needs nobody".into(),
        RoundItemState::Waiting => ". waits".into(),
        RoundItemState::Refreshed => format!("+ refreshed{at}"),
        RoundItemState::SignedIn => format!("+ signed in{at}"),
        RoundItemState::Skipped => format!("- passed over: {}", item.note),
        RoundItemState::Deleted => "- deleted".into(),
    }
}

/// How long ago, near times in words and far ones as a date.
fn ago(at: UnixMillis, now: UnixMillis) -> String {
    let span = now.since(at);
    match span.as_secs() {
        0..60 => "just now".to_owned(),
        60..FAR => format!("{} ago", span_in_words(span)),
        _ => at.rfc3339().chars().take(10).collect(),
    }
}
