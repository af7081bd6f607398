//! Salesforce record IDs: the 15-character case-sensitive form, the 18-character form with its
//! check suffix, and the repair of lost case (Salesforce OAuth facts section 2).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::text;

/// The alphabet of the check suffix; the index is the value of five upper-case bits.
const SUFFIX_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// Length of the case-sensitive form.
const SHORT: usize = 15;
/// Length of the case-safe form: the short one and three check characters.
const LONG: usize = 18;

/// Which object an ID names, with its key prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdKind {
    /// An Organization, `00D`.
    Organization,
    /// A User, `005`.
    User,
}

impl IdKind {
    /// The first three characters of every ID of this kind.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Organization => "00D",
            Self::User => "005",
        }
    }

    /// What Salesforce calls it on screen.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Organization => "Org ID",
            Self::User => "User ID",
        }
    }

    /// Where Salesforce shows it.
    pub(crate) fn where_shown(self) -> &'static str {
        match self {
            Self::Organization => "Setup > Company Information > Salesforce.com Organization ID",
            Self::User => "Setup > Users > the user: the 005... in the address",
        }
    }
}

/// Why a text is no ID of the kind asked for. Each says what is wrong with which character.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdError {
    /// Nothing was entered.
    #[error("the {0} is empty", kind.label())]
    Empty {
        /// What was asked for.
        kind: IdKind,
    },
    /// A character that no ID has; `looks_like` names the plain letter it resembles.
    #[error(
        "character {position} of the {0} is '{shown}'{1}; an ID has only the letters A-Z, a-z and digits",
        kind.label(),
        looks_like.map(|letter| format!(", which only looks like {letter}")).unwrap_or_default()
    )]
    ForeignCharacter {
        /// What was asked for.
        kind: IdKind,
        /// Counted from 1.
        position: usize,
        /// The character, made printable.
        shown: String,
        /// The letter or digit that it resembles.
        looks_like: Option<char>,
    },
    /// Neither 15 nor 18 characters.
    #[error("the {0} has {length} characters; it has 15 or 18", kind.label())]
    Length {
        /// What was asked for.
        kind: IdKind,
        /// How many were entered.
        length: usize,
    },
    /// An ID of another object.
    #[error("the {0} starts with {found}, not {1}{2}", kind.label(), kind.prefix(), prefix_hint(found))]
    Prefix {
        /// What was asked for.
        kind: IdKind,
        /// The first three characters entered.
        found: String,
    },
    /// The check suffix does not fit the first 15 characters.
    #[error(
        "the suffix of the {0} should be {expected}, not {found}: a letter has the wrong case or was mistyped in characters {characters}, or in the suffix",
        kind.label()
    )]
    Suffix {
        /// What was asked for.
        kind: IdKind,
        /// The suffix of the first 15 characters as entered.
        expected: String,
        /// The suffix entered.
        found: String,
        /// Which characters the differing suffix letters cover, e.g. `11 to 15`.
        characters: String,
    },
    /// A 15-character ID in lower case throughout: its case is lost and can't be found again.
    #[error(
        "the {0} lost its upper case, and the 15-character form can't be repaired: take the 18-character form, or copy it again",
        kind.label()
    )]
    CaseLost {
        /// What was asked for.
        kind: IdKind,
    },
}

fn prefix_hint(found: &str) -> &'static str {
    match found {
        "00D" => ": it is an Org ID",
        "005" => ": it is a User ID",
        "003" => ": it is a Contact's ID",
        "00e" => ": it is a Profile's ID",
        "0H4" | "0xI" => ": it is an app's ID",
        _ => "",
    }
}

/// What was done to an ID, or could not be checked, on the way in. Shown, never an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdNote {
    /// Its case was restored from the check suffix.
    CaseRepaired,
    /// 15 characters whose letters all have one case: maybe damaged, the login will tell.
    CaseDoubtful,
}

