//! The apps: their list, the form of one, and what was found out about it.

use ratatui::layout::Position;

use crate::domain::app::AppOrigin;
use crate::domain::guide;
use crate::domain::host::LoginUrl;
use crate::engine::outcome::{AppReport, Field};
use crate::tui::model::Model;
use crate::tui::model::apps::{APP_ORDER, AppFocus, AppForm, AppsScreen};
use crate::tui::model::check::{Finding, hint, label};
use crate::tui::view::dialog::draw_secret;
use crate::tui::view::form::{draw_buttons, draw_line};
use crate::tui::view::page::Page;

/// The list; answers the cursor.
pub(super) fn draw_list(
    model: &Model,
    screen: &AppsScreen,
    page: &mut Page<'_>,
) -> Option<Position> {
    page.line(1, "Apps: the OAuth clients of your orgs", page.theme.strong());
    page.gap();
    let apps = match model.apps.as_deref() {
        None => {
            page.text(3, "reading the store", page.theme.dim());
            return None;
        }
        Some([]) => {
            draw_first_steps(page);
            return None;
        }
        Some(apps) => apps,
    };
    let wide = page.area.width >= 60;
    let mut cursor = None;
    let rows = usize::from(page.rows_left().saturating_sub(6)).max(1);
    let place = screen.cursor.min(apps.len() - 1);
    let top = (place + 1).saturating_sub(rows);
    for (index, app) in apps.iter().enumerate().skip(top).take(rows) {
        if index == place {
            page.put(1, ">", page.theme.plain());
            cursor = Some(page.position(1));
        }
        page.put_within(3, 19, &app.name, page.theme.plain());
        if wide {
            page.put_within(20, 46, &app.client_id, page.theme.plain());
            page.put(47, if app.has_secret { "secret" } else { "no secret" }, page.theme.plain());
            page.put(58, &app.scopes.join(" "), page.theme.plain());
        }
        page.next();
    }
    if let Some(app) = apps.get(place) {
        page.gap();
        let origin = match app.origin {
            AppOrigin::Config => "kept in config.toml",
            AppOrigin::Store => "kept here",
        };
        page.text(3, &format!("{}  {origin}", app.redirect_uris.join("  ")), page.theme.dim());
    }
    // What a key here led to is said here.
    if let Some(notice) = model.notices.newest() {
        page.gap();
        page.text(1, &notice.text, page.theme.tone(notice.tone));
        page.text(1, &notice.remedy, page.theme.plain());
    }
    cursor
}

/// How an app is made in Salesforce.
fn draw_first_steps(page: &mut Page<'_>) {
    let steps = [
        "There is none yet. In Salesforce, its admin makes one:",
        "Setup > External Client App Manager > New External Client App",
        "Callback URL: https://login.salesforce.com/services/oauth2/success",
        "OAuth Scopes: api, refresh_token, id. Require PKCE.",
        "Then copy its Consumer Key and press n here.",
        "",
        "g shows the same step by step, with all that is to tick.",
    ];
    for step in steps {
        page.text(3, step, page.theme.plain());
    }
}

/// The same step by step.
pub(super) fn draw_guide(model: &Model, login_url: &LoginUrl, top: usize, page: &mut Page<'_>) {
    page.line(1, "An app of your own, in Salesforce", page.theme.strong());
    page.gap();
    let steps = (1..).zip(guide::steps(login_url)).flat_map(|(number, step)| {
        let title = (1, format!("{number}. {}", step.title));
        std::iter::once(title).chain(step.lines.into_iter().map(|line| (4, line)))
    });
    let after = [
        (
            1,
            "Then n here takes the Consumer Key, and t asks Salesforce whether it knows it.".into(),
        ),
        (1, "A new app takes up to 10 minutes.".into()),
    ];
    let rows: Vec<(u16, String)> = steps.chain(after).collect();
    let top = top.min(rows.len().saturating_sub(1));
    for (x, text) in rows.into_iter().skip(top) {
        let style = if x == 1 { page.theme.strong() } else { page.theme.plain() };
        page.text(x, &text, style);
    }
    if let Some(notice) = model.notices.newest().filter(|_| page.rows_left() > 1) {
        page.text(1, &notice.text, page.theme.tone(notice.tone));
    }
}

