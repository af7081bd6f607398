//! Credentials for tests: fixed times, invented IDs with their true check suffixes.

use std::time::Duration;

use crate::domain::app::{App, DEFAULT_APP, Flow};
use crate::domain::audit::{AuditRow, HistoryEntry};
use crate::domain::copy::{CopyQuestion, CopySign, CopyStanding, Moved};
use crate::domain::credential::{
    AuthorizationSummary, Cause, Check, CheckKind, CheckOutcome, Credential, IntentSummary,
    TokenSummary,
};
use crate::domain::hold::Hold;
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::{Address, ConnectionName, Environment};
use crate::domain::rotation::{Draining, Taken};
use crate::domain::time::UnixMillis;
use crate::domain::token::{Expiry, Generation};
use crate::engine::outcome::{
    AppFinding, AppReport, AuthorizationStarted, DeviceCode, OldToken, Proof, Revocation,
    RevokeReceipt, RotationHow, RotationReport,
};

/// 25 November 2026, 14:05 UTC.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_615_500_000);

fn ago(seconds: u64) -> UnixMillis {
    UnixMillis(NOW.0 - i64::try_from(seconds).unwrap() * 1000)
}

pub(crate) fn address(name: &str, environment: &str) -> Address {
    Address {
        name: ConnectionName::parse(name).unwrap(),
        environment: Environment::parse(environment).unwrap(),
    }
}

/// A store that was restored a while ago.
pub(crate) fn copied() -> CopyStanding {
    let question = CopyQuestion { since: ago(600), sign: CopySign::Restored };
    CopyStanding { question: Some(question), moved: None }
}

/// A store that was moved a while ago.
pub(crate) fn moved() -> CopyStanding {
    let moved = Moved { at: ago(86_400), to: "/srv/backup/acme.moved".into() };
    CopyStanding { question: None, moved: Some(moved) }
}

