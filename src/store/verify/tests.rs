//! Every way to change a chain behind its back, and what is no such change.

use super::super::{Durability, HandOut, HandOutRow};
use super::*;
use crate::domain::audit::AuditEntry;
use crate::domain::chain::Remembered;
use crate::domain::host::LoginUrl;
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::{Address, ConnectionName, Environment};
use crate::domain::token::Generation;
use crate::store::NewCredential;

fn entry(number: i64) -> AuditEntry {
    AuditEntry {
        at: UnixMillis(number * 1_000),
        event: AuditEvent::AppEdited,
        subject: format!("app{number}"),
        detail: String::new(),
        reason: String::new(),
        who: "{}".into(),
    }
}

/// A store with rows 1 to 6.
fn six(folder: &tempfile::TempDir) -> Store {
    let path = folder.path().join("orgkey.db");
    let mut store = Store::open(&path, Durability::Full, || "host".into()).unwrap();
    for number in 1..=6 {
        store.record(&entry(number)).unwrap();
    }
    store
}

/// Hashes the rows from `first` on anew, as someone would who knows the rule.
fn rehash(store: &Store, first: i64) {
    let texts =
        "SELECT sequence, at, event, subject, detail, reason, who, previous, hash FROM audit
                  WHERE sequence >= ?1 ORDER BY sequence";
    let rows: Vec<RawRow> = store
        .connection
        .prepare(texts)
        .unwrap()
        .query_map([first], RawRow::read)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let before = "SELECT hash FROM audit WHERE sequence = ?1 - 1";
    let mut previous: [u8; 32] = store
        .connection
        .query_row(before, [first], |row| row.get(0))
        .optional()
        .unwrap()
        .unwrap_or_default();
    for row in rows {
        let hash = row_hash(previous, UnixMillis(row.at), row.texts.each_ref().map(Vec::as_slice));
        let update = "UPDATE audit SET previous = ?2, hash = ?3 WHERE sequence = ?1";
        store.connection.execute(update, (row.sequence, previous, hash)).unwrap();
        previous = hash;
    }
}

fn first_wrong(store: &Store, noted: Option<Head>) -> Option<(Wrong, i64)> {
    let broken = store.verify_audit(noted).unwrap().broken;
    broken.map(|broken| (broken.wrong, broken.sequence))
}

#[test]
fn a_chain_that_nobody_touched_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = six(&folder);
    let noted = store.audit_head().unwrap();
    store.record(&entry(7)).unwrap();
    let verified = store.verify_audit(Some(noted)).unwrap();
    assert_eq!((verified.broken, verified.rows, verified.remembered), (None, 7, true));
    assert_eq!(verified.head, store.audit_head().unwrap());
    assert_eq!(first_wrong(&store, Some(Head::EMPTY)), None);
}

/// What is done to the rows 1 to 6, and the first row that is wrong then.
const EDITS: &[(&str, &str, Wrong, i64)] = &[
    ("a time", "UPDATE audit SET at = at + 1 WHERE sequence = 3", Wrong::Edited, 3),
    ("an event", "UPDATE audit SET event = 'x' WHERE sequence = 1", Wrong::Edited, 1),
    ("a subject", "UPDATE audit SET subject = 'x' WHERE sequence = 6", Wrong::Edited, 6),
    ("a detail", "UPDATE audit SET detail = 'x' WHERE sequence = 4", Wrong::Edited, 4),
    ("a reason", "UPDATE audit SET reason = 'x' WHERE sequence = 2", Wrong::Edited, 2),
    ("who", "UPDATE audit SET who = '[]' WHERE sequence = 5", Wrong::Edited, 5),
    ("no text", "UPDATE audit SET who = CAST(x'ff' AS TEXT) WHERE sequence = 5", Wrong::Edited, 5),
    ("a hash", "UPDATE audit SET hash = zeroblob(32) WHERE sequence = 4", Wrong::Edited, 4),
    ("a link", "UPDATE audit SET previous = zeroblob(32) WHERE sequence = 4", Wrong::Edited, 4),
    ("first removed", "DELETE FROM audit WHERE sequence = 1", Wrong::Removed, 1),
    ("one removed", "DELETE FROM audit WHERE sequence = 3", Wrong::Removed, 3),
    ("two removed", "DELETE FROM audit WHERE sequence IN (3, 4)", Wrong::Removed, 3),
    ("last removed", "DELETE FROM audit WHERE sequence = 6", Wrong::Cut, 6),
    ("all removed", "DELETE FROM audit", Wrong::Cut, 1),
    ("a new number", "UPDATE audit SET sequence = 9 WHERE sequence = 6", Wrong::Edited, 6),
    (
        "removed, and the others moved up",
        "DELETE FROM audit WHERE sequence = 3;
         UPDATE audit SET sequence = -sequence WHERE sequence > 3;
         UPDATE audit SET sequence = -sequence - 1 WHERE sequence < 0;",
        Wrong::Edited,
        2,
    ),
    (
        "the first removed, and the others moved up",
        "DELETE FROM audit WHERE sequence = 1; UPDATE audit SET sequence = sequence - 1;",
        Wrong::Removed,
        1,
    ),
    (
        "two swapped",
        "UPDATE audit SET sequence = 99 WHERE sequence = 3;
         UPDATE audit SET sequence = 3 WHERE sequence = 4;
         UPDATE audit SET sequence = 4 WHERE sequence = 99;",
        Wrong::Reordered,
        3,
    ),
    (
        "a copy put in",
        "UPDATE audit SET sequence = -sequence WHERE sequence > 3;
         UPDATE audit SET sequence = -sequence + 1 WHERE sequence < 0;
         INSERT INTO audit SELECT 4, at, event, subject, detail, reason, who, previous, hash
           FROM audit WHERE sequence = 2;",
        Wrong::Reordered,
        4,
    ),
    (
        "before the first",
        "INSERT INTO audit SELECT 0, at, event, subject, detail, reason, who, previous, hash
           FROM audit WHERE sequence = 2;",
        Wrong::Inserted,
        0,
    ),
];

