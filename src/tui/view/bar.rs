//! The line of keys: what the resting row's state, or the screen, allows right now.

use crate::domain::copy::CopyStanding;
use crate::domain::credential::Credential;
use crate::domain::name::Address;
use crate::engine::outcome::Field;
use crate::tui::model::dialog::{KeyTask, TypedTask};
use crate::tui::model::form::Focus;
use crate::tui::model::setup::{Setup, SetupView, Stage};
use crate::tui::model::{Model, Screen};
use crate::tui::view::page::Page;

/// A key and what it does.
pub(crate) type Action = (&'static str, &'static str);

/// Draws the rule and the keys. What does not fit is left out; the last one, help or the way
/// back, stays.
pub(super) fn draw(model: &Model, page: &mut Page<'_>) {
    page.rule(0);
    page.next();
    let actions = actions(model);
    // Between two keys: a blank where space is short.
    let between = if page.area.width < 60 { 1 } else { 2 };
    let width = |action: &Action| action.0.len() + 1 + action.1.len() + usize::from(between);
    let kept = actions.last().map_or(0, width);
    let mut x = 1;
    for (index, action) in actions.iter().enumerate() {
        let is_last = index + 1 == actions.len();
        let end = usize::from(x) + width(action) + if is_last { 0 } else { kept };
        if end > usize::from(page.area.width + between) && !is_last {
            continue;
        }
        x = page.put(x, action.0, page.theme.strong());
        x = page.put(x + 1, action.1, page.theme.plain()) + between;
    }
}

/// The keys that do something now, most needed first.
pub(crate) fn actions(model: &Model) -> Vec<Action> {
    match model.screens.last() {
        None if model.dashboard.typing => vec![("Enter", "keep"), ("Esc", "show all")],
        None => on_list(model),
        Some(Screen::Form(form)) if form.focus == Focus::Field(Field::Environment) => {
            vec![("Space", "tick"), ("Tab", "next"), ("Esc", "back, asks if changed")]
        }
        Some(Screen::Form(_) | Screen::AppForm(_)) => {
            vec![("Tab", "next"), ("Enter", "on Save"), ("Esc", "back, asks if changed")]
        }
        Some(Screen::Setup(setup)) => in_setup(model, setup),
        Some(Screen::WrongAccount(found)) => {
            let change = if found.differs_in_user_alone() {
                "change the saved User ID"
            } else {
                "change what is saved"
            };
            let mut actions = vec![("s", "try again"), ("r", change)];
            if model.round.place_of(&found.address).is_some() {
                actions.push(("n", "pass over"));
            }
            actions.push(("Esc", "back"));
            actions
        }
        Some(Screen::Typed(dialog)) => {
            let done = match dialog.task {
                TypedTask::Delete => "delete",
                TypedTask::Revoke => "revoke",
                TypedTask::Hold => "put on hold",
                TypedTask::Skip => "pass over",
            };
            vec![("Enter", done), ("Esc", "cancel")]
        }
        Some(Screen::Confirm(_) | Screen::Copied(_)) => {
            vec![("Tab", "choose"), ("Enter", "press"), ("Esc", "cancel")]
        }
        Some(Screen::Key(dialog)) if dialog.task == KeyTask::Create => {
            vec![("Tab", "next"), ("Enter", "go on"), ("Esc", "cancel")]
        }
        Some(Screen::Key(_)) => vec![("Enter", "open"), ("Esc", "cancel")],
        Some(Screen::Palette(_)) => {
            vec![("Up Down", "choose"), ("Enter", "do it"), ("Esc", "back")]
        }
        Some(Screen::Copy(_)) => vec![("Esc", "back")],
        Some(Screen::Apps(_)) => in_apps(model),
        Some(Screen::RoundStart(_)) => {
            vec![("j k", "choose"), ("Enter", "begin"), ("Esc", "back")]
        }
        Some(Screen::Round) => in_round(model),
        Some(Screen::Guide(..)) => {
            vec![("y", "copy the Callback URLs"), ("j k", "scroll"), ("Esc", "back")]
        }
        Some(Screen::Details(address, _)) => in_details(model, address),
        Some(_) => vec![("j k", "scroll"), ("Esc", "back")],
    }
}

