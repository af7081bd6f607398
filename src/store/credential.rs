//! Connections and their credentials.

mod row;

use rusqlite::{Connection, OptionalExtension, Transaction, named_params};

use super::audit::append;
use super::{Error, NewApp, OwedRow, RecordId, Store, damaged};
use crate::domain::app::Flow;
use crate::domain::audit::AuditEntry;
use crate::domain::credential::{Check, Credential, PendingEdit};
use crate::domain::host::LoginUrl;
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::{Address, ConnectionName, Environment};
use crate::domain::token::Generation;
use row::{SELECT, read};

/// A credential with its keys in the store.
#[derive(Clone, Debug)]
pub(crate) struct CredentialRow {
    /// Its row.
    pub(crate) id: RecordId,
    /// The newest generation ever given out.
    pub(crate) generation: Generation,
    /// What is shown of it.
    pub(crate) credential: Credential,
}

/// A credential to be saved for the first time.
#[derive(Clone, Debug)]
pub(crate) struct NewCredential {
    /// Connection and environment.
    pub(crate) address: Address,
    /// The org.
    pub(crate) org_id: OrgId,
    /// The user.
    pub(crate) user_id: UserId,
    /// Where known.
    pub(crate) username: Option<String>,
    /// Where it signs in.
    pub(crate) login_url: LoginUrl,
    /// Name of the app.
    pub(crate) app: String,
    /// In the admin's order.
    pub(crate) tags: Vec<String>,
}

/// All that an edit sets; the caller fills in what stays.
#[derive(Clone, Debug)]
pub(crate) struct CredentialEdit {
    /// A new name for the connection.
    pub(crate) rename: Option<ConnectionName>,
    /// The account and host, as they are or as they become.
    pub(crate) account: PendingEdit,
    /// Whether `account` differs from what a sign-in was asked for until now.
    pub(crate) account_changes: bool,
    /// Whether `account` waits for its first sign-in, because a token lives.
    pub(crate) stage: bool,
    /// In the admin's order.
    pub(crate) tags: Vec<String>,
}

impl Store {
    /// All credentials, by name, production first.
    pub(crate) fn credentials(&self) -> Result<Vec<CredentialRow>, Error> {
        let mut all = Vec::new();
        self.each_credential(|row| all.push(row))?;
        Ok(all)
    }

    /// Looks at all credentials one after the other, by name, production first. Only one is in
    /// memory at a time.
    pub(crate) fn each_credential(&self, mut look: impl FnMut(CredentialRow)) -> Result<(), Error> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("{SELECT} ORDER BY n.name_folded, c.environment"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            look(self.with_taken(read(row)?)?);
        }
        Ok(())
    }

    /// Gives back the memory that the store holds to read faster: after a look at everything it
    /// is full of what nobody asks for again.
    pub(crate) fn release_memory(&self) -> Result<(), Error> {
        Ok(self.connection.execute_batch("PRAGMA shrink_memory")?)
    }

    /// The credentials of one connection: none, one or two; the one in use first.
    pub(crate) fn credentials_of(
        &self,
        name: &ConnectionName,
    ) -> Result<Vec<CredentialRow>, Error> {
        let mut statement = self.connection.prepare_cached(&format!(
            "{SELECT} WHERE n.name_folded = ?1 ORDER BY c.environment <> n.in_use"
        ))?;
        let rows = statement.query_map([name.folded()], |row| Ok(read(row)))?;
        rows.map(|row| self.with_taken(row??)).collect()
    }

    /// One credential by its row.
    pub(crate) fn credential(&self, id: RecordId) -> Result<CredentialRow, Error> {
        self.with_taken(find(&self.connection, id)?.ok_or(Error::Stale)?)
    }

    /// Saves new credentials, the apps that come with them, and the audit rows: all or none.
    pub(crate) fn insert_credentials(
        &mut self,
        apps: &[NewApp],
        new: &[(NewCredential, AuditEntry)],
    ) -> Result<(), Error> {
        self.write(|transaction| {
            apps.iter().try_for_each(|app| super::app::insert(transaction, app))?;
            for (credential, entry) in new {
                insert(transaction, credential)?;
                append(transaction, entry)?;
            }
            Ok(())
        })
    }

    /// Changes a credential, or stages the change of its account.
    pub(crate) fn edit_credential(
        &mut self,
        id: RecordId,
        edit: &CredentialEdit,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            if let Some(name) = &edit.rename {
                // What was handed out before was so under the former name.
                super::hand_out::fold(transaction)?;
                rename(transaction, id, name)?;
            }
            transaction.execute(
                "UPDATE credential SET tags = ?2 WHERE id = ?1",
                (id.0, join(&edit.tags)),
            )?;
            if edit.account_changes {
                // A pending sign-in was begun for the account as it was.
                transaction
                    .execute("DELETE FROM authorization WHERE credential_id = ?1", [id.0])?;
            }
            if edit.stage {
                stage(transaction, id, &edit.account)?;
            } else {
                transaction.execute("DELETE FROM pending_edit WHERE credential_id = ?1", [id.0])?;
                apply_account(transaction, id, &edit.account)?;
            }
            append(transaction, entry)
        })
    }

    /// Drops a staged edit.
    pub(crate) fn discard_pending(
        &mut self,
        id: RecordId,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM pending_edit WHERE credential_id = ?1", [id.0])?;
            append(transaction, entry)
        })
    }

    /// Makes an environment the one that the connection's plain name means.
    pub(crate) fn put_in_use(
        &mut self,
        address: &Address,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE connection SET in_use = ?2 WHERE name_folded = ?1",
                (address.name.folded(), address.environment.as_str()),
            )?;
            append(transaction, entry)
        })
    }

    /// Removes a credential with all that hangs on it, and its connection when it was the last.
    /// What its tokens are owed at Salesforce is kept in the same commit.
    pub(crate) fn delete_credential(
        &mut self,
        id: RecordId,
        owed: &[(OwedRow, AuditEntry)],
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            // The records go with the credential; the chain keeps them.
            super::hand_out::fold(transaction)?;
            for (debt, entry) in owed {
                super::revocation::insert(transaction, debt)?;
                append(transaction, entry)?;
            }
            let connection: [u8; 16] = transaction
                .query_row("SELECT connection_id FROM credential WHERE id = ?1", [id.0], |row| {
                    row.get(0)
                })
                .optional()?
                .ok_or(Error::Stale)?;
            transaction.execute("DELETE FROM credential WHERE id = ?1", [id.0])?;
            let left: Option<String> = transaction
                .query_row(
                    "SELECT environment FROM credential WHERE connection_id = ?1",
                    [connection],
                    |row| row.get(0),
                )
                .optional()?;
            match left {
                Some(environment) => transaction.execute(
                    "UPDATE connection SET in_use = ?2 WHERE id = ?1",
                    (connection, environment),
                )?,
                None => {
                    transaction.execute("DELETE FROM connection WHERE id = ?1", [connection])?
                }
            };
            append(transaction, entry)
        })
    }
}

