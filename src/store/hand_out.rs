//! The count of access tokens handed out; committed before the token is shown.
//!
//! A record counts what one asker got of one token set within a minute. It stands open in a table of
//! its own, for a row of the audit chain can't be counted up. It goes into the chain with the first
//! hand-out of a later minute, and with the next change that is recorded, before it: what was handed
//! out before a revocation stands before it. So at most one minute, and the time until the next
//! change or hand-out after that, is not in the chain.
//!
//! An open record has a hash over its fields and the head of the chain at its making. An edit of the
//! record alone is found, by `audit verify` and when it goes into the chain. The hash has no key:
//! whoever knows this rule and can write the store can change or remove an open record unseen. What
//! is in the chain already can't be changed so, and a head that was noted elsewhere proves it.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use sha2::{Digest, Sha256};

use super::audit::append_row;
use super::chain;
use super::credential::environment;
use super::{CredentialRow, Durability, Error, RecordId, Store, TokenRow, damaged};
use crate::domain::audit::{AuditEntry, AuditEvent};
use crate::domain::hold::Hold;
use crate::domain::name::{Address, ConnectionName};
use crate::domain::rotation::Taken;
use crate::domain::time::UnixMillis;
use crate::domain::token::Generation;

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// Most records that a hand-out takes into the chain: whoever waits for a token pays for no more.
const FOLDED_AT_ONCE: u32 = 200;

/// For [`OpenRecord::SELECT`].
const NOTHING_KNOWN: [Option<&str>; 2] = [None, None];

/// Who got an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandOut {
    /// When; counted by the minute.
    pub(crate) at: UnixMillis,
    /// Who asked, as one JSON object.
    pub(crate) who: String,
    /// From which token set.
    pub(crate) generation: Generation,
}

/// What a hand-out needs of a credential, and no more: scripts ask thousands of times a day.
#[derive(Clone, Debug)]
pub(crate) struct HandOutRow {
    /// The credential's row.
    pub(crate) id: RecordId,
    /// Where it lies: there it is found again without an index.
    rowid: i64,
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
            "SELECT c.id AS credential_id, c.rowid AS place, n.name, c.environment, c.held, c.app,
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
                rowid: row.get("place")?,
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

    /// Counts a hand-out, and takes into the chain what was counted in earlier minutes; `false` where
    /// the credential is on hold, or gone: then there is none.
    pub(crate) fn count_hand_out(
        &mut self,
        row: &HandOutRow,
        hand_out: &HandOut,
    ) -> Result<bool, Error> {
        self.refuse_gone()?;
        let minute = hand_out.at.0.div_euclid(MINUTE);
        if self.head_file.durability() == Durability::HandOuts {
            let counted = self.count_and_fold(row, minute, hand_out)?;
            self.shorten_log();
            return Ok(counted);
        }
        if is_due(&self.connection, minute)? {
            return self.count_and_fold(row, minute, hand_out);
        }
        // The chain is not touched: this record alone need not outlive a power cut (design: audit).
        self.connection.execute_batch("PRAGMA synchronous = NORMAL")?;
        let counted = self.count_alone(row, minute, hand_out);
        self.connection.execute_batch("PRAGMA synchronous = FULL")?;
        counted
    }

