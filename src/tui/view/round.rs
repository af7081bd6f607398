//! What a round can be begun with, and its worklist.

use ratatui::layout::Position;

use crate::domain::name::Environment;
use crate::domain::round::{Round, RoundItem, RoundItemState, RoundPurpose};
use crate::tui::model::Model;
use crate::tui::model::notice::grouped;
use crate::tui::model::round::RoundStart;
use crate::tui::view::page::Page;
use crate::tui::view::words;

/// What a round can be begun with; answers the cursor.
pub(super) fn draw_start(
    model: &Model,
    start: &RoundStart,
    page: &mut Page<'_>,
) -> Option<Position> {
    let (plain, dim) = (page.theme.plain(), page.theme.dim());
    page.text(1, "Begin a round: many sign-ins, one after another", page.theme.strong());
    page.gap();
    page.line(3, &format!("of: {}", start.chosen_by), plain);
    page.gap();
    let mut cursor = None;
    for (place, (purpose, addresses)) in start.choices.iter().enumerate() {
        if place == start.cursor {
            page.put(1, ">", plain);
            cursor = Some(page.position(1));
        }
        let which = match purpose {
            RoundPurpose::Setup => "whose token does not work",
            RoundPurpose::Rotate => "whose token works; what needs nobody runs by itself",
        };
        page.put(3, purpose.in_words(), page.theme.strong());
        let count = grouped(u64::try_from(addresses.len()).unwrap_or(u64::MAX));
        page.text(11, &format!("{count} {which}"), if addresses.is_empty() { dim } else { plain });
    }
    page.gap();
    let text = "Each address goes to your clipboard: sign in, paste the answer, and the next one \
                follows. n passes one over with a note. Esc leaves the round open: Q goes on with \
                it, in any session.";
    page.text(3, text, plain);
    if let Some(last) = model.round.round.as_ref().filter(|round| !round.is_open()) {
        page.gap();
        let counts = last.counts();
        let text = format!(
            "The last one, to {}: {} of {} have a new token. l shows its receipt.",
            last.facts.purpose.in_words(),
            counts.refreshed + counts.signed_in,
            last.items.len()
        );
        page.text(3, &text, dim);
    }
    cursor
}

/// The worklist of the open round, or the receipt of the last; answers the cursor.
pub(super) fn draw(model: &Model, page: &mut Page<'_>) -> Option<Position> {
    let Some(round) = &model.round.round else {
        page.text(1, "there was no round yet", page.theme.plain());
        return None;
    };
    draw_head(model, round, page);
    page.gap();
    let below = if model.notices.newest().is_some() { 3 } else { 0 };
    let rows = usize::from(page.rows_left().saturating_sub(below)).max(1);
    let place = model.round.cursor;
    let top = (place + 1).saturating_sub(rows);
    let mut cursor = None;
    for (index, item) in round.items.iter().enumerate().skip(top).take(rows) {
        if index == place {
            page.put(1, ">", page.theme.plain());
            cursor = Some(page.position(1));
        }
        draw_item(model, item, page);
    }
    if let Some(notice) = model.notices.newest().filter(|_| page.rows_left() > 1) {
        page.gap();
        page.text(1, &notice.text, page.theme.tone(notice.tone));
        page.text(1, &notice.remedy, page.theme.plain());
    }
    cursor
}

fn draw_head(model: &Model, round: &Round, page: &mut Page<'_>) {
    let counts = round.counts();
    let title = format!("Round to {}", round.facts.purpose.in_words());
    let x = page.put(1, &title, page.theme.strong()) + 2;
    let settled = format!("{} of {}", counts.settled(), round.items.len());
    let x = page.put(x, &settled, page.theme.strong()) + 2;
    let word = if round.is_open() { "" } else { "ended" };
    page.put(x, word, page.theme.strong());
    if page.area.width >= 60 {
        let by = words::day_or_clock(round.facts.started_at, model.now, &model.zone);
        page.put_right(&format!("{}, begun {by}", round.facts.chosen_by), page.theme.dim());
    }
    page.next();
    let left = if round.is_open() { "left" } else { "left undone" };
    let parts = [
        (counts.refreshed, "refreshed"),
        (counts.signed_in, "signed in"),
        (counts.skipped, "passed over"),
        (counts.on_hold, "on hold"),
        (counts.deleted, "deleted"),
        (counts.waiting, left),
        (counts.draining, "draining"),
        (counts.owed, "owed to be revoked"),
    ];
    let told = parts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<_> = told.map(|(count, words)| format!("{count} {words}")).collect();
    page.text(3, &told.join(", "), page.theme.plain());
}

/// Whether its address is out, and its answer may come.
fn is_begun(model: &Model, item: &RoundItem) -> bool {
    let credential = model.dashboard.find(&item.address);
    credential.is_some_and(|credential| credential.pending_authorization(model.now).is_some())
}

fn draw_item(model: &Model, item: &RoundItem, page: &mut Page<'_>) {
    let plain = page.theme.plain();
    let width = page.area.width;
    let name = item.address.name.as_str();
    let word = match item.address.environment {
        Environment::Production => "PROD",
        Environment::Sandbox if width < 60 => "sbx",
        Environment::Sandbox => "sandbox",
    };
    let environment = page.theme.environment(item.address.environment);
    let (name_end, state) = if width < 60 { (19, 25) } else { (22, 31) };
    page.put_within(3, name_end, name, plain);
    page.put_within(name_end + 1, state, word, environment);
    let mut x = state;
    if width >= 60 {
        x = state + 25;
        page.put_within(state, x - 1, &item.user, plain);
    }
    let ago =
        || item.at.map(|at| words::day_or_clock(at, model.now, &model.zone)).unwrap_or_default();
    let doing = model.doing(&item.address);
    let (words, style) = match item.state {
        RoundItemState::Waiting if model.round.open().is_none() => (". left undone".into(), plain),
        RoundItemState::Waiting => match doing {
            Some(doing) => (format!("* {doing}"), plain),
            None if item.is_unattended => (". needs nobody".into(), plain),
            None if is_begun(model, item) => ("* sign-in begun".into(), plain),
            None => (". waits".into(), plain),
        },
        RoundItemState::Refreshed => (format!("+ refreshed {}", ago()), page.theme.dim()),
        RoundItemState::SignedIn => (format!("+ signed in {}", ago()), page.theme.dim()),
        RoundItemState::Skipped => (format!("- {}", item.note), page.theme.dim()),
        RoundItemState::OnHold => ("! on hold".into(), page.theme.wrong()),
        RoundItemState::Deleted => ("- deleted".into(), page.theme.dim()),
    };
    page.line(x, &words, style);
}
