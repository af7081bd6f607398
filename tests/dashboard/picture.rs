//! The README's picture, made from the real screen. `ORGKEY_WRITE_PICTURE=1 cargo test --test
//! dashboard picture` writes it anew; without, the test says whether it is still what one sees.
//!
//! What differs from run to run is replaced: times, and the simulated orgs' host by the name that
//! such an org has at Salesforce.

use std::fmt::Write as _;
use std::fs;

use serde_json::json;

use crate::common::{Home, Simulator};
use crate::console::Console;

/// Where the picture lies.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/dashboard.svg");
/// Width and height of a cell, in the picture's units. A fixed font is 0.6 of its size wide.
const CELL: (f32, f32) = (8.4, 18.0);
/// What every clock time becomes.
const CLOCK: &str = "14:05";
/// What the end of a session becomes: two hours later.
const SESSION_END: &str = "16:05";

#[test]
fn the_picture_of_the_readme_is_what_one_sees() {
    let simulator = Simulator::start();
    let home = seeded(&simulator);
    let mut console = Console::start(&home.command(&[]));
    console.shows("8 credentials");
    console.shows("acme  PRODUCTION  in use");
    console.press("t");
    console.shows("acme/production: Access test successful");
    console.shows("nothing to do");
    let port = format!(".localhost:{}", simulator.port);
    let drawn = svg(&grid(console.look(), &port));
    console.press("q");
    assert_eq!(console.ended(), 0);
    if std::env::var("ORGKEY_WRITE_PICTURE").is_ok_and(|value| value == "1") {
        fs::write(FILE, &drawn).expect("the picture is written");
    }
    let kept = fs::read_to_string(FILE).expect("the picture is there");
    assert!(kept == drawn, "write it anew and look at it; this is what one sees:\n{drawn}");
}

/// A home with credentials in many states.
fn seeded(simulator: &Simulator) -> Home {
    let home = Home::new();
    home.ready_credential(simulator, "acme/sandbox", "ana@acme.example.uat");
    home.ready_credential(simulator, "acme/production", "ana@acme.example");
    home.orgkey(&["use", "acme/production"]).ok();
    home.ready_credential(simulator, "billing-emea", "svc@acme.example");
    simulator.control("revoke", &json!({ "username": "svc@acme.example" }));
    home.orgkey(&["test", "billing-emea"]).expect(3);
    home.save(simulator, "billing-uat", "ben@acme.example.uat", &[]).ok();
    home.orgkey(&["setup", "billing-uat", "--start"]).ok();
    home.ready_credential(simulator, "globex", "eva@globex.example");
    simulator.script(&json!([{
        "match": { "host": "globex.my" }, "times": 0, "status": 503, "body": "maintenance"
    }]));
    home.orgkey(&["test", "globex"]).expect(4);
    simulator.clear_script();
    home.save(simulator, "globex-etl", "fin@globex.example", &[]).ok();
    home.save(simulator, "initech", "cara@acme.example", &[]).ok();
    home.set_up(simulator, "initech", "cara@acme.example");
    home.ready_credential(simulator, "umbrella", "ben@acme.example");
    home
}

