//! The store on real files.

use super::*;
use crate::domain::app::Flow;
use crate::domain::audit::{AuditEntry, AuditEvent, AuditFilter};
use crate::domain::credential::{Cause, Check, CheckKind, CheckOutcome, PendingEdit, State};
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::{Address, ConnectionName, Environment};
use crate::domain::time::UnixMillis;
use crate::domain::token::{Expiry, Generation, TokenRole};

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("orgkey.db"), Durability::Full, || "host".into()).unwrap()
}

fn entry(event: AuditEvent) -> AuditEntry {
    AuditEntry {
        at: UnixMillis(1),
        event,
        subject: "acme/production".into(),
        detail: String::new(),
        reason: String::new(),
        who: "{}".into(),
    }
}

fn address(name: &str, environment: Environment) -> Address {
    Address { name: ConnectionName::parse(name).unwrap(), environment }
}

fn save(store: &mut Store, address: &Address) -> Result<(), Error> {
    let new = NewCredential {
        address: address.clone(),
        org_id: OrgId::parse("00D5g00000Abc1X").unwrap(),
        user_id: UserId::parse("0055g00000FgHiJ").unwrap(),
        username: None,
        login_url: LoginUrl::generic(address.environment),
        app: "default".into(),
        tags: vec!["eu".into(), "billing".into()],
    };
    store.insert_credentials(&[], &[(new, entry(AuditEvent::CredentialSaved))])
}

fn saved(store: &mut Store) -> RecordId {
    let address = address("acme", Environment::Production);
    save(store, &address).unwrap();
    store.credentials_of(&address.name).unwrap()[0].id
}

fn token(generation: u64, role: TokenRole) -> TokenRow {
    TokenRow {
        id: new_record_id().unwrap(),
        generation: Generation(generation),
        role,
        issued_at: UnixMillis(10),
        expiry: Expiry { at: UnixMillis(1_000), known: false },
        instance_url: InstanceUrl::from_stored("https://acme.my.salesforce.com".into()),
        scopes: vec!["api".into(), "refresh_token".into()],
        flow: Flow::Paste,
        refreshable: true,
        signed_in_at: UnixMillis(10),
        environment_proven: false,
        refused: None,
        drain_until: None,
        rotated_at: None,
        drain_limit: None,
        sealed: vec![1, 2, 3],
    }
}

fn check(kind: CheckKind, at: i64, outcome: CheckOutcome) -> Check {
    Check {
        kind,
        at: UnixMillis(at),
        outcome,
        latency_ms: 7,
        message: "said".into(),
        remedy: String::new(),
    }
}

fn promote(store: &mut Store, id: RecordId, generation: u64) {
    let account = store.credential(id).unwrap().credential;
    let promotion = Promotion {
        generation: Generation(generation),
        account: PendingEdit {
            org_id: account.org_id,
            user_id: account.user_id,
            username: Some("ana@acme.example".into()),
            login_url: account.login_url,
            app: account.app,
        },
        environment_proven: true,
        drain_until: UnixMillis(99),
        check: check(CheckKind::Test, 20, CheckOutcome::Ok),
    };
    store.promote(id, &promotion, &entry(AuditEvent::TokenPromoted)).unwrap();
}

fn signed_in(store: &mut Store) -> RecordId {
    let id = saved(store);
    let candidate = token(1, TokenRole::Candidate);
    store.insert_candidate(id, &candidate, &entry(AuditEvent::SignedIn)).unwrap();
    promote(store, id, 1);
    id
}

fn hand_out_row(store: &Store) -> HandOutRow {
    store.hand_out_rows(&ConnectionName::parse("acme").unwrap()).unwrap().remove(0)
}

#[test]
fn saving_is_all_or_nothing_and_names_fold_their_case() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    save(&mut store, &address("Acme", Environment::Production)).unwrap();
    save(&mut store, &address("acme", Environment::Sandbox)).unwrap();
    let again = save(&mut store, &address("ACME", Environment::Sandbox));
    assert_eq!(again, Err(Error::Exists("ACME/sandbox".into())));
    let rows = store.credentials_of(&ConnectionName::parse("aCmE").unwrap()).unwrap();
    let shown: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.credential.address, row.credential.in_use))
        .collect();
    assert_eq!(shown, ["Acme/production true", "Acme/sandbox false"]);
    assert_eq!(rows[0].credential.tags, ["eu", "billing"]);
}