fn insert(transaction: &Transaction<'_>, new: &NewCredential) -> Result<(), Error> {
    insert_as(transaction, super::new_record_id()?, new)
}

/// Saves a credential under a row of the caller's choice.
pub(super) fn insert_as(
    transaction: &Transaction<'_>,
    id: RecordId,
    new: &NewCredential,
) -> Result<(), Error> {
    let name = &new.address.name;
    let environment = new.address.environment.as_str();
    let known: Option<[u8; 16]> = transaction
        .query_row("SELECT id FROM connection WHERE name_folded = ?1", [name.folded()], |row| {
            row.get(0)
        })
        .optional()?;
    let connection = if let Some(id) = known {
        id
    } else {
        let id = super::new_record_id()?.0;
        transaction.execute(
            "INSERT INTO connection (id, name, name_folded, in_use) VALUES (?1, ?2, ?3, ?4)",
            (id, name.as_str(), name.folded(), environment),
        )?;
        id
    };
    let inserted = transaction.execute(
        "INSERT INTO credential (id, connection_id, environment, org_id, user_id, username,
                                 login_url, app, tags)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        (
            id.0,
            connection,
            environment,
            new.org_id.as_str(),
            new.user_id.as_str(),
            &new.username,
            new.login_url.as_str(),
            &new.app,
            join(&new.tags),
        ),
    )?;
    if inserted == 1 { Ok(()) } else { Err(Error::Exists(new.address.to_string())) }
}

fn rename(
    transaction: &Transaction<'_>,
    credential: RecordId,
    name: &ConnectionName,
) -> Result<(), Error> {
    let changed = transaction.execute(
        "UPDATE OR IGNORE connection SET name = ?2, name_folded = ?3
         WHERE id = (SELECT connection_id FROM credential WHERE id = ?1)",
        (credential.0, name.as_str(), name.folded()),
    )?;
    if changed == 1 { Ok(()) } else { Err(Error::Exists(name.to_string())) }
}

fn stage(transaction: &Transaction<'_>, id: RecordId, edit: &PendingEdit) -> Result<(), Error> {
    transaction.execute(
        "INSERT OR REPLACE INTO pending_edit
             (credential_id, org_id, user_id, username, login_url, app)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            id.0,
            edit.org_id.as_str(),
            edit.user_id.as_str(),
            &edit.username,
            edit.login_url.as_str(),
            &edit.app,
        ),
    )?;
    Ok(())
}

/// Makes an account the saved one.
pub(super) fn apply_account(
    transaction: &Transaction<'_>,
    id: RecordId,
    account: &PendingEdit,
) -> Result<(), Error> {
    let changed = transaction.execute(
        "UPDATE credential SET org_id = :org_id, user_id = :user_id, username = :username,
                login_url = :login_url, app = :app
         WHERE id = :id",
        named_params! {
            ":id": id.0,
            ":org_id": account.org_id.as_str(),
            ":user_id": account.user_id.as_str(),
            ":username": account.username,
            ":login_url": account.login_url.as_str(),
            ":app": account.app,
        },
    )?;
    if changed == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// One credential by its row, within a transaction or without.
pub(super) fn find(connection: &Connection, id: RecordId) -> Result<Option<CredentialRow>, Error> {
    connection
        .prepare_cached(&format!("{SELECT} WHERE c.id = ?1"))?
        .query_row([id.0], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

pub(super) fn environment(word: &str) -> Result<Environment, Error> {
    Environment::parse(word).ok_or_else(|| damaged("an environment"))
}

pub(super) fn flow(word: &str) -> Result<Flow, Error> {
    Flow::parse(word).ok_or_else(|| damaged("a flow"))
}

pub(super) fn org_id(text: String) -> Result<OrgId, Error> {
    OrgId::try_from(text).map_err(|_| damaged("an Org ID"))
}

pub(super) fn user_id(text: String) -> Result<UserId, Error> {
    UserId::try_from(text).map_err(|_| damaged("a User ID"))
}

/// Lists of words (tags, scopes) are kept with a blank between: none of them has one.
pub(super) fn join(words: &[String]) -> String {
    words.join(" ")
}

/// The other way of [`join`].
pub(super) fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A check of the credential that comes with its change.
pub(super) fn with_check(
    transaction: &Transaction<'_>,
    id: RecordId,
    check: Option<&Check>,
) -> Result<(), Error> {
    check.map_or(Ok(()), |check| super::check::insert(transaction, id, check))
}
