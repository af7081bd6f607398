//! Cells to bytes, as few as it takes, into memory. Nothing is written to a terminal here and
//! nothing is asked of one: size and cursor are what we know ourselves.
//!
//! Two things make it ours rather than ratatui's own backend: a frame costs what differs and no
//! more (the cursor's style, place and visibility are remembered), and rows that fill the width
//! are left to the terminal to wrap, so that its selection takes a long address as one line.

use std::convert::Infallible;

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};

/// From this size on, in bytes, a frame is announced as one (synchronized update), so that a
/// terminal shows it at once. A smaller one fits into a packet and is shown at once anyway.
const ANNOUNCED: usize = 512;

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

/// A terminal of a given size whose bytes stay in memory until they are taken.
pub(crate) struct Screen {
    /// What is not taken yet.
    bytes: Vec<u8>,
    /// Of the terminal.
    size: Size,
    /// Where the terminal's cursor is; `None` when that is not known. A column equal to the
    /// width means that the terminal wraps at the next character.
    at: Option<Position>,
    /// Whether the cursor is shown; `None` when that is not known.
    shown: Option<bool>,
    /// The pen the terminal has.
    pen: Pen,
}

impl Screen {
    /// A terminal of which nothing is known but its size.
    pub(crate) fn new(width: u16, height: u16) -> Self {
        let size = Size { width, height };
        Self { bytes: Vec::new(), size, at: None, shown: None, pen: PLAIN }
    }

    /// The terminal has another size.
    pub(crate) fn resize(&mut self, width: u16, height: u16) {
        self.size = Size { width, height };
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

    fn take_pen(&mut self, pen: Pen) {
        if pen == self.pen {
            return;
        }
        let added = pen.modifier.difference(self.pen.modifier);
        let mut codes: Vec<String> = Vec::new();
        let mut from = self.pen;
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
        self.pen = pen;
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
        for (x, y, cell) in content {
            self.go(x, y);
            self.take_pen(Pen { fg: cell.fg, bg: cell.bg, modifier: cell.modifier });
            self.print(cell.symbol());
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
mod tests {
    use ratatui::Terminal;

    use super::*;
    use crate::domain::time::UnixMillis;
    use crate::engine::sensitive::Sensitive;
    use crate::tui::input::Key;
    use crate::tui::message::Message;
    use crate::tui::model::tests::{in_setup, loaded, sized};
    use crate::tui::model::{Model, sample};
    use crate::tui::view::view;

    /// Draws a frame and gives its bytes.
    fn frame(terminal: &mut Terminal<Screen>, model: &Model) -> Vec<u8> {
        terminal.draw(|frame| view(model, frame)).unwrap();
        terminal.backend_mut().take()
    }

    fn first(model: &Model) -> (Terminal<Screen>, Vec<u8>) {
        let screen = Screen::new(model.size.width, model.size.height);
        let mut terminal = Terminal::new(screen).unwrap();
        terminal.clear().unwrap();
        let bytes = frame(&mut terminal, model);
        (terminal, bytes)
    }

    /// What a terminal shows that got these bytes.
    fn shown(model: &Model, frames: &[Vec<u8>]) -> vt100::Parser {
        let [rows, columns] =
            [model.size.height, model.size.width].map(|cells| cells.try_into().unwrap());
        let mut parser = vt100::Parser::new(rows, columns, 0);
        for bytes in frames {
            parser.process(bytes);
        }
        parser
    }

    fn press(model: &mut Model, key: Key) {
        model.update(Message::Key(key), sample::NOW);
    }

    #[test]
    fn the_first_frame_keeps_to_its_bytes() {
        for (width, height, most) in [(80, 24, 2_600), (200, 50, 5_600)] {
            let model = sized(loaded(sample::numbered(1_000)), width, height);
            let (_, bytes) = first(&model);
            println!("first frame {width}x{height}: {} bytes", bytes.len());
            assert!(bytes.len() <= most, "{width}x{height}: {} bytes", bytes.len());
        }
    }

    #[test]
    fn a_cursor_key_costs_two_cells_at_any_width() {
        for (width, height) in [(40, 12), (80, 24), (200, 50)] {
            let mut model = sized(loaded(sample::many()), width, height);
            let (mut terminal, _) = first(&model);
            press(&mut model, Key::Down);
            let moved = frame(&mut terminal, &model);
            println!("cursor key {width}x{height}: {} bytes", moved.len());
            assert!(moved.len() <= 48, "{width}x{height}: {} bytes", moved.len());
            let later = UnixMillis(sample::NOW.0 + 200);
            model.update(Message::Deadline, later);
            let panel = frame(&mut terminal, &model);
            println!("panel {width}x{height}: {} bytes", panel.len());
            assert!(panel.len() <= 400, "{width}x{height}: {} bytes", panel.len());
            assert_eq!(frame(&mut terminal, &model), b"");
        }
    }

    #[test]
    fn a_terminal_shows_what_the_cells_say_after_any_number_of_frames() {
        let mut model = loaded(sample::many());
        let (mut terminal, bytes) = first(&model);
        let mut frames = vec![bytes];
        let keys = ["j", "j", "/", "b", "i", "l", "?", "j"];
        for key in keys.iter().map(|key| Key::Char(key.chars().next().unwrap())) {
            press(&mut model, key);
            frames.push(frame(&mut terminal, &model));
            let parser = shown(&model, &frames);
            let mut fresh =
                ratatui::Terminal::new(ratatui::backend::TestBackend::new(80, 24)).unwrap();
            fresh.draw(|frame| view(&model, frame)).unwrap();
            for y in 0..24 {
                for x in 0..80 {
                    let cell = parser.screen().cell(y, x).unwrap().contents();
                    let cell = if cell.is_empty() { " " } else { cell };
                    assert_eq!(cell, fresh.backend().buffer()[(x, y)].symbol(), "{x},{y} {key:?}");
                }
            }
        }
    }

    #[test]
    fn the_plain_view_is_one_line_for_a_selection_by_hand() {
        let mut model = in_setup();
        press(&mut model, Key::Char('v'));
        let (_, bytes) = first(&model);
        let parser = shown(&model, &[bytes]);
        let rows: Vec<String> = parser.screen().rows(0, 80).collect();
        assert!(parser.screen().row_wrapped(0) && parser.screen().row_wrapped(1));
        let url = rows.join("").split("select the address").next().unwrap().trim().to_owned();
        assert!(
            url.starts_with("https://acme.my.salesforce.com/") && url.ends_with("prompt=login")
        );
    }

    #[test]
    fn nothing_that_was_pasted_is_ever_written() {
        let mut model = in_setup();
        let (mut terminal, _) = first(&model);
        let secret =
            "https://login.salesforce.com/services/oauth2/success?code=aPrxCanaryCanary&state=s";
        model.update(Message::Paste(Sensitive::new(secret.into())), sample::NOW);
        let bytes = String::from_utf8(frame(&mut terminal, &model)).unwrap();
        assert!(bytes.contains("code received") && !bytes.contains("Canary"), "{bytes}");
    }
}
