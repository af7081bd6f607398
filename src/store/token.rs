//! Token sets: signed in as candidate, promoted to active, drained, revoked.

use rusqlite::{OptionalExtension, Row, Transaction};

use super::audit::append;
use super::credential::{apply_account, flow, join, split, with_check};
use super::{Error, RecordId, Store, damaged};
use crate::domain::app::Flow;
use crate::domain::audit::AuditEntry;
use crate::domain::credential::{Cause, Check, PendingEdit};
use crate::domain::host::InstanceUrl;
use crate::domain::time::UnixMillis;
use crate::domain::token::{Expiry, Generation, TokenRole};

/// A token set as it is stored: what is shown in clear, the rest sealed.
#[derive(Clone, Debug)]
pub(crate) struct TokenRow {
    /// Its row; bound into the seal.
    pub(crate) id: RecordId,
    /// Which of the credential it is; bound into the seal.
    pub(crate) generation: Generation,
    /// Its part.
    pub(crate) role: TokenRole,
    /// When the access token was issued.
    pub(crate) issued_at: UnixMillis,
    /// When it ends.
    pub(crate) expiry: Expiry,
    /// Where it is used.
    pub(crate) instance_url: InstanceUrl,
    /// Granted.
    pub(crate) scopes: Vec<String>,
    /// How it was set up.
    pub(crate) flow: Flow,
    /// Whether there is a refresh token.
    pub(crate) refreshable: bool,
    /// When someone last signed in for it.
    pub(crate) signed_in_at: UnixMillis,
    /// Whether host or `IsSandbox` proved its environment.
    pub(crate) environment_proven: bool,
    /// Why Salesforce refused it for good.
    pub(crate) refused: Option<Cause>,
    /// The end of a drain.
    pub(crate) drain_until: Option<UnixMillis>,
    /// When a refresh last brought another refresh token.
    pub(crate) rotated_at: Option<UnixMillis>,
    /// Of a candidate: the longest drain of the set that it replaces, in seconds.
    pub(crate) drain_limit: Option<u64>,
    /// The sealed token set.
    pub(crate) sealed: Vec<u8>,
}

/// What changes when a candidate becomes active.
#[derive(Clone, Debug)]
pub(crate) struct Promotion {
    /// The candidate.
    pub(crate) generation: Generation,
    /// The account that it belongs to: applies a staged Reset and keeps a learned username.
    pub(crate) account: PendingEdit,
    /// Whether host or `IsSandbox` proved the environment.
    pub(crate) environment_proven: bool,
    /// When the set that was active is to be revoked.
    pub(crate) drain_until: UnixMillis,
    /// The test that it passed.
    pub(crate) check: Check,
}

const SELECT: &str = "
    SELECT id, generation, role, issued_at, expires_at, expiry, instance_url, scopes, flow,
           refreshable, signed_in_at, environment_proven, refused, drain_until, rotated_at,
           drain_limit, sealed
      FROM token_set";

impl Store {
    /// All token sets of a credential, oldest first.
    pub(crate) fn token_sets(&self, credential: RecordId) -> Result<Vec<TokenRow>, Error> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("{SELECT} WHERE credential_id = ?1 ORDER BY generation"))?;
        let rows = statement.query_map([credential.0], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// The credentials that have a drained token set, longest drained first.
    pub(crate) fn due_drains(&self, now: UnixMillis) -> Result<Vec<RecordId>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT credential_id FROM token_set
             WHERE role = 'draining' AND coalesce(drain_until, 0) <= ?1
             GROUP BY credential_id ORDER BY min(coalesce(drain_until, 0))",
        )?;
        let rows = statement.query_map([now.0], |row| Ok(RecordId(row.get(0)?)))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// When the next drain ends.
    pub(crate) fn next_drain_end(&self) -> Result<Option<UnixMillis>, Error> {
        let end: Option<i64> = self.connection.query_row(
            "SELECT min(coalesce(drain_until, 0)) FROM token_set WHERE role = 'draining'",
            [],
            |row| row.get(0),
        )?;
        Ok(end.map(UnixMillis))
    }

    /// The token set that plays a part of which there is at most one.
    pub(crate) fn token_set(
        &self,
        credential: RecordId,
        role: TokenRole,
    ) -> Result<Option<TokenRow>, Error> {
        self.connection
            .prepare_cached(&format!("{SELECT} WHERE credential_id = ?1 AND role = ?2"))?
            .query_row((credential.0, role.as_str()), |row| Ok(read(row)))
            .optional()?
            .transpose()
    }

    /// Keeps a signed-in token set as candidate, ends its sign-in's intent and every pending
    /// authorization of the credential. An older candidate becomes an orphan.
    pub(crate) fn insert_candidate(
        &mut self,
        credential: RecordId,
        token: &TokenRow,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE token_set SET role = 'orphan'
                 WHERE credential_id = ?1 AND role = 'candidate'",
                [credential.0],
            )?;
            insert(transaction, credential, token)?;
            transaction
                .execute("DELETE FROM authorization WHERE credential_id = ?1", [credential.0])?;
            transaction.execute(
                "DELETE FROM intent WHERE credential_id = ?1 AND operation = 'sign_in'",
                [credential.0],
            )?;
            append(transaction, entry)
        })
    }

    /// Makes the candidate active and what was active draining, applies a staged edit, and ends an
    /// open refresh intent of the old set.
    pub(crate) fn promote(
        &mut self,
        credential: RecordId,
        promotion: &Promotion,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE token_set SET role = 'draining', drain_until = ?2
                 WHERE credential_id = ?1 AND role = 'active'",
                (credential.0, promotion.drain_until.0),
            )?;
            let promoted = transaction.execute(
                "UPDATE token_set SET role = 'active', environment_proven = ?3
                 WHERE credential_id = ?1 AND generation = ?2 AND role = 'candidate'",
                (credential.0, promotion.generation.0, promotion.environment_proven),
            )?;
            if promoted != 1 {
                return Err(Error::Stale);
            }
            apply_account(transaction, credential, &promotion.account)?;
            transaction
                .execute("DELETE FROM pending_edit WHERE credential_id = ?1", [credential.0])?;
            transaction.execute("DELETE FROM intent WHERE credential_id = ?1", [credential.0])?;
            super::check::insert(transaction, credential, &promotion.check)?;
            append(transaction, entry)
        })
    }

    /// Removes a token set that was revoked, or whose revocation is owed now.
    pub(crate) fn remove_token_set(
        &mut self,
        credential: RecordId,
        generation: Generation,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM token_set WHERE credential_id = ?1 AND generation = ?2",
                (credential.0, generation.0),
            )?;
            append(transaction, entry)
        })
    }

    /// Marks the active token set as refused for good and ends the refresh's intent. Nothing
    /// happens to a newer generation.
    pub(crate) fn refuse_token(
        &mut self,
        credential: RecordId,
        generation: Generation,
        cause: Cause,
        check: &Check,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            let set = (credential, generation);
            if refuse(transaction, set, cause, check, entry)? { Ok(()) } else { Err(Error::Stale) }
        })
    }

    /// Keeps what a passed test taught of the active token: its end, and the environment's proof.
    pub(crate) fn record_passed_test(
        &mut self,
        credential: RecordId,
        generation: Generation,
        expiry: Expiry,
        environment_proven: bool,
        check: &Check,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE token_set SET expires_at = ?3, expiry = ?4,
                        environment_proven = max(environment_proven, ?5)
                 WHERE credential_id = ?1 AND generation = ?2 AND role = 'active'",
                (credential.0, generation.0, expiry.at.0, expiry_word(expiry), environment_proven),
            )?;
            super::check::insert(transaction, credential, check)
        })
    }
}

