//! Audit rows: appended inside the transaction of the change that they record, and read in pages.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::chain::{self, HeadFile};
use super::{Error, Store};
use crate::domain::audit::{AuditEntry, AuditEvent, AuditFilter, AuditRow};
use crate::domain::chain::{Head, Standing, hex};
use crate::domain::time::UnixMillis;

/// How long a segment of the chain grows.
pub(super) const SEGMENT: Duration = Duration::from_secs(30 * 86_400);

/// Most rows of one page.
const PAGE: u64 = 500;

/// What is told of a row that no person wrote.
const NOBODY: &str = "{}";

/// Is told every row, after the commit that it is part of.
pub(crate) type Listener = Box<dyn Fn(&AuditRow) + Send>;

/// Appends a row to the chain, after what was handed out before it.
pub(super) fn append(transaction: &Transaction<'_>, entry: &AuditEntry) -> Result<(), Error> {
    super::hand_out::fold(transaction)?;
    append_row(transaction, entry)
}

/// Appends a row, and before it the seal of a segment that is full.
pub(super) fn append_row(transaction: &Transaction<'_>, entry: &AuditEntry) -> Result<(), Error> {
    seal_segment(transaction, entry)?;
    push(transaction, entry)
}

fn push(transaction: &Transaction<'_>, entry: &AuditEntry) -> Result<(), Error> {
    let previous = chain::head(transaction)?.hash;
    transaction
        .prepare_cached(
            "INSERT INTO audit (at, event, subject, detail, reason, who, previous, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            entry.at.0,
            entry.event.as_str(),
            &entry.subject,
            &entry.detail,
            &entry.reason,
            &entry.who,
            previous,
            entry.hash(previous),
        ))?;
    Ok(())
}

/// Closes a segment that began 30 days before. The next one begins with the seal.
fn seal_segment(transaction: &Transaction<'_>, entry: &AuditEntry) -> Result<(), Error> {
    let begin: Option<(i64, i64)> = transaction
        .prepare_cached(
            "SELECT sequence, at FROM audit WHERE sequence = coalesce(
                 (SELECT max(sequence) FROM audit WHERE event = 'segment_sealed'), 1)",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((first, at)) = begin else { return Ok(()) };
    if entry.at.since(UnixMillis(at)) < SEGMENT {
        return Ok(());
    }
    let head = chain::head(transaction)?;
    push(
        transaction,
        &AuditEntry {
            at: entry.at,
            event: AuditEvent::SegmentSealed,
            subject: "audit".into(),
            detail: segment_detail(first, head),
            reason: String::new(),
            who: entry.who.clone(),
        },
    )
}

/// What the seal of a segment says: count, first and last row, and head.
pub(super) fn segment_detail(first: i64, head: Head) -> String {
    let count = head.sequence - first + 1;
    format!("{count} rows, {first} to {}, head {}", head.sequence, hex(&head.hash))
}

/// Writes down what the remembered head tells of the end of the chain, before more is added to it.
pub(super) fn note_standing(
    transaction: &Transaction<'_>,
    head_file: &HeadFile,
) -> Result<(), Error> {
    // Nobody else can commit meanwhile.
    let remembered = head_file.read(transaction)?;
    let (event, detail) = match head_file.standing(transaction, remembered.as_ref())? {
        Standing::Whole => return Ok(()),
        Standing::LostAtCrash(end, lost) => (
            AuditEvent::HandOutsLost,
            format!("rows {} to {lost}, which were not synced yet", end + 1),
        ),
        Standing::Cut(last) => {
            (AuditEvent::HeadMissing, format!("the rows after {last} were cut off"))
        }
        Standing::Rewritten(row) => {
            (AuditEvent::HeadMissing, format!("row {row} is not the one that was remembered"))
        }
    };
    let at =
        transaction.query_row("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)", [], |row| {
            row.get(0)
        })?;
    let (subject, who) = ("audit".into(), NOBODY.into());
    let reason = String::new();
    let entry = AuditEntry { at: UnixMillis(at), event, subject, detail, reason, who };
    push(transaction, &entry)
}

