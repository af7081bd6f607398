//! Makes a paste whole again and takes it apart into parameters.

use crate::domain::host::percent_decode;
use crate::domain::text::is_unprintable;

/// Most layers of percent-encoding that are taken off: the browser's own, and one of a chat or
/// mail program.
const ENCODING_LAYERS: usize = 2;

/// Drops line breaks, blanks, quotes, the backslashes that shells add, and punctuation around.
pub(super) fn compact(pasted: &str) -> String {
    let bare: String = pasted.chars().filter(|c| !is_dropped(*c) && !c.is_whitespace()).collect();
    let text = bare.trim_matches(is_punctuation).replace("&amp;", "&");
    unwrap_encoded(halve(&text).to_owned())
}

/// Like [`compact`], for the description of an error: blanks within a line stay.
pub(super) fn keep_blanks(pasted: &str) -> String {
    let bare: String = pasted.chars().filter(|c| !is_dropped(*c)).collect();
    unwrap_encoded(bare.trim_matches(is_punctuation).replace("&amp;", "&"))
}

fn is_dropped(character: char) -> bool {
    is_unprintable(character)
        || matches!(
            character,
            '"' | '\'' | '`' | '\\' | '<' | '>' | '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}'
        )
}

fn is_punctuation(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '.' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}')
}

/// The same text pasted twice counts once.
fn halve(text: &str) -> &str {
    match text.split_at_checked(text.len() / 2) {
        Some((first, second)) if first == second && first.contains("code=") => first,
        _ => text,
    }
}

/// An address that was encoded as a whole becomes an address again.
fn unwrap_encoded(text: String) -> String {
    let is_wrapped = |text: &str| {
        let lower = text.to_ascii_lowercase();
        !text.contains('=')
            && ["code%3d", "code%253d", "error%3d", "error%253d"]
                .iter()
                .any(|key| lower.contains(key))
    };
    let mut text = text;
    for _ in 0..ENCODING_LAYERS {
        if is_wrapped(&text) {
            text = percent_decode(&text);
        }
    }
    text
}

/// Whether a text is an address, or the greater part of one, rather than bare parameters.
pub(super) fn is_address(text: &str) -> bool {
    text.contains("://")
        || text.contains('?')
        || text.starts_with("www.")
        || text.starts_with("localhost")
}

/// Takes the encoding off a value: once as the browser put it on, and once more where a second
/// layer is left. A code and a `state` have no `%` of their own.
pub(super) fn decode_value(value: &str) -> String {
    let mut decoded = value.to_owned();
    for _ in 0..ENCODING_LAYERS {
        if decoded.contains('%') {
            decoded = percent_decode(&decoded);
        }
    }
    decoded
}

/// The parameters of an address, of its query and its fragment alike, or of bare text.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Splits a text; what has no `=` is no parameter.
    pub(super) fn read(text: &str) -> Self {
        let pairs = text.split(['?', '&', '#']).filter_map(|part| part.split_once('='));
        Self(pairs.map(|(key, value)| (key.trim().to_owned(), decode_value(value))).collect())
    }

    /// The first value of a name.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// Whether a name has two different values.
    pub(super) fn contradict(&self, name: &str) -> bool {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        values.next().is_some_and(|first| values.any(|other| other != first))
    }
}
