//! Very many credentials in little memory, each of them whole: a list of a hundred thousand has
//! to cost ten MB, not ninety.
//!
//! Every credential is one record in one run of bytes: IDs at six bits a character, texts that
//! come again and again (apps, tags, scopes, messages) as the number of a word, and what is not
//! there as one bit. A record is read in two ways: [`Packed::get`] makes the whole credential
//! again, and [`Packed::row`] looks at what filter, order and counts need without a copy.
//!
//! This is no format of a file: it is made anew by each process and may change with any version.

mod reader;
#[cfg(test)]
mod tests;
mod words;
mod writer;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::domain::credential::Credential;
use crate::domain::name::{Address, ConnectionName, Environment};
pub(crate) use reader::{Details, Row};
use words::Words;

/// Bytes of records that are no more, from which on a change makes room.
const WASTE: usize = 64 * 1024;

/// What a record says in its first three bytes.
mod flag {
    /// Of the sandbox.
    pub(super) const SANDBOX: u32 = 1;
    /// In use.
    pub(super) const IN_USE: u32 = 1 << 1;
    /// A revocation is owed.
    pub(super) const OWED: u32 = 1 << 2;
    /// The environment is proven.
    pub(super) const PROVEN: u32 = 1 << 3;
    /// It has a candidate.
    pub(super) const CANDIDATE: u32 = 1 << 4;
    /// It is on hold.
    pub(super) const HELD: u32 = 1 << 5;
    /// It has a username.
    pub(super) const USERNAME: u32 = 1 << 6;
    /// It has a staged edit.
    pub(super) const PENDING: u32 = 1 << 7;
    /// It has a token.
    pub(super) const TOKEN: u32 = 1 << 8;
    /// It has a last check.
    pub(super) const CHECK: u32 = 1 << 9;
    /// It has a last test.
    pub(super) const TEST: u32 = 1 << 10;
    /// The last test is the last check.
    pub(super) const TEST_IS_CHECK: u32 = 1 << 11;
    /// A set-up is pending.
    pub(super) const AUTHORIZATION: u32 = 1 << 12;
    /// A refresh is open.
    pub(super) const INTENT: u32 = 1 << 13;
    /// The token is used where it signs in.
    pub(super) const INSTANCE_IS_LOGIN: u32 = 1 << 14;
    /// A replaced token set drains.
    pub(super) const DRAINING: u32 = 1 << 15;
    /// It is to be rotated at some time.
    pub(super) const ROTATE_DUE: u32 = 1 << 16;
    /// Somebody got the draining token set.
    pub(super) const TAKEN: u32 = 1 << 17;
    /// A refresh brought another refresh token.
    pub(super) const ROTATED: u32 = 1 << 18;
}

/// Credentials in an order that the caller gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packed {
    /// The records, in any order, with those between them that are no more.
    bytes: Vec<u8>,
    /// Where the record of each credential begins.
    starts: Vec<u32>,
    /// Bytes of records that are no more.
    waste: usize,
    /// Texts that come again.
    words: Words,
}

impl Packed {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Adds one at the end.
    pub(crate) fn push(&mut self, credential: &Credential) {
        self.insert(self.starts.len(), credential);
    }

    /// Adds one before the one at `index`, or at the end.
    pub(crate) fn insert(&mut self, index: usize, credential: &Credential) {
        if let Some(start) = self.append(credential) {
            self.starts.insert(index.min(self.starts.len()), start);
        }
    }

    /// Puts one in the place of the one at `index`.
    pub(crate) fn replace(&mut self, index: usize, credential: &Credential) {
        let Some(former) = self.record_len(index) else { return };
        if let Some(start) = self.append(credential) {
            self.starts[index] = start;
            self.waste += former;
        }
        if self.waste > WASTE.max(self.bytes.len() / 4) {
            self.make_room();
        }
    }

    /// Puts them in the order of their addresses.
    pub(crate) fn sort(&mut self) {
        let mut starts = std::mem::take(&mut self.starts);
        let place = |start: u32| {
            self.row_at(start).map_or(("", Environment::Production), |row| row.place())
        };
        if !starts.is_sorted_by(|a, b| order(place(*a), place(*b)).is_le()) {
            starts.sort_unstable_by(|a, b| order(place(*a), place(*b)));
        }
        self.starts = starts;
    }

    /// Gives back the room that was taken in advance.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    /// Whether the last one is of a connection of this name.
    pub(crate) fn ends_with(&self, name: &ConnectionName) -> bool {
        let last = self.len().checked_sub(1).and_then(|index| self.row(index));
        last.is_some_and(|row| row.name == name.as_str())
    }

    /// Where the one of this address is, or would be; they have to be in the order of their
    /// addresses.
    pub(crate) fn find(&self, address: &Address) -> Result<usize, usize> {
        let wanted = (address.name.as_str(), address.environment);
        self.starts.binary_search_by(|start| {
            self.row_at(*start).map_or(Ordering::Less, |row| order(row.place(), wanted))
        })
    }

    /// The whole credential.
    pub(crate) fn get(&self, index: usize) -> Option<Credential> {
        self.row(index)?.whole()
    }

    /// What can be looked at without a copy.
    pub(crate) fn row(&self, index: usize) -> Option<Row<'_>> {
        self.row_at(*self.starts.get(index)?)
    }

    /// Each of them, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.starts.iter().filter_map(|start| self.row_at(*start))
    }

    fn row_at(&self, start: u32) -> Option<Row<'_>> {
        Row::read(self.bytes.get(usize::try_from(start).ok()?..)?, &self.words)
    }

    fn record_len(&self, index: usize) -> Option<usize> {
        self.row(index)?.record_len()
    }

    /// Writes a record; `None` when there are 4 GiB of them already.
    fn append(&mut self, credential: &Credential) -> Option<u32> {
        let start = u32::try_from(self.bytes.len()).ok()?;
        writer::write(credential, &mut self.bytes, &mut self.words);
        Some(start)
    }

    /// Drops the records that are no more.
    fn make_room(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.waste);
        let mut starts = Vec::with_capacity(self.starts.len());
        for index in 0..self.starts.len() {
            let (Some(length), Ok(start)) = (self.record_len(index), u32::try_from(bytes.len()))
            else {
                return;
            };
            let Ok(from) = usize::try_from(self.starts[index]) else { return };
            bytes.extend_from_slice(&self.bytes[from..from + length]);
            starts.push(start);
        }
        (self.bytes, self.starts, self.waste) = (bytes, starts, 0);
    }
}

/// Names are unique without regard to case, and stand in that order.
fn order(one: (&str, Environment), other: (&str, Environment)) -> Ordering {
    let names = one.0.bytes().map(|byte| byte.to_ascii_lowercase());
    names.cmp(other.0.bytes().map(|byte| byte.to_ascii_lowercase())).then(one.1.cmp(&other.1))
}

impl FromIterator<Credential> for Packed {
    fn from_iter<T: IntoIterator<Item = Credential>>(credentials: T) -> Self {
        let mut packed = Self::default();
        for credential in credentials {
            packed.push(&credential);
        }
        packed.sort();
        packed
    }
}