/// Reads a row whose columns are in the order of [`COLUMNS`].
fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        sequence: row.get(0)?,
        at: UnixMillis(row.get(1)?),
        event: row.get(2)?,
        subject: row.get(3)?,
        detail: row.get(4)?,
        reason: row.get(5)?,
        who: row.get(6)?,
        hash: hex(&row.get::<_, [u8; 32]>(7)?),
    })
}

/// The columns of a row.
const COLUMNS: &str = "sequence, at, event, subject, detail, reason, who, hash";

/// Which rows a filter lets through.
const FILTER: &str = "(?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR at < ?2)
    AND (?3 IS NULL OR subject COLLATE NOCASE IN (?3, ?3 || '/production', ?3 || '/sandbox'))
    AND (?4 IS NULL OR event = ?4)";

/// The rows that a commit added. After a restore these are the ones that join both chains.
pub(super) fn new_rows(
    connection: &Connection,
    before: Head,
    after: Head,
) -> Result<Vec<AuditRow>, Error> {
    let goes_on: bool = connection
        .prepare_cached(
            "SELECT ?1 = 0 OR EXISTS (SELECT 1 FROM audit WHERE sequence = ?1 AND hash = ?2)",
        )?
        .query_row(params![before.sequence, before.hash], |row| row.get(0))?;
    let first = if goes_on {
        before.sequence + 1
    } else {
        connection.query_row(
            "SELECT coalesce(max(sequence), ?1) FROM audit WHERE event = 'store_restored'",
            [after.sequence],
            |row| row.get(0),
        )?
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM audit WHERE sequence BETWEEN ?1 AND ?2 ORDER BY sequence"
    ))?;
    let rows = statement.query_map([first, after.sequence], read)?;
    rows.map(|row| row.map_err(Error::from)).collect()
}

impl Store {
    /// Records something that changes no other row.
    pub(crate) fn record(&mut self, entry: &AuditEntry) -> Result<(), Error> {
        self.write(|transaction| append(transaction, entry))
    }

    /// Takes the counted hand-outs into the chain.
    pub(crate) fn fold_hand_outs(&mut self) -> Result<(), Error> {
        self.write(super::hand_out::fold)
    }

    /// The end of the chain.
    pub(crate) fn audit_head(&self) -> Result<Head, Error> {
        chain::head(&self.connection)
    }

    /// A page of rows after a number, oldest first; without a number, from the first that is asked
    /// for. After the last page comes an empty one.
    pub(crate) fn audit_page(
        &self,
        filter: &AuditFilter,
        after: Option<i64>,
    ) -> Result<Vec<AuditRow>, Error> {
        let after = match (after, filter.newest) {
            (Some(after), _) => after,
            (None, Some(newest)) => self.before_newest(filter, newest)?,
            (None, None) => 0,
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM audit WHERE {FILTER} AND sequence > ?5 ORDER BY sequence LIMIT ?6"
        ))?;
        let (since, until) = (filter.since.map(|at| at.0), filter.until.map(|at| at.0));
        let values = params![since, until, filter.name, filter.event, after, PAGE];
        let rows = statement.query_map(values, read)?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// The number before the first of the newest rows.
    fn before_newest(&self, filter: &AuditFilter, newest: u64) -> Result<i64, Error> {
        let newest = i64::try_from(newest).unwrap_or(i64::MAX);
        let (since, until) = (filter.since.map(|at| at.0), filter.until.map(|at| at.0));
        let first: Option<i64> = self.connection.query_row(
            &format!(
                "SELECT min(sequence) FROM (SELECT sequence FROM audit WHERE {FILTER}
                  ORDER BY sequence DESC LIMIT ?5)"
            ),
            params![since, until, filter.name, filter.event, newest],
            |row| row.get(0),
        )?;
        // Nothing is asked for, or nothing is there.
        Ok(first.map_or(i64::MAX, |first| first - 1))
    }

    /// The newest rows of one subject, newest first.
    pub(crate) fn audit_of(&self, subject: &str, newest: u64) -> Result<Vec<AuditRow>, Error> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM audit WHERE subject = ?1 ORDER BY sequence DESC LIMIT ?2"
        ))?;
        let rows = statement.query_map(params![subject, newest], read)?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }
}
