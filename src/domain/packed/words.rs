//! Texts that come again and again, each kept once.

use serde::{Deserialize, Serialize};

/// Most words that are kept: what comes later is written out in its record, so that a look-up
/// stays short and texts that come but once do not pile up.
const LIMIT: usize = 1_024;
/// Longest text that is kept as a word, in bytes.
const LONGEST: usize = 512;

/// The words, numbered as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Words {
    /// By number.
    list: Vec<Box<str>>,
    /// Numbers, in the order of their words.
    sorted: Vec<u16>,
}

impl Words {
    /// The number of a word, which is made one if need be; `None` when there is no room.
    pub(super) fn number(&mut self, word: &str) -> Option<u16> {
        let found = self.sorted.binary_search_by(|number| self.get(*number).cmp(&Some(word)));
        match found {
            Ok(place) => self.sorted.get(place).copied(),
            Err(place) => {
                let number = u16::try_from(self.list.len()).ok()?;
                if self.list.len() >= LIMIT || word.len() > LONGEST {
                    return None;
                }
                self.list.push(word.into());
                self.sorted.insert(place, number);
                Some(number)
            }
        }
    }

    /// The word of a number.
    pub(super) fn get(&self, number: u16) -> Option<&str> {
        self.list.get(usize::from(number)).map(AsRef::as_ref)
    }
}
