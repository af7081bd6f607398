//! Versions of the data model, by `PRAGMA user_version`.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{Error, backup, new_record_id};
use crate::domain::record::RecordId;

/// The migrations in order; the index of one is the version it starts from.
const MIGRATIONS: [&str; 6] = [
    include_str!("../../assets/migrations/0001_initial.sql"),
    include_str!("../../assets/migrations/0002_copies.sql"),
    include_str!("../../assets/migrations/0003_audit.sql"),
    include_str!("../../assets/migrations/0004_rotation.sql"),
    include_str!("../../assets/migrations/0005_rounds.sql"),
    include_str!("../../assets/migrations/0006_discovery.sql"),
];

/// Brings the tables to the newest version, in one transaction, and reads the store's ID.
///
/// Of an older store a copy is kept beside it first, e.g. `orgkey.db.version-2`.
pub(super) fn migrate(
    connection: &mut Connection,
    host_mark: impl FnOnce() -> String,
) -> Result<RecordId, Error> {
    if needs_upgrade(connection)? {
        // Journal mode can't change within a transaction, and is kept in the file.
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        upgrade(connection, host_mark)?;
    }
    store_id(connection)
}

/// The same for the private copy of a backup: it needs no log, and no copy of its own.
pub(super) fn migrate_copy(connection: &mut Connection) -> Result<RecordId, Error> {
    if needs_upgrade(connection)? {
        let transaction = connection.transaction()?;
        let first = version_index(&transaction)?;
        if first == 0 {
            return Err(Error::Damaged("it is empty".into()));
        }
        for migration in MIGRATIONS.iter().skip(first) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", newest())?;
        transaction.commit()?;
    }
    store_id(connection)
}

/// The store's random ID.
pub(super) fn store_id(connection: &Connection) -> Result<RecordId, Error> {
    let id = connection
        .prepare_cached("SELECT store_id FROM meta")?
        .query_row([], |row| Ok(RecordId(row.get(0)?)))
        .optional()?;
    id.ok_or_else(|| Error::Damaged("it has no identity row".into()))
}

/// The version that this program writes.
fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

fn needs_upgrade(connection: &Connection) -> Result<bool, Error> {
    let (found, known) = (user_version(connection)?, newest());
    if found > known { Err(Error::TooNew { found, known }) } else { Ok(found < known) }
}

/// The version of the data model of a store.
pub(super) fn user_version(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn version_index(connection: &Connection) -> Result<usize, Error> {
    usize::try_from(user_version(connection)?)
        .map_err(|_| Error::Damaged("negative version".into()))
}

fn upgrade(connection: &mut Connection, host_mark: impl FnOnce() -> String) -> Result<(), Error> {
    let path = connection.path().map(PathBuf::from);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again under the lock: another process may have been first.
    let first = version_index(&transaction)?;
    if first >= MIGRATIONS.len() {
        return Ok(());
    }
    if let Some(path) = path.filter(|_| first > 0) {
        // Nobody can write meanwhile, so this is the store as its own version left it.
        backup::keep_version(&path, first)?;
    }
    for migration in MIGRATIONS.iter().skip(first) {
        transaction.execute_batch(migration)?;
    }
    if first == 0 {
        transaction.execute(
            "INSERT INTO meta (only_row, store_id, host_mark) VALUES (1, ?1, ?2)",
            (new_record_id()?.0, host_mark()),
        )?;
    }
    transaction.pragma_update(None, "user_version", newest())?;
    transaction.commit()?;
    Ok(())
}