/// An ID in its 18-character form, of a kind the caller knows.
fn parse(text: &str, kind: IdKind) -> Result<(String, Option<IdNote>), IdError> {
    let compact = compact(text);
    if compact.is_empty() {
        return Err(IdError::Empty { kind });
    }
    let stranger = compact.chars().enumerate().find(|(_, c)| !c.is_ascii_alphanumeric());
    if let Some((index, character)) = stranger {
        return Err(IdError::ForeignCharacter {
            kind,
            position: index + 1,
            shown: text::clean(&character.to_string()),
            looks_like: look_alike(character),
        });
    }
    if compact.len() != SHORT && compact.len() != LONG {
        return Err(IdError::Length { kind, length: compact.len() });
    }
    let (id, note) = check(&compact, kind)?;
    let found = &id[..3];
    if found == kind.prefix() {
        Ok((id, note))
    } else if found.eq_ignore_ascii_case(kind.prefix()) && compact.len() == SHORT {
        Err(IdError::CaseLost { kind })
    } else {
        Err(IdError::Prefix { kind, found: found.to_owned() })
    }
}

/// Verifies or adds the check suffix; `compact` is 15 or 18 ASCII letters and digits.
fn check(compact: &str, kind: IdKind) -> Result<(String, Option<IdNote>), IdError> {
    let (short, found) = compact.split_at(SHORT);
    let expected = check_suffix(short);
    if found.is_empty() {
        let note = has_one_case(&short[3..]).then_some(IdNote::CaseDoubtful);
        return Ok((format!("{short}{expected}"), note));
    }
    // A known prefix is right as it stands: then upper-case suffix letters are the whole proof.
    if found == expected && short.starts_with(kind.prefix()) {
        return Ok((compact.to_owned(), None));
    }
    if has_one_case(compact)
        && let Some(repaired) = repair_case(short, found)
    {
        return Ok((repaired, Some(IdNote::CaseRepaired)));
    }
    if found == expected {
        return Ok((compact.to_owned(), None));
    }
    if !short.starts_with(kind.prefix()) && !short.to_ascii_uppercase().starts_with(kind.prefix()) {
        return Err(IdError::Prefix { kind, found: short[..3].to_owned() });
    }
    Err(IdError::Suffix {
        kind,
        characters: differing_blocks(&expected, found),
        expected,
        found: found.to_owned(),
    })
}

/// Drops what a paste brings along: white space, quotes, brackets and commas around it, and
/// invisible characters within it.
fn compact(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !text::is_unprintable(*c))
        .collect::<String>()
        .trim_matches(|c: char| {
            matches!(
                c,
                '"' | '\'' | '`' | ',' | ';' | '<' | '>' | '(' | ')' | '\u{2018}'
                    ..='\u{201f}' | '\u{ab}' | '\u{bb}'
            )
        })
        .to_owned()
}

/// Whether all letters are upper case or all are lower case, and there is at least one.
fn has_one_case(text: &str) -> bool {
    let upper = text.bytes().any(|b| b.is_ascii_uppercase());
    let lower = text.bytes().any(|b| b.is_ascii_lowercase());
    upper != lower
}

/// The three check characters of a 15-character ID.
fn check_suffix(short: &str) -> String {
    suffix_of(short.as_bytes()).map(char::from).iter().collect()
}

/// The check suffix of the 15 characters of an ID (Salesforce OAuth facts section 2).
pub(crate) fn suffix_of(short: &[u8]) -> [u8; 3] {
    let mut suffix = [SUFFIX_ALPHABET[0]; 3];
    for (letter, block) in suffix.iter_mut().zip(short.chunks(5)) {
        let capitals = block.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase());
        let bits = capitals.fold(0_usize, |bits, (position, _)| bits | 1 << position);
        *letter = SUFFIX_ALPHABET[bits];
    }
    suffix
}

/// Restores the case of the first 15 characters from the suffix; `None` when a bit stands for a
/// digit or a suffix character is outside its alphabet.
fn repair_case(short: &str, suffix: &str) -> Option<String> {
    let suffix = suffix.to_ascii_uppercase();
    let mut repaired = short.to_ascii_lowercase().into_bytes();
    for (block, letter) in repaired.chunks_mut(5).zip(suffix.bytes()) {
        let bits = SUFFIX_ALPHABET.iter().position(|entry| *entry == letter)?;
        for (position, byte) in block.iter_mut().enumerate() {
            if bits & (1 << position) != 0 {
                if !byte.is_ascii_lowercase() {
                    return None;
                }
                byte.make_ascii_uppercase();
            }
        }
    }
    let repaired = String::from_utf8(repaired).ok()?;
    Some(format!("{repaired}{suffix}"))
}

