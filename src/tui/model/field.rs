//! One line that a person edits: a plain one with its cursor, and one for secrets.

use tui_input::{Input, InputRequest};
use zeroize::Zeroizing;

use crate::domain::text::{SecretKind, secret_kind};
use crate::engine::sensitive::Sensitive;
use crate::tui::input::{Key, PASTE_LIMIT};

/// Longest plain value, in characters: no name, ID, host or list of tags is longer.
const LINE_LIMIT: usize = 1_000;

/// A line of plain text.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineField(Input);

impl LineField {
    /// A line with a value, the cursor at its end.
    pub(crate) fn new(value: &str) -> Self {
        Self(Input::new(value.to_owned()))
    }

    /// The value.
    pub(crate) fn value(&self) -> &str {
        self.0.value()
    }

    /// Cells from the start of the visible part to the cursor, and the visible part for a field
    /// of `width` cells.
    pub(crate) fn visible(&self, width: usize) -> (usize, String) {
        let room = width.saturating_sub(1).max(1);
        let hidden = self.0.visual_scroll(room);
        let cursor = self.0.visual_cursor().saturating_sub(hidden);
        let mut skipped = 0;
        let shown = self
            .0
            .value()
            .chars()
            .skip_while(|c| {
                let before = skipped;
                skipped += unicode_cells(*c);
                before < hidden
            })
            .collect();
        (cursor, shown)
    }

    /// Replaces the value.
    pub(crate) fn set(&mut self, value: &str) {
        self.0 = Input::new(value.to_owned());
    }

    /// Puts text at the cursor.
    pub(crate) fn insert(&mut self, text: &str) {
        for character in text.chars() {
            self.edit(Key::Char(character));
        }
    }

    /// Edits by a key; answers whether the value changed.
    pub(crate) fn edit(&mut self, key: Key) -> bool {
        let request = match key {
            Key::Char(_) if self.0.value().chars().count() >= LINE_LIMIT => return false,
            Key::Char(character) => InputRequest::InsertChar(character),
            Key::Backspace => InputRequest::DeletePrevChar,
            Key::Delete | Key::Ctrl('d') => InputRequest::DeleteNextChar,
            Key::Left => InputRequest::GoToPrevChar,
            Key::Right => InputRequest::GoToNextChar,
            Key::Home | Key::Ctrl('a') => InputRequest::GoToStart,
            Key::End | Key::Ctrl('e') => InputRequest::GoToEnd,
            Key::Ctrl('u') => InputRequest::DeleteLine,
            Key::Ctrl('k') => InputRequest::DeleteTillEnd,
            Key::Ctrl('w') => InputRequest::DeletePrevWord,
            _ => return false,
        };
        self.0.handle(request).is_some_and(|changed| changed.value)
    }
}

/// Cells of one character: what `unicode-width` says, by way of ratatui.
fn unicode_cells(character: char) -> usize {
    ratatui::text::Span::raw(character.to_string()).width()
}

/// A line that is never drawn: only its length is known outside. Its memory is set aside at once
/// and wiped, so that no copy of it stays behind.
#[derive(Clone)]
pub(crate) struct SecretField(Zeroizing<String>);

impl Default for SecretField {
    fn default() -> Self {
        Self(Zeroizing::new(String::with_capacity(PASTE_LIMIT)))
    }
}

impl std::fmt::Debug for SecretField {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl SecretField {
    /// How many characters are in it.
    pub(crate) fn length(&self) -> usize {
        self.0.chars().count()
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both hold the same.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Edits by a key; only the end can be edited.
    pub(crate) fn edit(&mut self, key: Key) {
        match key {
            Key::Char(character) => self.push(character),
            Key::Backspace => {
                self.0.pop();
            }
            Key::Ctrl('u') => self.clear(),
            _ => {}
        }
    }

    /// Appends pasted text.
    pub(crate) fn insert(&mut self, pasted: &Sensitive) {
        for character in exposed(pasted).chars() {
            self.push(character);
        }
    }

    /// Gives the value away and leaves nothing behind.
    pub(crate) fn take(&mut self) -> Sensitive {
        let taken = Sensitive::new(self.0.as_str().to_owned());
        self.clear();
        taken
    }

    /// A copy for the engine.
    pub(crate) fn to_sensitive(&self) -> Sensitive {
        Sensitive::new(self.0.as_str().to_owned())
    }

    fn push(&mut self, character: char) {
        if self.0.len() + character.len_utf8() <= PASTE_LIMIT {
            self.0.push(character);
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Pasted text, for the field that it was pasted into.
#[expect(
    clippy::disallowed_methods,
    reason = "a paste is text of the person's own until a field takes it; it is not shown here"
)]
pub(crate) fn exposed(pasted: &Sensitive) -> &str {
    secrecy::ExposeSecret::expose_secret(&pasted.0)
}

/// Why a paste does not go into a line that is drawn: it is, or holds, a secret.
pub(crate) fn refusal(pasted: &str) -> Option<&'static str> {
    let holds = |names: &[&str]| names.iter().any(|name| pasted.contains(name));
    match secret_kind(pasted) {
        Some(SecretKind::AccessToken) => Some("that is an access token: it was not taken"),
        Some(SecretKind::RefreshToken) => Some("that is a refresh token: it was not taken"),
        Some(SecretKind::SfdxAuthUrl) => Some("that is an sfdx auth URL: it was not taken"),
        Some(SecretKind::PrivateKey | SecretKind::AgeIdentity) => {
            Some("that is a private key: it was not taken")
        }
        Some(SecretKind::AuthorizationCode) => Some(A_CODE),
        None if holds(&["code="]) => Some(A_CODE),
        None if holds(&["access_token=", "refresh_token="]) => {
            Some("that address holds a token: it was not taken")
        }
        None => None,
    }
}

/// Where a code belongs.
const A_CODE: &str = "that is a login code: it was not taken; s on the saved row asks for it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_field_shows_its_length_alone() {
        let mut field = SecretField::default();
        field.insert(&Sensitive::new("correct horse".into()));
        field.edit(Key::Char('!'));
        assert_eq!((field.length(), format!("{field:?}").as_str()), (14, "[redacted]"));
        field.edit(Key::Backspace);
        assert_eq!(field.take(), Sensitive::new("correct horse".into()));
        assert!(field.is_empty());
    }

    #[test]
    fn the_cursor_of_a_long_line_stays_inside_its_field() {
        let mut field = LineField::new(&"x".repeat(100));
        assert_eq!(field.visible(20).0, 19);
        field.edit(Key::Home);
        assert_eq!(field.visible(20).0, 0);
        assert!(!field.edit(Key::Left));
    }
}
