//! What a terminal sends, bytes to keys and pastes.
//!
//! Pure: bytes go in, [`Input`]s come out; the thread that reads them is in `reader`. A burst of
//! eight or more printable bytes in one go is a paste whatever the terminal says, so that an
//! address pasted without brackets never acts as keys (product.md, Keys).

use std::time::Duration;

use zeroize::Zeroizing;

use crate::domain::text;
use crate::engine::sensitive::Sensitive;

/// Most bytes of a paste that are taken; the rest is dropped (product.md: 8 KiB).
pub(crate) const PASTE_LIMIT: usize = 8 * 1024;
/// From this many printable bytes on, one go is a paste.
const BURST: usize = 8;
/// What begins a bracketed paste.
const PASTE_BEGIN: &[u8] = b"\x1b[200~";
/// What ends a bracketed paste.
const PASTE_END: &[u8] = b"\x1b[201~";

/// A key as the program knows it, whatever bytes a terminal sends for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A printable character.
    Char(char),
    /// A letter with Ctrl, in lower case.
    Ctrl(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Tabulator.
    Tab,
    /// Tabulator with Shift.
    BackTab,
    /// Delete to the left.
    Backspace,
    /// Delete to the right.
    Delete,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// First.
    Home,
    /// Last.
    End,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
}

/// One thing that came from the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A key.
    Key(Key),
    /// A paste, cleaned by [`clean_paste`].
    Paste(Sensitive),
}

/// Turns bytes into inputs. It keeps what one read left unfinished: a sequence cut in two, a
/// character cut in two, a paste whose end is still to come.
#[derive(Default)]
pub(crate) struct Decoder {
    /// Bytes not yet understood. Wiped, because a paste passes through here.
    rest: Zeroizing<Vec<u8>>,
    /// The text of an open bracketed paste.
    paste: Option<Zeroizing<Vec<u8>>>,
}

impl Decoder {
    /// Takes the bytes of one read.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// How long to wait for more before [`Self::decode`] is asked: a burst may go on, and what
    /// looks like Esc may be the first byte of an arrow. `None` when nothing is open: a paste whose
    /// end has come waits for nothing.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let (is_pasting, from) = self.after_pastes();
        let (printable, incomplete) = unread(&self.rest[from..]);
        if is_pasting {
            Some(Duration::from_secs(1))
        } else if incomplete || printable >= BURST {
            Some(Duration::from_millis(30))
        } else if printable >= 2 {
            Some(Duration::from_millis(10))
        } else {
            None
        }
    }

    /// Whether the end of a bracketed paste is still to come, and where what follows the whole ones
    /// begins.
    fn after_pastes(&self) -> (bool, usize) {
        let (mut is_pasting, mut from) = (self.paste.is_some(), 0);
        loop {
            let mark = if is_pasting { PASTE_END } else { PASTE_BEGIN };
            let Some(at) = find(&self.rest[from..], mark) else { return (is_pasting, from) };
            is_pasting = !is_pasting;
            from += at + mark.len();
        }
    }

    /// Reads all that came. With `quiet`, nothing more came in the time of [`Self::patience`]:
    /// then a lone Esc is the key, and a paste without its end is taken as it is.
    pub(crate) fn decode(&mut self, quiet: bool) -> Vec<Input> {
        let mut inputs = Vec::new();
        let bytes = std::mem::take(&mut self.rest);
        let mut at = 0;
        while at < bytes.len() {
            if self.paste.is_some() {
                match self.take_paste(&bytes, at, &mut inputs) {
                    Some(next) => at = next,
                    None => at = bytes.len(),
                }
                continue;
            }
            let run = bytes[at..].iter().take_while(|byte| is_run(**byte)).count();
            if is_burst(&bytes[at..at + run]) {
                inputs.push(Input::Paste(clean_paste(&bytes[at..at + run])));
                at += run;
                continue;
            }
            match step(&bytes[at..], quiet) {
                Step::Key(key, length) => {
                    inputs.extend(key.map(Input::Key));
                    at += length;
                }
                Step::PasteBegins(length) => {
                    self.paste = Some(Zeroizing::new(Vec::with_capacity(PASTE_LIMIT)));
                    at += length;
                }
                Step::Wait => break,
            }
        }
        self.rest.extend_from_slice(&bytes[at.min(bytes.len())..]);
        if quiet {
            self.rest.clear();
            inputs.extend(self.paste.take().map(|text| Input::Paste(clean_paste(&text))));
        }
        inputs
    }

    /// Takes bytes into the open paste up to its end; answers where to go on, or `None` when more
    /// has to come. What may be the start of the end mark is left for the next read.
    fn take_paste(&mut self, bytes: &[u8], at: usize, inputs: &mut Vec<Input>) -> Option<usize> {
        let coming = &bytes[at..];
        let end = find(coming, PASTE_END);
        let held =
            (1..PASTE_END.len()).rev().find(|length| coming.ends_with(&PASTE_END[..*length]));
        let length = end.unwrap_or(coming.len() - held.unwrap_or(0));
        if let Some(paste) = &mut self.paste {
            let room = PASTE_LIMIT.saturating_sub(paste.len());
            paste.extend_from_slice(&coming[..length.min(room)]);
        }
        if end.is_some() {
            let text = self.paste.take().unwrap_or_default();
            inputs.push(Input::Paste(clean_paste(&text)));
            return Some(at + length + PASTE_END.len());
        }
        self.rest.extend_from_slice(&coming[length..]);
        None
    }
}

