//! What frames cost, and that a terminal shows what they say.

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::style::Style;

use std::time::Duration;

use super::*;
use crate::domain::credential::Credential;
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
fn another_state_of_a_row_costs_its_words_and_the_counts_in_the_header() {
    for (width, height) in [(40, 12), (80, 24), (200, 50)] {
        let mut model = sized(loaded(sample::many()), width, height);
        let (mut terminal, _) = first(&model);
        for row in sample::many().into_iter().skip(1) {
            let states =
                [sample::unreachable("x"), sample::needs_setup("x"), sample::ready("x", "sandbox")];
            for state in states {
                let Credential { address, in_use, .. } = row.clone();
                let changed = Credential { address, in_use, ..state };
                model.dashboard.replace_one(&changed, sample::NOW);
                let bytes = frame(&mut terminal, &model);
                let of_row = bytes.rsplitn(3, |byte| *byte == b'H').nth(1).map_or(0, <[u8]>::len);
                println!(
                    "state {width}x{height}: {} bytes, {of_row} of them the row's",
                    bytes.len()
                );
                assert!(of_row <= 80 && bytes.len() <= 120, "{}", bytes.escape_ascii());
            }
        }
    }
}

#[test]
fn a_minute_of_a_countdown_costs_its_digits_and_one_wake_up() {
    const LEFT: Duration = Duration::from_secs(50 * 60);
    for (width, height) in [(40, 12), (80, 24), (200, 50)] {
        let mut pending = sample::authorizing("umbrella");
        pending.authorization.as_mut().unwrap().expires_at = sample::NOW.plus(LEFT);
        let others = sample::many().into_iter().filter(|other| other.authorization.is_none());
        let among_others = others.chain([pending.clone()]).collect();
        for rows in [vec![pending], among_others] {
            let mut model = sized(loaded(rows), width, height);
            let (mut terminal, _) = first(&model);
            let mut wake_ups = 0;
            while let Some(at) = model.next_deadline() {
                model.update(Message::Deadline, at);
                wake_ups += 1;
                let bytes = frame(&mut terminal, &model);
                // At its end it is another state, and the panel another text.
                let most = if at.since(sample::NOW) < LEFT { 60 } else { 420 };
                assert!(bytes.len() <= most, "{}", bytes.escape_ascii());
            }
            assert_eq!(wake_ups, 51);
        }
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
        let mut fresh = ratatui::Terminal::new(ratatui::backend::TestBackend::new(80, 24)).unwrap();
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
    assert!(url.starts_with("https://acme.my.salesforce.com/") && url.ends_with("prompt=login"));
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

/// Cells that are told apart by a terminal; blanks come often, as they do on a screen.
fn cell() -> impl Strategy<Value = Cell> {
    let symbol = prop::sample::select(vec![" ", " ", " ", "x", "y", "é"]);
    let style = prop::sample::select(vec![
        Style::new(),
        Style::new(),
        Style::new().bold(),
        Style::new().red(),
        Style::new().reversed(),
    ]);
    (symbol, style).prop_map(|(symbol, style)| {
        let mut cell = Cell::new(symbol);
        cell.set_style(style);
        cell
    })
}

proptest! {
    #[test]
    fn any_frames_leave_the_terminal_with_the_cells_that_were_drawn(
        frames in prop::collection::vec(prop::collection::btree_map((0..3_u16, 0..12_u16), cell(), 1..30), 1..8),
    ) {
        let mut screen = Screen::new(12, 3);
        let mut terminal = vt100::Parser::new(3.try_into().unwrap(), 12.try_into().unwrap(), 0);
        screen.clear().unwrap();
        let mut drawn = std::collections::BTreeMap::new();
        for changes in frames {
            // As ratatui does, no cell is drawn that is as it was.
            let changes: Vec<_> = changes
                .into_iter()
                .filter(|(place, cell)| drawn.get(place).unwrap_or(&Cell::default()) != cell)
                .collect();
            screen.draw(changes.iter().map(|((y, x), cell)| (*x, *y, cell))).unwrap();
            drawn.extend(changes);
            terminal.process(&screen.take());
        }
        for ((y, x), cell) in drawn {
            let shown = terminal.screen().cell(y, x).unwrap();
            let symbol = if shown.contents().is_empty() { " " } else { shown.contents() };
            prop_assert_eq!(symbol, cell.symbol());
            prop_assert_eq!(shown.inverse(), cell.modifier.contains(Modifier::REVERSED));
            if symbol != " " {
                prop_assert_eq!(shown.bold(), cell.modifier.contains(Modifier::BOLD));
                let red = shown.fgcolor() == vt100::Color::Idx(1);
                prop_assert_eq!(red, cell.fg == Color::Red);
            }
        }
    }
}

#[test]
fn every_row_of_the_address_is_one_link_that_is_named_once() {
    for (width, height) in [(80, 24), (200, 50)] {
        let model = sized(in_setup(), width, height);
        let screen = Screen::new(width, height);
        let mut terminal = Terminal::new(screen).unwrap();
        assert!(!terminal.backend_mut().set_link(model.link()));
        let bytes = String::from_utf8(frame(&mut terminal, &model)).unwrap();
        let address = model.link().unwrap().to_owned();
        let begin = format!("\x1b]8;id=1;{address}\x1b\\");
        let (before, linked) = bytes.split_once(&begin).unwrap();
        assert!(!before.contains("\x1b]8"));
        let (linked, after) = linked.split_once("\x1b]8;;\x1b\\").unwrap();
        assert!(!after.contains("\x1b]8"), "once");
        // Between its rows the cursor moves, and nothing else is written.
        let seen = shown(&model, &[linked.as_bytes().to_vec()]);
        let text: String = seen.screen().contents().split_whitespace().collect();
        assert_eq!(text, address);
        // A fresh address under cells that look the same is another link.
        assert!(terminal.backend_mut().set_link(Some("https://other.example/")));
        assert!(!terminal.backend_mut().set_link(Some("https://other.example/")));
        assert!(!terminal.backend_mut().set_link(None));
    }
}

#[test]
fn no_link_is_made_where_it_is_forbidden_or_could_break_out() {
    let mut model = in_setup();
    model.look.terminal.links = false;
    assert_eq!(model.link(), None);
    let mut terminal = Terminal::new(Screen::new(80, 24)).unwrap();
    for hostile in [None, Some("https://x/\x1b\\"), Some("https://x/\u{9c}"), Some("a b")] {
        terminal.backend_mut().set_link(hostile);
        terminal.clear().unwrap();
        let bytes = frame(&mut terminal, &model);
        assert!(!bytes.windows(4).any(|window| window == b"\x1b]8;"), "{hostile:?}");
    }
}
