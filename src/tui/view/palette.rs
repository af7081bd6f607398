//! The palette of commands.

use ratatui::layout::Position;

use crate::tui::model::palette::Palette;
use crate::tui::view::form::draw_line;
use crate::tui::view::page::Page;

/// Width of the line to type into.
const LINE: u16 = 30;

/// Draws the palette; answers where the terminal's cursor stands.
pub(super) fn draw(palette: &Palette, page: &mut Page<'_>) -> Option<Position> {
    page.line(1, "Commands", page.theme.strong());
    page.gap();
    page.put(1, ":", page.theme.strong());
    let cursor = draw_line(page, 3, LINE.min(page.area.width), &palette.typed, true);
    page.next();
    page.gap();
    let fitting = palette.fitting();
    if fitting.is_empty() {
        page.text(3, "no command has such a name", page.theme.plain());
    }
    // The selected one stays in sight on a low screen.
    let room = usize::from(page.area.height).saturating_sub(5).max(1);
    let first = (palette.selected + 1).saturating_sub(room);
    for (index, command) in fitting.iter().enumerate().skip(first) {
        if index == palette.selected {
            page.put(1, ">", page.theme.plain());
        }
        page.put(3, command.name, page.theme.plain());
        page.line(30, command.key, page.theme.dim());
    }
    cursor
}
