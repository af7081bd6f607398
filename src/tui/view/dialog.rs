//! Questions on the way: what is typed first, yes or no, the sealing key, what to copy.

use ratatui::layout::Position;

use crate::domain::name::Address;
use crate::tui::model::Model;
use crate::tui::model::dialog::{
    ConfirmDialog, KeyDialog, KeyFocus, KeyTask, TypedDialog, TypedTask, copies,
};
use crate::tui::model::field::SecretField;
use crate::tui::view::form::{draw_buttons, draw_line};
use crate::tui::view::page::Page;

/// What is done once its line is typed.
pub(super) fn draw_typed(
    model: &Model,
    dialog: &TypedDialog,
    page: &mut Page<'_>,
) -> Option<Position> {
    let (plain, strong) = (page.theme.plain(), page.theme.strong());
    let which = match dialog.addresses.as_slice() {
        [address] => address.to_string(),
        all => format!("{} credentials", all.len()),
    };
    let (title, text, verb) = words_of(model, dialog, &which);
    page.text(1, &title, strong);
    page.gap();
    page.text(3, text, plain);
    page.gap();
    let wanted = dialog.wanted();
    if let Some(wanted) = &wanted {
        let x = page.put(3, "Type", plain);
        let x = page.put(x + 2, wanted, strong);
        page.line(x + 2, &format!("to {verb}:"), plain);
    } else {
        let why = match dialog.task {
            TypedTask::Skip => "Why? The receipt of the round says it:",
            _ => "Why? Whoever is stopped by it reads this:",
        };
        page.text(3, why, plain);
    }
    let width = wanted.as_ref().map_or(60, |wanted| wanted.len().max(20));
    let width = u16::try_from(width).unwrap_or(60).min(page.area.width.saturating_sub(6));
    let mut cursor = draw_line(page, 5, width, &dialog.typed, !dialog.on_cancel);
    page.next();
    page.gap();
    let button = draw_buttons(page, 5, &[("[ Cancel ]", true)], dialog.on_cancel);
    cursor = cursor.or(button);
    page.next();
    if dialog.mistyped && wanted.is_none() {
        page.gap();
        let needed = match dialog.task {
            TypedTask::Skip => "! it is passed over with a note; it still waits",
            _ => "! a hold needs its reason; nothing is on hold yet",
        };
        page.text(3, needed, page.theme.wrong());
    } else if let Some(wanted) = wanted.filter(|_| dialog.mistyped) {
        page.gap();
        page.text(3, &format!("! that is not {wanted}; nothing was {verb}d"), page.theme.wrong());
    }
    cursor
}

fn words_of(
    model: &Model,
    dialog: &TypedDialog,
    which: &str,
) -> (String, &'static str, &'static str) {
    let first = dialog.addresses.first().and_then(|address| model.dashboard.find(address));
    match dialog.task {
        TypedTask::Delete if first.is_some_and(|credential| credential.token.is_some()) => (
            format!("Delete {which} for good?"),
            "Its token is revoked at Salesforce, then the saved IDs and the token are removed from \
             this machine. Scripts that use it stop.",
            "delete",
        ),
        TypedTask::Delete => (
            format!("Delete {which} for good?"),
            "The saved IDs are removed from this machine. There is no token to revoke.",
            "delete",
        ),
        TypedTask::Revoke => (
            format!("Revoke the token of {which} at Salesforce?"),
            "It is out of use here at once, is revoked at Salesforce, and is tried once to see that \
             it is dead. The saved IDs stay. Scripts that use it stop.",
            "revoke",
        ),
        TypedTask::Hold => (
            format!("Put {which} on hold?"),
            "Nothing is handed out, refreshed or signed in until it is released. An access token \
             that was handed out before lives on until its session ends; V revokes it.",
            "put on hold",
        ),
        TypedTask::Skip => (
            format!("Pass {which} over in this round?"),
            "Its saved IDs and any present token stay as they are. n on its row takes it back while \
             the round is open.",
            "pass over",
        ),
    }
}

/// Yes or no.
pub(super) fn draw_confirm(dialog: &ConfirmDialog, page: &mut Page<'_>) -> Option<Position> {
    page.text(1, &dialog.title, page.theme.strong());
    page.gap();
    page.text(3, &dialog.text, page.theme.plain());
    page.next();
    let yes = format!("[ {} ]", dialog.yes);
    draw_buttons(page, 5, &[("[ Cancel ]", false), (&yes, true)], dialog.on_yes)
}

/// The sealing key.
pub(super) fn draw_key(dialog: &KeyDialog, page: &mut Page<'_>) -> Option<Position> {
    let plain = page.theme.plain();
    let cursor;
    match dialog.task {
        KeyTask::Open => {
            page.text(1, "Open the sealing key", page.theme.strong());
            page.gap();
            page.text(3, "Tokens are sealed with a key that your passphrase opens.", plain);
            page.gap();
            cursor = draw_secret(page, "Passphrase", &dialog.first, true);
        }
        KeyTask::Create => {
            page.text(1, "Make the sealing key", page.theme.strong());
            page.gap();
            let text = "Tokens are sealed on this machine before they are stored. Choose a \
                        passphrase; without it nobody can open them again, you neither.";
            page.text(3, text, plain);
            page.gap();
            let (first, second) = (KeyFocus::First, KeyFocus::Second);
            let once = draw_secret(page, "Passphrase", &dialog.first, dialog.focus == first);
            let again = draw_secret(page, "Again", &dialog.second, dialog.focus == second);
            page.gap();
            let button = "[ No passphrase: a bare key file ]";
            let pressed = draw_buttons(page, 5, &[(button, KeyFocus::Bare)], dialog.focus);
            cursor = once.or(again).or(pressed);
            page.next();
            let text = "for unattended hosts: whoever can read the file can open the tokens";
            page.text(5, text, page.theme.dim());
        }
    }
    page.gap();
    if dialog.working {
        page.text(3, "working, a second or two", page.theme.strong());
    }
    if let Some(problem) = &dialog.problem {
        page.text(3, &format!("! {problem}"), page.theme.wrong());
    }
    cursor
}

/// A line that shows one star for each character.
pub(super) fn draw_secret(
    page: &mut Page<'_>,
    label: &str,
    field: &SecretField,
    focused: bool,
) -> Option<Position> {
    let (left, at) = if page.area.width < 60 { (1, 15) } else { (3, 18) };
    let width = page.area.width.saturating_sub(at + 1).min(40);
    let style = if focused { page.theme.strong() } else { page.theme.plain() };
    page.put(left, label, style);
    page.put(at, &"_".repeat(usize::from(width)), page.theme.dim());
    let stars = "*".repeat(field.length().min(usize::from(width)));
    let x = page.put(at, &stars, page.theme.plain());
    let cursor = focused.then(|| page.position(x));
    page.next();
    cursor
}

/// What can be copied.
pub(super) fn draw_copies(model: &Model, address: &Address, page: &mut Page<'_>) {
    page.text(1, &format!("Copy from {address}"), page.theme.strong());
    page.gap();
    let Some(credential) = model.dashboard.find(address) else { return };
    for (key, what, value) in copies(&credential) {
        page.put(3, &key.to_string(), page.theme.strong());
        page.put(6, what, page.theme.plain());
        page.line(if page.area.width < 60 { 20 } else { 28 }, &value, page.theme.plain());
    }
    page.gap();
    let text =
        "It is sent to your own terminal's clipboard (OSC 52). Tokens are never copied here.";
    page.text(1, text, page.theme.dim());
}
