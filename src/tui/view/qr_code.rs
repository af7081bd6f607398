//! A QR code (ISO/IEC 18004) of half blocks: two modules in a cell, as square as a terminal's cells
//! allow. In ASCII alone each module is two blanks.

use qrcode::{Color, EcLevel, QrCode};
use ratatui::style::Modifier;

use crate::tui::view::page::Page;

/// Light modules around it: the standard's four, and what phones read where room is short.
const QUIET: [u16; 2] = [4, 2];

/// Draws a text as a QR code with a line of keys below; says how large the terminal must be where
/// it is too small.
pub(super) fn draw(text: &str, keys: &str, page: &mut Page<'_>) {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else {
        page.text(0, "the address is too long for a QR code", page.theme.plain());
        page.line(0, keys, page.theme.dim());
        return;
    };
    let side = u16::try_from(code.width()).unwrap_or(u16::MAX);
    let cells = |quiet: u16| {
        let across = side.saturating_add(2 * quiet);
        if page.ascii { (across.saturating_mul(2), across) } else { (across, across.div_ceil(2)) }
    };
    // The last row is for the keys.
    let (width, height) = (page.area.width, page.area.height.saturating_sub(1));
    let fits = |quiet: &u16| cells(*quiet).0 <= width && cells(*quiet).1 <= height;
    match QUIET.into_iter().find(fits) {
        Some(quiet) => draw_modules(&code, side, quiet, page),
        None => say_too_small(cells(QUIET[1]), page),
    }
    page.line(0, keys, page.theme.dim());
}

fn draw_modules(code: &QrCode, side: u16, quiet: u16, page: &mut Page<'_>) {
    let is_dark = |x: u16, y: u16| {
        let inside = |at: u16| at.checked_sub(quiet).filter(|at| *at < side).map(usize::from);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => code[(x, y)] == Color::Dark,
            _ => false,
        }
    };
    let across = side + 2 * quiet;
    let light = page.theme.picture();
    if page.ascii {
        for y in 0..across {
            for x in 0..across {
                // The other way round: what is dark in one is light in the other.
                let dark = light.fg.zip(light.bg).map_or_else(
                    || light.remove_modifier(Modifier::REVERSED),
                    |(dark, light)| ratatui::style::Style::new().fg(light).bg(dark),
                );
                page.put(2 * x, "  ", if is_dark(x, y) { dark } else { light });
            }
            page.next();
        }
        return;
    }
    for y in (0..across).step_by(2) {
        let cell = |x| match (is_dark(x, y), is_dark(x, y + 1)) {
            (false, false) => ' ',
            (true, false) => '\u{2580}',
            (false, true) => '\u{2584}',
            (true, true) => '\u{2588}',
        };
        let row: String = (0..across).map(cell).collect();
        page.line(0, &row, light);
    }
}