/// Drops line breaks and everything that is not printable, and what is beyond 8 KiB.
pub(crate) fn clean_paste(bytes: &[u8]) -> Sensitive {
    let end = bytes.len().min(PASTE_LIMIT);
    let kept = Zeroizing::new(String::from_utf8_lossy(&bytes[..end]).into_owned());
    Sensitive::new(kept.chars().filter(|c| !text::is_unprintable(*c)).collect())
}

/// How many printable bytes there are outside escape sequences, and whether the last sequence is
/// cut in two. The letters of an arrow key are no text: it would wait for a burst that never comes.
fn unread(bytes: &[u8]) -> (usize, bool) {
    let (mut at, mut printable) = (0, 0);
    while at < bytes.len() {
        at += match bytes[at] {
            0x1b => match escape(&bytes[at..]) {
                Escape::Incomplete => return (printable, true),
                Escape::Key(_, length) | Escape::Paste(length) => length,
            },
            byte => {
                printable += usize::from(is_text(byte));
                1
            }
        };
    }
    (printable, false)
}

/// Whether a run of text and white space is a paste. One movement key held down is not: a slow
/// line delivers its repeats together.
fn is_burst(run: &[u8]) -> bool {
    let held = run.first().is_some_and(|first| {
        matches!(first, b'j' | b'k' | b' ') && run.iter().all(|byte| byte == first)
    });
    run.iter().filter(|byte| is_text(**byte)).count() >= BURST && !held
}

/// Printable ASCII, or part of a character beyond it.
fn is_text(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e | 0x80..=0xff)
}