#[test]
fn a_token_goes_from_candidate_to_active_and_the_old_one_drains() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let id = signed_in(&mut store);
    let row = store.credential(id).unwrap();
    assert_eq!(row.credential.state(UnixMillis(50)), State::Ready);
    assert_eq!(row.credential.username.as_deref(), Some("ana@acme.example"));
    assert!(row.credential.environment_proven);

    let next = token(2, TokenRole::Candidate);
    store.insert_candidate(id, &next, &entry(AuditEvent::SignedIn)).unwrap();
    promote(&mut store, id, 2);
    let roles: Vec<_> = store
        .token_sets(id)
        .unwrap()
        .into_iter()
        .map(|token| (token.generation.0, token.role, token.drain_until))
        .collect();
    assert_eq!(
        roles,
        [(1, TokenRole::Draining, Some(UnixMillis(99))), (2, TokenRole::Active, None)]
    );
}

#[test]
fn a_refresh_is_fenced_by_generation_and_its_loser_is_kept_as_orphan() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let id = signed_in(&mut store);
    let refreshed = entry(AuditEvent::Refreshed);
    let first =
        store.finish_refresh(id, Generation(1), &token(2, TokenRole::Active), None, &refreshed);
    assert_eq!(first, Ok(true));
    let late =
        store.finish_refresh(id, Generation(1), &token(3, TokenRole::Active), None, &refreshed);
    assert_eq!(late, Ok(false));
    let active = store.token_set(id, TokenRole::Active).unwrap().unwrap();
    assert_eq!(active.generation, Generation(2));
    let orphan = store.token_set(id, TokenRole::Orphan).unwrap().unwrap();
    assert_eq!(orphan.generation, Generation(3));
    let stale =
        store.finish_refresh(id, Generation(2), &token(3, TokenRole::Active), None, &refreshed);
    assert_eq!(stale, Err(Error::Stale), "a generation is never given out twice");
    assert_eq!(store.token_set(id, TokenRole::Active).unwrap().unwrap().generation, Generation(2));
}

#[test]
fn an_intent_past_its_deadline_makes_the_state_uncertain() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let id = signed_in(&mut store);
    let intent = IntentRow {
        operation: IntentOperation::Refresh,
        generation: Generation(1),
        attempt: 1,
        spent_tag: [7; 32],
        boot_id: "boot".into(),
        host_mark: "host".into(),
        pid: 42,
        started_at: UnixMillis(30),
        deadline: UnixMillis(60),
    };
    store.begin_exchange(id, &intent).unwrap();
    assert_eq!(store.intent(id, IntentOperation::Refresh).unwrap(), Some(intent));
    let row = store.credential(id).unwrap().credential;
    assert_eq!(row.state(UnixMillis(60)), State::Ready, "someone may still be waiting");
    assert_eq!(row.state(UnixMillis(61)), State::Uncertain);
    store.end_exchange(id, IntentOperation::Refresh, None).unwrap();
    assert_eq!(store.credential(id).unwrap().credential.state(UnixMillis(61)), State::Ready);
}

#[test]
fn a_refusal_counts_for_its_own_generation_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let id = signed_in(&mut store);
    let refusal = check(CheckKind::Refresh, 30, CheckOutcome::NeedsSetup);
    let refused = entry(AuditEvent::TokenRefused);
    let older = store.refuse_token(id, Generation(7), Cause::Revoked, &refusal, &refused);
    assert_eq!(older, Err(Error::Stale));
    store.refuse_token(id, Generation(1), Cause::Revoked, &refusal, &refused).unwrap();
    let row = store.credential(id).unwrap().credential;
    assert_eq!(row.state(UnixMillis(50)), State::NeedsSetup);
    assert_eq!(row.cause(UnixMillis(50)), Some(Cause::Revoked));
}

#[test]
fn deleting_the_one_in_use_leaves_the_other_in_use_and_the_last_takes_the_name_along() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let name = ConnectionName::parse("acme").unwrap();
    save(&mut store, &address("acme", Environment::Production)).unwrap();
    save(&mut store, &address("acme", Environment::Sandbox)).unwrap();
    let deleted = entry(AuditEvent::CredentialDeleted);
    let production = store.credentials_of(&name).unwrap()[0].id;
    store.delete_credential(production, &[], &deleted).unwrap();
    let left = store.credentials_of(&name).unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].credential.in_use);
    store.delete_credential(left[0].id, &[], &deleted).unwrap();
    assert!(store.credentials_of(&name).unwrap().is_empty());
    assert_eq!(store.delete_credential(left[0].id, &[], &deleted), Err(Error::Stale));
    save(&mut store, &address("ACME", Environment::Sandbox)).unwrap();
}

#[test]
fn the_audit_chain_joins_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    signed_in(&mut store);
    let mut statement = store
        .connection
        .prepare("SELECT event, previous, hash FROM audit ORDER BY sequence")
        .unwrap();
    let rows: Vec<(String, [u8; 32], [u8; 32])> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let events: Vec<&str> = rows.iter().map(|(event, ..)| event.as_str()).collect();
    assert_eq!(events, ["credential_saved", "signed_in", "token_promoted"]);
    let mut previous = [0; 32];
    for (_, before, hash) in &rows {
        assert_eq!(*before, previous);
        previous = *hash;
    }
}

