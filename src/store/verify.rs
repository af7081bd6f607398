//! Recomputes the audit chain, row by row: what was edited, removed, inserted, reordered or cut off.

use rusqlite::{Connection, OptionalExtension};

use super::audit::segment_detail;
use super::chain::{head, holds};
use super::hand_out::open_records;
use super::{Error, Store};
use crate::domain::audit::{AuditEvent, row_hash};
use crate::domain::chain::{Break, Head, Standing, Verified, Wrong};
use crate::domain::time::UnixMillis;

/// A row as it is stored, with texts as bytes: an edit may have left none.
struct RawRow {
    sequence: i64,
    at: i64,
    texts: [Vec<u8>; 5],
    previous: [u8; 32],
    hash: [u8; 32],
}

impl RawRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let text = |index: usize| -> rusqlite::Result<Vec<u8>> {
            Ok(row.get_ref(index)?.as_bytes().map(<[u8]>::to_vec).unwrap_or_default())
        };
        Ok(Self {
            sequence: row.get(0)?,
            at: row.get(1)?,
            texts: [text(2)?, text(3)?, text(4)?, text(5)?, text(6)?],
            previous: row.get(7)?,
            hash: row.get(8)?,
        })
    }

    fn is(&self, event: AuditEvent) -> bool {
        self.texts[0] == event.as_str().as_bytes()
    }

    fn detail(&self) -> String {
        crate::domain::text::clean(&String::from_utf8_lossy(&self.texts[2]))
    }

    fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.hash }
    }
}

impl Store {
    /// Checks the chain from its first row to its end, against what is remembered of it, and against
    /// heads that were noted elsewhere. Rows are read one at a time.
    pub(crate) fn verify_audit(&self, noted: Option<Head>) -> Result<Verified, Error> {
        self.refuse_gone()?;
        let remembered = self.head_file.read(&self.connection)?;
        // One state of the store, whatever others write meanwhile.
        let transaction = self.connection.unchecked_transaction()?;
        let mut verified = recompute(&transaction)?;
        let (open, edited) = open_records(&transaction)?;
        verified.open = open;
        verified.remembered = remembered.is_some();
        if verified.broken.is_none() {
            let standing = self.head_file.standing(&transaction, remembered.as_ref())?;
            verified.broken = at_the_end(&transaction, standing, noted)?
                .or_else(|| edited.map(|which| edited_record(&which)));
        }
        Ok(verified)
    }
}

fn recompute(connection: &Connection) -> Result<Verified, Error> {
    let mut verified = Verified {
        rows: 0,
        segments: 0,
        restores: 0,
        crashes: 0,
        open: 0,
        head: head(connection)?,
        remembered: false,
        broken: None,
    };
    let mut statement = connection.prepare(
        "SELECT sequence, at, event, subject, detail, reason, who, previous, hash
           FROM audit ORDER BY sequence",
    )?;
    let mut rows = statement.query([])?;
    let (mut before, mut segment) = (Head::EMPTY, 1);
    while let Some(row) = rows.next()? {
        let row = RawRow::read(row)?;
        let broken = match link(connection, before, &row)? {
            None => said_wrong(&row, before, segment),
            broken => broken,
        };
        if broken.is_some() {
            verified.broken = broken;
            return Ok(verified);
        }
        verified.rows += 1;
        if row.is(AuditEvent::SegmentSealed) {
            verified.segments += 1;
            segment = row.sequence;
        }
        verified.restores += u64::from(row.is(AuditEvent::StoreRestored));
        verified.crashes += u64::from(row.is(AuditEvent::HandOutsLost));
        before = row.head();
    }
    Ok(verified)
}

/// Whether a row is as it was written, and follows the one before it.
fn link(connection: &Connection, before: Head, row: &RawRow) -> Result<Option<Break>, Error> {
    let due = before.sequence + 1;
    let texts = row.texts.each_ref().map(Vec::as_slice);
    let follows = row.previous == before.hash;
    if row_hash(row.previous, UnixMillis(row.at), texts) != row.hash {
        let words = format!("row {} does not fit its hash", row.sequence);
        return Ok(Some(broken(Wrong::Edited, row.sequence, words)));
    }
    if follows && row.sequence == due {
        return Ok(None);
    }
    if follows {
        let words = format!("row {due} has the number {}", row.sequence);
        return Ok(Some(broken(Wrong::Edited, due, words)));
    }
    if row.sequence < due {
        let words = format!("row {} comes before the first one", row.sequence);
        return Ok(Some(broken(Wrong::Inserted, row.sequence, words)));
    }
    if row.sequence > due {
        let last = row.sequence - 1;
        let words = if last == due {
            format!("row {due} is missing")
        } else {
            format!("rows {due} to {last} are missing")
        };
        return Ok(Some(broken(Wrong::Removed, due, words)));
    }
    misplaced(connection, before, row).map(Some)
}