    fn count_alone(
        &mut self,
        row: &HandOutRow,
        minute: i64,
        hand_out: &HandOut,
    ) -> Result<bool, Error> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !is_free(&transaction, row)? {
            return Ok(false);
        }
        count(&transaction, row.id, minute, hand_out)?;
        transaction.commit()?;
        Ok(true)
    }

    fn count_and_fold(
        &mut self,
        row: &HandOutRow,
        minute: i64,
        hand_out: &HandOut,
    ) -> Result<bool, Error> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !is_free(&transaction, row)? {
            return Ok(false);
        }
        let mut heads = None;
        if is_due(&transaction, minute)? {
            let before = chain::head(&transaction)?;
            super::audit::note_standing(&transaction, &self.head_file)?;
            fold_some(&transaction, minute, row)?;
            heads = Some((before, chain::head(&transaction)?));
        }
        count(&transaction, row.id, minute, hand_out)?;
        transaction.commit()?;
        if let Some((before, after)) = heads {
            self.committed(before, after);
        }
        Ok(true)
    }

    /// The end of the last minute in which an access token of a credential was handed out: of any
    /// generation, for a refresh leaves the access tokens before it alive.
    pub(crate) fn last_hand_out(&self, credential: RecordId) -> Result<Option<UnixMillis>, Error> {
        let end: Option<i64> = self.connection.query_row(
            "SELECT max(at) FROM (
                 SELECT max(minute + 1) * 60000 AS at FROM hand_out WHERE credential_id = ?1
                 UNION ALL
                 SELECT max(handed_out) FROM token_set WHERE credential_id = ?1
                 UNION ALL
                 SELECT (max(a.at) / 60000 + 1) * 60000
                   FROM audit a
                  WHERE a.event = 'handed_out'
                    AND a.subject = (SELECT n.name || '/' || c.environment FROM credential c
                                       JOIN connection n ON n.id = c.connection_id
                                      WHERE c.id = ?1))",
            [credential.0],
            |row| row.get(0),
        )?;
        Ok(end.map(UnixMillis))
    }

    /// The same row, with who got its draining token set last.
    pub(super) fn with_taken(&self, mut row: CredentialRow) -> Result<CredentialRow, Error> {
        if let Some(draining) = &mut row.credential.draining {
            let subject = row.credential.address.to_string();
            draining.taken = self.draining_taken(row.id, &subject)?;
        }
        Ok(row)
    }

    /// The newest record of it: an open one, else one that went into the chain.
    fn draining_taken(&self, credential: RecordId, subject: &str) -> Result<Option<Taken>, Error> {
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let open = self
            .connection
            .prepare_cached(
                "SELECT h.since, h.who
                   FROM hand_out h
                   JOIN token_set d ON d.credential_id = h.credential_id
                        AND d.generation = h.generation AND d.role = 'draining'
                  WHERE h.credential_id = ?1 ORDER BY h.minute DESC LIMIT 1",
            )?
            .query_row([credential.0], read)
            .optional()?;
        let taken = match open {
            Some(taken) => Some(taken),
            None => self
                .connection
                .prepare_cached(
                    "SELECT a.at, a.who
                       FROM audit a
                       JOIN token_set d ON d.credential_id = ?1 AND d.role = 'draining'
                            AND a.detail LIKE '%, generation ' || d.generation
                      WHERE a.subject = ?2 AND a.event = 'handed_out'
                      ORDER BY a.sequence DESC LIMIT 1",
                )?
                .query_row((credential.0, subject), read)
                .optional()?,
        };
        Ok(taken.map(|(at, who)| taken_by(UnixMillis(at), &who)))
    }
}

/// Whether something was counted in earlier minutes.
fn is_due(connection: &Connection, minute: i64) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM hand_out WHERE minute < ?1)")?
        .query_row([minute], |row| row.get(0))?)
}

/// Whether the credential is there, and not on hold. It is looked for where it lay, and by its ID
/// where that is not it any more.
fn is_free(transaction: &Transaction<'_>, row: &HandOutRow) -> Result<bool, Error> {
    let is_free_there: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM credential
                             WHERE rowid = ?1 AND id = ?2 AND held IS NULL)",
        )?
        .query_row((row.rowid, row.id.0), |row| row.get(0))?;
    if is_free_there {
        return Ok(true);
    }
    Ok(transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM credential WHERE id = ?1 AND held IS NULL)")?
        .query_row([row.id.0], |row| row.get(0))?)
}

/// Reads who it was out of the record of an asker.
fn taken_by(at: UnixMillis, who: &str) -> Taken {
    let who: serde_json::Value = serde_json::from_str(who).unwrap_or_default();
    let text = |name: &str| who[name].as_str().unwrap_or_default().to_owned();
    Taken { at, program: text("parent"), terminal: text("tty") }
}

/// A record that is not in the chain yet.
struct OpenRecord {
    credential: RecordId,
    subject: String,
    minute: i64,
    generation: u64,
    who: String,
    since: i64,
    count: u64,
    anchor: i64,
    hash: Option<[u8; 32]>,
}

impl OpenRecord {
    /// With a credential and its address where they are known already, which spares the look.
    const SELECT: &str = "
        SELECT h.credential_id,
               CASE h.credential_id WHEN ?1 THEN ?2 ELSE (
                   SELECT n.name || '/' || c.environment
                     FROM credential c JOIN connection n ON n.id = c.connection_id
                    WHERE c.id = h.credential_id) END,
               h.minute, h.generation, h.who, h.since, h.count, h.anchor, h.hash
          FROM hand_out h";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            credential: RecordId(row.get(0)?),
            subject: row.get(1)?,
            minute: row.get(2)?,
            generation: row.get(3)?,
            who: row.get(4)?,
            since: row.get(5)?,
            count: row.get(6)?,
            anchor: row.get(7)?,
            hash: row.get(8)?,
        })
    }

    /// Its hash, together with the row of the chain that was the last one at its making.
    fn hash(&self, connection: &Connection) -> Result<[u8; 32], Error> {
        let anchor: Option<[u8; 32]> = connection
            .prepare_cached("SELECT hash FROM audit WHERE sequence = ?1")?
            .query_row([self.anchor], |row| row.get(0))
            .optional()?;
        let mut hasher = Sha256::new();
        hasher.update(b"orgkey hand-out 1\0");
        hasher.update(anchor.unwrap_or_default());
        hasher.update(self.credential.0);
        for number in [self.minute, self.since, self.anchor] {
            hasher.update(number.to_be_bytes());
        }
        for number in [self.generation, self.count] {
            hasher.update(number.to_be_bytes());
        }
        hasher.update(self.who.as_bytes());
        Ok(hasher.finalize().into())
    }

    /// Whether it is as it was counted. What an older version counted has no hash.
    fn is_as_counted(&self, connection: &Connection) -> Result<bool, Error> {
        match self.hash {
            None => Ok(true),
            Some(hash) => Ok(hash == self.hash(connection)?),
        }
    }
}