/// Text and what a paste brings between text.
fn is_run(byte: u8) -> bool {
    is_text(byte) || matches!(byte, b'\r' | b'\n' | b'\t')
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// What the next bytes are.
enum Step {
    /// A key, or nothing that we know, and how many bytes it took.
    Key(Option<Key>, usize),
    /// The start of a bracketed paste.
    PasteBegins(usize),
    /// Cut in two: wait for the rest.
    Wait,
}

fn step(bytes: &[u8], quiet: bool) -> Step {
    match bytes[0] {
        0x1b => match escape(bytes) {
            Escape::Incomplete if quiet => Step::Key(Some(Key::Esc), bytes.len().max(1)),
            Escape::Incomplete => Step::Wait,
            Escape::Paste(length) => Step::PasteBegins(length),
            Escape::Key(key, length) => Step::Key(key, length),
        },
        b'\r' | b'\n' => Step::Key(Some(Key::Enter), 1),
        b'\t' => Step::Key(Some(Key::Tab), 1),
        0x7f | 0x08 => Step::Key(Some(Key::Backspace), 1),
        control @ 1..=26 => Step::Key(Some(Key::Ctrl(char::from(control + b'a' - 1))), 1),
        0..=0x1f => Step::Key(None, 1),
        _ => character(bytes, quiet),
    }
}

/// The character at the start of `bytes`.
fn character(bytes: &[u8], quiet: bool) -> Step {
    let length = match bytes[0] {
        0..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => return Step::Key(None, 1),
    };
    match bytes.get(..length).map(std::str::from_utf8) {
        Some(Ok(text)) => {
            let character = text.chars().next().filter(|c| !text::is_unprintable(*c));
            Step::Key(character.map(Key::Char), length)
        }
        Some(Err(_)) => Step::Key(None, 1),
        None if quiet => Step::Key(None, bytes.len()),
        None => Step::Wait,
    }
}

/// What an escape sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// A key, or a sequence that we do not know, and its length.
    Key(Option<Key>, usize),
    /// The start of a bracketed paste, and its length.
    Paste(usize),
    /// There may be more of it.
    Incomplete,
}

fn escape(bytes: &[u8]) -> Escape {
    match bytes.get(1) {
        None => Escape::Incomplete,
        Some(b'[') => control_sequence(bytes),
        Some(b'O') => match bytes.get(2) {
            None => Escape::Incomplete,
            Some(letter) => Escape::Key(arrow(*letter), 3),
        },
        // Two presses of Esc, or Esc before another sequence.
        Some(0x1b) => Escape::Key(Some(Key::Esc), 1),
        // Alt and a key: not ours.
        Some(_) => Escape::Key(None, 2),
    }
}

/// ECMA-48 5.4: ESC, `[`, parameters, a final byte.
fn control_sequence(bytes: &[u8]) -> Escape {
    let parameters = bytes[2..].iter().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
    let Some(last) = bytes.get(2 + parameters) else {
        // No sequence of a terminal is that long: it is noise.
        return if parameters > 32 { Escape::Key(None, bytes.len()) } else { Escape::Incomplete };
    };
    let length = 3 + parameters;
    let number = &bytes[2..2 + parameters];
    let number = number.split(|byte| *byte == b';').next().unwrap_or_default();
    let key = match (last, number) {
        (b'~', b"200") => return Escape::Paste(length),
        (b'~', b"1" | b"7") => Some(Key::Home),
        (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"3") => Some(Key::Delete),
        (b'~', b"5") => Some(Key::PageUp),
        (b'~', b"6") => Some(Key::PageDown),
        (b'Z', _) => Some(Key::BackTab),
        (letter, _) => arrow(*letter),
    };
    Escape::Key(key, length)
}

