//! The head of the audit chain: read from the store, and remembered in a file beside it, so that a
//! cut of the end is noticed.
//!
//! `audit.head` is written after the commit of what it names, in place and without a sync: after a
//! crash it may name an older row, never one that was not committed. So a store that ends before the
//! durable head was cut; one that ends between the durable and the last head lost rows of hand-outs,
//! which is no cut where the machine was started anew since.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::{Durability, Error, schema};
use crate::domain::chain::{FILE_LENGTH, Head, Remembered, Standing};

/// Name of the file beside the store.
const FILE: &str = "audit.head";

/// The file, and what a commit of this connection survives.
pub(super) struct HeadFile {
    path: PathBuf,
    durability: Durability,
    /// The system's ID of this boot.
    boot: fn() -> Option<String>,
}

impl HeadFile {
    /// The one that belongs to a store.
    pub(super) fn beside(store: &Path, durability: Durability) -> Self {
        Self { path: store.with_file_name(FILE), durability, boot: || None }
    }

    /// What a commit of the store's connection survives.
    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    /// Who tells which boot this is.
    pub(super) fn tell_boot(&mut self, boot: fn() -> Option<String>) {
        self.boot = boot;
    }

    /// What is remembered, of whichever store. What is no head says nothing.
    pub(super) fn read_any(&self) -> Option<Remembered> {
        remembered_in(&File::open(&self.path).ok()?)
    }

    /// What is remembered of this store.
    pub(super) fn read(&self, connection: &Connection) -> Result<Option<Remembered>, Error> {
        let Some(remembered) = self.read_any() else { return Ok(None) };
        let store = schema::store_id(connection)?.to_string();
        Ok(Some(remembered).filter(|remembered| remembered.store == store))
    }

    /// Remembers the head of what was committed just now.
    pub(super) fn write(&self, connection: &Connection, head: Head) -> Result<(), Error> {
        let store = schema::store_id(connection)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path);
        // A head that lags behind is no harm, and what it is about is committed.
        let Ok(file) = file else { return Ok(()) };
        let nothing = Remembered::nothing(store);
        let mut remembered = match self.durability {
            Durability::Full => Remembered { durable: head, ..nothing },
            Durability::HandOuts => remembered_in(&file)
                .filter(|remembered| remembered.store == nothing.store)
                .unwrap_or(nothing),
        };
        remembered.last = head;
        remembered.boot = (self.boot)().unwrap_or_default();
        let _ = file.write_all_at(remembered.to_text().as_bytes(), 0);
        Ok(())
    }

    /// How the chain stands to what was remembered of it. That is to be read before the chain: what
    /// others commit meanwhile is remembered, too.
    pub(super) fn standing(
        &self,
        connection: &Connection,
        remembered: Option<&Remembered>,
    ) -> Result<Standing, Error> {
        let Some(remembered) = remembered else { return Ok(Standing::Whole) };
        if holds(connection, remembered.last)? {
            return Ok(Standing::Whole);
        }
        let end = head(connection)?.sequence;
        let durable = remembered.durable;
        if !holds(connection, durable)? {
            return Ok(if end < durable.sequence {
                Standing::Cut(end)
            } else {
                Standing::Rewritten(durable.sequence)
            });
        }
        let boot = (self.boot)().unwrap_or_default();
        if boot != remembered.boot {
            return Ok(Standing::LostAtCrash(end, remembered.last.sequence));
        }
        Ok(if end < remembered.last.sequence {
            Standing::Cut(end)
        } else {
            Standing::Rewritten(remembered.last.sequence)
        })
    }
}

/// What a file remembers. It has one length, so that one call reads it: a hand-out looks at it once a
/// minute.
fn remembered_in(file: &File) -> Option<Remembered> {
    let mut text = [0; FILE_LENGTH];
    let length = file.read_at(&mut text, 0).ok()?;
    Remembered::parse(std::str::from_utf8(text.get(..length)?).ok()?)
}

/// The last row.
pub(super) fn head(connection: &Connection) -> Result<Head, Error> {
    let head = connection
        .prepare_cached("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")?
        .query_row([], |row| Ok(Head { sequence: row.get(0)?, hash: row.get(1)? }))
        .optional()?;
    Ok(head.unwrap_or(Head::EMPTY))
}

/// Whether a head is in the chain, or is that of a chain which a restored backup joined to it.
pub(super) fn holds(connection: &Connection, head: Head) -> Result<bool, Error> {
    if head == Head::EMPTY {
        return Ok(true);
    }
    let here: Option<[u8; 32]> = connection
        .prepare_cached("SELECT hash FROM audit WHERE sequence = ?1")?
        .query_row([head.sequence], |row| row.get(0))
        .optional()?;
    if here == Some(head.hash) {
        return Ok(true);
    }
    let mut statement = connection.prepare(
        "SELECT detail FROM audit WHERE event = 'store_restored' ORDER BY sequence DESC",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if Head::joined(&row.get::<_, String>(0)?) == Some(head) {
            return Ok(true);
        }
    }
    Ok(false)
}