fn count(
    transaction: &Transaction<'_>,
    credential: RecordId,
    minute: i64,
    hand_out: &HandOut,
) -> Result<(), Error> {
    let counted: Option<(i64, u64, i64)> = transaction
        .prepare_cached(
            "SELECT since, count, anchor FROM hand_out
              WHERE credential_id = ?1 AND minute = ?2 AND generation = ?3 AND who = ?4",
        )?
        .query_row((credential.0, minute, hand_out.generation.0, &hand_out.who), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (since, count, anchor) = match counted {
        Some((since, count, anchor)) => (since, count + 1, anchor),
        None => (hand_out.at.0, 1, chain::head(transaction)?.sequence),
    };
    let mut record = OpenRecord {
        credential,
        subject: String::new(),
        minute,
        generation: hand_out.generation.0,
        who: hand_out.who.clone(),
        since,
        count,
        anchor,
        hash: None,
    };
    record.hash = Some(record.hash(transaction)?);
    transaction
        .prepare_cached(
            "INSERT INTO hand_out
                 (credential_id, minute, generation, who, since, count, anchor, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET count = excluded.count, hash = excluded.hash",
        )?
        .execute((
            credential.0,
            minute,
            record.generation,
            &record.who,
            since,
            count,
            anchor,
            record.hash,
        ))?;
    Ok(())
}

/// Takes all open records into the chain.
pub(super) fn fold(transaction: &Transaction<'_>) -> Result<(), Error> {
    let records: Vec<OpenRecord> = transaction
        .prepare_cached(&format!("{} ORDER BY h.since, h.who", OpenRecord::SELECT))?
        .query_map(NOTHING_KNOWN, OpenRecord::read)?
        .collect::<Result<_, _>>()?;
    into_chain(transaction, records)
}

/// Takes some of those of the minutes before one into the chain.
fn fold_some(transaction: &Transaction<'_>, before: i64, known: &HandOutRow) -> Result<(), Error> {
    let records: Vec<OpenRecord> = transaction
        .prepare_cached(&format!(
            "{} WHERE h.minute < ?3 ORDER BY h.since, h.who LIMIT ?4",
            OpenRecord::SELECT
        ))?
        .query_map(
            (known.id.0, known.address.to_string(), before, FOLDED_AT_ONCE),
            OpenRecord::read,
        )?
        .collect::<Result<_, _>>()?;
    into_chain(transaction, records)
}

fn into_chain(transaction: &Transaction<'_>, records: Vec<OpenRecord>) -> Result<(), Error> {
    for record in records {
        let event = if record.is_as_counted(transaction)? {
            AuditEvent::HandedOut
        } else {
            AuditEvent::HandOutAltered
        };
        let times = if record.count == 1 { "time" } else { "times" };
        let detail = format!("{} {times}, generation {}", record.count, record.generation);
        let key = (record.credential.0, record.minute, record.generation, &record.who);
        transaction
            .prepare_cached(
                "DELETE FROM hand_out
                  WHERE credential_id = ?1 AND minute = ?2 AND generation = ?3 AND who = ?4",
            )?
            .execute(key)?;
        transaction
            .prepare_cached(
                "UPDATE token_set SET handed_out = max(coalesce(handed_out, 0), ?3)
                  WHERE credential_id = ?1 AND generation = ?2",
            )?
            .execute((record.credential.0, record.generation, (record.minute + 1) * MINUTE))?;
        append_row(
            transaction,
            &AuditEntry {
                at: UnixMillis(record.since),
                event,
                subject: record.subject,
                detail,
                reason: String::new(),
                who: record.who,
            },
        )?;
    }
    Ok(())
}

/// How many records are open, and of which the first was edited.
pub(super) fn open_records(connection: &Connection) -> Result<(u64, Option<String>), Error> {
    let mut statement = connection.prepare(&format!("{} ORDER BY h.since", OpenRecord::SELECT))?;
    let mut rows = statement.query(NOTHING_KNOWN)?;
    let (mut count, mut edited) = (0, None);
    while let Some(row) = rows.next()? {
        let record = OpenRecord::read(row)?;
        count += 1;
        if edited.is_none() && !record.is_as_counted(connection)? {
            edited = Some(format!("{} at {}", record.subject, UnixMillis(record.since).rfc3339()));
        }
    }
    Ok((count, edited))
}
