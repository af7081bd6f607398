//! Whether the store is whole, read through from end to end.

use super::{Error, Store, schema};

/// What is found in a store that is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Examined {
    /// Version of its data model.
    pub(crate) version: i64,
    /// How many there are.
    pub(crate) credentials: u64,
}

impl Store {
    /// Reads all pages and indexes, and looks whether every row belongs to one that is there.
    pub(crate) fn examine(&self) -> Result<Examined, Error> {
        self.refuse_gone()?;
        let sound: String =
            self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(Error::Damaged(crate::domain::text::clean(&sound)));
        }
        if self.connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
            return Err(Error::Damaged("a row belongs to one that is not there".into()));
        }
        let credentials = "SELECT count(*) FROM credential";
        Ok(Examined {
            version: schema::user_version(&self.connection)?,
            credentials: self.connection.query_row(credentials, [], |row| row.get(0))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::*;

    #[test]
    fn a_sound_store_tells_its_version_and_a_torn_one_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orgkey.db");
        let store = Store::open(&path, Durability::Full, || "host".into()).unwrap();
        assert_eq!(store.examine().unwrap(), Examined { version: 6, credentials: 0 });
        store.connection.pragma_update(None, "foreign_keys", false).unwrap();
        store
            .connection
            .execute(
                "INSERT INTO access_test
                     (credential_id, kind, at, outcome, latency_ms, message, remedy)
                 VALUES (zeroblob(16), 'test', 1, 'ok', 1, '', '')",
                [],
            )
            .unwrap();
        let torn = store.examine().unwrap_err();
        assert!(matches!(&torn, Error::Damaged(what) if what.contains("belongs")), "{torn}");
    }
}
