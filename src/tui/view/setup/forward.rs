//! The part of the set-up pane for an answer that comes back by itself, and the list of ways.

use crate::domain::loopback::SshSession;
use crate::engine::outcome::AuthorizationStarted;
use crate::tui::model::loopback::{Forward, WAYS};
use crate::tui::model::notice::Tone;
use crate::tui::model::setup::{Setup, Stage};
use crate::tui::view::page::Page;

use super::draw_numbered;

/// Draws the forward line, the short link, and what came of them.
pub(super) fn draw(
    setup: &Setup,
    started: &AuthorizationStarted,
    forward: &Forward,
    page: &mut Page<'_>,
) {
    let (plain, strong, link) = (page.theme.plain(), page.theme.strong(), page.theme.link());
    let port = forward.redirect.port;
    let command = forward.session.as_ref().map(|session| session.forward_line(port));
    let command = command.unwrap_or_else(|| "looking how you came here".into());
    let who = match &started.username {
        Some(username) => format!("{username}  (User ID {})", started.user_id),
        None => format!("User ID {}", started.user_id),
    };
    if page.area.height < 16 {
        draw_numbered(page, "1.", &command);
        draw_numbered(page, "2.", &format!("open {}", forward.short_link));
        if setup.problem.is_none() {
            page.text(4, &format!("sign in as {who}"), plain);
            draw_state(setup, forward, page);
        }
        return;
    }
    let is_remote = forward.session.as_ref().is_none_or(SshSession::is_remote);
    let whence = if is_remote {
        "On the machine that your browser runs on (with your own alias or jump):"
    } else {
        "Browser on this machine: nothing to do. On another one, with your names:"
    };
    draw_numbered(page, "1.", whence);
    page.text(4, &command, strong);
    let escape = SshSession::escape_line(port);
    page.text(4, &format!("or in a session that is open:  Enter ~C  then  {escape}"), plain);
    page.gap();
    draw_numbered(page, "2.", "Open this short link there and sign in as");
    let x = page.put(4, &who, strong);
    page.line(x, ", the account saved here.", plain);
    page.gap();
    page.line(4, &forward.short_link, link);
    if setup.problem.is_none() {
        page.gap();
        draw_state(setup, forward, page);
        page.text(4, "The long address:  y copy   v plain   i QR code", plain);
        page.gap();
    }
    let text = "The answer comes back by itself. Where it does not, paste the address that the \
                browser ends at here:";
    draw_numbered(page, "3.", text);
}

/// The tunnel check.
fn draw_state(setup: &Setup, forward: &Forward, page: &mut Page<'_>) {
    let port = forward.redirect.port;
    if setup.stage != Stage::Waiting {
        return;
    }
    match (forward.tunnel_seen, forward.listens) {
        (true, _) => page.text(4, "+ tunnel works", page.theme.tone(Tone::Good)),
        (false, true) => {
            let text = format!("listening on localhost:{port}; tunnel not seen yet");
            page.text(4, &text, page.theme.plain());
        }
        (false, false) => {
            page.text(4, &format!("opening port {port} of localhost"), page.theme.plain());
        }
    }
}

/// The ways to choose from.
pub(super) fn draw_ways(setup: &Setup, at: usize, page: &mut Page<'_>) {
    let present = setup.started.as_ref().map(|started| started.flow);
    page.text(1, "How do you want to sign in? A fresh address is made.", page.theme.plain());
    page.gap();
    for (index, (flow, words)) in WAYS.iter().enumerate() {
        let style = if index == at { page.theme.strong() } else { page.theme.plain() };
        page.put(1, if index == at { ">" } else { " " }, style);
        let now = if present == Some(*flow) { "  (now)" } else { "" };
        page.line(3, &format!("{} {flow}{now}", index + 1), style);
        // A small screen says of the one that the cursor is on what it asks for.
        if index == at || page.area.height >= 16 {
            page.text(5, words, page.theme.plain());
        }
    }
}
