//! The history of checks: access tests, refreshes and sign-ins.

use rusqlite::{Row, Transaction};

use super::{Error, RecordId, Store, damaged};
use crate::domain::credential::{Check, CheckKind, CheckOutcome};
use crate::domain::time::UnixMillis;

/// Checks kept per credential.
const HISTORY_LIMIT: u32 = 200;

impl Store {
    /// Adds a check to the history of a credential; nothing happens when it was deleted.
    pub(crate) fn record_check(&mut self, id: RecordId, check: &Check) -> Result<(), Error> {
        self.write(|transaction| insert(transaction, id, check))
    }

    /// The checks of a credential, newest first.
    pub(crate) fn checks(&self, id: RecordId) -> Result<Vec<Check>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT kind, at, outcome, latency_ms, message, remedy FROM access_test
             WHERE credential_id = ?1 ORDER BY id DESC",
        )?;
        let rows = statement.query_map([id.0], |row| Ok(read(row, 0)))?;
        rows.map(|row| row??.ok_or_else(|| damaged("a check"))).collect()
    }
}

/// Adds a check and drops what is older than the newest 200.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    id: RecordId,
    check: &Check,
) -> Result<(), Error> {
    transaction
        .prepare_cached(
            "INSERT INTO access_test (credential_id, kind, at, outcome, latency_ms, message, remedy)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
              WHERE EXISTS (SELECT 1 FROM credential WHERE id = ?1)",
        )?
        .execute((
            id.0,
            check.kind.as_str(),
            check.at.0,
            check.outcome.as_str(),
            check.latency_ms,
            &check.message,
            &check.remedy,
        ))?;
    transaction
        .prepare_cached(
            "DELETE FROM access_test WHERE credential_id = ?1 AND id <= (
                 SELECT id FROM access_test WHERE credential_id = ?1
                 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute((id.0, HISTORY_LIMIT))?;
    Ok(())
}

/// Reads a check from six columns, of which the kind is at `first`; `None` where an outer join
/// found none.
pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Option<Check>, Error> {
    let Some(kind) = row.get::<_, Option<String>>(first)? else { return Ok(None) };
    let outcome: String = row.get(first + 2)?;
    Ok(Some(Check {
        kind: CheckKind::parse(&kind).ok_or_else(|| damaged("a kind of check"))?,
        at: UnixMillis(row.get(first + 1)?),
        outcome: CheckOutcome::parse(&outcome).ok_or_else(|| damaged("an outcome"))?,
        latency_ms: row.get(first + 3)?,
        message: row.get(first + 4)?,
        remedy: row.get(first + 5)?,
    }))
}
