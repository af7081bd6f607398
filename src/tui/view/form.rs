//! The form of new credentials and of Reset.

use ratatui::layout::Position;

use crate::engine::outcome::Field;
use crate::tui::model::Model;
use crate::tui::model::check::{Finding, hint, label};
use crate::tui::model::field::LineField;
use crate::tui::model::form::{Focus, Form, ORDER};
use crate::tui::view::dashboard::draw_demo_account;
use crate::tui::view::page::Page;

/// Draws the form; answers the cursor.
pub(super) fn draw(model: &Model, form: &Form, page: &mut Page<'_>) -> Option<Position> {
    match &form.editing {
        None => page.line(1, "New OAuth credentials", page.theme.strong()),
        Some(address) => {
            let x = page.put(1, "Reset", page.theme.strong());
            // The box chooses which of the two sets is edited.
            let shown = format!("{}/{}", address.name, form.environment());
            page.line(x + 1, &shown, page.theme.strong());
        }
    }
    page.gap();
    let mut cursor = None;
    for focus in ORDER.into_iter().skip(first_shown(form, page.area.height)) {
        match focus {
            Focus::Field(Field::Environment) => {
                if form.focus == focus {
                    cursor = Some(page.position(page.area.x + indent(page) + 1));
                }
                draw_box(form, page);
            }
            Focus::Field(field) => {
                cursor = cursor.or(draw_field(model, form, field, page));
            }
            Focus::Save | Focus::Cancel => {}
        }
    }
    page.gap();
    let at = indent(page).max(2);
    let buttons = [("[ Save ]", Focus::Save), ("[ Cancel ]", Focus::Cancel)];
    cursor = cursor.or(draw_buttons(page, at, &buttons, form.focus));
    if form.saving > 0 {
        page.put(at + 24, "saving", page.theme.plain());
    }
    page.next();
    page.gap();
    draw_remarks(form, page);
    draw_demo_accounts(model, page);
    cursor
}

/// In the demo, what there is to type; as far as there is room.
fn draw_demo_accounts(model: &Model, page: &mut Page<'_>) {
    for (place, account) in model.demo_accounts.iter().enumerate() {
        let rows = if place == 0 { 3 } else { 2 };
        if page.rows_left() < rows {
            return;
        }
        if place == 0 {
            page.line(1, "The demo's accounts:", page.theme.dim());
        }
        draw_demo_account(account, page);
    }
}

/// On a low screen the form begins just above the focused field, so that what is said of it has
/// room.
fn first_shown(form: &Form, height: u16) -> usize {
    let place = ORDER.iter().position(|focus| *focus == form.focus).unwrap_or(0);
    if height >= 16 { 0 } else { place.saturating_sub(1).min(ORDER.len() - 3) }
}

/// Buttons side by side; answers the cursor of the focused one.
pub(super) fn draw_buttons<F: PartialEq + Copy>(
    page: &mut Page<'_>,
    mut x: u16,
    buttons: &[(&str, F)],
    focus: F,
) -> Option<Position> {
    let mut cursor = None;
    for (text, target) in buttons {
        let focused = *target == focus;
        let style = if focused { page.theme.strong() } else { page.theme.plain() };
        if focused {
            page.put(x.saturating_sub(2), ">", page.theme.plain());
            cursor = Some(page.position(x + 2));
        }
        x = page.put(x, text, style) + 3;
    }
    cursor
}

fn indent(page: &Page<'_>) -> u16 {
    if page.area.width < 60 { 1 } else { 3 }
}

/// Columns from the label to the value.
fn value_at(page: &Page<'_>) -> u16 {
    indent(page) + if page.area.width < 60 { 11 } else { 12 }
}

fn draw_field(model: &Model, form: &Form, field: Field, page: &mut Page<'_>) -> Option<Position> {
    let line = match field {
        Field::Name => &form.name,
        Field::OrgId => &form.values.org_id,
        Field::UserId => &form.values.user_id,
        Field::Username => &form.values.username,
        Field::LoginUrl => &form.values.login_url,
        Field::App => &form.values.app,
        _ => &form.values.tags,
    };
    let focused = form.focus == Focus::Field(field);
    let finding = form.finding(field, &model.policy);
    let (at, value) = (indent(page), value_at(page));
    let width = (page.area.width.saturating_sub(value + 1)).min(48);
    page.put(at, label(field), if focused { page.theme.strong() } else { page.theme.plain() });
    let cursor = draw_line(page, value, width, line, focused);
    if matches!(finding, Finding::Wrong(_)) && !focused {
        page.put(value.saturating_sub(2), "!", page.theme.wrong());
    }
    let beside = value + width + 2;
    let optional = matches!(field, Field::Username | Field::LoginUrl | Field::Tags);
    if optional && line.value().is_empty() && !focused {
        page.put(beside, "optional", page.theme.dim());
    }
    page.next();
    match &finding {
        Finding::Good(text) if !text.is_empty() => page.text(value, text, page.theme.plain()),
        Finding::Wrong(why) if focused => {
            page.text(value, &format!("! {why}"), page.theme.wrong());
        }
        _ => {}
    }
    if focused {
        page.text(value, hint(field), page.theme.dim());
    }
    cursor
}

/// A line to type into, on underscores; answers the cursor where it is focused.
pub(super) fn draw_line(
    page: &mut Page<'_>,
    x: u16,
    width: u16,
    line: &LineField,
    focused: bool,
) -> Option<Position> {
    let (cursor, shown) = line.visible(usize::from(width));
    page.put(x, &"_".repeat(usize::from(width)), page.theme.dim());
    page.put_within(x, x + width, &shown, page.theme.plain());
    focused.then(|| page.position(x + u16::try_from(cursor).unwrap_or(width)))
}

fn draw_box(form: &Form, page: &mut Page<'_>) {
    let at = indent(page);
    let focused = form.focus == Focus::Field(Field::Environment);
    let tick = if form.sandbox { "[x]" } else { "[ ]" };
    let style = if focused { page.theme.strong() } else { page.theme.plain() };
    let x = page.put(at, tick, style);
    page.line(x + 1, label(Field::Environment), style);
    if focused {
        page.text(value_at(page), hint(Field::Environment), page.theme.dim());
    }
}

fn draw_remarks(form: &Form, page: &mut Page<'_>) {
    if let Some(remark) = &form.remark {
        page.text(1, remark, page.theme.strong());
    } else if form.stages_an_edit() {
        let text = "A change of Org ID or User ID needs a new token; the present one is kept and \
                    works until the new one has passed its test.";
        page.text(1, text, page.theme.plain());
    } else if form.editing.is_some() {
        let text = "Nothing is cleared: what you leave alone stays, and so does the token.";
        page.text(1, text, page.theme.dim());
    } else {
        let text = "Paste any address of the org into a field: its IDs and My Domain are taken. \
                    IDs not at hand? orgkey setup NAME --discover signs in first and tells them.";
        page.text(1, text, page.theme.dim());
    }
}
