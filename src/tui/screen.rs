//! Cells to bytes, as few as it takes, into memory. Nothing is written to a terminal here and
//! nothing is asked of one: size and cursor are what we know ourselves.
//!
//! Two things make it ours rather than ratatui's own backend: a frame costs what differs and no
//! more (the cells are remembered, and the cursor's style, place and visibility), and rows that
//! fill the width are left to the terminal to wrap, so that its selection takes a long address as
//! one line.

use std::convert::Infallible;

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect, Size};
use ratatui::style::{Color, Modifier};

/// From this size on, in bytes, a frame is announced as one (synchronized update), so that a
/// terminal shows it at once. A smaller one fits into a packet and is shown at once anyway.
const ANNOUNCED: usize = 512;

/// A step over so many cells is longer than the cells themselves.
const STEP: u16 = 3;
/// From so many blanks on, erasing to the end of the row is shorter than they are.
const ERASED: usize = 4;

/// Marks the cells of the address that [`Screen::set_link`] names. No terminal is asked to blink.
pub(crate) const LINK: Modifier = Modifier::RAPID_BLINK;

/// The look of the cells that are written now.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pen {
    /// Text.
    fg: Color,
    /// Behind it.
    bg: Color,
    /// Bold, dim ...
    modifier: Modifier,
}

/// The pen that `ESC [ m` gives.
const PLAIN: Pen = Pen { fg: Color::Reset, bg: Color::Reset, modifier: Modifier::empty() };

impl Pen {
    /// The pen of a cell.
    fn of(cell: &Cell) -> Self {
        Self { fg: cell.fg, bg: cell.bg, modifier: cell.modifier }
    }

    /// Whether a cell looks the same when this pen writes it.
    fn writes(self, cell: &Cell) -> bool {
        cell.symbol().len() == 1
            && (Self::of(cell) == self || (is_blank(cell) && self.leaves_blanks()))
    }

    /// Whether a blank shows nothing of it.
    fn leaves_blanks(self) -> bool {
        let seen = Modifier::UNDERLINED | Modifier::REVERSED | LINK;
        self.bg == Color::Reset && !self.modifier.intersects(seen)
    }
}

/// Whether a cell is as an erased one is.
fn is_blank(cell: &Cell) -> bool {
    cell.symbol() == " " && Pen::of(cell) == PLAIN
}

/// A terminal of a given size whose bytes stay in memory until they are taken.
pub(crate) struct Screen {
    /// What is not taken yet.
    bytes: Vec<u8>,
    /// Of the terminal.
    size: Size,
    /// What its cells are when the bytes are written.
    cells: Buffer,
    /// Where the terminal's cursor is; `None` when that is not known. A column equal to the
    /// width means that the terminal wraps at the next character.
    at: Option<Position>,
    /// Whether the cursor is shown; `None` when that is not known.
    shown: Option<bool>,
    /// The pen the terminal has.
    pen: Pen,
    /// Where the cells marked with [`LINK`] lead to.
    link: Option<String>,
}

impl Screen {
    /// A terminal of which nothing is known but its size.
    pub(crate) fn new(width: u16, height: u16) -> Self {
        let size = Size { width, height };
        let cells = Buffer::empty(Rect::from((Position::ORIGIN, size)));
        Self { bytes: Vec::new(), size, cells, at: None, shown: None, pen: PLAIN, link: None }
    }

    /// Where the cells marked with [`LINK`] lead to, from the next frame on (OSC 8); nowhere where
    /// the address is not in plain ASCII. Answers whether cells that look the same lead elsewhere now.
    pub(crate) fn set_link(&mut self, address: Option<&str>) -> bool {
        let address = address.filter(|address| address.bytes().all(|byte| byte.is_ascii_graphic()));
        if self.link.as_deref() == address {
            return false;
        }
        let before = std::mem::replace(&mut self.link, address.map(str::to_owned));
        before.is_some() && self.link.is_some()
    }

    /// The terminal has another size.
    pub(crate) fn resize(&mut self, width: u16, height: u16) {
        self.size = Size { width, height };
        self.cells = Buffer::empty(Rect::from((Position::ORIGIN, self.size)));
        self.forget();
    }

    /// What the terminal shows and where its cursor is are not known any more.
    pub(crate) fn forget(&mut self) {
        self.at = None;
        self.shown = None;
    }

