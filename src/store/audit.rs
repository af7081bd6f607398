//! Audit rows: appended inside the transaction of the change that they record.

use rusqlite::{OptionalExtension, Transaction};

use super::{Error, Store};
use crate::domain::audit::AuditEntry;

/// Appends a row to the chain.
pub(super) fn append(transaction: &Transaction<'_>, entry: &AuditEntry) -> Result<(), Error> {
    let previous: [u8; 32] = transaction
        .prepare_cached("SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or([0; 32]);
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

impl Store {
    /// Records something that changes no other row.
    pub(crate) fn record(&mut self, entry: &AuditEntry) -> Result<(), Error> {
        self.write(|transaction| append(transaction, entry))
    }
}
