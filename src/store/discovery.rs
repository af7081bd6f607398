//! Sign-ins that tell the IDs of a credential that is not saved yet. What such a sign-in brings is
//! owed to be revoked from the moment it is here; a yes alone takes the debt back.

use rusqlite::Transaction;

use super::audit::append;
use super::credential::{environment, flow, insert_as, join, split};
use super::{Error, NewCredential, OwedRow, RecordId, Store, TokenRow, damaged};
use crate::domain::app::Flow;
use crate::domain::audit::AuditEntry;
use crate::domain::host::LoginUrl;
use crate::domain::name::{Address, ConnectionName};
use crate::domain::time::UnixMillis;

/// How far such a sign-in has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiscoveryStage {
    /// It waits for the person.
    Waiting,
    /// The code may have been spent.
    Sent,
    /// The code was spent, and its answer never came.
    Lost,
    /// A token set is here and waits for a yes; this debt revokes it otherwise.
    Found(RecordId),
}

impl DiscoveryStage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Lost => "lost",
            Self::Found(_) => "found",
        }
    }

    fn parse(word: &str, owed: Option<[u8; 16]>) -> Result<Self, Error> {
        match (word, owed) {
            ("waiting", _) => Ok(Self::Waiting),
            ("sent", _) => Ok(Self::Sent),
            ("lost", _) => Ok(Self::Lost),
            ("found", Some(owed)) => Ok(Self::Found(RecordId(owed))),
            _ => Err(damaged("a stage")),
        }
    }
}

/// Such a sign-in as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct DiscoveryRow {
    /// Its row; bound into the seal, and the name of its lock and of its slots in the inbox.
    pub(crate) id: RecordId,
    /// What the credential is to be called.
    pub(crate) address: Address,
    /// Where it signs in.
    pub(crate) login_url: LoginUrl,
    /// Name of the app.
    pub(crate) app: String,
    /// In the admin's order.
    pub(crate) tags: Vec<String>,
    /// How the person signs in.
    pub(crate) flow: Flow,
    /// How far it has come.
    pub(crate) stage: DiscoveryStage,
    /// When it was begun.
    pub(crate) started_at: UnixMillis,
    /// When it is worth nothing any more; of one that is found, when its token set is revoked.
    pub(crate) expires_at: UnixMillis,
    /// What its end needs, or the token set that was found.
    pub(crate) sealed: Vec<u8>,
}

/// What a yes makes of one that is found.
pub(crate) struct ConfirmedDiscovery {
    /// The row of the new credential.
    pub(crate) id: RecordId,
    /// The credential.
    pub(crate) credential: NewCredential,
    /// Its first token set, a candidate.
    pub(crate) token: TokenRow,
}

