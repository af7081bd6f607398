//! A backup takes the place of what is in the store, in one transaction: whoever has the store open
//! sees the one or the other.
//!
//! Where the backup is of this very store, what is newer here stays: a token set that was refreshed
//! or signed in since, and credentials that were saved since.

use std::path::{Path, PathBuf};

use rusqlite::Transaction;

use super::audit::append;
use super::{Error, RecordId, Store, backup, damaged};
use crate::domain::app::Rotation;
use crate::domain::audit::AuditEntry;
use crate::domain::chain::{Head, Remembered};
use crate::domain::copy::{CopyQuestion, CopySign};

/// How a backup is to be restored.
pub(crate) struct Restore {
    /// A private copy of the backup, of the newest version.
    pub(crate) copy: PathBuf,
    /// This host.
    pub(crate) host_mark: String,
    /// Written in the transaction; the names of what is kept are added to its detail.
    pub(crate) restored: AuditEntry,
    /// Written where the question is opened.
    pub(crate) asked: AuditEntry,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// The file beside the store that what was here is kept in.
    pub(crate) kept_as: Option<String>,
    /// Credentials whose token set here was newer than the backup's.
    pub(crate) newer_here: u64,
    /// Credentials that the backup does not have.
    pub(crate) only_here: u64,
    /// The question that is open now.
    pub(crate) question: Option<CopyQuestion>,
}

/// A credential after a restore, for whoever decides whether its token may be spent.
pub(crate) struct AfterRestore {
    /// Its row.
    pub(crate) id: RecordId,
    /// Refreshes that the store knows of.
    pub(crate) refreshes: u64,
    /// Name of its app.
    pub(crate) app: String,
    /// Whether that app rotates, where the store has it.
    pub(crate) rotation: Option<Rotation>,
}

/// What is known of a store that a backup was restored into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The backup was made on this host.
    pub(crate) this_host: bool,
    /// The backup is of this very store, which was the only one, and what is newer here was kept.
    pub(crate) only: bool,
    /// Whichever of the two stores knows more was moved, or had the question open: another copy
    /// goes on, whatever this host knows of its own refreshes.
    pub(crate) contested: bool,
}

/// What tables refer to comes before them.
const TABLES: [&str; 13] = [
    "connection",
    "credential",
    "pending_edit",
    "token_set",
    "authorization",
    "intent",
    "access_test",
    "hand_out",
    "revocation_owed",
    "discovery",
    "app",
    "app_secret",
    "audit",
];

/// Puts into the copy what is newer here, or only here. `ours` has their IDs.
const MERGE: &str = "
    INSERT INTO temp.ours (id, refreshes, newer)
         SELECT p.id, max(p.refreshes, b.refreshes), 1
           FROM main.credential p JOIN copy.credential b ON b.id = p.id
          WHERE p.generation > b.generation
             OR (p.generation = b.generation AND p.refreshes > b.refreshes);
    DELETE FROM copy.credential WHERE id IN (SELECT id FROM temp.ours);

    -- What was deleted here gives way to what was saved under its name since.
    DELETE FROM copy.credential WHERE id IN (
         SELECT b.id FROM copy.credential b JOIN copy.connection n ON n.id = b.connection_id
           JOIN main.connection m ON m.name_folded = n.name_folded
           JOIN main.credential p ON p.connection_id = m.id AND p.environment = b.environment
          WHERE b.id NOT IN (SELECT id FROM main.credential)
            AND p.id NOT IN (SELECT id FROM copy.credential)
            AND p.id NOT IN (SELECT id FROM temp.ours));

    INSERT INTO temp.ours (id, refreshes, newer)
         SELECT p.id, p.refreshes, 0 FROM main.credential p
          WHERE NOT EXISTS (SELECT 1 FROM copy.credential b WHERE b.id = p.id)
            AND NOT EXISTS (SELECT 1 FROM temp.ours o WHERE o.id = p.id)
            AND NOT EXISTS (
                SELECT 1 FROM copy.credential b JOIN copy.connection n ON n.id = b.connection_id
                  JOIN main.connection m ON m.id = p.connection_id
                 WHERE n.name_folded = m.name_folded AND b.environment = p.environment);
    INSERT OR IGNORE INTO copy.connection
         SELECT * FROM main.connection m WHERE m.id IN (
                SELECT p.connection_id FROM main.credential p JOIN temp.ours o ON o.id = p.id);
    INSERT OR IGNORE INTO copy.credential (id, connection_id, environment, org_id, user_id,
                username, login_url, app, tags, held, generation, refreshes)
         SELECT p.id, coalesce(
                    (SELECT n.id FROM copy.connection n WHERE n.id = p.connection_id),
                    (SELECT n.id FROM copy.connection n JOIN main.connection m
                         ON n.name_folded = m.name_folded WHERE m.id = p.connection_id)),
                p.environment, p.org_id, p.user_id, p.username, p.login_url, p.app, p.tags,
                p.held, p.generation, o.refreshes
           FROM main.credential p JOIN temp.ours o ON o.id = p.id;
    DELETE FROM temp.ours WHERE id NOT IN (SELECT id FROM copy.credential);

    -- A hold that stands here is not lifted by a backup from before it.
    UPDATE copy.credential SET held = coalesce(
                (SELECT p.held FROM main.credential p WHERE p.id = credential.id), held);

    INSERT INTO copy.access_test (credential_id, kind, at, outcome, latency_ms, message, remedy)
         SELECT credential_id, kind, at, outcome, latency_ms, message, remedy
           FROM main.access_test WHERE credential_id IN (SELECT id FROM temp.ours) ORDER BY id;
    INSERT OR IGNORE INTO copy.revocation_owed SELECT * FROM main.revocation_owed;
    INSERT INTO copy.discovery SELECT * FROM main.discovery;
    INSERT OR IGNORE INTO copy.app_secret SELECT * FROM main.app_secret
          WHERE app_folded NOT IN (SELECT name_folded FROM copy.app);
    INSERT OR IGNORE INTO copy.app SELECT * FROM main.app;";

