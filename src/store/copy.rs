//! Whether the store may be a copy, and what is decided about that: kept in its one `meta` row.

use rusqlite::{OptionalExtension, Transaction};

use super::audit::append;
use super::exchange::insert_intent;
use super::{Error, IntentRow, RecordId, Store, damaged};
use crate::domain::audit::AuditEntry;
use crate::domain::copy::{CopyQuestion, CopySign, CopyStanding, Moved};
use crate::domain::credential::{Cause, Check};
use crate::domain::time::UnixMillis;
use crate::domain::token::Generation;

/// A token set that was spent elsewhere, as the journal tells.
#[derive(Clone, Debug)]
pub(crate) struct SpentSet {
    /// Whose.
    pub(crate) credential: RecordId,
    /// Which token set.
    pub(crate) generation: Generation,
    /// For the history.
    pub(crate) check: Check,
    /// For the audit.
    pub(crate) entry: AuditEntry,
}

impl Store {
    /// Which host used the store last, and how it stands to its copies.
    pub(crate) fn copy_standing(&self) -> Result<(String, CopyStanding), Error> {
        self.connection
            .prepare_cached(
                "SELECT host_mark, copied_since, copied_sign, moved_at, moved_to FROM meta",
            )?
            .query_row([], |row| {
                let since = row.get::<_, Option<i64>>(1)?.map(UnixMillis);
                let sign = row.get::<_, Option<String>>(2)?;
                let at = row.get::<_, Option<i64>>(3)?.map(UnixMillis);
                let to = row.get::<_, Option<String>>(4)?.unwrap_or_default();
                Ok((row.get::<_, String>(0)?, since, sign, at.map(|at| Moved { at, to })))
            })
            .map_err(Error::from)
            .and_then(|(host_mark, since, sign, moved)| {
                let question = match since {
                    None => None,
                    Some(since) => {
                        let sign = sign.as_deref().and_then(CopySign::parse);
                        let sign = sign.ok_or_else(|| damaged("a sign of a copy"))?;
                        Some(CopyQuestion { since, sign })
                    }
                };
                Ok((host_mark, CopyStanding { question, moved }))
            })
    }

    /// How many refreshes were ever begun for a credential.
    pub(crate) fn refreshes(&self, credential: RecordId) -> Result<u64, Error> {
        self.connection
            .prepare_cached("SELECT refreshes FROM credential WHERE id = ?1")?
            .query_row([credential.0], |row| row.get(0))
            .optional()?
            .ok_or(Error::Stale)
    }

    /// The same for all of them.
    pub(crate) fn all_refreshes(&self) -> Result<Vec<(RecordId, u64)>, Error> {
        let mut statement = self.connection.prepare("SELECT id, refreshes FROM credential")?;
        let rows = statement.query_map([], |row| Ok((RecordId(row.get(0)?), row.get(1)?)))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// Opens the question which copy goes on; `false` when it is open already.
    pub(crate) fn open_question(
        &mut self,
        question: CopyQuestion,
        entry: &AuditEntry,
    ) -> Result<bool, Error> {
        self.write(|transaction| {
            let opened = transaction.execute(
                "UPDATE meta SET copied_since = ?1, copied_sign = ?2 WHERE copied_since IS NULL",
                (question.since.0, question.sign.as_str()),
            )?;
            if opened == 1 {
                append(transaction, entry)?;
            }
            Ok(opened == 1)
        })
    }

    /// Commits the intent of a refresh and counts it, and answers the count. `None`, and nothing
    /// happens, when the store was moved meanwhile.
    pub(crate) fn begin_refresh(
        &mut self,
        credential: RecordId,
        intent: &IntentRow,
    ) -> Result<Option<u64>, Error> {
        self.write(|transaction| {
            let count = transaction
                .query_row(
                    "UPDATE credential SET refreshes = refreshes + 1
                      WHERE id = ?1 AND EXISTS (SELECT 1 FROM meta WHERE moved_at IS NULL)
                     RETURNING refreshes",
                    [credential.0],
                    |row| row.get(0),
                )
                .optional()?;
            if count.is_some() {
                insert_intent(transaction, credential, intent)?;
            }
            Ok(count)
        })
    }

    /// This store goes on, on the host of this mark: the question and a move are ended, what was
    /// spent elsewhere is out of use, and no refresh that the journal knows is counted again.
    pub(crate) fn adopt(
        &mut self,
        host_mark: &str,
        spent: &[SpentSet],
        refreshes: &[(RecordId, u64)],
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            take_over(transaction, host_mark)?;
            for (credential, count) in refreshes {
                transaction.execute(
                    "UPDATE credential SET refreshes = ?2 WHERE id = ?1 AND refreshes < ?2",
                    (credential.0, count),
                )?;
            }
            append(transaction, entry)?;
            for set in spent {
                super::token::refuse(
                    transaction,
                    (set.credential, set.generation),
                    Cause::Unknown,
                    &set.check,
                    &set.entry,
                )?;
            }
            Ok(())
        })
    }

    /// Another copy goes on: this one refreshes and signs in no more.
    pub(crate) fn mark_moved(&mut self, moved: &Moved, entry: &AuditEntry) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE meta SET moved_at = ?1, moved_to = ?2, copied_since = NULL,
                        copied_sign = NULL",
                (moved.at.0, &moved.to),
            )?;
            append(transaction, entry)
        })
    }

    /// Takes a move back whose file was not made: the store stands as before.
    pub(crate) fn take_move_back(
        &mut self,
        before: &CopyStanding,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        let CopyStanding { question, moved } = before;
        self.write(|transaction| {
            transaction.execute(
                "UPDATE meta SET copied_since = ?1, copied_sign = ?2, moved_at = ?3, moved_to = ?4",
                (
                    question.map(|question| question.since.0),
                    question.map(|question| question.sign.as_str()),
                    moved.as_ref().map(|moved| moved.at.0),
                    moved.as_ref().map(|moved| moved.to.as_str()),
                ),
            )?;
            append(transaction, entry)
        })
    }
}

/// Makes a host the one that uses the store, without question and move.
pub(super) fn take_over(transaction: &Transaction<'_>, host_mark: &str) -> Result<(), Error> {
    transaction.execute(
        "UPDATE meta SET host_mark = ?1, copied_since = NULL, copied_sign = NULL,
                moved_at = NULL, moved_to = NULL",
        [host_mark],
    )?;
    Ok(())
}