    /// The bytes of one frame; empty when nothing differs.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.len() < ANNOUNCED {
            return bytes;
        }
        [b"\x1b[?2026h".as_slice(), &bytes, b"\x1b[?2026l"].concat()
    }

    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn go(&mut self, x: u16, y: u16) {
        let wraps = self.at == Some(Position { x: self.size.width, y: y.wrapping_sub(1) });
        match self.at {
            Some(at) if at == (Position { x, y }) => {}
            Some(_) if x == 0 && y > 0 && wraps => {}
            Some(at) if at.y == y && x > at.x => match x - at.x {
                1 => self.push("\x1b[C"),
                cells => self.push(&format!("\x1b[{cells}C")),
            },
            Some(at) if x == 0 && at.y.checked_add(1) == Some(y) => self.push("\r\n"),
            _ if x == 0 => self.push(&format!("\x1b[{}H", y + 1)),
            _ => self.push(&format!("\x1b[{};{}H", y + 1, x + 1)),
        }
        self.at = Some(Position { x, y });
    }

    /// Goes to a cell that is to be written with this pen; where that is shorter, over the cells
    /// between by writing them again.
    fn advance(&mut self, x: u16, y: u16, pen: Pen) {
        if let Some(at) = self.at.filter(|at| at.y == y && at.x < x && x - at.x <= STEP) {
            let between = |x| self.cells.cell((x, y));
            if (at.x..x).all(|x| between(x).is_some_and(|cell| self.pen.writes(cell))) {
                let text: String = (at.x..x).filter_map(between).map(Cell::symbol).collect();
                self.push(&text);
                self.at = Some(Position { x, y });
            }
        }
        self.go(x, y);
        self.take_pen(pen);
    }

    /// How many of these changes the erasing of the rest of the row makes; 0 where it would take
    /// something away or is no shorter.
    fn erases(&self, changes: &[Position]) -> usize {
        let Some(first) = changes.first() else { return 0 };
        let count = changes.iter().take_while(|change| change.y == first.y).count();
        let blank = |x| self.cells.cell((x, first.y)).is_some_and(is_blank);
        if count >= ERASED && (first.x..self.size.width).all(blank) { count } else { 0 }
    }

    fn take_pen(&mut self, pen: Pen) {
        if pen == self.pen {
            return;
        }
        let mut from = std::mem::replace(&mut self.pen, pen);
        if from.modifier.contains(LINK) != pen.modifier.contains(LINK) {
            self.begin_link(pen.modifier.contains(LINK));
        }
        let without_link = |pen: Pen| Pen { modifier: pen.modifier.difference(LINK), ..pen };
        from = without_link(from);
        let pen = without_link(pen);
        if from == pen {
            return;
        }
        let added = pen.modifier.difference(from.modifier);
        let mut codes: Vec<String> = Vec::new();
        if !from.modifier.difference(pen.modifier).is_empty() || pen == PLAIN {
            codes.push(String::new());
            from = PLAIN;
        }
        let added = if from == PLAIN { pen.modifier } else { added };
        let table = [
            (Modifier::BOLD, 1),
            (Modifier::DIM, 2),
            (Modifier::UNDERLINED, 4),
            (Modifier::REVERSED, 7),
        ];
        let new = table.iter().filter(|(modifier, _)| added.contains(*modifier));
        codes.extend(new.map(|(_, code)| code.to_string()));
        codes.extend((pen.fg != from.fg).then(|| color_code(pen.fg, 30)));
        codes.extend((pen.bg != from.bg).then(|| color_code(pen.bg, 40)));
        let codes = codes.join(";");
        self.push(&format!("\x1b[{codes}m"));
    }

    /// Begins the link, or ends it. All its rows are one to a terminal: they have one name.
    fn begin_link(&mut self, begin: bool) {
        let Some(address) = &self.link else { return };
        let address = if begin { address.as_str() } else { "" };
        let name = if begin { "id=1" } else { "" };
        self.push(&format!("\x1b]8;{name};{address}\x1b\\"));
    }

    fn print(&mut self, symbol: &str) {
        let width = if symbol.is_ascii() { 1 } else { ratatui::text::Span::raw(symbol).width() };
        self.push(symbol);
        let width = u16::try_from(width).unwrap_or(1);
        self.at = self.at.map(|at| Position { x: at.x.saturating_add(width), y: at.y });
    }
}

/// The SGR parameter of one of the sixteen colours; `base` is 30 for text, 40 behind it.
fn color_code(color: Color, base: u16) -> String {
    let code = match color {
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 60,
        // The theme names no other colour than these.
        _ => 9,
    };
    (base + code).to_string()
}

impl Backend for Screen {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut changes = Vec::new();
        for (x, y, cell) in content {
            if let Some(known) = self.cells.cell_mut((x, y)) {
                known.clone_from(cell);
                changes.push(Position { x, y });
            }
        }
        let mut done = 0;
        while let Some(&Position { x, y }) = changes.get(done) {
            let erased = self.erases(&changes[done..]);
            if erased > 0 {
                self.advance(x, y, PLAIN);
                self.push("\x1b[K");
                done += erased;
                continue;
            }
            let cell = self.cells.cell((x, y)).cloned().unwrap_or_default();
            self.advance(x, y, Pen::of(&cell));
            self.print(cell.symbol());
            done += 1;
        }
        self.take_pen(PLAIN);
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        if self.shown != Some(false) {
            self.push("\x1b[?25l");
            self.shown = Some(false);
        }
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        if self.shown != Some(true) {
            self.push("\x1b[?25h");
            self.shown = Some(true);
        }
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(self.at.unwrap_or_default())
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Infallible> {
        let Position { x, y } = position.into();
        self.go(x, y);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, _: ClearType) -> Result<(), Infallible> {
        // The whole screen is ours, and nobody asks for less. What was to be drawn before is gone.
        self.bytes.clear();
        self.cells.reset();
        self.shown = None;
        self.push("\x1b[m\x1b[H\x1b[2J");
        self.pen = PLAIN;
        self.at = Some(Position::ORIGIN);
        Ok(())
    }

    fn size(&self) -> Result<Size, Infallible> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::default() })
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