/// What came between a row and the one before it, whose numbers follow each other.
fn misplaced(connection: &Connection, before: Head, row: &RawRow) -> Result<Break, Error> {
    let number = |query: &str, hash: [u8; 32]| -> Result<Option<i64>, Error> {
        Ok(connection.query_row(query, [hash], |row| row.get(0)).optional()?)
    };
    let true_next = number("SELECT sequence FROM audit WHERE previous = ?1", before.hash)?;
    let true_before = number("SELECT sequence FROM audit WHERE hash = ?1", row.previous)?;
    let sequence = row.sequence;
    let last = sequence - 1;
    Ok(match (true_next, true_before) {
        (Some(next), Some(_)) => {
            let words = format!("row {sequence} stands where the one that is row {next} now was");
            broken(Wrong::Reordered, sequence, words)
        }
        (Some(next), None) => {
            let words = format!(
                "row {sequence} was put between row {last} and the one after it, which is row {next} now"
            );
            broken(Wrong::Inserted, sequence, words)
        }
        (None, Some(other)) if other == last - 1 => {
            let words = format!("row {last} was put between row {other} and row {sequence}");
            broken(Wrong::Inserted, last, words)
        }
        (None, Some(other)) => {
            let words = format!("row {sequence} follows row {other}, not row {last}");
            broken(Wrong::Reordered, sequence, words)
        }
        (None, None) if sequence == 1 => {
            let words = "the rows before the first one are missing".to_owned();
            broken(Wrong::Removed, sequence, words)
        }
        (None, None) => {
            let words = format!(
                "row {sequence} does not follow row {last}: that one was written anew with its hash, or rows between them were removed"
            );
            broken(Wrong::Edited, last, words)
        }
    })
}

/// What a row itself says is wrong: orgkey wrote it when it noticed.
fn said_wrong(row: &RawRow, before: Head, segment: i64) -> Option<Break> {
    let sequence = row.sequence;
    if row.is(AuditEvent::SegmentSealed) && row.detail() != segment_detail(segment, before) {
        let words =
            format!("the seal of a segment, row {sequence}, does not fit the rows before it");
        return Some(broken(Wrong::Edited, sequence, words));
    }
    if row.is(AuditEvent::HandOutAltered) {
        let words = format!(
            "row {sequence} took in a record of hand-outs that had been edited while it was open"
        );
        return Some(broken(Wrong::Edited, sequence, words));
    }
    if row.is(AuditEvent::HeadMissing) {
        let words = format!("noticed when row {sequence} was written: {}", row.detail());
        return Some(broken(Wrong::Cut, sequence, words));
    }
    None
}

/// The end of the chain, and the heads that it has to hold.
fn at_the_end(
    connection: &Connection,
    standing: Standing,
    noted: Option<Head>,
) -> Result<Option<Break>, Error> {
    match standing {
        Standing::Whole | Standing::LostAtCrash(..) => {}
        Standing::Cut(last) => {
            let words = format!("the chain ends with row {last}; the rows after it were cut off");
            return Ok(Some(broken(Wrong::Cut, last + 1, words)));
        }
        Standing::Rewritten(row) => {
            let words = format!("row {row} is not the one that is remembered in audit.head");
            return Ok(Some(broken(Wrong::Edited, row, words)));
        }
    }
    if let Some(noted) = noted
        && !holds(connection, noted)?
    {
        let last = head(connection)?.sequence;
        return Ok(Some(if noted.sequence > last {
            let words = format!(
                "the chain ends with row {last}; the noted head is of row {}",
                noted.sequence
            );
            broken(Wrong::Cut, last + 1, words)
        } else {
            let words = format!(
                "row {} is another than when its head was noted, or one before it is",
                noted.sequence
            );
            broken(Wrong::Edited, noted.sequence, words)
        }));
    }
    Ok(None)
}

/// Number 0: it has none yet.
fn edited_record(which: &str) -> Break {
    broken(Wrong::Edited, 0, format!("the open record of hand-outs of {which} was edited"))
}

fn broken(wrong: Wrong, sequence: i64, words: String) -> Break {
    Break { wrong, sequence, words }
}

#[cfg(test)]
mod tests;
