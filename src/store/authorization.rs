//! Pending set-ups: sealed, and older than the session that began them if need be.

use rusqlite::OptionalExtension;

use super::audit::append;
use super::credential::flow;
use super::{Error, RecordId, Store};
use crate::domain::app::Flow;
use crate::domain::audit::AuditEntry;
use crate::domain::time::UnixMillis;

/// A pending set-up as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRow {
    /// Its row; bound into the seal.
    pub(crate) id: RecordId,
    /// How the token is being set up.
    pub(crate) flow: Flow,
    /// When it was begun.
    pub(crate) started_at: UnixMillis,
    /// When it is worth nothing any more.
    pub(crate) expires_at: UnixMillis,
    /// State, PKCE verifier and what else it was begun with, sealed.
    pub(crate) sealed: Vec<u8>,
}

impl Store {
    /// Keeps a pending set-up; those of the credential that are past their end are removed.
    /// Of device flows there is one: two of the same user end each other at Salesforce.
    pub(crate) fn insert_authorization(
        &mut self,
        credential: RecordId,
        authorization: &AuthorizationRow,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM authorization WHERE credential_id = ?1
                    AND (expires_at <= ?2 OR (flow = ?3 AND ?3 = 'device'))",
                (credential.0, authorization.started_at.0, authorization.flow.as_str()),
            )?;
            transaction.execute(
                "INSERT INTO authorization (id, credential_id, flow, started_at, expires_at, sealed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (
                    authorization.id.0,
                    credential.0,
                    authorization.flow.as_str(),
                    authorization.started_at.0,
                    authorization.expires_at.0,
                    &authorization.sealed,
                ),
            )?;
            append(transaction, entry)
        })
    }

    /// The way in which tokens of an app were last set up by a person, or are being set up.
    pub(crate) fn last_flow(&self, app: &str) -> Result<Option<Flow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT flow FROM (
                 SELECT one.flow AS flow, one.started_at AS at, credential.app AS app
                 FROM authorization AS one JOIN credential ON credential.id = one.credential_id
                 UNION ALL
                 SELECT one.flow, one.signed_in_at, credential.app
                 FROM token_set AS one JOIN credential ON credential.id = one.credential_id)
             WHERE app = ?1 COLLATE NOCASE AND flow IN ('paste', 'loopback', 'device')
             ORDER BY at DESC LIMIT 1",
        )?;
        let word = statement.query_row([app], |row| row.get::<_, String>(0)).optional()?;
        word.map(|word| flow(&word)).transpose()
    }

    /// The pending set-ups of a credential, newest first.
    pub(crate) fn authorizations(
        &self,
        credential: RecordId,
    ) -> Result<Vec<AuthorizationRow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, flow, started_at, expires_at, sealed FROM authorization
             WHERE credential_id = ?1 ORDER BY started_at DESC",
        )?;
        let rows = statement.query_map([credential.0], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?;
        rows.map(|row| {
            let (id, word, started_at, expires_at, sealed) = row?;
            Ok(AuthorizationRow {
                id: RecordId(id),
                flow: flow(&word)?,
                started_at: UnixMillis(started_at),
                expires_at: UnixMillis(expires_at),
                sealed,
            })
        })
        .collect()
    }

    /// Keeps a pending set-up with something changed in it.
    pub(crate) fn reseal_authorization(
        &mut self,
        id: RecordId,
        sealed: &[u8],
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction
                .execute("UPDATE authorization SET sealed = ?2 WHERE id = ?1", (id.0, sealed))?;
            Ok(())
        })
    }

    /// Removes one pending set-up that has come to its end.
    pub(crate) fn delete_authorization(
        &mut self,
        id: RecordId,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM authorization WHERE id = ?1", [id.0])?;
            append(transaction, entry)
        })
    }

    /// Removes every pending set-up of a credential.
    pub(crate) fn delete_authorizations(
        &mut self,
        credential: RecordId,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction
                .execute("DELETE FROM authorization WHERE credential_id = ?1", [credential.0])?;
            append(transaction, entry)
        })
    }
}
