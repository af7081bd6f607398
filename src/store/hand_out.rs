//! The count of access tokens handed out; committed before the token is shown.

use rusqlite::OptionalExtension;

use super::credential::environment;
use super::{CredentialRow, Error, RecordId, Store, TokenRow, damaged};
use crate::domain::hold::Hold;
use crate::domain::name::{Address, ConnectionName};
use crate::domain::rotation::Taken;
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

/// What a hand-out needs of a credential, and no more: scripts ask thousands of times a day.
#[derive(Clone, Debug)]
pub(crate) struct HandOutRow {
    /// The credential's row.
    pub(crate) id: RecordId,
    /// Connection and environment.
    pub(crate) address: Address,
    /// Who put it on hold and why, if it is.
    pub(crate) held: Option<Hold>,
    /// Name of the app.
    pub(crate) app: String,
    /// How long an unused session of that app lives, in seconds, where the store says so.
    pub(crate) session_timeout: Option<u64>,
    /// Whether a signed-in token set waits to be promoted.
    pub(crate) has_candidate: bool,
    /// The active token set.
    pub(crate) token: Option<TokenRow>,
}

impl Store {
    /// The credentials of one connection for a hand-out; the one in use first.
    pub(crate) fn hand_out_rows(&self, name: &ConnectionName) -> Result<Vec<HandOutRow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT c.id AS credential_id, n.name, c.environment, c.held, c.app,
                    a.session_timeout,
                    EXISTS (SELECT 1 FROM token_set x
                             WHERE x.credential_id = c.id AND x.role = 'candidate')
                        AS has_candidate, t.*
               FROM connection n
               JOIN credential c ON c.connection_id = n.id
               LEFT JOIN app a ON a.name_folded = lower(c.app)
               LEFT JOIN token_set t ON t.credential_id = c.id AND t.role = 'active'
              WHERE n.name_folded = ?1
              ORDER BY c.environment <> n.in_use",
        )?;
        let mut rows = statement.query([name.folded()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get("name")?;
            let has_token = row.get::<_, Option<String>>("role")?.is_some();
            found.push(HandOutRow {
                id: RecordId(row.get("credential_id")?),
                address: Address {
                    name: ConnectionName::parse(&name).map_err(|_| damaged("a name"))?,
                    environment: environment(&row.get::<_, String>("environment")?)?,
                },
                held: row.get("held")?,
                app: row.get("app")?,
                session_timeout: row.get("session_timeout")?,
                has_candidate: row.get("has_candidate")?,
                token: if has_token { Some(super::token::read(row)?) } else { None },
            });
        }
        Ok(found)
    }

    /// Counts a hand-out.
    pub(crate) fn count_hand_out(
        &mut self,
        credential: RecordId,
        hand_out: &HandOut,
    ) -> Result<(), Error> {
        self.refuse_gone()?;
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

    /// The same row, with who got its draining token set last.
    pub(super) fn with_taken(&self, mut row: CredentialRow) -> Result<CredentialRow, Error> {
        if let Some(draining) = &mut row.credential.draining {
            draining.taken = self.draining_taken(row.id)?;
        }
        Ok(row)
    }

    fn draining_taken(&self, credential: RecordId) -> Result<Option<Taken>, Error> {
        let taken = self
            .connection
            .prepare_cached(
                "SELECT h.minute, h.program, h.terminal
                   FROM hand_out h
                   JOIN token_set d ON d.credential_id = h.credential_id
                        AND d.generation = h.generation AND d.role = 'draining'
                  WHERE h.credential_id = ?1 ORDER BY h.minute DESC LIMIT 1",
            )?
            .query_row([credential.0], |row| {
                let minute: i64 = row.get(0)?;
                Ok(Taken {
                    at: UnixMillis(minute * 60_000),
                    program: row.get(1)?,
                    terminal: row.get(2)?,
                })
            })
            .optional()?;
        Ok(taken)
    }
}
