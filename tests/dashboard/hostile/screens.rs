//! The dashboard: what is pasted into it, and what it shows of Salesforce's words.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::json;

use super::strings::{chunks, judge_terminal, marks, text_chunks};
use super::{ANA, SHOWN, Stage, TOKEN_PATH, answer, object};
use crate::console::{Console, contains};

/// A dashboard on the home of a stage; at its end the bytes that its terminal got are judged.
struct Watched(Console);

impl Watched {
    fn open(stage: &Stage, keys: &[(&str, &str)]) -> Self {
        let mut console = Console::start(&stage.home.command(&[]));
        console.shows("1 credential");
        for (key, text) in keys {
            console.key_for(key, text);
        }
        Self(console)
    }

    /// Pastes bytes and waits until the screen is drawn anew after them.
    #[track_caller]
    fn paste(&mut self, bytes: &[u8]) {
        // In two pieces, as a slow line delivers it, cut in the middle of what it is.
        let whole = [b"\x1b[200~", bytes, b"\x1b[201~"].concat();
        let (one, other) = whole.split_at(whole.len() / 2);
        self.0.press(one);
        self.0.press(other);
        self.redraw();
    }

    #[track_caller]
    fn redraw(&mut self) {
        let before = self.0.received();
        self.0.press("\x0c");
        self.0.await_bytes("a screen drawn anew", |bytes| contains(&bytes[before..], b"\x1b[2J"));
    }

    /// Ends it; answers the texts that were on the screen.
    #[track_caller]
    fn judge(mut self, what: &str) -> BTreeSet<String> {
        self.0.signal(Signal::TERM);
        assert_eq!(self.0.ended(), 143, "{what}");
        let bytes = self.0.bytes();
        judge_terminal(&bytes).unwrap_or_else(|why| panic!("{what}: {why}"));
        marks(&bytes)
    }
}

#[test]
fn what_is_pasted_into_the_dashboard_reaches_the_terminal_as_harmless_text() {
    let mut stage = Stage::new();
    let all = chunks(900);
    let mut form = Watched::open(&stage, &[("n", "New OAuth credentials")]);
    for _ in 0..8 {
        for chunk in &all {
            form.paste(chunk);
        }
        form.0.press("\t");
        form.redraw();
    }
    stage.seen.extend(form.judge("the form"));
    let panes: [(&str, &[(&str, &str)]); 5] = [
        ("the form of an app", &[("a", "Apps: the OAuth clients"), ("n", "New app")]),
        ("the filter", &[("/", "env:prod")]),
        ("the palette", &[(":", "save")]),
        ("the set-up pane", &[("s", "1. Open this address")]),
        ("the dialog of a delete", &[("D", "for good?")]),
    ];
    for (what, keys) in panes {
        let mut pane = Watched::open(&stage, keys);
        for chunk in &all {
            pane.paste(chunk);
        }
        stage.seen.extend(pane.judge(what));
    }
    // A terminal without brackets sends a paste as keys; what has no control character of ASCII in
    // it can't be meant as any.
    let mut filter = Watched::open(&stage, &[("/", "env:prod")]);
    for text in
        text_chunks(SHOWN).iter().filter(|text| !text.bytes().any(|c| c < 0x20 || c == 0x7f))
    {
        filter.0.press(text);
        filter.redraw();
    }
    stage.seen.extend(filter.judge("the filter, by keys"));
    stage.look_at_all();
    // A field shows the end of what is in it.
    stage.came_through(40);
}

#[test]
fn what_salesforce_says_reaches_the_dashboard_as_harmless_text() {
    let mut stage = Stage::new();
    let mut list = Watched::open(&stage, &[]);
    for chunk in chunks(SHOWN) {
        let body = object(&[("errorCode", b"x"), ("message", &chunk)]);
        let body = [b"[".as_slice(), &body, b"]"].concat();
        stage.script(&[answer(&json!({ "path": "/services/data*" }), 400, &body)]);
        list.0.key("t");
        list.0.key_for("m", "Messages");
        let host = format!("acme.my.localhost:{}", stage.simulator.port);
        list.0.shows(&host);
        list.redraw();
        list.0.key_for("\x1b", "1 credential");
        for key in ["\r", "h"] {
            list.0.key(key);
            list.redraw();
            list.0.key_for("\x1b", "1 credential");
        }
    }
    stage.simulator.clear_script();
    stage.seen.extend(list.judge("the list"));
    // The name of the user, and the scopes, are on most screens.
    let text = text_chunks(120).into_iter().find(|text| text.contains('\u{202e}')).expect("one");
    let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = stage.simulator.sign_in(&url, ANA);
    stage.script(&[
        json!({ "match": { "path": TOKEN_PATH }, "set_fields": { "scope": text } }),
        json!({ "match": { "path": "/id/*" }, "set_fields": { "username": text } }),
    ]);
    stage.look(stage.home.command(&["setup", "acme", "--finish", "-"]), &redirect);
    let mut tour = Watched::open(&stage, &[]);
    for (key, screen) in [
        ("\r", "Org ID"),
        ("h", "History"),
        ("y", "Copy from"),
        ("a", "Apps: the OAuth clients"),
        ("r", "Reset acme"),
        ("D", "for good?"),
        ("s", "1. Open this address"),
        ("m", "Messages"),
    ] {
        tour.0.key(key);
        tour.redraw();
        tour.0.shows(screen);
        tour.0.key_for("\x1b", "1 credential");
    }
    stage.seen.extend(tour.judge("the screens"));
    for arguments in [&["list"][..], &["show", "acme"], &["audit"], &["status"]] {
        let mut printed = Console::start(&stage.home.command(arguments));
        printed.ended();
        let bytes = printed.bytes();
        judge_terminal(&bytes).unwrap_or_else(|why| panic!("{arguments:?}: {why}"));
    }
    stage.came_through(390);
}
