use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::tui::model::tests::{loaded, sized};
use crate::tui::model::{Model, sample};
use crate::tui::view::view;

/// The screen as text, trailing blanks cut, with the cursor's place.
pub(crate) fn screen(model: &Model) -> String {
    let backend = TestBackend::new(model.size.width, model.size.height);
    let mut terminal = Terminal::new(backend).unwrap();
    let mut cursor = None;
    terminal
        .draw(|frame| {
            let area = frame.area();
            cursor = super::draw(model, frame.buffer_mut(), area);
            view(model, frame);
        })
        .unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(buffer.area.width)) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    match cursor {
        Some(cursor) => text.push_str(&format!("cursor {},{}\n", cursor.x, cursor.y)),
        None => text.push_str("no cursor\n"),
    }
    text
}

#[test]
fn look() {
    for (width, height) in [(80, 24), (40, 12), (200, 50)] {
        println!("{}", screen(&sized(loaded(sample::many()), width, height)));
    }
}
