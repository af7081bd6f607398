//! The list of credentials with its header, panel, notice and keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Position;

use crate::domain::credential::Credential;
use crate::domain::name::Environment;
use crate::engine::Operation;
use crate::engine::outcome::KeyProtection;
use crate::tui::DemoAccount;
use crate::tui::model::Model;
use crate::tui::model::geometry::{Geometry, Shape};
use crate::tui::model::notice::grouped;
use crate::tui::view::page::Page;
use crate::tui::view::{bar, panel, words};

/// Ends a notice that has no room.
const ALL_OF_IT: &str = "(all of it: m)";

/// Where the columns begin.
struct Columns {
    /// Environment.
    environment: u16,
    /// Mark and word of the state.
    state: u16,
    /// When it was tested; 0 where there is no room.
    tested: u16,
    /// What else is worth saying.
    note: u16,
}

impl Columns {
    fn of(shape: Shape, width: u16) -> Self {
        if shape == Shape::Compact {
            let environment = width.saturating_sub(22).max(17);
            let state = environment + 5;
            return Self { environment, state, tested: 0, note: width };
        }
        let environment = 3 + width.saturating_sub(62).clamp(17, 30);
        let state = environment + 9;
        Self { environment, state, tested: state + 16, note: state + 27 }
    }
}

/// Draws the list screen; answers where the terminal's cursor stands.
pub(super) fn draw(model: &Model, buffer: &mut Buffer) -> Option<Position> {
    let geometry = model.geometry();
    draw_header(model, &geometry, &mut Page::new(buffer, geometry.header, model.look));
    if model.bar {
        bar::draw(model, &mut Page::new(buffer, geometry.bar, model.look));
    }
    let typing = draw_notice(model, &mut Page::new(buffer, geometry.notice, model.look));
    if !model.dashboard.is_loaded() {
        let mut page = Page::new(buffer, geometry.list, model.look);
        page.line(1, reading_in_words(model), page.theme.dim());
        return None;
    }
    if model.dashboard.len() == 0 {
        // Nothing is selected, so that the panel's room is free too.
        let area = geometry.list.union(geometry.panel);
        draw_empty(model, &mut Page::new(buffer, area, model.look));
        return None;
    }
    let columns = Columns::of(geometry.shape, geometry.list.width);
    draw_titles(model, &columns, &mut Page::new(buffer, geometry.titles, model.look));
    let mut page = Page::new(buffer, geometry.list, model.look);
    let mut cursor = None;
    for (under_cursor, credential) in model.dashboard.on_screen() {
        if under_cursor {
            page.put(1, ">", page.theme.plain());
            cursor = Some(page.position(1));
        }
        draw_row(model, &credential, &columns, &mut page);
    }
    if model.dashboard.shown() == 0 {
        let whole = model.dashboard.is_whole();
        let filtered = "nothing passes the filter; Esc shows all";
        let text = if whole { filtered } else { reading_in_words(model) };
        page.line(3, text, page.theme.plain());
    }
    if let Some(credential) = model.dashboard.rested() {
        let mut page = Page::new(buffer, geometry.panel, model.look);
        if geometry.shape == Shape::Compact {
            panel::draw_line(model, &credential, &mut page);
        } else {
            panel::draw(model, &credential, &mut page);
        }
    }
    typing.or(cursor)
}

fn draw_header(model: &Model, geometry: &Geometry, page: &mut Page<'_>) {
    let compact = geometry.shape == Shape::Compact;
    let (strong, plain) = (page.theme.strong(), page.theme.plain());
    let mut x = page.put(1, "orgkey", strong) + 2;
    if let Some(standing) = standing_in_words(model) {
        x = page.put(x, standing, strong) + 2;
    }
    if model.owed > 0 {
        let noun = if model.owed == 1 { "revocation" } else { "revocations" };
        let roomy = page.area.width >= 100;
        let words = if roomy { &format!("{noun} owed") } else { "owed" };
        x = page.put(x, &format!("{} {words}", count_in_words(model.owed)), strong) + 2;
    }
    if let Some(round) = model.round.open().filter(|_| !compact) {
        let words = format!("round {} of {}", round.counts().settled(), round.items.len());
        x = page.put(x, &words, strong) + 2;
    }
    let counts = model.dashboard.counts();
    let all = counts.all;
    if !model.dashboard.is_loaded() {
        return;
    }
    if !model.dashboard.is_whole() {
        // Nothing is counted before everything is known.
        x = page.put(x, reading_in_words(model), plain);
    } else if all == 0 {
        x = page.put(x + 1, "no credentials yet", plain);
    } else if model.dashboard.is_filtered() {
        let shown = model.dashboard.shown();
        x = page.put(
            x,
            &format!("{} of {} shown", count_in_words(shown), count_in_words(all)),
            strong,
        ) + 2;
        if model.dashboard.problems_only {
            x = page.put(x, "problems only", plain) + 2;
        }
        x = page.put(x, model.dashboard.typed.value(), plain) + 2;
        x = page.put(x, "Esc shows all", page.theme.dim());
    } else {
        if !compact {
            let noun = if all == 1 { "credential" } else { "credentials" };
            x = page.put(x, &format!("{} {noun}", count_in_words(all)), plain) + 2;
        }
        let parts = [
            (counts.ready, if compact { "ok" } else { "ready" }, plain),
            (counts.untested, "untested", plain),
            (counts.need_you, if counts.need_you == 1 { "needs you" } else { "need you" }, strong),
            (counts.unreachable, if compact { "down" } else { "unreachable" }, plain),
        ];
        for (count, word, style) in parts.into_iter().filter(|(count, ..)| *count > 0) {
            x = page.put(x, &format!("{} {word}", count_in_words(count)), style) + 2;
        }
        let left = model.jobs.tests_left();
        if left > 0 && !compact {
            x = page.put(x, &format!("testing {left}"), plain);
        }
    }
    if !compact {
        draw_key(model, geometry, x, page);
    }
}