#[test]
fn the_history_keeps_the_newest_two_hundred() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let id = saved(&mut store);
    for at in 0..205 {
        store.record_check(id, &check(CheckKind::Test, at, CheckOutcome::Ok)).unwrap();
    }
    let checks = store.checks(id).unwrap();
    assert_eq!((checks.len(), checks[0].at, checks[199].at), (200, UnixMillis(204), UnixMillis(5)));
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orgkey.db");
    drop(open(&folder));
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let error = Store::open(&path, Durability::Full, || "host".into()).err();
    assert_eq!(error, Some(Error::TooNew { found: 99, known: 6 }));
}

#[test]
fn a_file_that_is_no_store_is_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orgkey.db");
    std::fs::write(&path, "nothing that SQLite wrote, and long enough to be looked at".repeat(99))
        .unwrap();
    assert!(matches!(
        Store::open(&path, Durability::Full, || "host".into()),
        Err(Error::Damaged(_))
    ));
}

#[test]
fn two_processes_that_open_a_new_store_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orgkey.db");
    let ids: Vec<RecordId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    Store::open(&path, Durability::Full, || "host".into()).unwrap().store_id()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
}

#[test]
fn commits_are_synced_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let pragma = |name: &str| -> String {
        let read = |row: &rusqlite::Row<'_>| {
            row.get::<_, i64>(0).map(|value| value.to_string()).or_else(|_| row.get(0))
        };
        store.connection.query_row(&format!("PRAGMA {name}"), [], read).unwrap()
    };
    assert_eq!((pragma("synchronous"), pragma("journal_mode")), ("2".into(), "wal".into()));
    assert_eq!(pragma("foreign_keys"), "1");
}

#[test]
fn hand_outs_are_counted_by_minute_and_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let id = signed_in(&mut store);
    let row = hand_out_row(&store);
    let hand_out = HandOut {
        at: UnixMillis(60_001),
        who: r#"{"uid":1,"parent":"etl.sh"}"#.into(),
        generation: Generation(1),
    };
    assert!(store.count_hand_out(&row, &hand_out).unwrap());
    store.count_hand_out(&row, &HandOut { at: UnixMillis(60_002), ..hand_out.clone() }).unwrap();
    assert_eq!(store.last_hand_out(id), Ok(Some(UnixMillis(120_000))));
    let open = |store: &Store| -> (i64, i64) {
        let query = "SELECT count(*), coalesce(sum(count), 0) FROM hand_out";
        store.connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    assert_eq!(open(&store), (1, 2));
    let mode = |store: &Store| -> i64 {
        store.connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(mode(&store), 2, "everything else outlives a power cut");
    let hold = r#"{"reason":"x","by":"","since":0}"#;
    store.connection.execute("UPDATE credential SET held = ?1", [hold]).unwrap();
    assert!(!store.count_hand_out(&row, &hand_out).unwrap(), "on hold: there is no hand-out");
    store.connection.execute("UPDATE credential SET held = NULL", []).unwrap();
    assert_eq!(open(&store), (1, 2));

    // The first one of a later minute takes them into the chain.
    let rows = store.audit_head().unwrap().sequence;
    store.count_hand_out(&row, &HandOut { at: UnixMillis(130_000), ..hand_out.clone() }).unwrap();
    assert_eq!(open(&store), (1, 1));
    let told = store.audit_page(&AuditFilter::default(), Some(rows)).unwrap().remove(0);
    assert_eq!(
        (told.event.as_str(), told.detail.as_str()),
        ("handed_out", "2 times, generation 1")
    );
    assert_eq!((told.at, told.who.as_str()), (UnixMillis(60_001), hand_out.who.as_str()));
    assert_eq!((told.subject.as_str(), told.hand_outs()), ("acme/production", Some(2)));

    // A change takes in all of them, and stands after them; a deletion too.
    store.delete_credential(id, &[], &entry(AuditEvent::CredentialDeleted)).unwrap();
    assert_eq!(open(&store), (0, 0));
    let rows = store.audit_page(&AuditFilter::default(), Some(told.sequence)).unwrap();
    let events: Vec<&str> = rows.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(events, ["handed_out", "credential_deleted"]);
    assert!(!store.count_hand_out(&row, &hand_out).unwrap(), "it is gone: there is no hand-out");
}

#[test]
fn a_row_that_lies_elsewhere_by_now_is_found_by_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    signed_in(&mut store);
    let row = hand_out_row(&store);
    store.connection.execute("UPDATE credential SET rowid = rowid + 7", []).unwrap();
    let hand_out = HandOut { at: UnixMillis(60_001), who: "{}".into(), generation: Generation(1) };
    assert!(store.count_hand_out(&row, &hand_out).unwrap());
}

