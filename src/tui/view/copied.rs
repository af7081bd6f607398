//! The question which copy of the store goes on.

use ratatui::layout::Position;

use crate::tui::model::Model;
use crate::tui::model::copied::{Answer, CopiedDialog, moved_in_words};
use crate::tui::view::form::draw_buttons;
use crate::tui::view::page::Page;
use crate::tui::view::words;

/// Draws it, an answer a line with what follows from it.
pub(super) fn draw(model: &Model, dialog: &CopiedDialog, page: &mut Page<'_>) -> Option<Position> {
    let plain = page.theme.plain();
    let wide = page.area.width >= 60;
    let (title, text) = match (&model.standing.moved, model.standing.question) {
        (Some(moved), _) => {
            let since = words::day_and_clock(moved.at, model.now, &model.zone);
            let text = format!("Since {since}: {}.", moved_in_words(moved));
            ("Take this store back to here?", text)
        }
        (None, Some(question)) => {
            let since = words::day_and_clock(question.since, model.now, &model.zone);
            let text = format!(
                "Noticed {since}: {}. Two copies that refresh end each other's tokens, so no \
                 single-use token is refreshed before you answer, once for all.",
                question.sign.words()
            );
            ("This store may be a copy. Which one goes on?", text)
        }
        (None, None) => ("Nothing is open any more", String::new()),
    };
    page.text(1, title, page.theme.strong());
    if wide {
        page.gap();
    }
    page.text(3, &text, plain);
    if wide {
        page.gap();
    }
    let mut cursor = None;
    for answer in &dialog.answers {
        let (button, follows) = in_words(*answer, model.standing.moved.is_some());
        cursor = draw_buttons(page, 5, &[(button, *answer)], dialog.focus).or(cursor);
        if wide {
            page.put(32, follows, page.theme.dim());
        }
        page.next();
    }
    cursor
}

/// The word on a button, and what follows from it.
fn in_words(answer: Answer, moved: bool) -> (&'static str, &'static str) {
    match answer {
        Answer::Cancel => ("[ Cancel ]", "nothing is decided yet"),
        Answer::Adopt if moved => ("[ Take it back ]", "see that the other one is used no more"),
        Answer::Adopt => ("[ This one goes on ]", "tokens known to be spent need a sign-in"),
        Answer::Elsewhere => ("[ Another one goes on ]", "nothing is refreshed here any more"),
    }
}