/// The key, and on wide screens that the agent does not outlive the last session, where that leaves
/// what stands before `taken`.
fn draw_key(model: &Model, geometry: &Geometry, taken: u16, page: &mut Page<'_>) {
    let key = key_in_words(model);
    let ends = model.agent.is_some_and(|agent| agent.outlives_sessions() == Some(false));
    if ends && geometry.shape == Shape::Side {
        let words = format!("agent ends with your last session  {key}");
        if usize::from(taken) + words.len() + 2 <= usize::from(geometry.header.width) {
            page.put_right(&words, page.theme.plain());
            return;
        }
    }
    page.put_right(&key, page.theme.plain());
}

/// That the store may be a copy, or was moved: it stays on screen until it is answered.
fn standing_in_words(model: &Model) -> Option<&'static str> {
    match (&model.standing.moved, model.standing.question) {
        (Some(_), _) => Some("moved"),
        (None, Some(_)) => Some("a copy?"),
        (None, None) => None,
    }
}

/// What is said while the list is not there, or only its first rows are.
fn reading_in_words(model: &Model) -> &'static str {
    let reading = model.jobs.asking(&Operation::Index).is_some();
    match (reading, model.dashboard.is_loaded()) {
        (true, false) => "reading the store",
        (true, true) => "reading the rest of the list",
        (false, false) => "the store could not be read",
        (false, true) => "the rest could not be read",
    }
}

fn count_in_words(count: usize) -> String {
    grouped(u64::try_from(count).unwrap_or(u64::MAX))
}

fn key_in_words(model: &Model) -> String {
    let words = match model.key {
        None => "",
        Some((KeyProtection::Missing, _)) => "no key yet",
        Some((KeyProtection::Bare, _)) => "key: bare file",
        Some((KeyProtection::Passphrase, true)) => match model.key_until {
            Some(until) => return format!("key open to {}", until.clock(&model.zone)),
            None => "key open",
        },
        Some((KeyProtection::Passphrase, false)) => "key locked",
    };
    words.to_owned()
}

fn draw_titles(model: &Model, columns: &Columns, page: &mut Page<'_>) {
    let dim = page.theme.dim();
    page.put(3, "Name", dim);
    page.put(columns.environment, "Env", dim);
    page.put(columns.state, "State", dim);
    page.put(columns.tested, "Tested", dim);
    let (above, below) = model.dashboard.off_screen();
    let marked = model.dashboard.marked.len();
    let text = match (marked, above, below) {
        (0, 0, 0) => return,
        (0, ..) if !model.dashboard.is_whole() => return,
        (0, above, below) => {
            format!("{} above, {} below", count_in_words(above), count_in_words(below))
        }
        (marked, ..) => format!("{marked} marked"),
    };
    page.put_right(&text, page.theme.plain());
}

fn draw_row(model: &Model, credential: &Credential, columns: &Columns, page: &mut Page<'_>) {
    let theme = page.theme;
    let (now, zone) = (model.now, &model.zone);
    let style = if credential.in_use { theme.plain() } else { theme.dim() };
    if model.dashboard.marked.contains(&credential.address) {
        page.put(2, "*", theme.strong());
    }
    let name = credential.address.name.as_str();
    page.put_within(3, columns.environment - 1, name, style);
    let environment = match (credential.address.environment, columns.tested) {
        (Environment::Production, _) => "PROD",
        (Environment::Sandbox, 0) => "sbx",
        (Environment::Sandbox, _) => "sandbox",
    };
    page.put(columns.environment, environment, theme.environment(credential.address.environment));
    let state = credential.state(now);
    let shown = format!("{} {}", state.mark(), state.words());
    let doing = model.doing(&credential.address);
    match doing {
        Some(doing) if columns.tested == 0 => {
            page.put(columns.state, &format!("{} {doing}", state.mark()), theme.plain());
        }
        _ => {
            page.put(columns.state, &shown, theme.state(state));
        }
    }
    if columns.tested > 0 {
        let tested = credential.last_test.as_ref();
        let tested = tested.map(|test| words::day_or_clock(test.at, now, zone));
        page.put(columns.tested, tested.as_deref().unwrap_or("-"), style);
        let note = words::row_note(credential, now, zone);
        page.put(columns.note, doing.unwrap_or(&note), theme.plain());
    }
    page.next();
}

