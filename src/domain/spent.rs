//! The journal of spent refresh tokens: which of them were sent on this host, so that a store that
//! came from a backup or a copy is known by it.
//!
//! A store knows how many refreshes it began for each credential, and commits that before the
//! request leaves. The journal notes the same number beside the store. A store whose number is
//! smaller is an older one. Tokens are in it as keyed tags, never themselves.

use std::collections::HashMap;

use crate::domain::record::RecordId;
use crate::domain::token::Generation;

/// What became of a token that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spending {
    /// It left, or may have left.
    Sent,
    /// It is known to work still: it did not leave, was not taken, or is not single-use.
    Kept,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpentRecord {
    /// Whose token.
    pub(crate) credential: RecordId,
    /// How many refreshes its store had begun for it, this one included.
    pub(crate) refreshes: u64,
    /// The token set that it was of.
    pub(crate) generation: Generation,
    /// Keyed tag of the refresh token.
    pub(crate) tag: [u8; 32],
    /// What became of it.
    pub(crate) spending: Spending,
}

/// Begins every record, so that the next one is found after a damaged one.
const MARK: [u8; 4] = *b"okS1";
/// Bytes of a record: mark, credential, refreshes, generation, tag, spending, checksum.
const LENGTH: usize = 4 + 16 + 8 + 8 + 32 + 1 + 8;
/// Where the checksum begins.
const SUMMED: usize = LENGTH - 8;

impl SpentRecord {
    /// As it stands in the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&MARK);
        bytes.extend_from_slice(&self.credential.0);
        bytes.extend_from_slice(&self.refreshes.to_be_bytes());
        bytes.extend_from_slice(&self.generation.0.to_be_bytes());
        bytes.extend_from_slice(&self.tag);
        bytes.push(u8::from(self.spending == Spending::Kept));
        bytes.extend_from_slice(&checksum(&bytes).to_be_bytes());
        bytes
    }

    /// Reads a record; `None` where there is no whole one.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..LENGTH)?;
        let mut rest = bytes;
        if take::<4>(&mut rest)? != MARK {
            return None;
        }
        let record = Self {
            credential: RecordId(take(&mut rest)?),
            refreshes: u64::from_be_bytes(take(&mut rest)?),
            generation: Generation(u64::from_be_bytes(take(&mut rest)?)),
            tag: take(&mut rest)?,
            spending: match take::<1>(&mut rest)? {
                [0] => Spending::Sent,
                _ => Spending::Kept,
            },
        };
        let sum = u64::from_be_bytes(take(&mut rest)?);
        (sum == checksum(&bytes[..SUMMED])).then_some(record)
    }

    /// Whether the refresh token of a token set, known by its tag, is of no use any more.
    pub(crate) fn ends(&self, generation: Generation, tag: &[u8; 32]) -> bool {
        match self.generation.cmp(&generation) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.spending == Spending::Sent && self.tag == *tag,
            // A token that was still sent for a later set is not single-use.
            std::cmp::Ordering::Greater => self.tag != *tag,
        }
    }
}

/// The next bytes of a record.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(*first)
}

/// FNV-1a: tells damage, not tampering.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The newest record of each credential.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpentJournal(HashMap<RecordId, SpentRecord>);

impl SpentJournal {
    /// Reads a journal. What is cut or damaged in it is passed over.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut journal = Self::default();
        each_record(bytes, |record| {
            journal.keep(record);
        });
        journal
    }

    fn keep(&mut self, record: SpentRecord) {
        let known = self.0.get(&record.credential);
        if known.is_none_or(|known| known.refreshes <= record.refreshes) {
            self.0.insert(record.credential, record);
        }
    }

    /// The newest record of a credential.
    pub(crate) fn newest(&self, credential: RecordId) -> Option<&SpentRecord> {
        self.0.get(&credential)
    }

    /// Whether a file of this length is to be looked at for what no longer counts. Most are not, so
    /// that a large one is not read at every refresh.
    pub(crate) fn is_large(length: u64) -> bool {
        length > COMPACT_FROM as u64 && (length / LENGTH as u64).is_multiple_of(COMPACT_EVERY)
    }

    /// Only what counts, where the file is far larger than that: `None` while it is not.
    pub(crate) fn compacted(bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() <= COMPACT_FROM {
            return None;
        }
        let journal = Self::read(bytes);
        if bytes.len() <= journal.0.len() * LENGTH * COMPACT_FACTOR {
            return None;
        }
        let mut records: Vec<&SpentRecord> = journal.0.values().collect();
        records.sort_by_key(|record| record.credential);
        Some(records.into_iter().flat_map(SpentRecord::encode).collect())
    }
}

