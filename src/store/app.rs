//! Apps that were added with `orgkey app add`, and their sealed client secrets.

use rusqlite::{OptionalExtension, Row, Transaction};

use super::audit::append;
use super::credential::{flow, join, split};
use super::{Error, RecordId, Store};
use crate::domain::app::{App, AppOrigin, Flow, Rotation};
use crate::domain::audit::AuditEntry;

/// A client secret to be kept: its row, bound into the seal, and the sealed value.
pub(crate) type SealedSecret = (RecordId, Vec<u8>);

/// An app to be added, with its secret, if it has one, and its audit row.
pub(crate) type NewApp = (App, Option<SealedSecret>, AuditEntry);

const SELECT: &str = "
    SELECT name, client_id, redirect_uris, scopes, flows, private_key_file, certificate_file,
           rotation, idle_limit, session_timeout, rotate_every,
           EXISTS (SELECT 1 FROM app_secret s WHERE s.app_folded = app.name_folded) AS has_secret
      FROM app";

impl Store {
    /// All apps, by name.
    pub(crate) fn apps(&self) -> Result<Vec<App>, Error> {
        let mut statement =
            self.connection.prepare_cached(&format!("{SELECT} ORDER BY name_folded"))?;
        let rows = statement.query_map([], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// One app, without regard to case.
    pub(crate) fn app(&self, name: &str) -> Result<Option<App>, Error> {
        self.connection
            .prepare_cached(&format!("{SELECT} WHERE name_folded = ?1"))?
            .query_row([name.to_ascii_lowercase()], |row| Ok(read(row)))
            .optional()?
            .transpose()
    }

    /// The sealed client secret of an app.
    pub(crate) fn app_secret(&self, name: &str) -> Result<Option<SealedSecret>, Error> {
        self.connection
            .prepare_cached("SELECT id, sealed FROM app_secret WHERE app_folded = ?1")?
            .query_row([name.to_ascii_lowercase()], |row| Ok((RecordId(row.get(0)?), row.get(1)?)))
            .optional()
            .map_err(Error::from)
    }

    /// Adds apps: all or none.
    pub(crate) fn insert_apps(&mut self, new: &[NewApp]) -> Result<(), Error> {
        self.write(|transaction| new.iter().try_for_each(|app| insert(transaction, app)))
    }

    /// Changes an app; its secret is replaced by `secret`, removed by `remove_secret`, else kept.
    pub(crate) fn update_app(
        &mut self,
        app: &App,
        secret: Option<&SealedSecret>,
        entry: &AuditEntry,
    ) -> Result<(), Error> {
        self.write(|transaction| {
            write(transaction, app)?;
            if let Some(secret) = secret {
                write_secret(transaction, &app.name, secret)?;
            } else if !app.has_secret {
                transaction.execute(
                    "DELETE FROM app_secret WHERE app_folded = ?1",
                    [app.name.to_ascii_lowercase()],
                )?;
            }
            append(transaction, entry)
        })
    }

    /// Removes an app.
    pub(crate) fn delete_app(&mut self, name: &str, entry: &AuditEntry) -> Result<(), Error> {
        self.write(|transaction| {
            transaction
                .execute("DELETE FROM app WHERE name_folded = ?1", [name.to_ascii_lowercase()])?;
            append(transaction, entry)
        })
    }

    /// Addresses of the credentials that use an app, staged edits included.
    pub(crate) fn users_of_app(&self, name: &str) -> Result<Vec<String>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT n.name || '/' || c.environment
               FROM credential c JOIN connection n ON n.id = c.connection_id
               LEFT JOIN pending_edit p ON p.credential_id = c.id
              WHERE c.app = ?1 COLLATE NOCASE OR p.app = ?1 COLLATE NOCASE
              ORDER BY n.name_folded, c.environment",
        )?;
        let rows = statement.query_map([name], |row| row.get(0))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }
}

/// Adds an app whose name is free.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    (app, secret, entry): &NewApp,
) -> Result<(), Error> {
    let taken = transaction
        .query_row(
            "SELECT 1 FROM app WHERE name_folded = ?1",
            [app.name.to_ascii_lowercase()],
            |_| Ok(()),
        )
        .optional()?
        .is_some();
    if taken {
        return Err(Error::Exists(format!("the app {}", app.name)));
    }
    write(transaction, app)?;
    if let Some(secret) = secret {
        write_secret(transaction, &app.name, secret)?;
    }
    append(transaction, entry)
}

fn write(transaction: &Transaction<'_>, app: &App) -> Result<(), Error> {
    let flows: Vec<String> = app.flows.iter().map(|flow| flow.as_str().to_owned()).collect();
    transaction.execute(
        "INSERT INTO app (name, name_folded, client_id, redirect_uris, scopes, flows,
             private_key_file, certificate_file, rotation, idle_limit, session_timeout,
             rotate_every)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (name_folded) DO UPDATE SET name = ?1, client_id = ?3, redirect_uris = ?4,
             scopes = ?5, flows = ?6, private_key_file = ?7, certificate_file = ?8, rotation = ?9,
             idle_limit = ?10, session_timeout = ?11, rotate_every = ?12",
        (
            &app.name,
            app.name.to_ascii_lowercase(),
            &app.client_id,
            join(&app.redirect_uris),
            join(&app.scopes),
            join(&flows),
            &app.private_key_file,
            &app.certificate_file,
            rotation_word(app.rotation),
            app.idle_limit,
            app.session_timeout,
            app.rotate_every,
        ),
    )?;
    Ok(())
}

fn write_secret(
    transaction: &Transaction<'_>,
    app: &str,
    (id, sealed): &SealedSecret,
) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO app_secret (id, app_folded, sealed) VALUES (?1, ?2, ?3)
         ON CONFLICT (app_folded) DO UPDATE SET id = ?1, sealed = ?3",
        (id.0, app.to_ascii_lowercase(), sealed),
    )?;
    Ok(())
}

fn rotation_word(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::Yes => "yes",
        Rotation::No => "no",
        Rotation::Unknown => "unknown",
    }
}

/// Reads whether an app rotates.
pub(super) fn rotation(word: &str) -> Rotation {
    match word {
        "yes" => Rotation::Yes,
        "no" => Rotation::No,
        _ => Rotation::Unknown,
    }
}

fn read(row: &Row<'_>) -> Result<App, Error> {
    let words =
        |column: &str| -> Result<Vec<String>, Error> { Ok(split(&row.get::<_, String>(column)?)) };
    let flows = words("flows")?.iter().map(|word| flow(word)).collect::<Result<Vec<Flow>, _>>()?;
    Ok(App {
        name: row.get("name")?,
        client_id: row.get("client_id")?,
        has_secret: row.get("has_secret")?,
        redirect_uris: words("redirect_uris")?,
        scopes: words("scopes")?,
        flows,
        private_key_file: row.get("private_key_file")?,
        certificate_file: row.get("certificate_file")?,
        rotation: rotation(&row.get::<_, String>("rotation")?),
        idle_limit: row.get("idle_limit")?,
        session_timeout: row.get("session_timeout")?,
        rotate_every: row.get("rotate_every")?,
        origin: AppOrigin::Store,
    })
}
