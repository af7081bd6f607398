//! The set-up pane, and the address alone.

mod forward;

use ratatui::layout::Position;

use crate::domain::name::Environment;
use crate::engine::outcome::{AuthorizationStarted, Progress};
use crate::tui::model::Model;
use crate::tui::model::setup::{Setup, SetupView, Stage};
use crate::tui::terminal::Multiplexer;
use crate::tui::view::page::{Page, wrap};
use crate::tui::view::{device, qr_code, words};

/// The second step where there is little room.
const PASTE_HERE: &str = "Paste the address that the browser ends at here:";

/// Draws the pane; answers the cursor of the field.
pub(super) fn draw(model: &Model, setup: &Setup, page: &mut Page<'_>) -> Option<Position> {
    draw_title(model, setup, page);
    if let SetupView::Ways(at) = setup.view {
        forward::draw_ways(setup, at, page);
        return None;
    }
    match (&setup.stage, &setup.started) {
        (Stage::Starting, _) => {
            page.text(1, "making the address to sign in at", page.theme.plain());
            None
        }
        (Stage::Failed, _) | (_, None) => {
            draw_problem(setup, page);
            None
        }
        (_, Some(AuthorizationStarted { device: Some(code), .. })) => {
            if let Some(started) = &setup.started {
                device::draw(model, setup, started, code, page);
            }
            None
        }
        (stage, Some(started)) => {
            match &setup.forward {
                Some(forward) => forward::draw(setup, started, forward, page),
                None => draw_address(model, setup, started, page),
            }
            let cursor = draw_field(setup, *stage, page);
            draw_problem(setup, page);
            if setup.is_expired(model.now) {
                let text = "! the time for this sign-in is over; s makes a fresh address";
                page.text(1, text, page.theme.wrong());
            } else if setup.problem.is_none() && *stage == Stage::Waiting {
                let text = "Nothing is stored unless the account that signs in is the one saved.";
                page.text(1, text, page.theme.dim());
                let environment = setup.address.environment;
                let account = model.demo_accounts.iter().find(|account| {
                    account.user_id == started.user_id.as_str()
                        && account.environment == environment
                });
                if let Some(account) = account {
                    let text = format!(
                        "Demo: sign in as {}, password {}; or press p.",
                        account.username, account.password
                    );
                    page.text(1, &text, page.theme.plain());
                }
            }
            cursor
        }
    }
}

fn draw_title(model: &Model, setup: &Setup, page: &mut Page<'_>) {
    let wide = page.area.width >= 60;
    let title = if wide { "Set up OAuth tokens:" } else { "Set up" };
    let x = page.put(1, title, page.theme.strong()) + 1;
    let x = page.put(x, setup.address.name.as_str(), page.theme.strong()) + 2;
    let environment = setup.address.environment;
    let word = match environment {
        Environment::Production if wide => "PRODUCTION",
        Environment::Production => "PROD",
        Environment::Sandbox => "sandbox",
    };
    let x = page.put(x, word, page.theme.environment(environment)) + 2;
    let place = model.round.place_of(&setup.address);
    if let Some((place, of)) = place {
        let words = if wide { format!("round {place} of {of}") } else { format!("{place}/{of}") };
        page.put(x, &words, page.theme.strong());
    }
    if let Some(started) = setup.started.as_ref().filter(|_| setup.stage == Stage::Waiting) {
        page.put_right(&words::left(started.expires_at, model.now), page.theme.plain());
    }
    page.next();
    match model.notices.newest().filter(|_| place.is_some() && page.area.height >= 16) {
        // How the one before it went.
        Some(notice) => page.line(1, &notice.text, page.theme.tone(notice.tone)),
        None => page.gap(),
    }
}

fn draw_address(model: &Model, setup: &Setup, started: &AuthorizationStarted, page: &mut Page<'_>) {
    let (plain, strong) = (page.theme.plain(), page.theme.strong());
    let who = match &started.username {
        Some(username) => format!("{username}  (User ID {})", started.user_id),
        None => format!("User ID {}", started.user_id),
    };
    if page.area.height < 16 {
        draw_numbered(page, "1.", &format!("y copies the address. Sign in as {who}."));
        if setup.problem.is_none() {
            draw_numbered(page, "2.", PASTE_HERE);
        }
        return;
    }
    let text = "Open this address in a browser on your own machine and sign in as";
    draw_numbered(page, "1.", text);
    let x = page.put(4, &who, strong);
    page.line(x, ", the account saved here.", plain);
    page.gap();
    for row in hard_rows(&started.url, page.area.width.saturating_sub(8)) {
        page.line(4, &row, page.theme.link());
    }
    // What went wrong, and what to do about it, needs the room more than what the line of keys says
    // too, and more than a long step.
    if setup.problem.is_none() {
        draw_ways(model, setup, page);
    } else if page.rows_left() < rows_of_problem(setup, page) + 6 {
        draw_numbered(page, "2.", PASTE_HERE);
        return;
    }
    page.gap();
    let text = "The browser ends at an address with  code=  in it; the page may not load. Copy \
                all of that address and paste it here:";
    draw_numbered(page, "2.", text);
}

