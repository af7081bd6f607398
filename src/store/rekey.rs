//! Every sealed value sealed anew, in one transaction; and what is known of keys without opening one.

use rusqlite::{OptionalExtension, Transaction};

use super::audit::append;
use super::credential::{environment, flow};
use super::{Error, RecordId, Store, damaged};
use crate::domain::app::Flow;
use crate::domain::audit::{AuditEntry, AuditEvent};
use crate::domain::name::{Address, ConnectionName};
use crate::domain::time::UnixMillis;
use crate::domain::token::Generation;

/// The tables that hold sealed values, each with the generation that its seals are bound to.
const SEALED: [(&str, &str); 5] = [
    ("token_set", "generation"),
    ("authorization", "0"),
    ("app_secret", "0"),
    ("revocation_owed", "0"),
    ("discovery", "0"),
];

/// A sealed value with all that its seal is bound to.
#[derive(Clone, Debug)]
pub(crate) struct SealedValue {
    /// Its table.
    pub(crate) table: &'static str,
    /// Its row.
    pub(crate) row: RecordId,
    /// Generation of the row; 0 where rows have none.
    pub(crate) generation: Generation,
    /// As it is sealed.
    pub(crate) sealed: Vec<u8>,
}

/// What becomes of one value.
#[derive(Debug)]
pub(crate) enum Resealing {
    /// It is sealed by the newest key.
    Kept,
    /// Sealed anew.
    Anew(Vec<u8>),
    /// No key opens it; it stays as it is.
    Unopened,
}

/// What became of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resealed {
    /// Sealed anew.
    pub(crate) anew: u64,
    /// Opened by no key, and left as they are.
    pub(crate) unopened: u64,
}

/// A token that whoever could open the key could read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadableRow {
    /// Of which credential.
    pub(crate) address: Address,
    /// The newest token set.
    pub(crate) generation: Generation,
    /// How it was set up.
    pub(crate) flow: Flow,
}

impl Store {
    /// Seals every value anew by what `reseal` says of it, in one transaction with `entries`. The
    /// row of a key rotation that is written already is not written again: `key_id` begins its
    /// detail.
    pub(crate) fn reseal(
        &mut self,
        key_id: &str,
        entries: &[AuditEntry],
        mut reseal: impl FnMut(&SealedValue) -> Result<Resealing, Error>,
    ) -> Result<Resealed, Error> {
        self.write(|transaction| {
            let mut resealed = Resealed::default();
            for (table, generation) in SEALED {
                reseal_table(transaction, (table, generation), &mut reseal, &mut resealed)?;
            }
            for entry in entries {
                if entry.event != AuditEvent::KeyRotated || !is_told(transaction, key_id)? {
                    append(transaction, entry)?;
                }
            }
            Ok(resealed)
        })
    }

    /// Whether a value is sealed by another key than this one.
    pub(crate) fn is_sealed_otherwise(&self, key_id: [u8; 4]) -> Result<bool, Error> {
        Ok(self.sealing_keys()?.iter().any(|found| *found != key_id))
    }

    /// The IDs of the keys that values are sealed by, as the values say.
    pub(crate) fn sealing_keys(&self) -> Result<Vec<[u8; 4]>, Error> {
        let selects = SEALED.map(|(table, _)| {
            format!("SELECT substr(sealed, 2, 4) FROM {table} WHERE length(sealed) > 5")
        });
        let mut statement = self.connection.prepare(&selects.join(" UNION "))?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// When the key was last rotated, and the ID of the key since.
    pub(crate) fn last_rotation(&self) -> Result<Option<(UnixMillis, String)>, Error> {
        let row = self
            .connection
            .prepare(
                "SELECT at, detail FROM audit WHERE event = ?1 ORDER BY sequence DESC LIMIT 1",
            )?
            .query_row([AuditEvent::KeyRotated.as_str()], |row| {
                Ok((UnixMillis(row.get(0)?), row.get::<_, String>(1)?))
            })
            .optional()?;
        Ok(row.map(|(at, detail)| (at, detail.chars().take(8).collect())))
    }

    /// Every credential that has a token, by name.
    pub(crate) fn readable_tokens(&self) -> Result<Vec<ReadableRow>, Error> {
        // Beside a max(), SQLite takes the other columns from the row that has it.
        let mut statement = self.connection.prepare(
            "SELECT n.name, c.environment, max(t.generation), t.flow
               FROM token_set t JOIN credential c ON c.id = t.credential_id
               JOIN connection n ON n.id = c.connection_id
              GROUP BY c.id ORDER BY n.name_folded, c.environment",
        )?;
        let mut rows = statement.query([])?;
        let mut readable = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            readable.push(ReadableRow {
                address: Address {
                    name: ConnectionName::parse(&name).map_err(|_| damaged("a name"))?,
                    environment: environment(&row.get::<_, String>(1)?)?,
                },
                generation: Generation(row.get(2)?),
                flow: flow(&row.get::<_, String>(3)?)?,
            });
        }
        Ok(readable)
    }

    /// The apps whose client secret is kept here, by name.
    pub(crate) fn readable_secrets(&self) -> Result<Vec<String>, Error> {
        let mut statement = self.connection.prepare(
            "SELECT a.name FROM app a JOIN app_secret s ON s.app_folded = a.name_folded
              ORDER BY a.name_folded",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }
}

/// The IDs of the keys that the values of a backup's private copy are sealed by.
pub(crate) fn sealing_keys_of_copy(copy: &std::path::Path) -> Result<Vec<[u8; 4]>, Error> {
    Store::open_read_only(copy)?.sealing_keys()
}

fn reseal_table(
    transaction: &Transaction<'_>,
    (table, generation): (&'static str, &'static str),
    reseal: &mut impl FnMut(&SealedValue) -> Result<Resealing, Error>,
    resealed: &mut Resealed,
) -> Result<(), Error> {
    let mut rows = transaction.prepare(&format!("SELECT id, {generation} FROM {table}"))?;
    let rows = rows
        .query_map([], |row| Ok((RecordId(row.get(0)?), Generation(row.get(1)?))))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut read = transaction.prepare(&format!("SELECT sealed FROM {table} WHERE id = ?1"))?;
    let mut write =
        transaction.prepare(&format!("UPDATE {table} SET sealed = ?2 WHERE id = ?1"))?;
    for (row, generation) in rows {
        let sealed = read.query_row([row.0], |found| found.get(0))?;
        match reseal(&SealedValue { table, row, generation, sealed })? {
            Resealing::Kept => {}
            Resealing::Anew(sealed) => {
                write.execute((row.0, sealed))?;
                resealed.anew += 1;
            }
            Resealing::Unopened => resealed.unopened += 1,
        }
    }
    Ok(())
}

/// Whether the rotation to this key is in the audit.
fn is_told(transaction: &Transaction<'_>, key_id: &str) -> Result<bool, Error> {
    Ok(transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM audit WHERE event = ?1 AND substr(detail, 1, 8) = ?2)",
        (AuditEvent::KeyRotated.as_str(), key_id),
        |row| row.get(0),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Durability;

    #[test]
    fn every_column_that_is_sealed_is_sealed_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orgkey.db");
        let store = Store::open(&path, Durability::Full, String::new).unwrap();
        let mut statement = store
            .connection
            .prepare(
                "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c
                  WHERE m.type = 'table' AND c.name LIKE '%sealed%' ORDER BY m.name",
            )
            .unwrap();
        let found: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut known = SEALED.map(|(table, _)| table);
        known.sort_unstable();
        assert_eq!(found, known);
    }
}
