//! Somebody else signed in: both sides, what was done, what to press next.

use crate::engine::outcome::{Revocation, WrongAccount};
use crate::tui::view::page::Page;

/// Draws both sides.
pub(super) fn draw(found: &WrongAccount, page: &mut Page<'_>) {
    page.text(1, "Signed in with another account: nothing was stored", page.theme.strong());
    page.gap();
    let unknown = || "not known".to_owned();
    let environment = found.signed_in_environment.unwrap_or(found.address.environment);
    let rows = [
        ("Org ID", found.saved.org_id.to_string(), found.signed_in.org_id.to_string()),
        ("User ID", found.saved.user_id.to_string(), found.signed_in.user_id.to_string()),
        (
            "User",
            found.saved_username.clone().unwrap_or_else(unknown),
            found.signed_in_username.clone().unwrap_or_else(unknown),
        ),
        ("Env", found.address.environment.to_string(), environment.to_string()),
    ];
    if page.area.width >= 60 {
        draw_side_by_side(&rows, page);
    } else {
        draw_stacked(&rows, page);
    }
    page.gap();
    page.text(3, revoked_in_words(found.revocation), page.theme.plain());
    if found.old_token_kept {
        page.text(3, "The token that was there before still works.", page.theme.plain());
    }
    let who = found.signed_in_username.as_deref().unwrap_or("another user");
    let text = format!(
        "The browser probably remembered {who}: sign out there first, or use a private window."
    );
    page.text(3, &text, page.theme.plain());
}

fn draw_side_by_side(rows: &[(&str, String, String)], page: &mut Page<'_>) {
    let dim = page.theme.dim();
    let second = 15 + (page.area.width.saturating_sub(30) / 2).min(40);
    page.put(15, "saved here", dim);
    page.line(second, "signed in", dim);
    for (label, saved, signed_in) in rows {
        let differs = saved != signed_in;
        let style = if differs { page.theme.wrong() } else { page.theme.plain() };
        page.put(3, label, dim);
        page.put_within(15, second - 1, saved, page.theme.plain());
        let verdict = (second + 42).min(page.area.width.saturating_sub(10));
        page.put_within(second, verdict - 1, signed_in, style);
        page.put(verdict, if differs { "different" } else { "same" }, style);
        page.next();
    }
}

fn draw_stacked(rows: &[(&str, String, String)], page: &mut Page<'_>) {
    for (label, saved, signed_in) in rows.iter().filter(|(_, saved, other)| saved != other) {
        page.put(1, label, page.theme.dim());
        page.line(10, saved, page.theme.plain());
        page.put(1, "not", page.theme.dim());
        page.line(10, signed_in, page.theme.wrong());
    }
}

fn revoked_in_words(revocation: Revocation) -> &'static str {
    match revocation {
        Revocation::Confirmed => "The new token was revoked at Salesforce (confirmed).",
        Revocation::Owed => {
            "Salesforce did not answer the revocation of the new token: it is tried again."
        }
        Revocation::Draining => "The new token is being revoked.",
        Revocation::NothingToRevoke => "There was no new token to revoke.",
    }
}