/// Which characters of the ID the differing suffix letters cover: `1 to 5 and 11 to 15`.
fn differing_blocks(expected: &str, found: &str) -> String {
    expected
        .chars()
        .zip(found.chars())
        .enumerate()
        .filter(|(_, (expected, found))| expected != found)
        .map(|(block, _)| format!("{} to {}", block * 5 + 1, block * 5 + 5))
        .collect::<Vec<_>>()
        .join(" and ")
}

/// The plain letter that a character of another alphabet resembles, for the common confusions.
fn look_alike(character: char) -> Option<char> {
    let plain = match character {
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'С' | 'Ϲ' => 'C',
        'Е' | 'Ε' => 'E',
        'Н' | 'Η' => 'H',
        'І' | 'Ι' | 'Ӏ' => 'I',
        'Ј' => 'J',
        'К' | 'Κ' => 'K',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'О' | 'Ο' => 'O',
        'Р' | 'Ρ' => 'P',
        'Ѕ' => 'S',
        'Т' | 'Τ' => 'T',
        'Х' | 'Χ' => 'X',
        'Υ' | 'Ү' => 'Y',
        'Ζ' => 'Z',
        'а' | 'α' => 'a',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' => 'e',
        'һ' => 'h',
        'і' | 'ι' => 'i',
        'ј' => 'j',
        'о' | 'ο' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'υ' => 'u',
        'ν' => 'v',
        'х' => 'x',
        'у' => 'y',
        '０'..='９' => char::from_u32(u32::from(character) - 0xff10 + 0x30)?,
        'Ａ'..='Ｚ' => char::from_u32(u32::from(character) - 0xff21 + 0x41)?,
        'ａ'..='ｚ' => char::from_u32(u32::from(character) - 0xff41 + 0x61)?,
        _ => return None,
    };
    Some(plain)
}

