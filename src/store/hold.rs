//! Holds: set and ended for many credentials in one commit, without any key.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};

use super::audit::append;
use super::{Error, RecordId, Store};
use crate::domain::audit::AuditEntry;
use crate::domain::hold::Hold;

impl FromSql for Hold {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map_err(|error| FromSqlError::Other(error.into()))
    }
}

impl Store {
    /// Puts all these on hold, or ends their holds: every one of them or none.
    pub(crate) fn set_hold(
        &mut self,
        hold: Option<&Hold>,
        changes: &[(RecordId, AuditEntry)],
    ) -> Result<(), Error> {
        let hold = hold.map(serde_json::to_string).transpose();
        let hold = hold.map_err(|error| Error::Unusable(error.to_string()))?;
        self.write(|transaction| {
            for (id, entry) in changes {
                transaction
                    .prepare_cached("UPDATE credential SET held = ?2 WHERE id = ?1")?
                    .execute((id.0, &hold))?;
                append(transaction, entry)?;
            }
            Ok(())
        })
    }
}