#[test]
fn the_log_stays_short_where_hand_outs_alone_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    signed_in(&mut store);
    let row = hand_out_row(&store);
    drop(store);
    let (path, log) = (folder.path().join("orgkey.db"), folder.path().join("orgkey.db-wal"));
    let mut longest = 0;
    for number in 0..100 {
        let mut alone = Store::open(&path, Durability::HandOuts, || "host".into()).unwrap();
        let at = UnixMillis(60_000 * (number / 3));
        let hand_out = HandOut { at, who: "{}".into(), generation: Generation(1) };
        assert!(alone.count_hand_out(&row, &hand_out).unwrap());
        drop(alone);
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    // One hand-out more than the length at which it is emptied.
    assert!((1..2 * HAND_OUT_LOG).contains(&longest), "{longest} bytes");
    let counted: i64 = open(&folder)
        .connection
        .query_row("SELECT sum(count) FROM hand_out", [], |row| row.get(0))
        .unwrap();
    assert_eq!(counted, 1, "all but the last minute's are in the chain");
}

#[test]
fn a_connection_for_hand_outs_takes_those_of_all_credentials_into_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    signed_in(&mut store);
    let globex = address("globex", Environment::Production);
    save(&mut store, &globex).unwrap();
    let other = store.hand_out_rows(&globex.name).unwrap().remove(0);
    let at = |at| HandOut { at: UnixMillis(at), who: "{}".into(), generation: Generation(1) };
    let path = folder.path().join("orgkey.db");
    let mut alone = Store::open(&path, Durability::HandOuts, || "host".into()).unwrap();
    let row = hand_out_row(&store);
    assert!(alone.count_hand_out(&row, &at(60_001)).unwrap());
    assert!(alone.count_hand_out(&other, &at(60_002)).unwrap());
    assert!(alone.count_hand_out(&row, &at(130_000)).unwrap());
    for name in ["acme/production", "globex/production"] {
        let newest = store.audit_of(name, 1).unwrap().remove(0);
        assert_eq!((newest.event.as_str(), newest.hand_outs()), ("handed_out", Some(1)), "{name}");
    }
    store.delete_credential(other.id, &[], &entry(AuditEvent::CredentialDeleted)).unwrap();
    assert!(!alone.count_hand_out(&other, &at(130_001)).unwrap(), "a reference to nothing");
}

#[test]
fn a_drain_knows_the_last_hand_out_after_it_went_into_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let id = signed_in(&mut store);
    let row = hand_out_row(&store);
    let hand_out = HandOut { at: UnixMillis(60_001), who: "{}".into(), generation: Generation(1) };
    store.count_hand_out(&row, &hand_out).unwrap();
    store.fold_hand_outs().unwrap();
    assert_eq!(store.last_hand_out(id), Ok(Some(UnixMillis(120_000))));
    // Also where the set that it was of is gone: a refresh put another in its place.
    store.connection.execute("UPDATE token_set SET handed_out = NULL", []).unwrap();
    assert_eq!(store.last_hand_out(id), Ok(Some(UnixMillis(120_000))));
}

#[test]
fn what_version_2_counted_goes_into_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let id = signed_in(&mut store);
    store
        .connection
        .execute(
            "INSERT INTO hand_out
                 SELECT ?1, 5, 1, json_object('uid', 7, 'tty', NULL, 'parent', 'etl'), 300000, 9, 0, NULL",
            [id.0],
        )
        .unwrap();
    store.fold_hand_outs().unwrap();
    let rows = store.audit_of("acme/production", 1).unwrap();
    assert_eq!((rows[0].event.as_str(), rows[0].hand_outs()), ("handed_out", Some(9)));
    assert_eq!(rows[0].who, r#"{"uid":7,"tty":null,"parent":"etl"}"#);
}

#[test]
fn a_segment_is_sealed_after_thirty_days() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let day =
        |day: i64| AuditEntry { at: UnixMillis(day * 86_400_000), ..entry(AuditEvent::AppAdded) };
    for at in [0, 29, 30, 31, 59, 60, 200] {
        store.record(&day(at)).unwrap();
    }
    let rows = store.audit_page(&AuditFilter::default(), None).unwrap();
    let seals: Vec<(i64, &str)> = rows
        .iter()
        .filter(|row| row.event == "segment_sealed")
        .map(|row| (row.sequence, row.detail.split(", head").next().unwrap()))
        .collect();
    assert_eq!(seals, [(3, "2 rows, 1 to 2"), (7, "4 rows, 3 to 6"), (9, "2 rows, 7 to 8")]);
    let verified = store.verify_audit(None).unwrap();
    assert_eq!((verified.broken, verified.segments, verified.rows), (None, 3, 10));
}
