//! Rounds: what was chosen, in which order, and what was passed over. What is done is not kept while
//! a round is open: that follows from the token sets.

use rusqlite::{OptionalExtension, Transaction};

use super::audit::append;
use super::credential::{environment, find};
use super::{CredentialRow, Error, RecordId, Store, damaged};
use crate::domain::audit::AuditEntry;
use crate::domain::name::{Address, ConnectionName};
use crate::domain::round::{RoundFacts, RoundItemState, RoundPurpose, TokenTimes};
use crate::domain::time::UnixMillis;

/// A round as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct RoundRow {
    /// Its row.
    pub(crate) id: RecordId,
    /// What it is for, who began it, and when.
    pub(crate) facts: RoundFacts,
    /// In the order of the work.
    pub(crate) items: Vec<RoundItemRow>,
}

/// One credential of a round as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct RoundItemRow {
    /// Its row; it may be gone.
    pub(crate) credential: RecordId,
    /// As it was when the round began.
    pub(crate) address: Address,
    /// Who signs in, as it was when the round began.
    pub(crate) user: String,
    /// The token when the round began.
    pub(crate) before: TokenTimes,
    /// Why it was passed over, where it was.
    pub(crate) note: Option<String>,
    /// How it stood, and since when, when the round ended.
    pub(crate) ended: Option<(RoundItemState, Option<UnixMillis>)>,
}

/// A round, and what there is of each of its credentials now.
type RoundAsFound = (RoundRow, Vec<Option<CredentialRow>>);

impl Store {
    /// Begins a round; answers `false`, and begins none, while another is open.
    pub(crate) fn insert_round(
        &mut self,
        round: &RoundRow,
        entry: &AuditEntry,
    ) -> Result<bool, Error> {
        self.write(|transaction| {
            let open: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM round WHERE ended_at IS NULL)",
                [],
                |row| row.get(0),
            )?;
            if open {
                return Ok(false);
            }
            transaction.execute(
                "INSERT INTO round (id, purpose, chosen_by, reason, started_by, started_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (
                    round.id.0,
                    round.facts.purpose.as_str(),
                    &round.facts.chosen_by,
                    &round.facts.reason,
                    &round.facts.started_by,
                    round.facts.started_at.0,
                ),
            )?;
            for (position, item) in round.items.iter().enumerate() {
                insert_item(transaction, round.id, position, item)?;
            }
            append(transaction, entry)?;
            Ok(true)
        })
    }

    /// The round that was begun last, and what is there of each of its credentials.
    pub(crate) fn newest_round(&self) -> Result<Option<RoundAsFound>, Error> {
        let round = self
            .connection
            .prepare_cached(
                "SELECT id, purpose, chosen_by, reason, started_by, started_at, ended_at
                   FROM round ORDER BY ended_at IS NULL DESC, started_at DESC LIMIT 1",
            )?
            .query_row([], |row| {
                let facts = RoundFacts {
                    purpose: RoundPurpose::Setup,
                    chosen_by: row.get(2)?,
                    reason: row.get(3)?,
                    started_by: row.get(4)?,
                    started_at: UnixMillis(row.get(5)?),
                    ended_at: row.get::<_, Option<i64>>(6)?.map(UnixMillis),
                };
                let id = RecordId(row.get(0)?);
                Ok((row.get::<_, String>(1)?, RoundRow { id, facts, items: Vec::new() }))
            })
            .optional()?;
        let Some((purpose, mut round)) = round else { return Ok(None) };
        round.facts.purpose = RoundPurpose::parse(&purpose).ok_or_else(|| damaged("a purpose"))?;
        round.items = self.round_items(round.id)?;
        let credentials = round.items.iter().map(|item| find(&self.connection, item.credential));
        let credentials = credentials.collect::<Result<_, _>>()?;
        Ok(Some((round, credentials)))
    }

    fn round_items(&self, round: RecordId) -> Result<Vec<RoundItemRow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT credential_id, name, environment, user, signed_in_at, rotated_at, note, state, at
               FROM round_item WHERE round_id = ?1 ORDER BY position",
        )?;
        let mut rows = statement.query([round.0])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(UnixMillis));
            let ended = match row.get::<_, Option<String>>(7)? {
                Some(word) => {
                    let state = RoundItemState::parse(&word).ok_or_else(|| damaged("a state"))?;
                    Some((state, time(8)?))
                }
                None => None,
            };
            items.push(RoundItemRow {
                credential: RecordId(row.get(0)?),
                address: Address {
                    name: ConnectionName::parse(&name).map_err(|_| damaged("a name"))?,
                    environment: environment(&row.get::<_, String>(2)?)?,
                },
                user: row.get(3)?,
                before: TokenTimes { signed_in_at: time(4)?, rotated_at: time(5)? },
                note: row.get(6)?,
                ended,
            });
        }
        Ok(items)
    }

    /// Passes a credential of an open round over, with a note, or takes that back without one.
    /// [`Error::Stale`] where the round has ended meanwhile.
    pub(crate) fn set_round_note(
        &mut self,
        round: RecordId,
        credential: RecordId,
        note: Option<&str>,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE round_item SET note = ?3 WHERE round_id = ?1 AND credential_id = ?2
                    AND EXISTS (SELECT 1 FROM round WHERE id = ?1 AND ended_at IS NULL)",
                (round.0, credential.0, note),
            )?;
            if changed != 1 {
                return Err(Error::Stale);
            }
            append(transaction, entry)
        })
    }

    /// Ends a round with how each of its credentials stands, in their order. [`Error::Stale`] where
    /// it has ended before.
    pub(crate) fn end_round(
        &mut self,
        round: RecordId,
        at: UnixMillis,
        ended: &[(RoundItemState, Option<UnixMillis>)],
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE round SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL",
                (round.0, at.0),
            )?;
            if changed != 1 {
                return Err(Error::Stale);
            }
            for (position, (state, since)) in ended.iter().enumerate() {
                transaction
                    .prepare_cached(
                        "UPDATE round_item SET state = ?3, at = ?4
                          WHERE round_id = ?1 AND position = ?2",
                    )?
                    .execute((round.0, position, state.as_str(), since.map(|since| since.0)))?;
            }
            append(transaction, entry)
        })
    }
}

fn insert_item(
    transaction: &Transaction<'_>,
    round: RecordId,
    position: usize,
    item: &RoundItemRow,
) -> Result<(), Error> {
    transaction
        .prepare_cached(
            "INSERT INTO round_item (round_id, position, credential_id, name, environment, user,
                                     signed_in_at, rotated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            round.0,
            position,
            item.credential.0,
            item.address.name.as_str(),
            item.address.environment.as_str(),
            &item.user,
            item.before.signed_in_at.map(|at| at.0),
            item.before.rotated_at.map(|at| at.0),
        ))?;
    Ok(())
}
