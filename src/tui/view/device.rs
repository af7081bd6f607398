//! The set-up pane of the device flow: a code to type, and where.

use crate::engine::outcome::{AuthorizationStarted, DeviceCode};
use crate::tui::large_letters;
use crate::tui::model::Model;
use crate::tui::model::setup::Setup;
use crate::tui::view::page::Page;

/// Rows that the code in large letters takes, with the blank ones around it.
const LARGE_FROM: u16 = 20;

/// Draws what the person needs; the title stands already.
pub(super) fn draw(
    model: &Model,
    setup: &Setup,
    started: &AuthorizationStarted,
    device: &DeviceCode,
    page: &mut Page<'_>,
) {
    let (plain, strong) = (page.theme.plain(), page.theme.strong());
    page.put(1, "1.", plain);
    let x = page.put(4, "Open ", plain);
    page.line(x, &device.verification_uri, page.theme.link());
    page.put(1, "2.", plain);
    page.line(4, "Enter this code there:", plain);
    page.gap();
    draw_code(&device.user_code, page);
    page.gap();
    page.put(1, "3.", plain);
    let x = page.put(4, "Sign in as ", plain);
    page.line(x, &who(started), strong);
    let scopes = match device.scopes.as_slice() {
        [] => "all of its scopes".to_owned(),
        scopes => scopes.join(" "),
    };
    let asks = format!("The app {} asks for {scopes}.", device.app);
    page.text(4, &asks, plain);
    page.text(4, "Only approve it if you started this yourself.", strong);
    page.gap();
    if setup.is_expired(model.now) {
        let text = "! the code is worth nothing any more; s makes a fresh one";
        page.text(1, text, page.theme.wrong());
        return;
    }
    if setup.copied {
        page.text(
            1,
            "The address with the code in it was sent to your terminal.",
            page.theme.dim(),
        );
    }
    if setup.wants_hint(model.now) {
        let text = "If the browser shows OAUTH_APPROVAL_ERROR_GENERIC, or that the app is blocked \
                    or must be installed: an admin must install the app, or give you 'Approve \
                    Uninstalled Connected Apps'.";
        page.text(1, text, plain);
    } else {
        let text = "Waiting for the approval. Nothing is stored unless that account approves.";
        page.text(1, text, page.theme.dim());
    }
}

fn who(started: &AuthorizationStarted) -> String {
    match &started.username {
        Some(username) => format!("{username}  (User ID {})", started.user_id),
        None => format!("User ID {}", started.user_id),
    }
}

/// The code alone: in large letters where the screen has room for them.
fn draw_code(user_code: &str, page: &mut Page<'_>) {
    let strong = page.theme.strong();
    let room = usize::from(page.area.width.saturating_sub(8));
    let large = large_letters::rows(user_code, room).filter(|_| page.area.height >= LARGE_FROM);
    if let Some(rows) = large {
        let cell = if page.ascii { "#" } else { "\u{2588}" };
        for row in rows {
            page.line(8, &row.replace('#', cell), strong);
        }
        page.gap();
    }
    page.line(8, user_code, strong);
}