/// A yes that came after the backup took a debt back, and the backup does not know it: what was open
/// to one when the backup was made is settled where it was, and is brought back by nobody.
const DROP_UNDECIDED: &str = "
    DELETE FROM copy.discovery;
    DELETE FROM copy.revocation_owed WHERE due_at > (SELECT made_at FROM copy.backup);";

/// Tables of a credential whose rows are taken over as they are.
const OF_CREDENTIAL: [&str; 5] =
    ["pending_edit", "token_set", "authorization", "intent", "hand_out"];

impl Store {
    /// Whether nothing is saved yet.
    pub(crate) fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.connection.query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM connection) AND NOT EXISTS (SELECT 1 FROM app)
                AND NOT EXISTS (SELECT 1 FROM revocation_owed)",
            [],
            |row| row.get(0),
        )?)
    }

    /// Restores a backup. What was here is kept beside the store first. `spent` says of the
    /// credentials whose token could be refreshed whether one of them may be spent.
    pub(crate) fn restore(
        &mut self,
        restore: &Restore,
        spent: impl FnOnce(&[AfterRestore], Known) -> bool,
    ) -> Result<Restored, Error> {
        // What was handed out until now is kept with what was here, in its chain.
        self.fold_hand_outs()?;
        let head = super::chain::head(&self.connection)?;
        if head != Head::EMPTY {
            // The row that joins both chains names this one.
            self.head_file.write(&self.connection, head)?;
        }
        let remembered = self.head_file.read_any();
        let copy = path_text(&restore.copy)?;
        self.connection.execute("ATTACH ?1 AS copy", [copy])?;
        let restored = self.connection.execute_batch(
            "CREATE TEMP TABLE ours (id BLOB PRIMARY KEY, refreshes INTEGER, newer INTEGER) STRICT",
        );
        let restored = restored.map_err(Error::from).and_then(|()| {
            self.write(|transaction| replace(transaction, restore, remembered, spent))
        });
        // The copy is thrown away; what is left of it in this connection is not worth a failure.
        let _ = self.connection.execute_batch("DROP TABLE IF EXISTS temp.ours; DETACH copy");
        let restored = restored?;
        self.truncate_log()?;
        Ok(restored)
    }
}

