//! The durable side of an exchange: the intent before, the fenced commit after.

use rusqlite::{OptionalExtension, Transaction};

use super::audit::append;
use super::credential::with_check;
use super::token::{TokenRow, expiry_word};
use super::{Error, RecordId, Store, damaged};
use crate::domain::audit::AuditEntry;
use crate::domain::credential::Check;
use crate::domain::time::UnixMillis;
use crate::domain::token::{Generation, TokenRole};

/// What is being spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntentOperation {
    /// A refresh token.
    Refresh,
    /// An authorization code.
    SignIn,
    /// An authorization code, for a credential that is not saved; its intent is in its own row.
    Discovery,
}

impl IntentOperation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::SignIn => "sign_in",
            Self::Discovery => "discovery",
        }
    }
}

/// 'May have been sent.'
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntentRow {
    /// What is being spent.
    pub(crate) operation: IntentOperation,
    /// The token set that is being spent, or the newest one at a sign-in.
    pub(crate) generation: Generation,
    /// Counts the tries at the same token.
    pub(crate) attempt: u32,
    /// Keyed tag of what is being spent, never the thing itself.
    pub(crate) spent_tag: [u8; 32],
    /// This boot of this machine.
    pub(crate) boot_id: String,
    /// This machine.
    pub(crate) host_mark: String,
    /// This process.
    pub(crate) pid: u32,
    /// Now.
    pub(crate) started_at: UnixMillis,
    /// After this nobody can be waiting for the answer.
    pub(crate) deadline: UnixMillis,
}

impl Store {
    /// The open intent of an operation.
    pub(crate) fn intent(
        &self,
        credential: RecordId,
        operation: IntentOperation,
    ) -> Result<Option<IntentRow>, Error> {
        self.connection
            .prepare_cached(
                "SELECT generation, attempt, spent_tag, boot_id, host_mark, pid, started_at,
                        deadline
                   FROM intent WHERE credential_id = ?1 AND operation = ?2",
            )?
            .query_row((credential.0, operation.as_str()), |row| {
                Ok(IntentRow {
                    operation,
                    generation: Generation(row.get(0)?),
                    attempt: row.get(1)?,
                    spent_tag: row.get(2)?,
                    boot_id: row.get(3)?,
                    host_mark: row.get(4)?,
                    pid: row.get(5)?,
                    started_at: UnixMillis(row.get(6)?),
                    deadline: UnixMillis(row.get(7)?),
                })
            })
            .optional()
            .map_err(Error::from)
    }

    /// The newest generation of a credential; `None` when it is gone.
    pub(crate) fn newest_generation(
        &self,
        credential: RecordId,
    ) -> Result<Option<Generation>, Error> {
        Ok(self
            .connection
            .prepare_cached("SELECT generation FROM credential WHERE id = ?1")?
            .query_row([credential.0], |row| Ok(Generation(row.get(0)?)))
            .optional()?)
    }

