//! Pages to read: the keys, the checks of a credential, what was said so far.

use crate::domain::audit::HistoryEntry;
use crate::domain::credential::CheckKind;
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

/// What happened to a credential, newest first.
pub(super) fn draw_history(
    model: &Model,
    address: &Address,
    entries: Option<&[HistoryEntry]>,
    top: usize,
    page: &mut Page<'_>,
) {
    page.line(1, &format!("History of {address}"), page.theme.strong());
    page.gap();
    let Some(entries) = entries else {
        page.text(3, "reading the store", page.theme.dim());
        return;
    };
    if entries.is_empty() {
        page.text(
            3,
            "nothing happened yet: t tests access once there is a token",
            page.theme.plain(),
        );
    }
    let top = top.min(entries.len().saturating_sub(1));
    let narrow = page.area.width < 60;
    for entry in entries.iter().skip(top) {
        if page.rows_left() == 0 {
            break;
        }
        let at = words::day_and_clock(entry.at(), model.now, &model.zone);
        page.put(1, &at, page.theme.dim());
        let (what, text) = entry_in_words(entry);
        page.put(15, &what, page.theme.plain());
        if narrow && !text.is_empty() {
            page.next();
        }
        page.text(if narrow { 3 } else { 36 }, &text, page.theme.plain());
    }
}

/// What happened, and its particulars: who, why, what exactly.
fn entry_in_words(entry: &HistoryEntry) -> (String, String) {
    match entry {
        HistoryEntry::Check(check) => {
            let kind = match check.kind {
                CheckKind::Test => "test",
                CheckKind::Refresh => "refresh",
                CheckKind::SignIn => "sign-in",
            };
            let text = format!("{} ({})", check.message, panel::took(check.latency_ms));
            (kind.to_owned(), text)
        }
        HistoryEntry::Audit { row, who } => {
            let parts = [who.as_str(), &row.reason, &row.detail];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            (row.words(), parts.join("; "))
        }
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
