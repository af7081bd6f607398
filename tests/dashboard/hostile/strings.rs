//! Text that is meant to steer a terminal or to deceive a reader, and the two judges of what comes
//! out: of plain output, and of the bytes that a terminal gets.

/// One text: a mark that is looked for in what comes out, and bytes that need not be UTF-8.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// The text with its mark, `q017`, in front.
    pub bytes: Vec<u8>,
    /// Whether it is UTF-8.
    pub is_text: bool,
}

/// What begins an OSC, DCS, CSI, APC, PM or SOS: by ESC, by C1 in UTF-8, and by the raw byte.
fn beginnings(escaped: u8) -> [Vec<u8>; 3] {
    let raw = escaped + 0x40;
    [vec![0x1b, escaped], vec![0xc2, raw], vec![raw]]
}

/// What ends a string: BEL, ST by ESC, ST as C1, nothing.
const ENDS: [&[u8]; 4] = [b"\x07", b"\x1b\\", b"\xc2\x9c", b""];

const OSC: [&str; 9] = [
    "0;owned",
    "2;owned",
    "8;;http://evil.example/",
    "52;c;T1dORUQ=",
    "10;?",
    "4;0;?",
    "777;notify;a;b",
    "1337;File=:T1dO",
    "9;owned",
];
const DCS: [&str; 4] = ["q#0~", "$qm", "+q544e", "tmux;owned"];
const CSI: [&str; 24] = [
    "2J",
    "H",
    "31m",
    "?1049h",
    "?1049l",
    "?2004l",
    "?25l",
    "6n",
    "c",
    ">c",
    "5i",
    "4i",
    "18t",
    "21t",
    "?1000h",
    "2;3r",
    "999b",
    "!p",
    "3J",
    "s",
    "u",
    "38;2;1;2;3m",
    "",
    "1",
];
const ALONE: [&str; 20] = [
    "c", "7", "8", "=", ">", "D", "M", "E", "H", "Z", "#8", "(0", "n", "o", "|", "}", "~", "%G",
    "%@", " F",
];
/// Bidirectional controls, zero-width and invisible characters, tags, line separators.
const FORMAT: [&str; 40] = [
    "\u{202a}",
    "\u{202b}",
    "\u{202c}",
    "\u{202d}",
    "\u{202e}",
    "\u{2066}",
    "\u{2067}",
    "\u{2068}",
    "\u{2069}",
    "\u{200e}",
    "\u{200f}",
    "\u{61c}",
    "\u{200b}",
    "\u{200c}",
    "\u{200d}",
    "\u{2060}",
    "\u{2061}",
    "\u{2064}",
    "\u{feff}",
    "\u{ad}",
    "\u{34f}",
    "\u{180e}",
    "\u{fe0f}",
    "\u{e0100}",
    "\u{115f}",
    "\u{1160}",
    "\u{3164}",
    "\u{ffa0}",
    "\u{fff9}",
    "\u{fffb}",
    "\u{17b4}",
    "\u{1d173}",
    "\u{e0001}",
    "\u{e0020}",
    "\u{e0041}\u{e0042}",
    "\u{e007f}",
    "\u{2028}",
    "\u{2029}",
    "\u{206a}",
    "\u{206f}",
];
const BREAKS: [&str; 12] = [
    "\n",
    "\r",
    "\r\n",
    "\u{85}",
    "\x0b",
    "\x0c",
    "\r\nSet-Cookie: a=b",
    "\norgkey: acme is ready",
    "\r\x1b[Kacme + ready",
    "\n\n\n",
    "\x08\x08\x08owned",
    "\t\t",
];
/// What only a second decoding would make hostile.
const ENCODED: [&str; 16] = [
    "%1b[31m",
    "%1B%5D52;c;QQ==%07",
    "%C2%9B31m",
    "%9b31m",
    "%0d%0aowned",
    "%E2%80%AE",
    "%00",
    "%250a",
    "\\u001b[31m",
    "\\x1b[2J",
    "&#27;[31m",
    "=HYPERLINK(1)",
    "\\033[2J",
    "^[[2J",
    "${IFS}`id`",
    "<script>alert(1)</script>",
];
/// No UTF-8: overlong, surrogates, cut off, beyond the last character.
const BROKEN: [&[u8]; 12] = [
    b"\xc0\x9b[31m",
    b"\xe0\x80\x9b",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xe2\x80",
    b"\xf0\x9f\x98",
    b"\xf5\x80\x80\x80",
    b"\xff\xfe",
    b"\xc1\xbf",
    b"\x80\x1b[2J",
    b"\xf4\x90\x80\x80",
    b"\xe2\x80\x1b[31m",
];