/// One cell: its character and the class of its looks.
type Cell = (char, &'static str);

/// The screen's cells, with what differs from run to run replaced.
fn grid(screen: &vt100::Screen, port: &str) -> Vec<Vec<Cell>> {
    let (rows, columns) = screen.size();
    (0..rows.get())
        .map(|row| {
            let cells = (0..columns.get()).map(|column| cell(screen, row, column));
            settled(cells.collect(), port)
        })
        .collect()
}

fn cell(screen: &vt100::Screen, row: u16, column: u16) -> Cell {
    let cell = screen.cell(row, column).expect("a cell of the screen");
    let character = cell.contents().chars().next().unwrap_or(' ');
    let class = match cell.fgcolor() {
        vt100::Color::Idx(1) => "r",
        vt100::Color::Idx(2) => "g",
        vt100::Color::Idx(3) => "y",
        vt100::Color::Idx(5) => "m",
        _ if cell.bold() => "b",
        _ if cell.dim() => "d",
        _ => "",
    };
    (character, class)
}

/// Replaces times, and the host's end.
fn settled(mut cells: Vec<Cell>, port: &str) -> Vec<Cell> {
    let width = cells.len();
    let mut at = 0;
    while at < cells.len() {
        let text: String = cells[at..].iter().map(|(character, _)| *character).collect();
        if let Some(rest) = text.strip_prefix(port) {
            // What follows keeps its column.
            let blanks = rest.chars().take_while(|character| *character == ' ').count();
            let end = ".salesforce.com";
            let whole = format!("{end:<width$}", width = port.len().min(end.len() + blanks));
            replace(&mut cells, at, port.len(), &whole);
            at += whole.len();
        } else if is_clock(&text) {
            let before = cells[..at].iter().map(|(character, _)| *character).collect::<String>();
            let clock = if before.ends_with("ends about ") { SESSION_END } else { CLOCK };
            replace(&mut cells, at, CLOCK.len(), clock);
            at += CLOCK.len();
        } else if let Some(digits) = milliseconds(&text) {
            replace(&mut cells, at + 1, digits, "184");
            at += 4;
        } else {
            at += 1;
        }
    }
    cells.resize(width, (' ', ""));
    cells
}

fn replace(cells: &mut Vec<Cell>, at: usize, length: usize, with: &str) {
    let class = cells[at].1;
    cells.splice(at..at + length, with.chars().map(|character| (character, class)));
}

fn is_clock(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    digit(0) && digit(1) && bytes.get(2) == Some(&b':') && digit(3) && digit(4) && !digit(5)
}

/// How many digits a latency has, at `(12 ms`.
fn milliseconds(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('(')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0 && rest[digits..].starts_with(" ms")).then_some(digits)
}

/// The cells as a picture. Each run of one look has its own place, so that any fixed font fits.
fn svg(grid: &[Vec<Cell>]) -> String {
    let columns = grid.first().map_or(0, Vec::len);
    let size = (px(columns, CELL.0) + 24.0, px(grid.len(), CELL.1) + 24.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" \
         aria-label=\"The dashboard with eight credentials\">\n<style>\n\
         svg{{--p:#fff;--f:#1f2328;--d:#636c76;--r:#b3201f;--g:#196c2e;--y:#855400;--m:#7a3fb8}}\n\
         @media(prefers-color-scheme:dark){{svg{{--p:#10141a;--f:#e6edf3;--d:#9aa4ae;--r:#ff7b72;\
         --g:#57c26a;--y:#e0aa3e;--m:#d2a8ff}}}}\n\
         rect{{fill:var(--p);stroke:var(--d)}}\n\
         text{{font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:var(--f);\
         white-space:pre}}\n\
         .b{{font-weight:bold}}.d{{fill:var(--d)}}.r{{fill:var(--r)}}.g{{fill:var(--g)}}\
         .y{{fill:var(--y)}}.m{{fill:var(--m)}}\n</style>\n\
         <rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n",
        size.0,
        size.1,
        size.0 - 1.0,
        size.1 - 1.0
    );
    for (row, cells) in grid.iter().enumerate() {
        let runs = runs(cells);
        if runs.is_empty() {
            continue;
        }
        write!(svg, "<text y=\"{}\">", px(row, CELL.1) + 26.0).expect("text grows");
        for (column, text, class) in runs {
            let x = 12.0 + px(column, CELL.0);
            let width = px(text.chars().count(), CELL.0);
            let class =
                if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            write!(
                svg,
                "<tspan x=\"{x:.1}\" textLength=\"{width:.1}\"{class}>{}</tspan>",
                escaped(&text)
            )
            .expect("text grows");
        }
        svg.push_str("</text>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "a screen has some hundred cells")]
fn px(cells: usize, size: f32) -> f32 {
    cells as f32 * size
}

/// Runs of one look without the blanks around: column, text, class. Two blanks part runs.
fn runs(cells: &[Cell]) -> Vec<(usize, String, &'static str)> {
    let mut runs: Vec<(usize, String, &'static str)> = Vec::new();
    let mut open = false;
    for (column, (character, class)) in cells.iter().enumerate() {
        match runs.last_mut() {
            Some((_, text, last)) if open && last == class => text.push(*character),
            _ if *character != ' ' => {
                runs.push((column, character.to_string(), class));
                open = true;
            }
            _ => open = false,
        }
        open = open && !runs.last().is_some_and(|(_, text, _)| text.ends_with("  "));
    }
    for (_, text, _) in &mut runs {
        text.truncate(text.trim_end().len());
    }
    runs
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
