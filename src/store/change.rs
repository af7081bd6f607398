//! How far the store has come, for who wants to know what others change.

use std::collections::BTreeSet;

use super::credential::environment;
use super::{Error, Store, damaged};
use crate::domain::change::{ChangeMark, Changes, is_of_no_list, is_of_one_credential};
use crate::domain::name::{Address, ConnectionName, Target};

/// From so many credentials on, all are read again.
const MANY: usize = 16;
/// From so many rows on, nobody looks which credentials they are of.
const MANY_ROWS: i64 = 500;

impl Store {
    /// How far it has come.
    pub(crate) fn change_mark(&self) -> Result<ChangeMark, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT (SELECT coalesce(max(sequence), 0) FROM audit),
                    (SELECT coalesce(max(id), 0) FROM access_test)",
        )?;
        Ok(statement
            .query_row([], |row| Ok(ChangeMark { audit: row.get(0)?, check: row.get(1)? }))?)
    }

    /// What has changed since; `None` where nothing that a list shows has.
    pub(crate) fn changes_since(&self, mark: ChangeMark) -> Result<Option<Changes>, Error> {
        let now = self.change_mark()?;
        if now.audit < mark.audit || now.check < mark.check {
            // A backup took its place.
            return Ok(Some(Changes::Any));
        }
        if now.audit - mark.audit > MANY_ROWS || now.check - mark.check > MANY_ROWS {
            return Ok(Some(Changes::Any));
        }
        let mut changed = BTreeSet::new();
        let mut statement = self
            .connection
            .prepare_cached("SELECT DISTINCT event, subject FROM audit WHERE sequence > ?1")?;
        let mut rows = statement.query([mark.audit])?;
        while let Some(row) = rows.next()? {
            let (event, subject): (String, String) = (row.get(0)?, row.get(1)?);
            if is_of_no_list(&event) {
                continue;
            }
            let address = address(&subject).filter(|_| is_of_one_credential(&event));
            let Some(address) = address else { return Ok(Some(Changes::Any)) };
            changed.insert(address);
        }
        self.checked_since(mark.check, &mut changed)?;
        Ok(match changed.len() {
            0 => None,
            few if few <= MANY => Some(Changes::Of(changed.into_iter().collect())),
            _ => Some(Changes::Any),
        })
    }

    fn checked_since(&self, check: i64, changed: &mut BTreeSet<Address>) -> Result<(), Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT DISTINCT n.name, c.environment FROM access_test k
               JOIN credential c ON c.id = k.credential_id
               JOIN connection n ON n.id = c.connection_id
              WHERE k.id > ?1",
        )?;
        let mut rows = statement.query([check])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            changed.insert(Address {
                name: ConnectionName::parse(&name).map_err(|_| damaged("a name"))?,
                environment: environment(&row.get::<_, String>(1)?)?,
            });
        }
        Ok(())
    }
}

/// The credential that a subject names.
fn address(subject: &str) -> Option<Address> {
    let Target { name, environment } = Target::parse(subject).ok()?;
    Some(Address { name, environment: environment? })
}