impl Store {
    /// All of them, newest first.
    pub(crate) fn discoveries(&self) -> Result<Vec<DiscoveryRow>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, name, environment, login_url, app, tags, flow, stage, owed_id, started_at,
                    expires_at, sealed
               FROM discovery ORDER BY started_at DESC",
        )?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            all.push(DiscoveryRow {
                id: RecordId(row.get(0)?),
                address: Address {
                    name: ConnectionName::parse(&name).map_err(|_| damaged("a name"))?,
                    environment: environment(&row.get::<_, String>(2)?)?,
                },
                login_url: LoginUrl::from_stored(row.get(3)?),
                app: row.get(4)?,
                tags: split(&row.get::<_, String>(5)?),
                flow: flow(&row.get::<_, String>(6)?)?,
                stage: DiscoveryStage::parse(&row.get::<_, String>(7)?, row.get(8)?)?,
                started_at: UnixMillis(row.get(9)?),
                expires_at: UnixMillis(row.get(10)?),
                sealed: row.get(11)?,
            });
        }
        Ok(all)
    }

    /// One of them; `None` when it has come to its end.
    pub(crate) fn discovery(&self, id: RecordId) -> Result<Option<DiscoveryRow>, Error> {
        Ok(self.discoveries()?.into_iter().find(|row| row.id == id))
    }

    /// Keeps a new one in the place of an earlier one of the same address. One that may hold a token is
    /// not replaced: [`Error::Stale`].
    pub(crate) fn insert_discovery(
        &mut self,
        new: &DiscoveryRow,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        let name = &new.address.name;
        let environment = new.address.environment.as_str();
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM discovery WHERE stage IN ('waiting', 'lost')
                    AND (expires_at <= ?3 OR (name_folded = ?1 AND environment = ?2))",
                (name.folded(), environment, new.started_at.0),
            )?;
            let inserted = transaction.execute(
                "INSERT INTO discovery (id, name, name_folded, environment, login_url, app, tags,
                                        flow, stage, started_at, expires_at, sealed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                 ON CONFLICT DO NOTHING",
                (
                    new.id.0,
                    name.as_str(),
                    name.folded(),
                    environment,
                    new.login_url.as_str(),
                    &new.app,
                    join(&new.tags),
                    new.flow.as_str(),
                    new.stage.as_str(),
                    new.started_at.0,
                    new.expires_at.0,
                    &new.sealed,
                ),
            )?;
            require_one(inserted)?;
            append(transaction, entry)
        })
    }

    /// Commits that the code may be spent, before its request may leave.
    pub(crate) fn send_discovery(&mut self, id: RecordId) -> Result<(), Error> {
        self.write(|transaction| step(transaction, id, "waiting", DiscoveryStage::Sent))
    }

    /// Nothing came of the code: another sign-in may complete it.
    pub(crate) fn reopen_discovery(&mut self, id: RecordId) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE discovery SET stage = 'waiting' WHERE id = ?1 AND stage = 'sent'",
                [id.0],
            )?;
            Ok(())
        })
    }

    /// The answer to the code never came.
    pub(crate) fn lose_discovery(&mut self, id: RecordId, entry: &AuditEntry) -> Result<(), Error> {
        self.write(|transaction| {
            step(transaction, id, "sent", DiscoveryStage::Lost)?;
            append(transaction, entry)
        })
    }

    /// Keeps what came, and the debt that revokes it, in one commit.
    pub(crate) fn keep_found(
        &mut self,
        id: RecordId,
        sealed: &[u8],
        owed: &OwedRow,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            super::revocation::insert(transaction, owed)?;
            let changed = transaction.execute(
                "UPDATE discovery SET stage = 'found', owed_id = ?2, expires_at = ?3, sealed = ?4
                 WHERE id = ?1 AND stage = 'sent'",
                (id.0, owed.id.0, owed.due_at.map(|at| at.0), sealed),
            )?;
            require_one(changed)?;
            append(transaction, entry)
        })
    }

    /// Ends one without a credential. What a found one brought is due to be revoked at once; so is
    /// `owed`, which came of the code just now.
    pub(crate) fn drop_discovery(
        &mut self,
        id: RecordId,
        owed: Option<&OwedRow>,
        entries: &[AuditEntry],
    ) -> Result<(), Error> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE revocation_owed SET due_at = NULL
                 WHERE id = (SELECT owed_id FROM discovery WHERE id = ?1)",
                [id.0],
            )?;
            let deleted = transaction.execute("DELETE FROM discovery WHERE id = ?1", [id.0])?;
            require_one(deleted)?;
            if let Some(owed) = owed {
                super::revocation::insert(transaction, owed)?;
            }
            entries.iter().try_for_each(|entry| append(transaction, entry))
        })
    }

    /// Somebody said yes: the credential, its first token set, and no debt any more, in one commit.
    /// [`Error::Stale`] where the debt was paid meanwhile.
    pub(crate) fn confirm_discovery(
        &mut self,
        id: RecordId,
        owed: RecordId,
        confirmed: &ConfirmedDiscovery,
        entries: &[AuditEntry],
    ) -> Result<(), Error> {
        self.write(|transaction| {
            let taken_back =
                transaction.execute("DELETE FROM revocation_owed WHERE id = ?1", [owed.0])?;
            require_one(taken_back)?;
            let deleted = transaction
                .execute("DELETE FROM discovery WHERE id = ?1 AND owed_id = ?2", (id.0, owed.0))?;
            require_one(deleted)?;
            insert_as(transaction, confirmed.id, &confirmed.credential)?;
            super::token::insert(transaction, confirmed.id, &confirmed.token)?;
            entries.iter().try_for_each(|entry| append(transaction, entry))
        })
    }
}

fn step(
    transaction: &Transaction<'_>,
    id: RecordId,
    from: &str,
    to: DiscoveryStage,
) -> Result<(), Error> {
    let changed = transaction.execute(
        "UPDATE discovery SET stage = ?3 WHERE id = ?1 AND stage = ?2",
        (id.0, from, to.as_str()),
    )?;
    require_one(changed)
}

fn require_one(changed: usize) -> Result<(), Error> {
    if changed == 1 { Ok(()) } else { Err(Error::Stale) }
}
