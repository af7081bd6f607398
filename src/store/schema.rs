//! Versions of the data model, by `PRAGMA user_version`.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{Error, new_record_id};
use crate::domain::record::RecordId;

/// The migrations in order; the index of one is the version it starts from.
const MIGRATIONS: [&str; 1] = [include_str!("../../assets/migrations/0001_initial.sql")];

/// Brings the tables to the newest version, in one transaction, and reads the store's ID.
pub(super) fn migrate(
    connection: &mut Connection,
    host_mark: impl FnOnce() -> String,
) -> Result<RecordId, Error> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let version = user_version(connection)?;
    if version > known {
        return Err(Error::TooNew { found: version, known });
    }
    if version < known {
        // Journal mode can't change within a transaction, and is kept in the file.
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        upgrade(connection, host_mark)?;
    }
    let id = connection
        .query_row("SELECT store_id FROM meta", [], |row| Ok(RecordId(row.get(0)?)))
        .optional()?;
    id.ok_or_else(|| Error::Damaged("it has no identity row".into()))
}

fn user_version(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn upgrade(connection: &mut Connection, host_mark: impl FnOnce() -> String) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again under the lock: another process may have been first.
    let version = user_version(&transaction)?;
    let first = usize::try_from(version).map_err(|_| Error::Damaged("negative version".into()))?;
    for migration in MIGRATIONS.iter().skip(first) {
        transaction.execute_batch(migration)?;
    }
    if first == 0 {
        transaction.execute(
            "INSERT INTO meta (only_row, store_id, host_mark) VALUES (1, ?1, ?2)",
            (new_record_id()?.0, host_mark()),
        )?;
    }
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", newest)?;
    transaction.commit()?;
    Ok(())
}
