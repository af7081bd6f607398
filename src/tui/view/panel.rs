//! What there is to know of one credential: as a panel, as one line, and in full.

use crate::domain::credential::{CheckKind, Credential};
use crate::domain::name::{Address, Environment};
use crate::domain::rotation::{Draining, Taken};
use crate::domain::time::span_in_words;
use crate::tui::model::Model;
use crate::tui::view::page::Page;
use crate::tui::view::words;

/// A fact: its label and its words.
type Fact = (&'static str, String);

/// The panel below or beside the list.
pub(super) fn draw(model: &Model, credential: &Credential, page: &mut Page<'_>) {
    let x = draw_title(model, credential, page);
    page.rule(x + 1);
    page.next();
    if page.area.height > 8 {
        draw_facts(model, credential, page);
        return;
    }
    let pairs = [
        (org(credential), host(credential)),
        (user_id(credential), username(credential)),
        (app(credential), scopes(credential)),
    ];
    let second = page.area.width / 2;
    for (left, right) in pairs {
        draw_fact(page, 3, second - 1, &left);
        draw_fact(page, second, page.area.width, &right);
        page.next();
    }
    for fact in [token(model, credential), check(model, credential), next(model, credential)] {
        draw_fact(page, 3, page.area.width, &fact);
        page.next();
    }
}

/// Name, environment and what is out of the ordinary, on one row.
fn draw_title(model: &Model, credential: &Credential, page: &mut Page<'_>) -> u16 {
    let theme = page.theme;
    let mut x = page.put(1, credential.address.name.as_str(), theme.strong()) + 2;
    let environment = credential.address.environment;
    let word = match environment {
        Environment::Production => "PRODUCTION",
        Environment::Sandbox => "sandbox",
    };
    x = page.put(x, word, theme.environment(environment));
    x = page.put(x + 2, if credential.in_use { "in use" } else { "not in use" }, theme.plain());
    let unproven = credential.token.is_some() && !credential.environment_proven;
    let overdue = credential.rotate_due.is_some_and(|due| due <= model.now);
    let marks = [
        (credential.held.is_some(), "ON HOLD"),
        (credential.pending.is_some(), "edit staged"),
        (credential.revocation_owed, "revocation owed"),
        (overdue, "rotation overdue"),
        (unproven, "environment not proven"),
    ];
    for (_, mark) in marks.into_iter().filter(|(holds, _)| *holds) {
        x = page.put(x + 2, mark, theme.strong());
    }
    x
}

fn draw_fact(page: &mut Page<'_>, x: u16, end: u16, (label, words): &Fact) {
    page.put_within(x, end, label, page.theme.dim());
    page.put_within(x + 11, end.saturating_sub(1), words, page.theme.plain());
}

fn draw_facts(model: &Model, credential: &Credential, page: &mut Page<'_>) {
    for (label, words) in facts(model, credential) {
        page.put(3, label, page.theme.dim());
        page.text(14, &words, page.theme.plain());
    }
}

/// All of it on a screen of its own.
pub(super) fn draw_details(model: &Model, address: &Address, top: usize, page: &mut Page<'_>) {
    let Some(credential) = model.dashboard.find(address) else {
        page.text(1, &format!("{address} is not there any more"), page.theme.plain());
        return;
    };
    draw_title(model, &credential, page);
    page.next();
    page.gap();
    let narrow = page.area.width < 60;
    let all = facts(model, &credential);
    let top = top.min(all.len().saturating_sub(1));
    for (label, words) in all.into_iter().skip(top) {
        page.put(if narrow { 1 } else { 3 }, label, page.theme.dim());
        page.text(if narrow { 11 } else { 14 }, &words, page.theme.plain());
    }
}

/// One line for screens without room.
pub(super) fn draw_line(model: &Model, credential: &Credential, page: &mut Page<'_>) {
    let mut x = page.put(1, credential.address.name.as_str(), page.theme.strong()) + 1;
    let environment = credential.address.environment;
    if environment == Environment::Production {
        x = page.put(x, "PRODUCTION", page.theme.environment(environment));
    } else {
        x = page.put(x, "sandbox", page.theme.plain());
    }
    let next = words::next_step(credential, model.now, &model.zone);
    page.put(x, &format!(": {next}"), page.theme.plain());
}

fn facts(model: &Model, credential: &Credential) -> Vec<Fact> {
    let mut facts = vec![next(model, credential), check(model, credential)];
    if let Some(check) = credential.last_check.as_ref().filter(|check| !check.remedy.is_empty()) {
        facts.push(("", check.remedy.clone()));
    }
    facts.extend([
        org(credential),
        user_id(credential),
        username(credential),
        host(credential),
        app(credential),
        scopes(credential),
        token(model, credential),
    ]);
    if let Some(token) = &credential.token {
        facts.push(("Instance", token.instance_url.to_string()));
        let signed_in = words::day_and_clock(token.signed_in_at, model.now, &model.zone);
        let refreshable = match (token.refused, token.refreshable) {
            (Some(_), _) => "out of use",
            (None, true) => "renews itself with its refresh token",
            (None, false) => "has no refresh token: it ends with its session",
        };
        facts.push(("Signed in", format!("{signed_in} by {}; {refreshable}", token.flow)));
    }
    if let Some(draining) = draining(model, credential) {
        let old = words::draining(draining, model.now, &model.zone);
        facts.push(("Drains", format!("{old}; then it is revoked")));
    }
    if let Some(due) = credential.rotate_due {
        let at = words::day_and_clock(due, model.now, &model.zone);
        let words = if due <= model.now { "overdue since" } else { "due" };
        facts.push(("Rotation", format!("{words} {at}; R rotates")));
    }
    if let Some(edit) = &credential.pending {
        let staged =
            format!("Org ID {}, User ID {}, {}", edit.org_id, edit.user_id, edit.login_url);
        facts.push(("Staged", staged));
    }
    if let Some(pending) = credential.pending_authorization(model.now) {
        let begun = words::day_and_clock(pending.started_at, model.now, &model.zone);
        let left = words::left(pending.expires_at, model.now);
        facts.push(("Set-up", format!("begun {begun} by {}, {left}", pending.flow)));
    }
    if !credential.tags.is_empty() {
        facts.push(("Tags", credential.tags.join(" ")));
    }
    facts.push(("Address", credential.address.to_string()));
    facts
}

fn org(credential: &Credential) -> Fact {
    ("Org ID", credential.org_id.to_string())
}

fn user_id(credential: &Credential) -> Fact {
    ("User ID", credential.user_id.to_string())
}

fn username(credential: &Credential) -> Fact {
    ("User", credential.username.clone().unwrap_or_else(|| "learned at the first login".into()))
}

fn host(credential: &Credential) -> Fact {
    let label = if credential.login_url.is_generic() { "Login host" } else { "My Domain" };
    (label, credential.login_url.host().to_owned())
}

fn app(credential: &Credential) -> Fact {
    ("App", credential.app.clone())
}

fn scopes(credential: &Credential) -> Fact {
    let scopes = credential.token.as_ref().map(|token| token.scopes.join(" "));
    ("Scopes", scopes.unwrap_or_else(|| "-".into()))
}

fn token(model: &Model, credential: &Credential) -> Fact {
    let words = match (&credential.token, credential.has_candidate) {
        (Some(token), _) if draining(model, credential).is_some() => {
            let ends = words::day_and_clock(token.expiry.at, model.now, &model.zone);
            let old = draining(model, credential).into_iter();
            let old =
                old.map(|old| words::draining(&without_terminal(old), model.now, &model.zone));
            std::iter::once(format!("ends {ends}")).chain(old).collect::<Vec<_>>().join("; ")
        }
        (Some(token), _) => {
            let issued = words::day_and_clock(token.issued_at, model.now, &model.zone);
            let ends = words::day_and_clock(token.expiry.at, model.now, &model.zone);
            let signed_in = words::day_or_clock(token.signed_in_at, model.now, &model.zone);
            let about = if token.expiry.known { "" } else { "about " };
            if let Some(cause) = token.refused {
                let why = words::cause_in_short(cause);
                return ("Token", format!("{why}; issued {issued}, signed in {signed_in}"));
            }
            format!("issued {issued}, ends {about}{ends}; signed in {signed_in}")
        }
        (None, true) => "signed in, not tested yet".to_owned(),
        (None, false) => "none".to_owned(),
    };
    ("Token", words)
}

fn check(model: &Model, credential: &Credential) -> Fact {
    let Some(check) = &credential.last_check else { return ("Test", "never tested".into()) };
    let label = match check.kind {
        CheckKind::Test => "Test",
        CheckKind::Refresh => "Refresh",
        CheckKind::SignIn => "Sign-in",
    };
    let at = words::day_and_clock(check.at, model.now, &model.zone);
    (label, format!("{} ({} ms), {at}", check.message, check.latency_ms))
}

fn next(model: &Model, credential: &Credential) -> Fact {
    let held = model.doing(&credential.address).map(str::to_owned);
    ("Next", held.unwrap_or_else(|| words::next_step(credential, model.now, &model.zone)))
}

/// The same where space is short.
fn without_terminal(draining: &Draining) -> Draining {
    let taken = draining.taken.clone();
    let taken = taken.map(|taken| Taken { terminal: String::new(), ..taken });
    Draining { taken, ..draining.clone() }
}

/// What still drains at this time.
fn draining<'a>(model: &Model, credential: &'a Credential) -> Option<&'a Draining> {
    credential.draining.as_ref().filter(|draining| draining.until > model.now)
}

/// How long ago something far back was, for the history.
pub(super) fn took(latency_ms: u64) -> String {
    if latency_ms < 10_000 {
        format!("{latency_ms} ms")
    } else {
        span_in_words(std::time::Duration::from_millis(latency_ms))
    }
}
