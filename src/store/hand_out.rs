//! The count of access tokens handed out; committed before the token is shown.

use rusqlite::OptionalExtension;

use super::{Error, RecordId, Store};
use crate::domain::time::UnixMillis;
use crate::domain::token::Generation;

/// Who got an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandOut {
    /// When; counted by the minute.
    pub(crate) at: UnixMillis,
    /// User ID of the process.
    pub(crate) uid: u32,
    /// Its terminal, empty without one.
    pub(crate) terminal: String,
    /// The program that asked.
    pub(crate) program: String,
    /// From which token set.
    pub(crate) generation: Generation,
}

impl Store {
    /// Counts a hand-out.
    pub(crate) fn count_hand_out(
        &mut self,
        credential: RecordId,
        hand_out: &HandOut,
    ) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO hand_out
                     (credential_id, minute, uid, terminal, program, generation, count)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)
                 ON CONFLICT DO UPDATE SET count = count + 1",
            )?
            .execute((
                credential.0,
                hand_out.at.0.div_euclid(60_000),
                hand_out.uid,
                &hand_out.terminal,
                &hand_out.program,
                hand_out.generation.0,
            ))?;
        Ok(())
    }

    /// The end of the last minute in which a token set was handed out.
    pub(crate) fn last_hand_out(
        &self,
        credential: RecordId,
        generation: Generation,
    ) -> Result<Option<UnixMillis>, Error> {
        let minute: Option<i64> = self
            .connection
            .query_row(
                "SELECT max(minute) FROM hand_out WHERE credential_id = ?1 AND generation = ?2",
                (credential.0, generation.0),
                |row| row.get(0),
            )
            .optional()?
            .flatten();
        Ok(minute.map(|minute| UnixMillis((minute + 1) * 60_000)))
    }
}
