//! Revocations that are owed: sealed tokens that Salesforce has yet to be told of.

use rusqlite::Transaction;

use super::audit::append;
use super::credential::{environment, org_id, user_id};
use super::{Error, RecordId, Store, damaged};
use crate::domain::audit::AuditEntry;
use crate::domain::credential::{Cause, Check};
use crate::domain::host::LoginUrl;
use crate::domain::name::{Address, ConnectionName};
use crate::domain::policy::Account;
use crate::domain::time::UnixMillis;

/// A revocation that could not be delivered yet.
#[derive(Clone, Debug)]
pub(crate) struct OwedRow {
    /// Its row; bound into the seal.
    pub(crate) id: RecordId,
    /// The credential that it was for; it may be gone.
    pub(crate) address: Address,
    /// Whose token it is; `None` where a broken answer did not say.
    pub(crate) account: Option<Account>,
    /// Where to revoke it.
    pub(crate) login_url: LoginUrl,
    /// Since when.
    pub(crate) since: UnixMillis,
    /// Not tried before this; `None` is at once.
    pub(crate) due_at: Option<UnixMillis>,
    /// How often it was tried in vain.
    pub(crate) attempts: u64,
    /// What came of the last try; empty before the first.
    pub(crate) last_error: String,
    /// The token, sealed.
    pub(crate) sealed: Vec<u8>,
}

impl OwedRow {
    /// Whether it is to be tried by now.
    pub(crate) fn is_due(&self, now: UnixMillis) -> bool {
        self.due_at.is_none_or(|due| due <= now)
    }
}

impl Store {
    /// Keeps a revocation that is to be tried, before the token's own row may go.
    pub(crate) fn owe_revocation(
        &mut self,
        owed: &OwedRow,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            insert(transaction, owed)?;
            append(transaction, entry)
        })
    }

    /// Takes all token sets of a credential out of use: what revokes them is owed from now on, with an
    /// audit row each. The active one stays as the record that it was revoked; the others go.
    pub(crate) fn revoke_credential(
        &mut self,
        credential: RecordId,
        owed: &[(OwedRow, AuditEntry)],
        check: &Check,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            for (debt, entry) in owed {
                insert(transaction, debt)?;
                append(transaction, entry)?;
            }
            transaction.execute(
                "DELETE FROM token_set WHERE credential_id = ?1 AND role <> 'active'",
                [credential.0],
            )?;
            transaction.execute(
                "UPDATE token_set SET refused = ?2 WHERE credential_id = ?1",
                (credential.0, Cause::Revoked.as_str()),
            )?;
            transaction.execute("DELETE FROM intent WHERE credential_id = ?1", [credential.0])?;
            super::check::insert(transaction, credential, check)?;
            append(transaction, entry)
        })
    }

    /// All revocations that are owed, oldest first.
    pub(crate) fn owed_revocations(&self) -> Result<Vec<OwedRow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, name, environment, org_id, user_id, login_url, since, sealed, attempts,
                    last_error, due_at
               FROM revocation_owed ORDER BY since",
        )?;
        let mut rows = statement.query([])?;
        let mut owed = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            owed.push(OwedRow {
                id: RecordId(row.get(0)?),
                address: Address {
                    name: ConnectionName::parse(&name).map_err(|_| damaged("a name"))?,
                    environment: environment(&row.get::<_, String>(2)?)?,
                },
                account: account(row.get(3)?, row.get(4)?)?,
                login_url: LoginUrl::from_stored(row.get(5)?),
                since: UnixMillis(row.get(6)?),
                due_at: row.get::<_, Option<i64>>(10)?.map(UnixMillis),
                attempts: row.get(8)?,
                last_error: row.get(9)?,
                sealed: row.get(7)?,
            });
        }
        Ok(owed)
    }

    /// Salesforce confirmed a revocation: who would say yes to that token set is too late.
    pub(crate) fn settle_revocation(
        &mut self,
        id: RecordId,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM revocation_owed WHERE id = ?1", [id.0])?;
            transaction.execute("DELETE FROM discovery WHERE owed_id = ?1", [id.0])?;
            append(transaction, entry)
        })
    }

    /// A revocation could not be delivered once more.
    pub(crate) fn postpone_revocation(&mut self, id: RecordId, error: &str) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE revocation_owed SET attempts = attempts + 1, last_error = ?2 WHERE id = ?1",
                (id.0, error),
            )?;
            Ok(())
        })
    }
}

/// Writes a debt.
pub(super) fn insert(transaction: &Transaction<'_>, owed: &OwedRow) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO revocation_owed
             (id, name, environment, org_id, user_id, login_url, since, sealed, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            owed.id.0,
            owed.address.name.as_str(),
            owed.address.environment.as_str(),
            owed.account.as_ref().map_or("", |account| account.org_id.as_str()),
            owed.account.as_ref().map_or("", |account| account.user_id.as_str()),
            owed.login_url.as_str(),
            owed.since.0,
            &owed.sealed,
            owed.due_at.map(|at| at.0),
        ),
    )?;
    Ok(())
}

/// Nobody's, where the answer that it came in did not say whose it is.
fn account(org: String, user: String) -> Result<Option<Account>, Error> {
    if org.is_empty() && user.is_empty() {
        return Ok(None);
    }
    Ok(Some(Account { org_id: org_id(org)?, user_id: user_id(user)? }))
}