fn arrow(letter: u8) -> Option<Key> {
    match letter {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        b'H' => Some(Key::Home),
        b'F' => Some(Key::End),
        b'M' => Some(Key::Enter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<Input> {
        let mut decoder = Decoder::default();
        decoder.feed(bytes);
        decoder.decode(true)
    }

    fn paste(text: &str) -> Input {
        Input::Paste(Sensitive::new(text.into()))
    }

    #[test]
    fn keys_are_known_by_their_bytes() {
        let table: [(&[u8], &[Key]); 16] = [
            (b"a", &[Key::Char('a')]),
            ("\u{e9}".as_bytes(), &[Key::Char('\u{e9}')]),
            (b"\r", &[Key::Enter]),
            (b"\t", &[Key::Tab]),
            (b"\x7f", &[Key::Backspace]),
            (b"\x03", &[Key::Ctrl('c')]),
            (b"\x1b", &[Key::Esc]),
            (b"\x1b\x1b", &[Key::Esc, Key::Esc]),
            (b"\x1b[A\x1bOB", &[Key::Up, Key::Down]),
            (b"\x1b[1;5C", &[Key::Right]),
            (b"\x1b[3~", &[Key::Delete]),
            (b"\x1b[Z", &[Key::BackTab]),
            (b"\x1b[6~", &[Key::PageDown]),
            (b"\x1bx", &[]),
            (b"\x1b[?1;2c", &[]),
            (b"jjjjjjjjjj", &[Key::Char('j'); 10]),
        ];
        for (bytes, keys) in table {
            let inputs: Vec<Input> = keys.iter().copied().map(Input::Key).collect();
            assert_eq!(all(bytes), inputs, "{bytes:?}");
        }
    }

    #[test]
    fn a_burst_of_eight_printable_bytes_is_a_paste_and_seven_are_keys() {
        assert_eq!(all(b"Dq!sX\rab1"), [paste("Dq!sXab1")]);
        assert_eq!(all(b"DqLsXab").len(), 7);
    }

    #[test]
    fn a_bracketed_paste_drops_line_breaks_and_controls_wherever_it_is_cut() {
        let bytes = b"\x1b[200~https://a\r\n?code=\x07x\x1b[31m\x1b[201~q";
        let wanted = vec![paste("https://a?code=x[31m"), Input::Key(Key::Char('q'))];
        for cut in 1..bytes.len() {
            let mut decoder = Decoder::default();
            decoder.feed(&bytes[..cut]);
            let mut inputs = decoder.decode(false);
            decoder.feed(&bytes[cut..]);
            inputs.extend(decoder.decode(false));
            assert_eq!(inputs, wanted, "cut at {cut}");
            assert_eq!(decoder.patience(), None);
        }
    }

    #[test]
    fn a_paste_without_its_end_is_taken_when_nothing_more_comes() {
        let mut decoder = Decoder::default();
        decoder.feed(b"\x1b[200~code");
        assert_eq!(decoder.decode(false), []);
        assert!(decoder.patience().is_some());
        assert_eq!(decoder.decode(true), [paste("code")]);
    }

    #[test]
    fn a_paste_is_cut_at_eight_kibibytes() {
        let mut bytes = b"\x1b[200~".to_vec();
        bytes.extend(vec![b'x'; 100_000]);
        bytes.extend(PASTE_END);
        assert_eq!(all(&bytes), [paste(&"x".repeat(PASTE_LIMIT))]);
    }

    #[test]
    fn an_arrow_cut_in_two_is_still_an_arrow() {
        let mut decoder = Decoder::default();
        decoder.feed(b"\x1b");
        assert_eq!(decoder.decode(false), []);
        assert!(decoder.patience().is_some());
        decoder.feed(b"[B");
        assert_eq!(decoder.decode(false), [Input::Key(Key::Down)]);
    }

    #[test]
    fn a_whole_key_or_paste_waits_for_nothing_and_text_waits_for_the_rest_of_it() {
        let table: [(&[u8], Option<u64>); 11] = [
            (b"\x1b[200~https://acme", Some(1_000)),
            (b"\x1b[200~https://acme\x1b[201~", None),
            (b"\x1b[200~https://acme\x1b[201~\x1b[200~x", Some(1_000)),
            (b"\x1b[200~https://acme\x1b[201~Dq", Some(10)),
            (b"j", None),
            (b"\x1b[B", None),
            (b"\x1b[1;5C\x1bOA\x1b[6~", None),
            (b"\x1b[B\x1b", Some(30)),
            (b"Dq", Some(10)),
            (b"\x1b[BDq", Some(10)),
            (b"https://", Some(30)),
        ];
        for (bytes, millis) in table {
            let mut decoder = Decoder::default();
            decoder.feed(bytes);
            assert_eq!(decoder.patience(), millis.map(Duration::from_millis), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read_to_their_end(pieces in prop::collection::vec(
            prop::collection::vec(prop_oneof![Just(0x1b_u8), Just(b'['), Just(b'~'), any::<u8>()], 0..12), 0..12,
        )) {
            let mut decoder = Decoder::default();
            for piece in &pieces {
                decoder.feed(piece);
                decoder.decode(false);
            }
            decoder.decode(true);
            prop_assert_eq!(decoder.patience(), None);
        }
    }
}