/// All of them.
pub fn all() -> Vec<Hostile> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    payloads.extend((0..0x20_u8).chain([0x7f]).map(|byte| vec![byte]));
    payloads.extend((0x80..0xa0_u8).map(|byte| vec![0xc2, byte]));
    payloads.extend((0x80..0xa0_u8).map(|byte| vec![byte]));
    let strings = |escaped: u8, bodies: &[&str], payloads: &mut Vec<Vec<u8>>| {
        for (index, body) in bodies.iter().enumerate() {
            for beginning in beginnings(escaped) {
                // Ends take turns, so that each meets each beginning.
                for turn in [0, 2] {
                    let end = ENDS[(index + beginning.len() + turn) % ENDS.len()];
                    payloads.push([&beginning, body.as_bytes(), end].concat());
                }
            }
            payloads.push([&beginnings(escaped)[0], body.as_bytes(), ENDS[index % 4]].concat());
        }
    };
    strings(b']', &OSC, &mut payloads);
    strings(b'P', &DCS, &mut payloads);
    for escaped in *b"_^X" {
        strings(escaped, &["Gf=32;T1dO", "owned"], &mut payloads);
    }
    for body in CSI {
        payloads.extend(beginnings(b'[').map(|begin| [&begin, body.as_bytes()].concat()));
    }
    payloads.extend(ALONE.map(|body| format!("\x1b{body}").into_bytes()));
    payloads
        .extend(FORMAT.iter().chain(&BREAKS).chain(&ENCODED).map(|text| text.as_bytes().into()));
    payloads.extend(BROKEN.map(<[u8]>::to_vec));
    // Halves: what ends one field begins a sequence that the next one goes on with.
    for (one, other) in [
        ("\x1b", "[2J"),
        ("\x1b]", "52;c;QQ==\x07"),
        ("\u{9d}", "0;x\u{9c}"),
        ("a\u{301}", "\u{301}b"),
    ] {
        payloads.extend([one.as_bytes().to_vec(), other.as_bytes().to_vec()]);
    }
    let marked = payloads.into_iter().enumerate().map(|(index, payload)| {
        let bytes = [format!("q{index:03}").as_bytes(), &payload, b"z"].concat();
        Hostile { is_text: std::str::from_utf8(&bytes).is_ok(), bytes }
    });
    marked.collect()
}

/// Texts joined by blanks, few enough at a time that what cuts long texts leaves them whole. Those
/// that are no UTF-8 stand apart: they would hide the others.
pub fn chunks(limit: usize) -> Vec<Vec<u8>> {
    let (text, broken): (Vec<_>, Vec<_>) = all().into_iter().partition(|one| one.is_text);
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    for group in [text, broken] {
        let mut open = Vec::new();
        for Hostile { bytes, .. } in group {
            if open.len() + bytes.len() + 1 > limit {
                chunks.push(std::mem::take(&mut open));
            }
            open.extend_from_slice(&bytes);
            open.push(b' ');
        }
        chunks.push(open);
    }
    // Very long, and all of it hostile.
    chunks.extend([b"q990\x1b[2J".repeat(1_000), "q991\u{202e}".repeat(1_000).into_bytes()]);
    chunks
}

/// Only those chunks that are UTF-8, for what takes nothing else.
pub fn text_chunks(limit: usize) -> Vec<String> {
    chunks(limit).into_iter().filter_map(|chunk| String::from_utf8(chunk).ok()).collect()
}

/// Whether a character steers a terminal or can't be seen. Written anew here, so that a hole in the
/// program's own list is found.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f
            | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// What is wrong with plain output: nothing but lines of visible text may be in it.
pub fn judge_plain(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("no UTF-8: {error}"))?;
    match text.char_indices().find(|(_, c)| *c != '\n' && is_hostile(*c)) {
        None => Ok(()),
        Some((at, character)) => Err(format!("{character:?} {}", around(bytes, at))),
    }
}

