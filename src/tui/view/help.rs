//! Pages to read: the keys, the checks of a credential, what was said so far.

use crate::domain::credential::{Check, CheckKind};
use crate::domain::name::Address;
use crate::tui::keymap::HELP;
use crate::tui::model::Model;
use crate::tui::view::page::Page;
use crate::tui::view::{panel, words};

/// The keys.
pub(super) fn draw_keys(top: usize, page: &mut Page<'_>) {
    page.put(1, "Keys", page.theme.strong());
    let narrow = page.area.width < 60;
    if HELP.len() + 2 > usize::from(page.area.height) {
        page.put(7, "j shows more", page.theme.plain());
    }
    page.next();
    page.gap();
    let top = top.min(HELP.len().saturating_sub(1));
    for (keys, meaning) in HELP.iter().skip(top) {
        page.put(if narrow { 1 } else { 3 }, keys, page.theme.strong());
        page.text(if narrow { 14 } else { 19 }, meaning, page.theme.plain());
    }
}

/// The checks of a credential, newest first.
pub(super) fn draw_history(
    model: &Model,
    address: &Address,
    checks: Option<&[Check]>,
    top: usize,
    page: &mut Page<'_>,
) {
    page.line(1, &format!("History of {address}"), page.theme.strong());
    page.gap();
    let Some(checks) = checks else {
        page.text(3, "reading the store", page.theme.dim());
        return;
    };
    if checks.is_empty() {
        page.text(3, "no check yet: t tests access once there is a token", page.theme.plain());
    }
    let top = top.min(checks.len().saturating_sub(1));
    let narrow = page.area.width < 60;
    for check in checks.iter().skip(top) {
        let kind = match check.kind {
            CheckKind::Test => "test",
            CheckKind::Refresh => "refresh",
            CheckKind::SignIn => "sign-in",
        };
        let at = words::day_and_clock(check.at, model.now, &model.zone);
        page.put(1, &at, page.theme.dim());
        page.put(15, kind, page.theme.plain());
        let text = format!("{} ({})", check.message, panel::took(check.latency_ms));
        if narrow {
            page.next();
        }
        page.text(if narrow { 3 } else { 24 }, &text, page.theme.plain());
    }
}

/// What was said so far, newest first.
pub(super) fn draw_messages(model: &Model, top: usize, page: &mut Page<'_>) {
    page.line(1, "Messages", page.theme.strong());
    page.gap();
    let count = model.notices.all().count();
    if count == 0 {
        page.text(3, "nothing was said yet", page.theme.plain());
    }
    for notice in model.notices.all().skip(top.min(count.saturating_sub(1))) {
        let at = words::day_and_clock(notice.at, model.now, &model.zone);
        let x = page.put(1, &at, page.theme.dim()) + 1;
        page.text(x, &notice.text, page.theme.tone(notice.tone));
        if !notice.remedy.is_empty() {
            page.text(x, &notice.remedy, page.theme.plain());
        }
    }
}