fn replace(
    transaction: &Transaction<'_>,
    restore: &Restore,
    remembered: Option<Remembered>,
    spent: impl FnOnce(&[AfterRestore], Known) -> bool,
) -> Result<Restored, Error> {
    transaction.pragma_update(None, "defer_foreign_keys", true)?;
    let mut entry = restore.restored.clone();
    let mut restored = Restored::default();
    let is_empty: bool = transaction.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM main.audit) AND NOT EXISTS (SELECT 1 FROM main.connection)",
        [],
        |row| row.get(0),
    )?;
    if !is_empty {
        let path = transaction.path().map(PathBuf::from).ok_or_else(|| damaged("a path"))?;
        let kept = backup::keep_former(&path, entry.at)?;
        let head = super::chain::head(transaction)?.joining();
        entry.detail = format!("{}; what was here is kept as {kept}, {head}", entry.detail);
        restored.kept_as = Some(kept);
    } else if let Some(remembered) = remembered
        && remembered.store == copied_store(transaction)?.to_string()
    {
        let head = remembered.last.joining();
        entry.detail = format!("{}; what was here before is gone, {head}", entry.detail);
    }
    let Standing { same, only, contested } = standing(transaction, &restore.host_mark)?;
    transaction.execute_batch(DROP_UNDECIDED)?;
    if same {
        transaction.execute_batch(MERGE)?;
        for table in OF_CREDENTIAL {
            transaction.execute_batch(&format!(
                "INSERT INTO copy.{table} SELECT * FROM main.{table}
                  WHERE credential_id IN (SELECT id FROM temp.ours)"
            ))?;
        }
        (restored.newer_here, restored.only_here) = transaction.query_row(
            "SELECT count(*) FILTER (WHERE newer), count(*) FILTER (WHERE NOT newer) FROM ours",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    }
    for table in TABLES.iter().rev() {
        transaction.execute_batch(&format!("DELETE FROM main.{table}"))?;
    }
    for table in TABLES {
        transaction
            .execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM copy.{table}"))?;
    }
    restored.question = settle_meta(transaction, restore, (same && only, contested), spent)?;
    append(transaction, &entry)?;
    if restored.question.is_some() {
        append(transaction, &restore.asked)?;
    }
    Ok(restored)
}

/// What the two stores know of copies.
struct Standing {
    /// The backup is of this very store.
    same: bool,
    /// This store is known to be the only one.
    only: bool,
    /// It was moved, or had the question open: this store, or the backup where it is of another.
    contested: bool,
}

fn standing(transaction: &Transaction<'_>, host_mark: &str) -> Result<Standing, Error> {
    Ok(transaction.query_row(
        "SELECT m.store_id = b.store_id,
                m.host_mark = ?1 AND m.copied_since IS NULL AND m.moved_at IS NULL,
                CASE WHEN m.store_id = b.store_id
                     THEN m.copied_since IS NOT NULL OR m.moved_at IS NOT NULL
                     ELSE b.copied_since IS NOT NULL OR b.moved_at IS NOT NULL END
           FROM main.meta m, copy.meta b",
        [host_mark],
        |row| Ok(Standing { same: row.get(0)?, only: row.get(1)?, contested: row.get(2)? }),
    )?)
}

/// Which store the backup is of.
fn copied_store(transaction: &Transaction<'_>) -> Result<RecordId, Error> {
    Ok(transaction
        .query_row("SELECT store_id FROM copy.meta", [], |row| Ok(RecordId(row.get(0)?)))?)
}

/// Takes over which store it is and which host used it last, and opens the question unless nothing
/// can have been spent.
fn settle_meta(
    transaction: &Transaction<'_>,
    restore: &Restore,
    (only, contested): (bool, bool),
    spent: impl FnOnce(&[AfterRestore], Known) -> bool,
) -> Result<Option<CopyQuestion>, Error> {
    transaction.execute_batch(
        "UPDATE main.meta SET (store_id, host_mark) = (SELECT store_id, host_mark FROM copy.meta),
                copied_since = NULL, copied_sign = NULL, moved_at = NULL, moved_to = NULL",
    )?;
    let this_host = transaction.query_row(
        "SELECT host_mark = ?1 FROM main.meta",
        [&restore.host_mark],
        |row| row.get(0),
    )?;
    if !spent(&refreshable(transaction)?, Known { this_host, only, contested }) {
        super::copy::take_over(transaction, &restore.host_mark)?;
        return Ok(None);
    }
    let question = CopyQuestion { since: restore.asked.at, sign: CopySign::Restored };
    transaction.execute(
        "UPDATE main.meta SET copied_since = ?1, copied_sign = ?2",
        (question.since.0, question.sign.as_str()),
    )?;
    Ok(Some(question))
}

/// The credentials whose token could be refreshed.
fn refreshable(transaction: &Transaction<'_>) -> Result<Vec<AfterRestore>, Error> {
    let mut statement = transaction.prepare(
        "SELECT c.id, c.refreshes, c.app, a.rotation FROM main.credential c
           JOIN main.token_set t ON t.credential_id = c.id AND t.role = 'active'
           LEFT JOIN main.app a ON a.name_folded = lower(c.app)
          WHERE t.refreshable AND t.refused IS NULL",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(AfterRestore {
            id: RecordId(row.get(0)?),
            refreshes: row.get(1)?,
            app: row.get(2)?,
            rotation: row.get::<_, Option<String>>(3)?.as_deref().map(super::app::rotation),
        })
    })?;
    rows.map(|row| row.map_err(Error::from)).collect()
}

fn path_text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::Unusable(format!("{} is no UTF-8", path.to_string_lossy())))
}