#[test]
fn each_edit_is_found_with_the_first_row_that_is_wrong() {
    for (what, edit, wrong, sequence) in EDITS {
        let folder = tempfile::tempdir().unwrap();
        let store = six(&folder);
        store.connection.execute_batch(edit).unwrap();
        assert_eq!(first_wrong(&store, None), Some((*wrong, *sequence)), "{what}");
    }
}

#[test]
fn a_forged_row_that_is_put_in_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = six(&folder);
    store
        .connection
        .execute_batch(
            "UPDATE audit SET sequence = -sequence WHERE sequence > 3;
             UPDATE audit SET sequence = -sequence + 1 WHERE sequence < 0;",
        )
        .unwrap();
    let before: [u8; 32] = store
        .connection
        .query_row("SELECT hash FROM audit WHERE sequence = 3", [], |row| row.get(0))
        .unwrap();
    let forged = AuditEntry { subject: "forged".into(), ..entry(3) };
    let insert = "INSERT INTO audit VALUES (4, ?1, ?2, ?3, '', '', '{}', ?4, ?5)";
    let values = (forged.at.0, forged.event.as_str(), &forged.subject, before, forged.hash(before));
    store.connection.execute(insert, values).unwrap();
    assert_eq!(first_wrong(&store, None), Some((Wrong::Inserted, 4)));
}

#[test]
fn one_row_with_a_new_hash_is_found_by_the_row_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = six(&folder);
    store.connection.execute("UPDATE audit SET subject = 'x' WHERE sequence = 3", []).unwrap();
    rehash(&store, 3);
    let tail = "UPDATE audit SET previous = zeroblob(32) WHERE sequence = 4";
    store.connection.execute(tail, []).unwrap();
    assert_eq!(first_wrong(&store, None), Some((Wrong::Edited, 4)));
}

#[test]
fn a_chain_hashed_anew_from_a_row_on_is_found_by_its_remembered_or_noted_head() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = six(&folder);
    let noted = store.audit_head().unwrap();
    store.connection.execute("UPDATE audit SET subject = 'x' WHERE sequence = 3", []).unwrap();
    rehash(&store, 3);
    assert_eq!(first_wrong(&store, None), Some((Wrong::Edited, 6)), "by audit.head");
    std::fs::remove_file(folder.path().join("audit.head")).unwrap();
    assert_eq!(first_wrong(&store, None), None, "nobody remembers it");
    assert_eq!(first_wrong(&store, Some(noted)), Some((Wrong::Edited, 6)), "by a ticket");
    // More rows on top do not hide it.
    store.record(&entry(7)).unwrap();
    assert_eq!(first_wrong(&store, Some(noted)), Some((Wrong::Edited, 6)));
    let beyond = Head { sequence: 9, ..noted };
    assert_eq!(first_wrong(&store, Some(beyond)), Some((Wrong::Cut, 8)));
}

#[test]
fn a_cut_stays_known_after_more_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = six(&folder);
    store.connection.execute("DELETE FROM audit WHERE sequence > 4", []).unwrap();
    store.record(&entry(7)).unwrap();
    assert_eq!(first_wrong(&store, None), Some((Wrong::Cut, 5)));
    let words = store.verify_audit(None).unwrap().broken.unwrap().words;
    assert_eq!(words, "noticed when row 5 was written: the rows after 4 were cut off");
}

#[test]
fn a_forged_seal_of_a_segment_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = six(&folder);
    let seal = "UPDATE audit SET event = 'segment_sealed', detail = '2 rows, 1 to 2, head 00'
                 WHERE sequence = 6";
    store.connection.execute(seal, []).unwrap();
    rehash(&store, 6);
    assert_eq!(first_wrong(&store, None), Some((Wrong::Edited, 6)));
    let words = store.verify_audit(None).unwrap().broken.unwrap().words;
    assert!(words.contains("seal of a segment"), "{words}");
}

