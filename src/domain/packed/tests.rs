//! Whatever is packed comes out as it was.

use proptest::option::of;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::domain::app::Flow;
use crate::domain::credential::{
    AuthorizationSummary, Cause, Check, CheckKind, CheckOutcome, IntentSummary, PendingEdit,
    TokenSummary,
};
use crate::domain::hold::Hold;
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::ConnectionName;
use crate::domain::rotation::{Draining, Taken};
use crate::domain::time::UnixMillis;
use crate::domain::token::{Expiry, Generation};

fn time() -> impl Strategy<Value = UnixMillis> {
    any::<i64>().prop_map(UnixMillis)
}

fn url() -> impl Strategy<Value = String> {
    prop_oneof![
        "https://[a-z-]{1,12}[.]my[.]salesforce[.]com",
        Just("https://login.salesforce.com".to_owned()),
        "[ -~]{0,20}",
    ]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("api".to_owned()), any::<String>()]
}

fn list() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(), 0..4)
}

fn org_id() -> impl Strategy<Value = OrgId> {
    "00D[A-Z][a-z][0-9A-Za-z]{10}".prop_map(|id| OrgId::parse(&id).unwrap())
}

fn user_id() -> impl Strategy<Value = UserId> {
    "005[A-Z][a-z][0-9A-Za-z]{10}".prop_map(|id| UserId::parse(&id).unwrap())
}

fn check() -> impl Strategy<Value = Check> {
    let kinds = prop::sample::select(CheckKind::ALL);
    let outcomes = prop::sample::select(CheckOutcome::ALL);
    (kinds, time(), outcomes, any::<u64>(), word(), word()).prop_map(
        |(kind, at, outcome, latency_ms, message, remedy)| Check {
            kind,
            at,
            outcome,
            latency_ms,
            message,
            remedy,
        },
    )
}

fn pending() -> impl Strategy<Value = PendingEdit> {
    (org_id(), user_id(), of(word()), url(), word()).prop_map(
        |(org_id, user_id, username, url, app)| PendingEdit {
            org_id,
            user_id,
            username,
            login_url: LoginUrl::from_stored(url),
            app,
        },
    )
}

fn token() -> impl Strategy<Value = TokenSummary> {
    let times = (time(), time(), time(), of(time()));
    let bits = (any::<bool>(), any::<bool>());
    (url(), times, bits, list(), any::<u64>(), of(prop::sample::select(Cause::ALL))).prop_map(
        |(
            url,
            (issued_at, at, signed_in_at, rotated_at),
            (known, refreshable),
            scopes,
            number,
            refused,
        )| {
            TokenSummary {
                instance_url: InstanceUrl::from_stored(url),
                issued_at,
                expiry: Expiry { at, known },
                scopes,
                flow: Flow::Device,
                generation: Generation(number),
                signed_in_at,
                refused,
                refreshable,
                rotated_at,
            }
        },
    )
}

prop_compose! {
    fn account()(
        name in "[a-cA-C][a-cA-C01_]{0,2}",
        environment in prop::sample::select(vec![Environment::Production, Environment::Sandbox]),
        org_id in org_id(),
        user_id in user_id(),
        username in of(word()),
        url in url(),
        app in word(),
        tags in list(),
    ) -> Credential {
        Credential {
            address: Address { name: ConnectionName::parse(&name).unwrap(), environment },
            in_use: false,
            org_id,
            user_id,
            username,
            login_url: LoginUrl::from_stored(url),
            app,
            tags,
            held: None,
            revocation_owed: false,
            environment_proven: false,
            pending: None,
            token: None,
            has_candidate: false,
            last_check: None,
            last_test: None,
            authorization: None,
            intent: None,
            draining: None,
            rotate_due: None,
        }
    }
}

prop_compose! {
    fn credential()(
        account in account(),
        bits in any::<[bool; 5]>(),
        held in of((word(), word(), time())),
        pending in of(pending()),
        token in of(token()),
        last_check in of(check()),
        last_test in of(check()),
        authorization in of((time(), time())),
        intent in of((time(), time())),
        draining in of((time(), of((time(), word(), word())))),
        rotate_due in of(time()),
    ) -> Credential {
        let [in_use, revocation_owed, environment_proven, has_candidate, same] = bits;
        Credential {
            in_use,
            held: held.map(|(reason, by, since)| Hold { reason, by, since }),
            revocation_owed,
            environment_proven,
            pending,
            token,
            has_candidate,
            last_test: if same { last_check.clone() } else { last_test },
            last_check,
            authorization: authorization.map(|(started_at, expires_at)| {
                AuthorizationSummary { flow: Flow::Paste, started_at, expires_at }
            }),
            intent: intent.map(|(started_at, deadline)| IntentSummary { started_at, deadline }),
            draining: draining.map(|(until, taken)| Draining {
                until,
                taken: taken.map(|(at, program, terminal)| Taken { at, program, terminal }),
            }),
            rotate_due,
            ..account
        }
    }
}

proptest! {
    #[test]
    fn what_is_packed_comes_out_as_it_was(
        credentials in prop::collection::vec(credential(), 0..12),
        now in time(),
    ) {
        let mut packed = Packed::default();
        for credential in &credentials {
            packed.push(credential);
        }
        for (index, credential) in credentials.iter().enumerate() {
            prop_assert_eq!(packed.get(index), Some(credential.clone()));
            let row = packed.row(index).unwrap();
            prop_assert_eq!(row.state(now), credential.state(now));
            prop_assert_eq!(row.address(), Some(credential.address.clone()));
            let details = row.details().unwrap();
            prop_assert_eq!(details.org_id.as_slice(), credential.org_id.as_str().as_bytes());
        }
    }

    #[test]
    fn each_is_found_by_its_address_after_any_changes(
        credentials in prop::collection::vec(credential(), 0..60),
    ) {
        let mut packed = Packed::default();
        let mut known = std::collections::BTreeMap::new();
        for credential in &credentials {
            match packed.find(&credential.address) {
                Ok(index) => packed.replace(index, credential),
                Err(index) => packed.insert(index, credential),
            }
            let Address { name, environment } = &credential.address;
            known.insert((name.folded(), *environment), credential.clone());
            if packed.waste > packed.bytes.len() / 4 {
                packed.make_room();
            }
        }
        prop_assert_eq!(packed.len(), known.len());
        for (index, credential) in known.values().enumerate() {
            prop_assert_eq!(packed.find(&credential.address), Ok(index));
            prop_assert_eq!(packed.get(index), Some(credential.clone()));
        }
        let sorted: Packed = known.values().rev().cloned().collect();
        for (index, credential) in known.into_values().enumerate() {
            prop_assert_eq!(sorted.get(index), Some(credential));
        }
    }
}

#[test]
fn a_record_cut_anywhere_is_no_credential_and_no_fault() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..50 {
        let tree = credential().new_tree(&mut runner).unwrap();
        let mut packed = Packed::default();
        packed.push(&tree.current());
        while packed.bytes.pop().is_some() {
            assert_eq!(packed.get(0), None);
        }
    }
}