fn draw_ways(model: &Model, setup: &Setup, page: &mut Page<'_>) {
    page.gap();
    let copy = match (setup.copied, model.look.multiplexer) {
        (true, Multiplexer::Tmux) => "y sent; tmux needs set-clipboard on, or allow-passthrough",
        (true, Multiplexer::None | Multiplexer::Screen) => "y sent; your terminal may ignore it",
        (false, _) => "y copy (sent to your terminal)",
    };
    let ways = format!("{copy}   v plain, to select by hand   i QR code");
    page.text(4, &ways, page.theme.plain());
}

/// A step: its number, and its text beside it.
fn draw_numbered(page: &mut Page<'_>, number: &str, text: &str) {
    page.put(1, number, page.theme.plain());
    page.text(4, text, page.theme.plain());
}

fn draw_field(setup: &Setup, stage: Stage, page: &mut Page<'_>) -> Option<Position> {
    if page.rows_left() > rows_of_problem(setup, page) + 2 {
        page.gap();
    }
    let dim = page.theme.dim();
    page.put(4, ">", page.theme.plain());
    let width = page.area.width.saturating_sub(10).min(70);
    let mut cursor = None;
    match (stage, &setup.received) {
        (Stage::Completing(progress), received) => {
            page.line(6, received.as_deref().unwrap_or("received"), page.theme.plain());
            page.line(6, step_in_words(progress), page.theme.strong());
        }
        _ if setup.typing => {
            let typed = setup.typed.length();
            let stars = "*".repeat(typed.min(usize::from(width)));
            page.put(6, &"_".repeat(usize::from(width)), dim);
            page.put_within(6, 6 + width, &stars, page.theme.plain());
            let at = u16::try_from(typed).unwrap_or(width).min(width);
            cursor = Some(page.position(6 + at));
            page.next();
        }
        (_, received) => {
            page.put(6, &"_".repeat(usize::from(width)), dim);
            cursor = Some(page.position(6));
            page.next();
            if let Some(received) = received {
                page.text(6, received, page.theme.plain());
            }
        }
    }
    if setup.problem.is_none() {
        page.gap();
    }
    cursor
}

fn step_in_words(progress: Option<Progress>) -> &'static str {
    match progress {
        None | Some(Progress::Listening | Progress::TunnelSeen | Progress::RedirectCame) => {
            "reading it"
        }
        Some(Progress::Waiting) => "waiting for another orgkey that works on this credential",
        Some(Progress::Exchanging) => "exchanging the code for tokens",
        Some(Progress::CheckingIdentity) => "checking that it is the account saved here",
        Some(Progress::TestingAccess) => "testing access with the new token",
        Some(Progress::Revoking) => "revoking what is not needed",
    }
}

/// Rows that the problem takes.
fn rows_of_problem(setup: &Setup, page: &Page<'_>) -> u16 {
    let Some((problem, remedy)) = &setup.problem else { return 0 };
    let rows = |x: u16, text: &str| wrap(text, usize::from(page.area.width.saturating_sub(x + 1)));
    let count = rows(1, &format!("! {problem}")).len() + rows(3, remedy).len();
    u16::try_from(count).unwrap_or(u16::MAX - 8)
}

fn draw_problem(setup: &Setup, page: &mut Page<'_>) {
    if let Some((problem, remedy)) = &setup.problem {
        page.text(1, &format!("! {problem}"), page.theme.wrong());
        if !remedy.is_empty() {
            page.text(3, remedy, page.theme.plain());
        }
    }
}

/// The address without anything beside it.
pub(super) fn draw_address_alone(page: &mut Page<'_>, setup: &Setup) {
    let url = setup.started.as_ref().map(|started| started.url.as_str()).unwrap_or_default();
    match setup.view {
        SetupView::QrCode => qr_code::draw(url, "y copy, v plain, i back", page),
        SetupView::Plain | SetupView::Steps | SetupView::Ways(_) => draw_plain(url, page),
    }
}

/// The address from edge to edge, so that the terminal's own selection takes it whole: rows that
/// fill the width are written as one line, which the terminal wraps.
fn draw_plain(url: &str, page: &mut Page<'_>) {
    for row in hard_rows(url, page.area.width) {
        page.line(0, &row, page.theme.link());
    }
    page.next();
    page.line(0, "select the address above; y copy, i QR code, v back", page.theme.dim());
}

fn hard_rows(url: &str, width: u16) -> Vec<String> {
    let characters: Vec<char> = url.chars().collect();
    characters.chunks(usize::from(width.max(1))).map(|row| row.iter().collect()).collect()
}