/// A store with a credential, and two hand-outs that are still open.
fn handed_out(folder: &tempfile::TempDir) -> (Store, HandOutRow) {
    let path = folder.path().join("orgkey.db");
    let mut store = Store::open(&path, Durability::Full, || "host".into()).unwrap();
    let name = ConnectionName::parse("acme").unwrap();
    let new = NewCredential {
        address: Address { name: name.clone(), environment: Environment::Production },
        org_id: OrgId::parse("00D5g00000Abc1X").unwrap(),
        user_id: UserId::parse("0055g00000FgHiJ").unwrap(),
        username: None,
        login_url: LoginUrl::generic(Environment::Production),
        app: "default".into(),
        tags: Vec::new(),
    };
    store.insert_credentials(&[], &[(new, entry(1))]).unwrap();
    let row = store.hand_out_rows(&name).unwrap().remove(0);
    for at in [600_000, 600_001] {
        hand_out(&mut store, &row, at);
    }
    (store, row)
}

fn hand_out(store: &mut Store, row: &HandOutRow, at: i64) {
    let hand_out = HandOut { at: UnixMillis(at), who: "{}".into(), generation: Generation(1) };
    store.count_hand_out(row, &hand_out).unwrap();
}

#[test]
fn an_edit_of_an_open_record_is_found_before_and_after_it_goes_into_the_chain() {
    for edit in ["count = 1", "who = '[]'", "since = 1", "minute = 9", "generation = 2"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, row) = handed_out(&folder);
        let verified = store.verify_audit(None).unwrap();
        assert_eq!((verified.broken, verified.open), (None, 1));
        store.connection.execute(&format!("UPDATE hand_out SET {edit}"), []).unwrap();
        assert_eq!(first_wrong(&store, None), Some((Wrong::Edited, 0)), "{edit}");
        hand_out(&mut store, &row, 700_000);
        assert_eq!(first_wrong(&store, None), Some((Wrong::Edited, 2)), "{edit}");
    }
}

/// The store as a connection that counts hand-outs has it, in a boot of its own.
fn counting(folder: &tempfile::TempDir, boot: fn() -> Option<String>) -> Store {
    let path = folder.path().join("orgkey.db");
    let mut store = Store::open(&path, Durability::HandOuts, || "host".into()).unwrap();
    store.tell_boot(boot);
    store
}

#[test]
fn rows_of_hand_outs_that_a_crash_took_are_told_from_a_cut() {
    let (first, second): (fn() -> _, fn() -> _) =
        (|| Some("1".to_owned()), || Some("2".to_owned()));
    // Row 1 is durable; rows 2 and 3 are of hand-outs.
    let scene = |delete: &str, boot| {
        let folder = tempfile::tempdir().unwrap();
        let (full, row) = handed_out(&folder);
        drop(full);
        let mut store = counting(&folder, first);
        hand_out(&mut store, &row, 700_000);
        hand_out(&mut store, &row, 800_000);
        let text = std::fs::read_to_string(folder.path().join("audit.head")).unwrap();
        let remembered = Remembered::parse(&text).unwrap();
        assert_eq!((remembered.durable.sequence, remembered.last.sequence), (1, 3));
        store.connection.execute_batch(delete).unwrap();
        drop(store);
        (counting(&folder, boot), row, folder)
    };
    let lost = "DELETE FROM audit WHERE sequence > 2; DELETE FROM hand_out";
    let (store, _row, _kept) = scene(lost, first);
    assert_eq!(first_wrong(&store, None), Some((Wrong::Cut, 3)), "the machine was not restarted");
    let (mut store, row, _folder) = scene(lost, second);
    assert_eq!(first_wrong(&store, None), None, "a crash takes what was not synced");
    hand_out(&mut store, &row, 900_000);
    hand_out(&mut store, &row, 1_000_000);
    let verified = store.verify_audit(None).unwrap();
    assert_eq!((verified.broken, verified.crashes), (None, 1));
    let rows = store.audit_page(&crate::domain::audit::AuditFilter::default(), Some(2)).unwrap();
    assert_eq!(rows[0].event, "hand_outs_lost");
    assert_eq!(rows[0].detail, "rows 3 to 3, which were not synced yet");
    let (store, _row, _kept) = scene("DELETE FROM audit", second);
    assert_eq!(first_wrong(&store, None), Some((Wrong::Cut, 1)), "row 1 was durable");
}

#[test]
fn a_lagging_head_and_a_foreign_one_are_normal() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = six(&folder);
    let file = folder.path().join("audit.head");
    let old = std::fs::read_to_string(&file).unwrap();
    store.record(&entry(7)).unwrap();
    std::fs::write(&file, &old).unwrap();
    assert_eq!(first_wrong(&store, None), None, "it was written before the last row");
    let mut foreign = Remembered::parse(&old).unwrap();
    foreign.store = "0".repeat(32);
    std::fs::write(&file, foreign.to_text()).unwrap();
    store.connection.execute("DELETE FROM audit WHERE sequence > 2", []).unwrap();
    let verified = store.verify_audit(None).unwrap();
    assert_eq!((verified.broken, verified.remembered), (None, false), "of another store");
}

#[test]
fn the_head_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let _store = six(&folder);
    let metadata = std::fs::metadata(folder.path().join("audit.head")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}