    /// Whether an exchange of a credential was begun and is not settled.
    pub(crate) fn has_intent(&self, credential: RecordId) -> Result<bool, Error> {
        Ok(self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM intent WHERE credential_id = ?1)")?
            .query_row([credential.0], |row| row.get(0))?)
    }

    /// The credentials that have an exchange which was begun and is not settled.
    pub(crate) fn open_exchanges(&self) -> Result<Vec<RecordId>, Error> {
        let mut statement =
            self.connection.prepare_cached("SELECT DISTINCT credential_id FROM intent")?;
        let rows = statement.query_map([], |row| Ok(RecordId(row.get(0)?)))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// Keeps a token set that came too late to be active; an open intent stays.
    pub(crate) fn insert_orphan(
        &mut self,
        credential: RecordId,
        token: &TokenRow,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            super::token::insert(transaction, credential, token)?;
            append(transaction, entry)
        })
    }

    /// Commits an intent before its request may leave.
    pub(crate) fn begin_exchange(
        &mut self,
        credential: RecordId,
        intent: &IntentRow,
    ) -> Result<(), Error> {
        self.write(|transaction| insert_intent(transaction, credential, intent))
    }

    /// Takes an intent back before its request could leave: what was open before it is open again.
    pub(crate) fn take_intent_back(
        &mut self,
        credential: RecordId,
        intent: &IntentRow,
    ) -> Result<(), Error> {
        let Some(attempt) = intent.attempt.checked_sub(1).filter(|attempt| *attempt > 0) else {
            return self.end_exchange(credential, intent.operation, None);
        };
        let deadline = UnixMillis(intent.started_at.0 - 1);
        self.begin_exchange(credential, &IntentRow { attempt, deadline, ..intent.clone() })
    }

    /// Ends an intent whose request was never sent or was clearly refused; the tokens stay.
    pub(crate) fn end_exchange(
        &mut self,
        credential: RecordId,
        operation: IntentOperation,
        check: Option<&Check>,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM intent WHERE credential_id = ?1 AND operation = ?2",
                (credential.0, operation.as_str()),
            )?;
            with_check(transaction, credential, check)
        })
    }

    /// Takes a try back that spent nothing: the intent is again that of the `attempt` before, whose
    /// answer was lost.
    pub(crate) fn reopen_exchange(
        &mut self,
        credential: RecordId,
        operation: IntentOperation,
        attempt: u32,
        now: UnixMillis,
        check: &Check,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE intent SET attempt = ?3, deadline = min(deadline, ?4)
                 WHERE credential_id = ?1 AND operation = ?2",
                (credential.0, operation.as_str(), attempt, now.0 - 1),
            )?;
            with_check(transaction, credential, Some(check))
        })
    }

    /// Keeps the intent open, because its answer was lost, and records that.
    pub(crate) fn lose_answer(
        &mut self,
        credential: RecordId,
        operation: IntentOperation,
        now: UnixMillis,
        check: &Check,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE intent SET deadline = min(deadline, ?3)
                 WHERE credential_id = ?1 AND operation = ?2",
                (credential.0, operation.as_str(), now.0 - 1),
            )?;
            with_check(transaction, credential, Some(check))?;
            append(transaction, entry)
        })
    }

    /// Puts the refreshed token set in the place of the spent one and ends the intent, in one
    /// commit. The fence: when the active set is no longer the spent one, nothing is replaced and
    /// the new set is kept as an orphan; the answer is `false` then.
    pub(crate) fn finish_refresh(
        &mut self,
        credential: RecordId,
        spent: Generation,
        token: &TokenRow,
        check: Option<&Check>,
        entry: &AuditEntry,
    ) -> Result<bool, Error> {
        self.write(|transaction| {
            let replaced = token.role == TokenRole::Active
                && transaction.execute(
                    "DELETE FROM token_set
                     WHERE credential_id = ?1 AND generation = ?2 AND role = 'active'",
                    (credential.0, spent.0),
                )? == 1;
            let role = if replaced { TokenRole::Active } else { TokenRole::Orphan };
            super::token::insert(transaction, credential, &TokenRow { role, ..token.clone() })?;
            transaction.execute(
                "DELETE FROM intent WHERE credential_id = ?1 AND operation = 'refresh'",
                [credential.0],
            )?;
            with_check(transaction, credential, check)?;
            append(transaction, entry)?;
            Ok(replaced)
        })
    }

    /// Keeps what an introspection said of the active token's end.
    pub(crate) fn set_expiry(
        &mut self,
        credential: RecordId,
        generation: Generation,
        expiry: crate::domain::token::Expiry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE token_set SET expires_at = ?3, expiry = ?4
                 WHERE credential_id = ?1 AND generation = ?2",
                (credential.0, generation.0, expiry.at.0, expiry_word(expiry)),
            )?;
            if changed == 1 { Ok(()) } else { Err(damaged("a generation")) }
        })
    }
}

/// Writes an intent in the place of an earlier one of the same operation.
pub(super) fn insert_intent(
    transaction: &Transaction<'_>,
    credential: RecordId,
    intent: &IntentRow,
) -> Result<(), Error> {
    transaction.execute(
        "INSERT OR REPLACE INTO intent (credential_id, operation, generation, attempt,
             spent_tag, boot_id, host_mark, pid, started_at, deadline)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        (
            credential.0,
            intent.operation.as_str(),
            intent.generation.0,
            intent.attempt,
            intent.spent_tag,
            &intent.boot_id,
            &intent.host_mark,
            intent.pid,
            intent.started_at.0,
            intent.deadline.0,
        ),
    )?;
    Ok(())
}