fn say_too_small((width, height): (u16, u16), page: &mut Page<'_>) {
    let text = format!(
        "The QR code of this address needs {width} columns and {} rows; this terminal has {}x{}.",
        height + 1,
        page.area.width,
        page.area.height
    );
    page.text(0, &text, page.theme.plain());
    page.text(0, "Make it larger, or its letters smaller.", page.theme.plain());
    page.gap();
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;

    use crate::engine::Outcome;
    use crate::tui::message::{Message, Size};
    use crate::tui::model::tests::{answer, in_setup, keys, loaded, sized};
    use crate::tui::model::{Look, Model, sample};
    use crate::tui::screen::Screen;
    use crate::tui::view::view;

    /// A screen that shows the code of the sign-in's address.
    fn model(width: u16, height: u16) -> Model {
        let mut model = sized(in_setup(), width, height);
        keys(&mut model, "i");
        model
    }

    fn address(model: &Model) -> String {
        model.link().unwrap().to_owned()
    }

    /// What a terminal shows.
    fn shown(model: &Model) -> vt100::Parser {
        let Size { width, height } = model.size;
        let mut terminal = Terminal::new(Screen::new(width, height)).unwrap();
        terminal.draw(|frame| view(model, frame)).unwrap();
        let [rows, columns] = [height, width].map(|cells| cells.try_into().unwrap());
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(&terminal.backend_mut().take());
        parser
    }

    /// What a camera reads off the screen: each half of a cell is light or dark.
    fn read(model: &Model) -> Option<String> {
        const PIXELS: usize = 4;
        let parser = shown(model);
        let screen = parser.screen();
        let Size { width, height } = model.size;
        let is_dark = |x: usize, half: usize| {
            let (row, column) = (u16::try_from(half / 2).unwrap(), u16::try_from(x).unwrap());
            let cell = screen.cell(row, column).unwrap();
            // The terminal is taken for a dark one: what is not lit is dark.
            let lit = |color, or| match color {
                vt100::Color::Idx(7) => true,
                vt100::Color::Default => or,
                _ => false,
            };
            let (mut front, mut back) = (lit(cell.fgcolor(), true), lit(cell.bgcolor(), false));
            if cell.inverse() {
                std::mem::swap(&mut front, &mut back);
            }
            let is_front = match cell.contents() {
                "\u{2588}" => true,
                "\u{2580}" => half.is_multiple_of(2),
                "\u{2584}" => !half.is_multiple_of(2),
                _ => false,
            };
            !(if is_front { front } else { back })
        };
        let across = if model.look.ascii { 2 } else { 1 };
        let (columns, halves) = (usize::from(width) / across, usize::from(height) * 2);
        let step = if model.look.ascii { 2 } else { 1 };
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(
            columns * PIXELS,
            halves / step * PIXELS,
            |x, y| if is_dark(x / PIXELS * across, y / PIXELS * step) { 0 } else { 255 },
        );
        let grids = picture.detect_grids();
        grids.first().and_then(|grid| grid.decode().ok()).map(|(_, text)| text)
    }

    #[test]
    fn another_decoder_reads_the_address_off_the_screen() {
        let large = model(200, 60);
        assert_eq!(read(&large), Some(address(&large)));
        for (color, ascii) in [(false, false), (true, true), (false, true)] {
            let mut other = sized(large.clone(), 220, 110);
            other.look = Look { color, ascii, ..other.look };
            assert_eq!(read(&other), Some(address(&other)), "{color} {ascii}");
        }
    }

    #[test]
    fn the_short_address_of_a_device_flow_fits_a_terminal_of_80_by_24() {
        let mut model = loaded(sample::many());
        keys(&mut model, "s");
        answer(&mut model, |_| Outcome::AuthorizationStarted(sample::device("acme")));
        keys(&mut model, "i");
        let small = sized(model, 80, 24);
        assert!(address(&small).ends_with("?user_code=08T3AY9D"));
        assert_eq!(read(&small), Some(address(&small)));
    }

    #[test]
    fn where_it_has_no_room_it_says_how_much_it_takes() {
        let small = model(80, 24);
        assert_eq!(read(&small), None);
        let parser = shown(&small);
        let text = parser.screen().contents();
        let needed = text.split_once("needs ").unwrap().1;
        let number = |text: &str| text.split(' ').next().unwrap().parse::<u16>().unwrap();
        let width = number(needed);
        let height = number(needed.split_once("and ").unwrap().1);
        let enough = sized(small.clone(), width, height);
        assert_eq!(read(&enough), Some(address(&enough)), "{width}x{height}");
        let short = sized(small.clone(), width, height - 1);
        assert_eq!(read(&short), None);
    }

    #[test]
    fn its_keys_lead_back_and_to_the_plain_view() {
        let mut model = model(80, 24);
        keys(&mut model, "v");
        assert!(shown(&model).screen().contents().contains("select the address above"));
        keys(&mut model, "ii");
        assert!(shown(&model).screen().contents().contains("Copy all of that address"));
        model.look.terminal.qr_codes = false;
        keys(&mut model, "i");
        assert!(shown(&model).screen().contents().contains("config.toml does not let"));
        model.update(Message::Deadline, sample::NOW);
    }
}
