//! The rules by themselves, on a clock that the test moves.

use std::time::Duration;

use super::client::{CHALLENGE, PUBLIC, REDIRECT, VERIFIER};
use crate::domain::time::UnixMillis;
use crate::simulator::authorize::Step;
use crate::simulator::host::VirtualHost;
use crate::simulator::request::Form;
use crate::simulator::seed;
use crate::simulator::token::PresentedCode;
use crate::simulator::world::{AppIndex, OrgIndex, World};

pub(super) const START: UnixMillis = UnixMillis(1_795_473_512_345);
pub(super) const ACME: VirtualHost = VirtualHost::MyDomain(OrgIndex(0));
pub(super) const APP: AppIndex = AppIndex(0);

pub(super) fn after(minutes: u64) -> UnixMillis {
    START.plus(Duration::from_secs(minutes * 60))
}

pub(super) fn world() -> World {
    seed::world(80, [3; 32])
}

/// Access and refresh token of a new sign-in.
pub(super) fn sign_in(world: &mut World, now: UnixMillis, username: &str) -> (String, String) {
    let query = Form::of(&[
        ("response_type", "code"),
        ("client_id", PUBLIC),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
    ]);
    let Step::LogIn { attempt, .. } = world.begin_sign_in(now, ACME, None, &query) else {
        panic!("no login page")
    };
    let user = world.user_by_name(username).unwrap();
    let password = world.user(user).password.clone();
    let (Step::Approve { attempt }, _) = world.log_in(now, ACME, &attempt, username, &password)
    else {
        panic!("no approval page")
    };
    let Step::Return { url, .. } = world.decide(now, ACME, &attempt, true) else {
        panic!("no return")
    };
    let url = url::Url::parse(&url).unwrap();
    let code = url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let presented =
        PresentedCode { code: &code, redirect_uri: Some(REDIRECT), verifier: Some(VERIFIER) };
    let reply = world.exchange_code(now, ACME, APP, &presented).unwrap().fields;
    let text = |name: &str| reply[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

pub(super) fn refresh(
    world: &mut World,
    now: UnixMillis,
    token: &str,
) -> Result<String, &'static str> {
    let ticket =
        world.begin_refresh(now, ACME, APP, token).map_err(|refusal| refusal.description)?;
    let reply = world.finish_refresh(now, &ticket).map_err(|refusal| refusal.description)?;
    Ok(reply.fields["refresh_token"].as_str().unwrap().to_owned())
}

pub(super) const EXPIRED: Result<String, &str> = Err("expired access/refresh token");

#[test]
fn the_sixth_approval_ends_the_oldest_and_rotation_adds_none() {
    let mut world = world();
    let mut tokens: Vec<_> =
        (0..5).map(|minute| sign_in(&mut world, after(minute), "ana@acme.example")).collect();
    tokens[0].1 = refresh(&mut world, after(6), &tokens[0].1).unwrap();
    assert!(tokens.iter().all(|(access, _)| world.sessions.contains_key(access)));
    let other = sign_in(&mut world, after(7), "ben@acme.example");
    let sixth = sign_in(&mut world, after(8), "ana@acme.example");
    assert_eq!(refresh(&mut world, after(9), &tokens[0].1), EXPIRED);
    assert!(world.use_session(after(9), &tokens[0].0).is_none());
    for (access, token) in tokens[1..].iter().chain([&other, &sixth]) {
        assert!(world.use_session(after(9), access).is_some());
        assert!(refresh(&mut world, after(9), token).is_ok());
    }
}

#[test]
fn a_session_slides_once_half_of_it_has_passed() {
    let mut world = world();
    world.apps[0].session_timeout = Duration::from_secs(30 * 60);
    // Uses in minutes after the start, and the minute at which the session is then dead.
    let table: [(&[u64], u64); 5] =
        [(&[], 30), (&[10], 30), (&[20], 50), (&[20, 30], 50), (&[15, 30, 45], 75)];
    for (uses, end) in table {
        let (access, _) = sign_in(&mut world, START, "ana@acme.example");
        for minute in uses {
            assert!(world.use_session(after(*minute), &access).is_some(), "{uses:?} {minute}");
        }
        let expires_at = world.sessions[&access].expires_at;
        assert_eq!(expires_at, after(end), "{uses:?}");
        assert!(world.use_session(after(end), &access).is_none(), "{uses:?}");
        assert!(!world.sessions.contains_key(&access));
    }
}

#[test]
fn revoking_an_access_token_ends_that_session_alone() {
    let mut world = world();
    let (first, token) = sign_in(&mut world, START, "ana@acme.example");
    let token = refresh(&mut world, START, &token).unwrap();
    assert_eq!(world.revoke(START, &first), Ok(()));
    assert!(world.revoke(START, &first).is_err());
    let second = sign_in(&mut world, START, "ana@acme.example");
    let token = refresh(&mut world, START, &token).unwrap();
    assert_eq!(world.revoke(START, &token), Ok(()));
    assert_eq!(world.sessions.len(), 1, "the other approval lives on");
    assert!(world.use_session(START, &second.0).is_some());
}

#[test]
fn a_token_in_flight_is_refused_until_it_is_done() {
    let mut world = world();
    let (_, token) = sign_in(&mut world, START, "ana@acme.example");
    let ticket = world.begin_refresh(START, ACME, APP, &token).unwrap();
    let busy = Err("token request is already being processed");
    assert_eq!(refresh(&mut world, START, &token), busy);
    assert_eq!(world.revoke(START, &token), Ok(()));
    let revoked = world.finish_refresh(START, &ticket).unwrap_err();
    assert_eq!(revoked.description, "expired access/refresh token");
}

#[test]
pub(super) fn refresh_tokens_die_unused_too_old_or_with_their_user() {
    let mut world = world();
    world.apps[0].idle_limit = Some(Duration::from_secs(30 * 60));
    world.apps[0].age_limit = Some(Duration::from_secs(50 * 60));
    let (_, token) = sign_in(&mut world, START, "ana@acme.example");
    assert_eq!(refresh(&mut world, after(31), &token), EXPIRED);
    let (_, token) = sign_in(&mut world, START, "ana@acme.example");
    let token = refresh(&mut world, after(30), &token).unwrap();
    assert_eq!(refresh(&mut world, after(51), &token), EXPIRED);
    let (_, token) = sign_in(&mut world, START, "ana@acme.example");
    world.users[0].active = false;
    assert_eq!(refresh(&mut world, START, &token), Err("inactive user"));
}
