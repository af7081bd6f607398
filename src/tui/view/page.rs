//! A page to write on, line after line: clipped, wrapped, and in ASCII where that is asked for.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::tui::model::Look;
use crate::tui::view::theme::Theme;

/// Where text goes next.
pub(crate) struct Page<'a> {
    /// The cells of the screen.
    buffer: &'a mut Buffer,
    /// What may be written on.
    pub(crate) area: Rect,
    /// The current row.
    pub(crate) y: u16,
    /// The styles.
    pub(crate) theme: Theme,
    /// Nothing but ASCII may be drawn.
    pub(crate) ascii: bool,
}

impl<'a> Page<'a> {
    /// A page on part of the screen.
    pub(crate) fn new(buffer: &'a mut Buffer, area: Rect, look: Look) -> Self {
        let area = area.intersection(buffer.area);
        Self { buffer, area, y: area.y, theme: Theme { color: look.color }, ascii: look.ascii }
    }

    /// Rows left, the current one included.
    pub(crate) fn rows_left(&self) -> u16 {
        self.area.bottom().saturating_sub(self.y)
    }

    /// Writes on the current row from column `x` of the page; answers the column after it.
    pub(crate) fn put(&mut self, x: u16, text: &str, style: Style) -> u16 {
        self.put_within(x, self.area.width, text, style)
    }

    /// Like [`Self::put`], clipped before column `end`; what is cut off ends in `..`.
    pub(crate) fn put_within(&mut self, x: u16, end: u16, text: &str, style: Style) -> u16 {
        let end = end.min(self.area.width);
        if self.rows_left() == 0 || x >= end {
            return x;
        }
        let room = usize::from(end - x);
        let ascii: String;
        let text = if self.ascii && !text.is_ascii() {
            ascii = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
            &ascii
        } else {
            text
        };
        let (column, row) = (self.area.x + x, self.y);
        // What is written over keeps nothing of its looks.
        let style = Style::reset().patch(style);
        let (after, _) = self.buffer.set_stringn(column, row, text, room, style);
        let width = ratatui::text::Span::raw(text).width();
        if width > room && room > 4 {
            self.buffer.set_stringn(column + end - x - 2, row, "..", 2, style);
        }
        after - self.area.x
    }

    /// Writes so that it ends at the right edge.
    pub(crate) fn put_right(&mut self, text: &str, style: Style) {
        let width = u16::try_from(ratatui::text::Span::raw(text).width()).unwrap_or(u16::MAX);
        self.put(self.area.width.saturating_sub(width + 1), text, style);
    }

    /// Goes to the next row.
    pub(crate) fn next(&mut self) {
        self.y = (self.y + 1).min(self.area.bottom());
    }

    /// Leaves a row blank, where there is room to spare.
    pub(crate) fn gap(&mut self) {
        if self.area.height >= 16 {
            self.next();
        }
    }

    /// Writes one row.
    pub(crate) fn line(&mut self, x: u16, text: &str, style: Style) {
        self.put(x, text, style);
        self.next();
    }

    /// Writes text on as many rows as it takes, broken between words.
    pub(crate) fn text(&mut self, x: u16, text: &str, style: Style) {
        let room = usize::from(self.area.width.saturating_sub(x + 1)).max(1);
        for row in wrap(text, room) {
            self.line(x, &row, style);
        }
    }

    /// A rule from column `x` to the right edge.
    pub(crate) fn rule(&mut self, x: u16) {
        let dashes = "-".repeat(usize::from(self.area.width.saturating_sub(x)));
        self.put(x, &dashes, self.theme.dim());
    }

    /// The place of a column on the current row, for the terminal's cursor.
    pub(crate) fn position(&self, x: u16) -> Position {
        let right = self.area.right().saturating_sub(1);
        let bottom = self.area.bottom().saturating_sub(1);
        Position { x: (self.area.x + x).min(right), y: self.y.min(bottom) }
    }
}

/// Breaks text into rows of at most `room` cells, between words where it can.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let width = ratatui::text::Span::raw(word).width();
        if used > 0 && used + 1 + width > room {
            rows.push(std::mem::take(&mut row));
            used = 0;
        }
        if used > 0 {
            row.push(' ');
            used += 1;
        }
        for character in word.chars() {
            let cells = ratatui::text::Span::raw(character.to_string()).width();
            if used + cells > room && used > 0 {
                rows.push(std::mem::take(&mut row));
                used = 0;
            }
            row.push(character);
            used += cells;
        }
    }
    rows.push(row);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_long_words_within() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("https://acme.example", 8), ["https://", "acme.exa", "mple"]);
        assert_eq!(wrap("", 8), [""]);
    }

    proptest::proptest! {
        #[test]
        fn no_row_is_wider_than_its_room(text in ".{0,80}", room in 2_usize..30) {
            for row in wrap(&text, room) {
                proptest::prop_assert!(ratatui::text::Span::raw(row.as_str()).width() <= room);
            }
        }
    }
}