/// The form of one app; answers the cursor.
pub(super) fn draw_form(form: &AppForm, page: &mut Page<'_>) -> Option<Position> {
    let title = match &form.editing {
        None => "New app".to_owned(),
        Some(app) => format!("Edit the app '{}'", app.name),
    };
    page.line(1, &title, page.theme.strong());
    page.gap();
    if let Some(remark) = &form.remark {
        page.text(1, remark, page.theme.strong());
        page.gap();
    }
    let low = page.area.height < 16;
    let place = APP_ORDER.iter().position(|focus| *focus == form.focus).unwrap_or(0);
    let skip = if low { place.saturating_sub(2).min(3) } else { 0 };
    let mut cursor = None;
    for focus in APP_ORDER.into_iter().skip(skip) {
        match focus {
            AppFocus::Field(field) => cursor = cursor.or(draw_field(form, field, page)),
            AppFocus::Secret => cursor = cursor.or(draw_secret_field(form, page)),
            AppFocus::Save | AppFocus::Cancel => {}
        }
    }
    page.gap();
    let buttons = [("[ Save ]", AppFocus::Save), ("[ Cancel ]", AppFocus::Cancel)];
    cursor = cursor.or(draw_buttons(page, 3, &buttons, form.focus));
    if form.saving {
        page.put(27, "saving", page.theme.plain());
    }
    cursor
}

fn draw_field(form: &AppForm, field: Field, page: &mut Page<'_>) -> Option<Position> {
    let line = match field {
        Field::Name => &form.name,
        Field::ClientId => &form.client_id,
        Field::RedirectUri => &form.redirect_uris,
        _ => &form.scopes,
    };
    let focused = form.focus == AppFocus::Field(field);
    let (at, value) = if page.area.width < 60 { (1, 15) } else { (3, 18) };
    let width = page.area.width.saturating_sub(value + 1).min(58);
    page.put(at, label(field), if focused { page.theme.strong() } else { page.theme.plain() });
    let cursor = if field == Field::Name && form.editing.is_some() {
        page.put(value, line.value(), page.theme.plain());
        None
    } else {
        draw_line(page, value, width, line, focused)
    };
    let finding = form.finding(field);
    if matches!(finding, Finding::Wrong(_)) && !focused {
        page.put(value - 2, "!", page.theme.wrong());
    }
    page.next();
    if focused {
        if let Finding::Wrong(why) = finding {
            page.text(value, &format!("! {why}"), page.theme.wrong());
        }
        let text = if field == Field::Name { "what credentials call it" } else { hint(field) };
        page.text(value, text, page.theme.dim());
    }
    cursor
}

fn draw_secret_field(form: &AppForm, page: &mut Page<'_>) -> Option<Position> {
    let focused = form.focus == AppFocus::Secret;
    let cursor = draw_secret(page, "Secret", &form.secret, focused);
    if focused {
        let kept = form.editing.as_ref().is_some_and(|app| app.has_secret);
        let text = if kept {
            "empty keeps the present one; it is sealed and never shown"
        } else {
            "Consumer Secret, where the app has one; it is sealed and never shown"
        };
        page.text(if page.area.width < 60 { 15 } else { 18 }, text, page.theme.dim());
    }
    cursor
}

/// What was found out about an app.
pub(super) fn draw_report(report: &AppReport, top: usize, page: &mut Page<'_>) {
    page.line(1, &format!("The app '{}'", report.app.name), page.theme.strong());
    page.gap();
    let top = top.min(report.findings.len().saturating_sub(1));
    for finding in report.findings.iter().skip(top) {
        let (mark, style) =
            if finding.good { ("+", page.theme.plain()) } else { ("!", page.theme.wrong()) };
        page.put(1, mark, style);
        page.text(3, &finding.message, style);
        if !finding.remedy.is_empty() {
            page.text(5, &finding.remedy, page.theme.plain());
        }
    }
}