/// Gives an ID type its constructor and its text; the constructor is the only door.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub(crate) struct $name(String);

        impl $name {
            /// Parses a 15- or 18-character ID; blanks, quotes and line breaks of a paste are
            /// dropped, a verified suffix repairs lost case.
            pub(crate) fn parse(text: &str) -> Result<Self, IdError> {
                Self::parse_with_note(text).map(|(id, _)| id)
            }

            /// Like `parse`, and tells what was repaired or stays in doubt.
            pub(crate) fn parse_with_note(text: &str) -> Result<(Self, Option<IdNote>), IdError> {
                parse(text, $kind).map(|(id, note)| (Self(id), note))
            }

            /// The 18-character form.
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id_type!(
    /// Salesforce organization ID in its 18-character, case-safe form.
    OrgId,
    IdKind::Organization
);
id_type!(
    /// Salesforce user ID in its 18-character, case-safe form.
    UserId,
    IdKind::User
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Salesforce OAuth facts section 2, all vectors: the short form and the check suffix.
    const VECTORS: [(&str, &str); 15] = [
        ("a0D30000001n7Pi", "EAI"),
        ("a01M00000062mPg", "IAI"),
        ("001M000000qfPyS", "IAU"),
        ("a0FE000000D6r3F", "MAR"),
        ("0F9E000000092w2", "KAA"),
        ("aaaaaaaaaaaaaaa", "AAA"),
        ("a0RE000000IJmcN", "MAT"),
        ("0019000000B98de", "AAB"),
        ("00DSG000009FYVd", "2AO"),
        ("00D5g00000Abc1X", "EAR"),
        ("0055g00000FgHiJ", "AAV"),
        ("00D000000000001", "EAA"),
        ("00DABCDEFGHIJKL", "255"),
        ("00dabcdefghijkl", "AAA"),
        ("005000000000AbC", "AAU"),
    ];

    #[test]
    fn check_suffixes_agree_with_every_published_vector() {
        for (short, suffix) in VECTORS {
            assert_eq!(check_suffix(short), suffix, "{short}");
            if short != short.to_ascii_lowercase() {
                let repaired = Some(format!("{short}{suffix}"));
                let long = format!("{short}{suffix}");
                let (lower, upper) = (long.to_ascii_lowercase(), long.to_ascii_uppercase());
                assert_eq!(repair_case(&lower[..15], &lower[15..]), repaired, "{short}");
                assert_eq!(repair_case(&upper[..15], &upper[15..]), repaired, "{short}");
            }
        }
    }

    #[test]
    fn both_forms_and_lost_case_lead_to_the_same_id() {
        for text in [
            "00D5g00000Abc1X",
            "00D5g00000Abc1XEAR",
            "00D5G00000ABC1XEAR",
            "00d5g00000abc1xear",
            "  00D5g00000\n  Abc1XEAR ",
            "\"00D5g00000Abc1XEAR\",",
            "\u{feff}00D5g\u{200b}00000Abc1XEAR",
        ] {
            assert_eq!(
                OrgId::parse(text).map(String::from),
                Ok("00D5g00000Abc1XEAR".into()),
                "{text:?}"
            );
        }
        let all_upper = OrgId::parse_with_note("00DABCDEFGHIJKL255").unwrap();
        assert_eq!((all_upper.0.as_str(), all_upper.1), ("00DABCDEFGHIJKL255", None));
    }

    #[test]
    fn each_mistake_is_told_apart() {
        let table = [
            ("", "the Org ID is empty"),
            ("00D5g00000Abc1", "the Org ID has 14 characters; it has 15 or 18"),
            ("0055g00000FgHiJAAV", "the Org ID starts with 005, not 00D: it is a User ID"),
            ("0035g00000FgHiJ", "the Org ID starts with 003, not 00D: it is a Contact's ID"),
            (
                "00D5g00000Abc1XEAX",
                "the suffix of the Org ID should be EAR, not EAX: a letter has the wrong case or was mistyped in characters 11 to 15, or in the suffix",
            ),
            (
                "00D5G00000aBc1XEAR",
                "the suffix of the Org ID should be UAS, not EAR: a letter has the wrong case or was mistyped in characters 1 to 5 and 11 to 15, or in the suffix",
            ),
            (
                "00D5g00000Аbc1X",
                "character 11 of the Org ID is 'А', which only looks like A; an ID has only the letters A-Z, a-z and digits",
            ),
            (
                "00D5g/0000Abc1X",
                "character 6 of the Org ID is '/'; an ID has only the letters A-Z, a-z and digits",
            ),
            (
                "00d5g00000abc1x",
                "the Org ID lost its upper case, and the 15-character form can't be repaired: take the 18-character form, or copy it again",
            ),
        ];
        for (text, message) in table {
            assert_eq!(OrgId::parse(text).unwrap_err().to_string(), message, "{text:?}");
        }
    }

    #[test]
    fn a_short_id_of_one_case_is_taken_with_a_doubt() {
        let (_, note) = UserId::parse_with_note("0055g00000abcde").unwrap();
        assert_eq!(note, Some(IdNote::CaseDoubtful));
        let (_, note) = UserId::parse_with_note("005000000000001").unwrap();
        assert_eq!(note, None);
        let (_, note) = UserId::parse_with_note("0055G00000FGHIJAAV").unwrap();
        assert_eq!(note, Some(IdNote::CaseRepaired));
    }

    proptest! {
        #[test]
        fn any_text_is_answered_without_panic(text in any::<String>()) {
            let _ = OrgId::parse(&text);
            let _ = UserId::parse(&text);
        }

        #[test]
        fn the_long_form_survives_loss_of_case(tail in "[A-Za-z0-9]{12}") {
            let id = OrgId::parse(&format!("00D{tail}"));
            let Ok(id) = id else { return Ok(()) };
            prop_assert_eq!(&OrgId::parse(id.as_str()), &Ok(id.clone()));
            prop_assert_eq!(&OrgId::parse(&id.as_str().to_ascii_uppercase()), &Ok(id.clone()));
            prop_assert_eq!(&OrgId::parse(&id.as_str().to_ascii_lowercase()), &Ok(id));
        }

        #[test]
        fn one_letter_of_wrong_case_never_passes_unseen(tail in "[A-Za-z0-9]{12}", position in 3_usize..15) {
            let id = String::from(OrgId::parse(&format!("00D{tail}")).unwrap());
            let mut bytes = id.clone().into_bytes();
            bytes[position] ^= 0x20;
            prop_assume!(id.as_bytes()[position].is_ascii_alphabetic());
            let damaged = String::from_utf8(bytes).unwrap();
            prop_assert!(OrgId::parse(&damaged).map(String::from) != Ok(damaged));
        }
    }
}