fn on_list(model: &Model) -> Vec<Action> {
    let mut actions = Vec::new();
    if model.standing != CopyStanding::default() {
        actions.push(("C", "which copy"));
    }
    actions.extend(match model.dashboard.rested() {
        Some(credential) => of_row(model, &credential),
        None => vec![("n", "new"), ("a", "apps")],
    });
    if model.round.open().is_some() {
        actions.insert(0, ("Q", "round"));
    }
    // Before what is seldom needed: of what has no room, the last goes first.
    if model.dashboard.len() > 1 {
        let after_new = actions.iter().position(|action| action.0 == "n").map_or(0, |at| at + 1);
        actions.insert(after_new, ("/", "find"));
    }
    actions.push(("?", "help"));
    actions
}

/// What a saved credential allows.
fn of_row(model: &Model, credential: &Credential) -> Vec<Action> {
    let pending = credential.pending_authorization(model.now).is_some();
    let mut actions = vec![("s", if pending { "go on" } else { "set up" })];
    if credential.token.is_some() || credential.has_candidate {
        actions.push(("t", "test"));
    }
    actions.push(("r", "reset"));
    if credential.held.is_some() {
        actions.push(("H", "release"));
    }
    if credential.token.as_ref().is_some_and(|token| token.refused.is_none()) {
        actions.extend([("R", "rotate"), ("V", "revoke")]);
    }
    actions.extend([("D", "delete"), ("n", "new")]);
    if credential.pending.is_some() {
        actions.push(("x", "drop edit"));
    }
    let address = &credential.address;
    let other = Address { name: address.name.clone(), environment: address.environment.other() };
    if model.dashboard.contains(&other) {
        actions.push(("U", "use other"));
    }
    if credential.held.is_none() {
        actions.push(("H", "hold"));
    }
    actions.extend([("h", "history"), ("y", "copy")]);
    actions
}

fn in_details(model: &Model, address: &Address) -> Vec<Action> {
    let mut actions = model.dashboard.find(address).map_or_else(Vec::new, |c| of_row(model, &c));
    actions.retain(|action| action.0 != "n");
    actions.push(("Esc", "back"));
    actions
}

fn in_setup(model: &Model, setup: &Setup) -> Vec<Action> {
    if setup.typing {
        return vec![("Enter", "send"), ("Esc", "stop typing")];
    }
    if matches!(setup.view, SetupView::Ways(_)) {
        return vec![("Enter", "this way"), ("j k", "move"), ("Esc", "back")];
    }
    match setup.stage {
        Stage::Waiting => {
            let mut actions = Vec::new();
            if setup.is_device() {
                actions.extend([("y", "copy"), ("i", "QR"), ("v", "plain"), ("X", "give up")]);
                actions.extend([("s", "fresh code"), ("Esc", "leave it pending")]);
                return actions;
            }
            if model.look.demo {
                actions.push(("p", "sign in (demo)"));
            }
            if model.round.place_of(&setup.address).is_some() {
                actions.push(("n", "pass over"));
            }
            actions.extend([("y", "copy"), ("v", "plain"), ("X", "give up"), ("f", "forward")]);
            actions.extend([("w", "other way"), ("i", "QR"), ("Enter", "type it"), ("s", "again")]);
            actions.push(("Esc", "leave it"));
            actions
        }
        Stage::Failed => vec![("s", "again"), ("w", "other way"), ("Esc", "back")],
        Stage::Starting | Stage::Completing(_) => vec![("Esc", "leave, it goes on")],
    }
}

fn in_round(model: &Model) -> Vec<Action> {
    let Some(round) = model.round.open() else { return vec![("j k", "scroll"), ("Esc", "back")] };
    let mut actions = vec![("Enter", "sign in"), ("n", "pass over"), ("E", "end")];
    if round.waiting().any(|item| item.is_unattended) {
        actions.push(("R", "refresh"));
    }
    actions.push(("Esc", "back"));
    actions
}

fn in_apps(model: &Model) -> Vec<Action> {
    let mut actions = vec![("n", "add")];
    if model.apps.as_ref().is_some_and(|apps| !apps.is_empty()) {
        actions.extend([("e", "edit"), ("t", "test"), ("D", "delete")]);
    }
    actions.extend([("g", "how one is made"), ("Esc", "back")]);
    actions
}