/// Below this size a journal is left as it is.
const COMPACT_FROM: usize = 1 << 20;
/// Records between two looks at a large one.
const COMPACT_EVERY: u64 = 4096;
/// How many times what counts a journal may hold.
const COMPACT_FACTOR: usize = 4;

/// The newest record of one credential.
pub(crate) fn newest_of(bytes: &[u8], credential: RecordId) -> Option<SpentRecord> {
    let mut newest: Option<SpentRecord> = None;
    each_record(bytes, |record| {
        let is_newer = newest.as_ref().is_none_or(|newest| newest.refreshes <= record.refreshes);
        if record.credential == credential && is_newer {
            newest = Some(record);
        }
    });
    newest
}

/// Looks at every whole record, in the order in which they were written.
fn each_record(bytes: &[u8], mut look: impl FnMut(SpentRecord)) {
    let mut rest = bytes;
    while rest.len() >= LENGTH {
        // After a record that was cut off, the next one begins where its mark is.
        rest = match SpentRecord::decode(rest) {
            Some(record) => {
                look(record);
                &rest[LENGTH..]
            }
            None => &rest[1..],
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(credential: u8, refreshes: u64, generation: u64, tag: u8) -> SpentRecord {
        SpentRecord {
            credential: RecordId([credential; 16]),
            refreshes,
            generation: Generation(generation),
            tag: [tag; 32],
            spending: Spending::Sent,
        }
    }

    #[test]
    fn the_newest_record_of_each_credential_counts() {
        let records = [record(1, 1, 1, 1), record(2, 9, 4, 2), record(1, 2, 2, 3)];
        let bytes: Vec<u8> = records.iter().flat_map(SpentRecord::encode).collect();
        let journal = SpentJournal::read(&bytes);
        assert_eq!(journal.newest(RecordId([1; 16])), Some(&records[2]));
        assert_eq!(newest_of(&bytes, RecordId([1; 16])), Some(records[2].clone()));
        assert_eq!(newest_of(&bytes, RecordId([2; 16])), Some(records[1].clone()));
        assert_eq!(newest_of(&bytes, RecordId([3; 16])), None);
        // Of the same refresh, what was noted later is what became of it.
        let kept = SpentRecord { spending: Spending::Kept, ..records[2].clone() };
        let bytes = [bytes, kept.encode()].concat();
        assert_eq!(newest_of(&bytes, RecordId([1; 16])), Some(kept));
    }

    #[test]
    fn a_cut_or_damaged_record_is_passed_over_wherever_it_stands() {
        let (first, second) = (record(1, 1, 1, 1).encode(), record(2, 1, 1, 2).encode());
        for cut in 0..LENGTH {
            let bytes = [&first[..cut], &second].concat();
            assert!(newest_of(&bytes, RecordId([2; 16])).is_some(), "cut after {cut}");
            assert!(newest_of(&bytes, RecordId([1; 16])).is_none(), "cut after {cut}");
            let bytes = [&second, &first[..cut]].concat();
            assert_eq!(SpentJournal::read(&bytes).0.len(), 1, "cut after {cut}");
        }
        for at in 0..LENGTH {
            let mut damaged = first.clone();
            damaged[at] ^= 1;
            let bytes = [damaged, second.clone()].concat();
            assert_eq!(SpentJournal::read(&bytes).0.len(), 1, "damaged at {at}");
        }
    }

    #[test]
    fn a_token_is_spent_when_it_or_a_later_one_was_sent() {
        let (tag, other) = ([7; 32], [8; 32]);
        let sent = record(1, 5, 3, 7);
        assert!(sent.ends(Generation(3), &tag));
        assert!(!sent.ends(Generation(3), &other), "another sign-in's");
        assert!(sent.ends(Generation(2), &other), "a later one was sent");
        assert!(!sent.ends(Generation(2), &tag), "sent for a later set too: not single-use");
        assert!(!sent.ends(Generation(4), &other), "newer than all that was sent");
        let kept = SpentRecord { spending: Spending::Kept, ..sent };
        assert!(!kept.ends(Generation(3), &tag));
        assert!(kept.ends(Generation(2), &other));
    }

    #[test]
    fn a_journal_is_compacted_only_when_most_of_it_is_old() {
        let mut bytes = Vec::new();
        for refreshes in 1..=u64::try_from(COMPACT_FROM / LENGTH).unwrap() + 1 {
            bytes.extend(record(1, refreshes, refreshes, 1).encode());
        }
        let compacted = SpentJournal::compacted(&bytes).unwrap();
        assert_eq!(compacted.len(), LENGTH);
        assert_eq!(newest_of(&compacted, RecordId([1; 16])), newest_of(&bytes, RecordId([1; 16])));
        assert_eq!(SpentJournal::compacted(&bytes[..COMPACT_FROM]), None);
    }
}
