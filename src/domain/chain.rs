//! The head of the audit chain, what is remembered of it beside the store, and how a check of the
//! whole chain went.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::record::RecordId;

/// Length of the file of the remembered head: always the same, so that it is written in place.
pub(crate) const FILE_LENGTH: usize = 384;

/// First line of that file.
const FILE_TITLE: &str = "orgkey audit head 1";

/// The last row of a chain: whoever has it can tell whether a longer chain goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Number of the row; 0 of an empty chain.
    pub(crate) sequence: i64,
    /// Its hash; zeros of an empty chain.
    pub(crate) hash: [u8; 32],
}

impl Head {
    /// Of a chain without rows.
    pub(crate) const EMPTY: Self = Self { sequence: 0, hash: [0; 32] };

    /// Reads `SEQUENCE:HASH` as it is written by [`fmt::Display`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sequence, hash) = text.trim().split_once(':')?;
        let sequence = sequence.parse().ok().filter(|sequence| *sequence >= 0)?;
        Some(Self { sequence, hash: hash_from_hex(hash)? })
    }

    /// What a row that joins two chains says of the one that ended: see [`Self::joined`].
    pub(crate) fn joining(self) -> String {
        format!("audit row {} {}", self.sequence, hex(&self.hash))
    }

    /// The head of the chain that ended, from the detail of the row that joins both.
    pub(crate) fn joined(detail: &str) -> Option<Self> {
        let (_, said) = detail.rsplit_once("audit row ")?;
        let (sequence, hash) = said.split_once(' ')?;
        Self::parse(&format!("{sequence}:{hash}"))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.sequence, hex(&self.hash))
    }
}

/// What tells a file that is read while it is written.
fn check_of(text: &str) -> String {
    hex(Sha256::digest(text).get(..8).unwrap_or_default())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hash_from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// What is remembered of the chain outside of the store.
///
/// It may lag behind the chain, never run ahead of it: it is written after a commit, unsynced. Whoever
/// can write it can forge it, as the store itself; a head that was noted elsewhere is stronger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Of which store, in hexadecimal.
    pub(crate) store: String,
    /// The newest head that a power cut can't take.
    pub(crate) durable: Head,
    /// The newest head; rows between are of hand-outs, which a crash of the machine can take.
    pub(crate) last: Head,
    /// The boot in which `last` was written; empty where it is not known.
    pub(crate) boot: String,
}

impl Remembered {
    /// Of a store with an empty chain.
    pub(crate) fn nothing(store: RecordId) -> Self {
        let store = store.to_string();
        Self { store, durable: Head::EMPTY, last: Head::EMPTY, boot: String::new() }
    }

    /// The content of the file.
    pub(crate) fn to_text(&self) -> String {
        let Self { store, durable, last, boot } = self;
        let text = format!(
            "{FILE_TITLE}\nstore {store}\ndurable {durable}\nlast {last}\nboot {}\n",
            boot.trim()
        );
        let text = format!("{text}check {}\n", check_of(&text));
        format!("{text:width$}\n", width = FILE_LENGTH - 1)
    }

    /// Reads it again; `None` where it is not one, or where it is being written just now.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (said, check) = text.trim_end().rsplit_once("check ")?;
        (check == check_of(said)).then_some(())?;
        let mut lines = said.lines();
        (lines.next()? == FILE_TITLE).then_some(())?;
        let mut value = |name: &str| {
            let line = lines.next()?.strip_prefix(name)?;
            Some(line.trim().to_owned())
        };
        Some(Self {
            store: value("store ")?,
            durable: Head::parse(&value("durable ")?)?,
            last: Head::parse(&value("last ")?)?,
            boot: value("boot")?,
        })
    }
}

/// How the chain stands to what is remembered of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It goes on from there, or nothing is remembered.
    Whole,
    /// Rows of hand-outs went with a crash of the machine: from the row after the first number to
    /// the second.
    LostAtCrash(i64, i64),
    /// The rows after this one were cut off.
    Cut(i64),
    /// This row, or one before it, is another than it was, with all that follow.
    Rewritten(i64),
}

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wrong {
    /// A row is not what it was when its hash was made.
    Edited,
    /// Rows are missing.
    Removed,
    /// A row stands between two that belong together.
    Inserted,
    /// A row stands in another's place.
    Reordered,
    /// The end is missing.
    Cut,
}

impl Wrong {
    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Cut => "cut",
        }
    }
}

/// The first thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Break {
    /// What.
    pub(crate) wrong: Wrong,
    /// The first row that is not as it was.
    pub(crate) sequence: i64,
    /// The same in words.
    pub(crate) words: String,
}

/// How a check of the whole chain went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// Rows that were recomputed.
    pub(crate) rows: i64,
    /// Segments that are closed, each with a fitting seal.
    pub(crate) segments: u64,
    /// Restored backups that joined two chains.
    pub(crate) restores: u64,
    /// Crashes of the machine that took rows of hand-outs.
    pub(crate) crashes: u64,
    /// Records of hand-outs that are not in the chain yet.
    pub(crate) open: u64,
    /// The end of the chain.
    pub(crate) head: Head,
    /// Whether a head was remembered to compare the end with.
    pub(crate) remembered: bool,
    /// What is wrong first; `None` where nothing is.
    pub(crate) broken: Option<Break>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: i64) -> Head {
        Head { sequence, hash: [0xa5; 32] }
    }

    #[test]
    fn a_head_is_read_as_it_is_written() {
        let text = head(57).to_string();
        assert!(text.starts_with("57:a5a5") && text.len() == 67, "{text}");
        assert_eq!(Head::parse(&format!(" {text}\n")), Some(head(57)));
        for wrong in
            ["", "57", "57:a5", "-1:", &text.replace("57:", "-57:"), &text.replace("a5a5", "zzzz")]
        {
            assert_eq!(Head::parse(wrong), None, "{wrong}");
        }
        let detail = format!("x audit row 1 {}; kept, {}", hex(&[0; 32]), head(57).joining());
        assert_eq!(Head::joined(&detail), Some(head(57)));
        assert_eq!(Head::joined("restored"), None);
    }

    #[test]
    fn what_is_remembered_has_one_length_and_is_read_again() {
        let all = [
            Remembered::nothing(RecordId([7; 16])),
            Remembered {
                store: RecordId([0xff; 16]).to_string(),
                durable: head(9),
                last: head(i64::MAX),
                boot: "0f8fad5b-d9cb-469f-a165-70867728950e".into(),
            },
        ];
        for remembered in all.clone() {
            let text = remembered.to_text();
            assert_eq!(text.len(), FILE_LENGTH, "{text}");
            assert_eq!(Remembered::parse(&text), Some(remembered));
        }
        let text = all[1].to_text();
        for cut in 0..text.trim_end().len() {
            assert_eq!(Remembered::parse(&text[..cut]), None, "{cut}");
        }
        assert_eq!(Remembered::parse(&text.replacen("durable 9", "durable 8", 1)), None);
    }
}