/// Marks an active token set as refused and ends its refresh; `false`, and nothing happens, when a
/// newer one is active.
pub(super) fn refuse(
    transaction: &Transaction<'_>,
    (credential, generation): (RecordId, Generation),
    cause: Cause,
    check: &Check,
    entry: &AuditEntry,
) -> Result<bool, Error> {
    let refused = transaction.execute(
        "UPDATE token_set SET refused = ?3
         WHERE credential_id = ?1 AND generation = ?2 AND role = 'active'",
        (credential.0, generation.0, cause.as_str()),
    )?;
    if refused != 1 {
        return Ok(false);
    }
    transaction.execute(
        "DELETE FROM intent WHERE credential_id = ?1 AND operation = 'refresh'",
        [credential.0],
    )?;
    with_check(transaction, credential, Some(check))?;
    append(transaction, entry)?;
    Ok(true)
}

/// Writes a token set and raises the credential's generation to it.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    credential: RecordId,
    token: &TokenRow,
) -> Result<(), Error> {
    let raised = transaction.execute(
        "UPDATE credential SET generation = ?2 WHERE id = ?1 AND generation < ?2",
        (credential.0, token.generation.0),
    )?;
    if raised != 1 {
        return Err(Error::Stale);
    }
    transaction.execute(
        "INSERT INTO token_set (id, credential_id, generation, role, issued_at, expires_at, expiry,
             instance_url, scopes, flow, refreshable, signed_in_at, environment_proven, sealed,
             rotated_at, drain_limit)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        (
            token.id.0,
            credential.0,
            token.generation.0,
            token.role.as_str(),
            token.issued_at.0,
            token.expiry.at.0,
            expiry_word(token.expiry),
            token.instance_url.as_str(),
            join(&token.scopes),
            token.flow.as_str(),
            token.refreshable,
            token.signed_in_at.0,
            token.environment_proven,
            &token.sealed,
            token.rotated_at.map(|at| at.0),
            token.drain_limit,
        ),
    )?;
    Ok(())
}

/// The word for whether an expiry is known.
pub(super) fn expiry_word(expiry: Expiry) -> &'static str {
    if expiry.known { "known" } else { "assumed" }
}

/// Reads a token set by the names of its columns.
pub(super) fn read(row: &Row<'_>) -> Result<TokenRow, Error> {
    let issued_at = UnixMillis(row.get("issued_at")?);
    let expires_at: Option<i64> = row.get("expires_at")?;
    let expiry: String = row.get("expiry")?;
    let role: String = row.get("role")?;
    let scopes: String = row.get("scopes")?;
    let refused: Option<String> = row.get("refused")?;
    Ok(TokenRow {
        id: RecordId(row.get("id")?),
        generation: Generation(row.get("generation")?),
        role: TokenRole::parse(&role).ok_or_else(|| damaged("a role"))?,
        issued_at,
        expiry: Expiry { at: expires_at.map_or(issued_at, UnixMillis), known: expiry == "known" },
        instance_url: InstanceUrl::from_stored(row.get("instance_url")?),
        scopes: split(&scopes),
        flow: flow(&row.get::<_, String>("flow")?)?,
        refreshable: row.get("refreshable")?,
        signed_in_at: UnixMillis(row.get("signed_in_at")?),
        environment_proven: row.get("environment_proven")?,
        refused: refused.map(|word| Cause::parse(&word).unwrap_or(Cause::Unknown)),
        drain_until: row.get::<_, Option<i64>>("drain_until")?.map(UnixMillis),
        rotated_at: row.get::<_, Option<i64>>("rotated_at")?.map(UnixMillis),
        drain_limit: row.get("drain_limit")?,
        sealed: row.get("sealed")?,
    })
}