fn around(bytes: &[u8], at: usize) -> String {
    let part = &bytes[at.saturating_sub(60)..(at + 40).min(bytes.len())];
    format!("at byte {at}: {}", part.escape_ascii())
}

/// What is wrong with the bytes that a terminal got: only the sequences that the dashboard itself
/// uses may be in them, and visible text.
pub fn judge_terminal(bytes: &[u8]) -> Result<(), String> {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        at += if rest[0] == 0x1b {
            own_sequence(rest).ok_or_else(|| format!("a sequence {}", around(bytes, at)))?
        } else {
            let text = rest.split(|byte| *byte == 0x1b).next().unwrap_or_default();
            // The kernel adds the carriage returns of plain lines.
            let plain: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'\r').collect();
            judge_plain(&plain).map_err(|why| format!("{why}, {}", around(bytes, at)))?;
            text.len()
        };
    }
    Ok(())
}

/// Length of a sequence that is the dashboard's own.
fn own_sequence(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'[' => {
            let is_end = |byte: &u8| (0x40..=0x7e).contains(byte);
            let length = bytes[2..].iter().position(is_end)?;
            let parameters = std::str::from_utf8(&bytes[2..2 + length]).ok()?;
            let numbers = parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';');
            let is_own = match bytes[2 + length] {
                b'C' | b'H' | b'm' => numbers,
                b'J' => parameters == "2",
                b'K' => parameters.is_empty(),
                b'h' | b'l' => ["?25", "?1049", "?2004", "?2026"].contains(&parameters),
                _ => false,
            };
            is_own.then_some(length + 3)
        }
        b']' => {
            let ends = |at: &usize| bytes[*at] == 0x07 || bytes[*at..].starts_with(b"\x1b\\");
            let length = (2..bytes.len()).find(ends)?;
            let body = std::str::from_utf8(&bytes[2..length]).ok()?;
            let is_copy = body.strip_prefix("52;c;").is_some_and(|text| {
                text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+/=".contains(&c))
            });
            let is_link = body.strip_prefix("8;").is_some_and(|link| {
                let (name, address) = link.split_once(';').unwrap_or(("", link));
                let named = name.is_empty() || name.starts_with("id=");
                let ours = address.is_empty() || address.starts_with("http://acme.my.localhost:");
                named && ours && address.bytes().all(|c| c.is_ascii_graphic())
            });
            let end = if bytes[length] == 0x07 { 1 } else { 2 };
            (is_copy || is_link).then_some(length + end)
        }
        _ => None,
    }
}

/// The marks of the texts that are found in an output.
pub fn marks(output: &[u8]) -> std::collections::BTreeSet<String> {
    let text = String::from_utf8_lossy(output).into_owned();
    let after = text.split('q').skip(1).filter_map(|rest| rest.get(..3));
    after.filter(|mark| mark.bytes().all(|c| c.is_ascii_digit())).map(str::to_owned).collect()
}

#[test]
fn there_are_enough_of_them_and_the_judges_find_each_that_is_not_encoded() {
    let all = all();
    assert!(all.len() >= 400, "{}", all.len());
    for Hostile { bytes, .. } in &all {
        let shown = bytes.escape_ascii();
        let text = String::from_utf8_lossy(bytes);
        let is_harmless = bytes.is_ascii() && !text.chars().any(|c| c.is_control() && c != '\n')
            || text.contains('\u{301}');
        if !is_harmless {
            assert!(judge_plain(bytes).is_err(), "{shown}");
        }
    }
    for own in [
        "\x1b[?1049h\x1b[?2004h\x1b[m\x1b[H\x1b[2J",
        "\x1b[3;4Hacme\x1b[K\x1b[38;5;9mx",
        "\x1b]52;c;QQ==\x07",
        "\x1b]8;id=1;http://acme.my.localhost:1/x\x1b\\x\x1b]8;;\x1b\\",
    ] {
        assert_eq!(judge_terminal(own.as_bytes()), Ok(()), "{own:?}");
    }
    for foreign in [
        "\x1b[6n",
        "\x1b[31",
        "\x1b]0;x\x07",
        "\x1bc",
        "\x1b[3J",
        "\x1b]8;;http://evil.example/\x1b\\",
        "\u{9b}31m",
        "\x07",
        "\x1b[?1000h",
    ] {
        assert!(judge_terminal(foreign.as_bytes()).is_err(), "{foreign:?}");
    }
}