/// What was said last, or the line of the filter; answers the cursor of the latter.
fn draw_notice(model: &Model, page: &mut Page<'_>) -> Option<Position> {
    if model.dashboard.typing {
        let room = usize::from(page.area.width.saturating_sub(4));
        let (cursor, shown) = model.dashboard.typed.visible(room);
        page.put(1, "/", page.theme.strong());
        page.put(3, &shown, page.theme.plain());
        let position = page.position(3 + u16::try_from(cursor).unwrap_or(u16::MAX - 3));
        page.next();
        let help = "words, env:prod state:ready user: org: app: tag: due:7d overdue  !word is not";
        page.put(3, help, page.theme.dim());
        return Some(position);
    }
    let notice = model.notices.newest()?;
    let clock = words::day_and_clock(notice.at, model.now, &model.zone);
    let x = page.put(1, &clock, page.theme.dim()) + 1;
    let style = page.theme.tone(notice.tone);
    let room = usize::from(page.area.width.saturating_sub(x + 1)).max(1);
    if model.geometry().shape == Shape::Compact && !notice.remedy.is_empty() {
        page.line(x, &notice.text, style);
        page.put(x, &notice.remedy, page.theme.plain());
        return None;
    }
    let mut rows = super::page::wrap(&notice.text, room).into_iter();
    page.line(x, &rows.next().unwrap_or_default(), style);
    let rest = rows.collect::<Vec<_>>().join(" ");
    // Two rows are all there is: the remedy goes before the rest of a long text.
    let (second, style) = match (rest.is_empty(), notice.remedy.is_empty()) {
        (false, true) => (rest.as_str(), style),
        _ => (notice.remedy.as_str(), page.theme.plain()),
    };
    let is_cut = (!rest.is_empty() && !notice.remedy.is_empty())
        || ratatui::text::Span::raw(second).width() > room;
    if !is_cut {
        page.put(x, second, style);
        return None;
    }
    // Where the rest is has to be said, however long the remedy is.
    let end = page.area.width.saturating_sub(cells_of(ALL_OF_IT) + 2);
    let after = page.put_within(x, end, second, style);
    page.put(after + 2, ALL_OF_IT, page.theme.plain());
    None
}

fn cells_of(text: &str) -> u16 {
    u16::try_from(ratatui::text::Span::raw(text).width()).unwrap_or(u16::MAX)
}

fn draw_empty(model: &Model, page: &mut Page<'_>) {
    let (strong, plain) = (page.theme.strong(), page.theme.plain());
    let steps = [
        ("n", "save your first org: its Org ID and User ID"),
        ("a", "make an External Client App step by step, or add one"),
        ("?", "all keys"),
    ];
    for (key, text) in steps {
        page.put(3, key, strong);
        page.text(6, text, plain);
    }
    page.next();
    if model.demo_accounts.is_empty() {
        let demo = match page.area.width {
            0..60 => "orgkey demo  needs no org",
            _ => "Just looking?  orgkey demo  runs on a simulated Salesforce, no org needed.",
        };
        page.text(3, demo, plain);
        return;
    }
    if page.area.width < 60 {
        page.text(3, "demo: see its accounts at 80x24", plain);
        return;
    }
    page.text(3, "This is the demo: a simulated Salesforce. All goes when you leave.", plain);
    for account in &model.demo_accounts {
        page.gap();
        draw_demo_account(account, page);
        let text = format!("signs in as {}, password {}", account.username, account.password);
        page.text(5, &text, page.theme.dim());
    }
}

/// What the form wants to know of an account of the demo.
pub(super) fn draw_demo_account(account: &DemoAccount, page: &mut Page<'_>) {
    let sandbox = match account.environment {
        Environment::Production => "",
        Environment::Sandbox => "   (tick Sandbox)",
    };
    let DemoAccount { org_id, user_id, my_domain, .. } = account;
    page.text(3, &format!("Org ID {org_id}   User ID {user_id}"), page.theme.plain());
    page.text(5, &format!("My Domain {my_domain}{sandbox}"), page.theme.plain());
}