pub(crate) fn saved(name: &str, environment: &str) -> Credential {
    let sandbox = environment == "sandbox";
    let host = if sandbox { format!("{name}--uat.sandbox") } else { name.to_owned() };
    Credential {
        address: address(name, environment),
        in_use: !sandbox,
        org_id: OrgId::parse("00D5g00000Abc1X").unwrap(),
        user_id: UserId::parse("0055g00000FgHiJ").unwrap(),
        username: Some(format!("svc-sync@{name}.com")),
        login_url: LoginUrl::from_stored(format!("https://{host}.my.salesforce.com")),
        app: DEFAULT_APP.into(),
        tags: vec!["eu".into()],
        held: None,
        revocation_owed: false,
        environment_proven: true,
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

pub(crate) fn check(outcome: CheckOutcome, seconds: u64, message: &str, remedy: &str) -> Check {
    Check {
        kind: CheckKind::Test,
        at: ago(seconds),
        outcome,
        latency_ms: 184,
        message: message.into(),
        remedy: remedy.into(),
    }
}

pub(crate) fn with_token(mut credential: Credential) -> Credential {
    let host = credential.login_url.as_str().to_owned();
    credential.token = Some(TokenSummary {
        instance_url: InstanceUrl::from_stored(host),
        issued_at: ago(400),
        expiry: Expiry { at: NOW.plus(Duration::from_secs(6800)), known: false },
        scopes: vec!["api".into(), "refresh_token".into(), "id".into()],
        flow: Flow::Paste,
        generation: Generation(40),
        signed_in_at: ago(13 * 86_400),
        refused: None,
        refreshable: true,
        rotated_at: None,
    });
    credential
}

fn tested(mut credential: Credential, test: Check) -> Credential {
    credential.last_check = Some(test.clone());
    credential.last_test = Some(test);
    credential
}

pub(crate) fn ready(name: &str, environment: &str) -> Credential {
    let test = check(CheckOutcome::Ok, 180, "Access test successful", "");
    tested(with_token(saved(name, environment)), test)
}

pub(crate) fn unreachable(name: &str) -> Credential {
    let test = check(
        CheckOutcome::Unreachable,
        120,
        "login.salesforce.com did not answer within 20 s",
        "try again later; the token is kept",
    );
    tested(with_token(saved(name, "production")), test)
}

pub(crate) fn needs_setup(name: &str) -> Credential {
    let mut credential = with_token(saved(name, "production"));
    credential.token.as_mut().unwrap().refused = Some(Cause::Revoked);
    let test = check(
        CheckOutcome::NeedsSetup,
        86_400,
        "Salesforce refused the token: expired access/refresh token",
        "set up the OAuth token",
    );
    tested(credential, test)
}

pub(crate) fn authorizing(name: &str) -> Credential {
    let mut credential = saved(name, "production");
    credential.authorization = Some(AuthorizationSummary {
        flow: Flow::Paste,
        started_at: ago(320),
        expires_at: NOW.plus(Duration::from_secs(580)),
    });
    credential
}

fn tagged(mut credential: Credential, tag: &str) -> Credential {
    credential.tags.push(tag.into());
    credential
}

/// The eight of the mock-up.
pub(crate) fn many() -> Vec<Credential> {
    let mut uncertain = with_token(tagged(saved("billing-uat", "sandbox"), "billing"));
    uncertain.in_use = true;
    uncertain.intent = Some(IntentSummary { started_at: ago(150), deadline: ago(120) });
    vec![
        ready("acme", "production"),
        ready("acme", "sandbox"),
        tagged(needs_setup("billing-emea"), "billing"),
        uncertain,
        unreachable("globex"),
        ready("initech", "production"),
        saved("initech-dev", "sandbox"),
        authorizing("umbrella"),
    ]
}

/// As many as asked for.
pub(crate) fn numbered(count: usize) -> Vec<Credential> {
    (0..count).map(|number| ready(&format!("customer-{number:05}"), "production")).collect()
}

/// The default app.
pub(crate) fn app() -> App {
    App {
        client_id: "3MVG9invented.ClientId_01".into(),
        has_secret: true,
        redirect_uris: vec!["https://login.salesforce.com/services/oauth2/success".into()],
        ..App::named(DEFAULT_APP.into())
    }
}

/// A set-up that waits for the person, with an address of a usual length.
pub(crate) fn authorization(name: &str) -> AuthorizationStarted {
    let url = format!(
        "https://{name}.my.salesforce.com/services/oauth2/authorize?response_type=code\
         &client_id=3MVG9invented.ClientId_01invented.ClientId_02invented.ClientId_03invented\
         &redirect_uri=https%3A%2F%2Flogin.salesforce.com%2Fservices%2Foauth2%2Fsuccess\
         &scope=api%20refresh_token%20id&state=inventedInventedInventedInvented\
         &code_challenge=inventedInventedInventedInventedInventedInv&code_challenge_method=S256\
         &login_hint=svc-sync%40{name}.com&prompt=login"
    );
    AuthorizationStarted {
        address: address(name, "production"),
        flow: Flow::Paste,
        url,
        redirect_uri: "https://login.salesforce.com/services/oauth2/success".into(),
        started_at: ago(20),
        expires_at: NOW.plus(Duration::from_secs(880)),
        username: Some(format!("svc-sync@{name}.com")),
        user_id: UserId::parse("0055g00000FgHiJ").unwrap(),
        device: None,
    }
}

/// A device flow that waits for the person.
pub(crate) fn device(name: &str) -> AuthorizationStarted {
    let verification_uri = format!("https://{name}.my.salesforce.com/setup/connect");
    let device = DeviceCode {
        user_code: "08T3AY9D".into(),
        verification_uri: verification_uri.clone(),
        app: "default".into(),
        scopes: vec!["api".into(), "refresh_token".into(), "id".into()],
    };
    AuthorizationStarted {
        flow: Flow::Device,
        url: format!("{verification_uri}?user_code=08T3AY9D"),
        redirect_uri: String::new(),
        expires_at: NOW.plus(Duration::from_secs(580)),
        device: Some(device),
        ..authorization(name)
    }
}

/// The same whose answer comes back by itself.
pub(crate) fn loopback(name: &str) -> AuthorizationStarted {
    let redirect_uri = "http://localhost:1717/OauthRedirect".into();
    AuthorizationStarted { flow: Flow::Loopback, redirect_uri, ..authorization(name) }
}

/// What was found out about the default app.
pub(crate) fn app_report() -> AppReport {
    let finding = |good, message: &str, remedy: &str| AppFinding {
        good,
        message: message.into(),
        remedy: remedy.into(),
        may_be_new: !good,
    };
    AppReport {
        app: app(),
        findings: vec![
            finding(true, "login.salesforce.com knows the Consumer Key", ""),
            finding(
                false,
                "the callback URL is not one of the app's",
                "add https://login.salesforce.com/services/oauth2/success to the app",
            ),
        ],
    }
}

/// A revocation that was proved.
pub(crate) fn revoked() -> RevokeReceipt {
    RevokeReceipt {
        address: address("acme", "production"),
        revocation: Revocation::Confirmed,
        proof: Some(Proof::Refused),
        token_sets: 1,
        app: DEFAULT_APP.into(),
        message: String::new(),
    }
}

/// The credential, on hold.
pub(crate) fn held(mut credential: Credential) -> Credential {
    let (reason, by) = ("ana leaves the company".into(), "root from 192.0.2.7".into());
    credential.held = Some(Hold { reason, by, since: ago(3600) });
    credential
}

/// What happened to a credential: audit rows and checks, newest first.
pub(crate) fn history() -> Vec<HistoryEntry> {
    let row =
        |minutes: u64, event: &str, detail: &str, reason: &str, who: &str| HistoryEntry::Audit {
            row: AuditRow {
                sequence: 100 - i64::try_from(minutes).unwrap(),
                at: UnixMillis(NOW.0 - i64::try_from(minutes).unwrap() * 60_000),
                event: event.into(),
                subject: "acme/production".into(),
                detail: detail.into(),
                reason: reason.into(),
                who: "{}".into(),
                hash: "00".repeat(32),
            },
            who: who.into(),
        };
    let checks = many().into_iter().filter_map(|credential| credential.last_check);
    let mut entries = vec![
        row(1, "handed_out", "12 times, generation 5", "", "etl nightly.sh"),
        row(2, "hand_out_altered", "1 time, generation 5", "", "bob bash 192.0.2.7"),
        row(30, "refreshed", "generation 5 after 4", "", "etl cron"),
        row(
            60,
            "credential_edited",
            "tags",
            "OPS-7: billing moves to the other team",
            "ana 192.0.2.7",
        ),
        row(5_000, "token_promoted", "generation 1", "", "ana 192.0.2.7"),
    ];
    entries.extend(checks.map(HistoryEntry::Check));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
    entries
}

/// A rotation that needs a person.
pub(crate) fn rotation(address: &Address) -> RotationReport {
    RotationReport {
        address: address.clone(),
        how: RotationHow::SignIn,
        outcome: CheckOutcome::NeedsSetup,
        generation: Some(Generation(40)),
        old: OldToken::Kept,
        message: "a sign-in is needed".into(),
        remedy: String::new(),
    }
}

/// One whose replaced token still works, and that is overdue by another rule.
pub(crate) fn draining() -> Credential {
    let mut credential = ready("acme", "production");
    credential.draining = Some(Draining {
        until: NOW.plus(Duration::from_secs(1_500)),
        taken: Some(Taken {
            at: ago(120),
            program: "nightly.sh".into(),
            terminal: "/dev/pts/3".into(),
        }),
    });
    credential.rotate_due = Some(ago(2 * 86_400));
    credential
}
