//! What becomes of a refresh token that was replaced: the three policies, and what a checker is
//! told of it.

use std::time::Duration;

use serde_json::json;

use super::client::*;
use super::rules::{ACME, APP, EXPIRED, START, after, refresh, sign_in, world};
use crate::simulator::mint::tag;
use crate::simulator::rotation::{RotationPolicy, Standing, Successor};
use crate::simulator::world::{Replay, World};

const ANA: &str = "ana@acme.example";

fn world_with(policy: RotationPolicy) -> World {
    let mut world = world();
    world.apps[0].policy = policy;
    world.apps[0].replay = Replay::RevokeFamily;
    world
}

fn grace(successor: Successor) -> RotationPolicy {
    RotationPolicy::Grace { seconds: 600, successor }
}

/// Tags that would be accepted now, the newest first.
fn accepted(world: &World, minute: u64) -> Vec<String> {
    let ids: Vec<_> = world.approvals.keys().copied().collect();
    assert_eq!(ids.len(), 1, "one sign-in, one approval");
    world.accepted_tags(after(minute), ids[0])
}

#[test]
fn strict_kills_the_old_token_at_once_and_a_replay_its_family() {
    let mut world = world_with(RotationPolicy::Strict);
    let (_, old) = sign_in(&mut world, START, ANA);
    let new = refresh(&mut world, START, &old).unwrap();
    assert_eq!(world.standing(START, &old), Some(Standing::Spent));
    assert_eq!(accepted(&world, 0), [tag(&new)]);
    assert_eq!(refresh(&mut world, START, &old), EXPIRED);
    assert_eq!(refresh(&mut world, START, &new), EXPIRED);
    assert!(world.approvals.is_empty());
}

#[test]
fn in_the_grace_window_the_previous_token_answers_with_the_same_successor_or_a_new_one() {
    for successor in [Successor::Same, Successor::New] {
        let mut world = world_with(grace(successor));
        let (_, old) = sign_in(&mut world, START, ANA);
        let first = refresh(&mut world, START, &old).unwrap();
        let again = refresh(&mut world, after(9), &old).unwrap();
        assert_eq!(again == first, successor == Successor::Same, "{successor:?}");
        assert_eq!(accepted(&world, 9)[0], tag(&again));
        assert!(accepted(&world, 9).contains(&tag(&old)), "{successor:?}");
        // The window counts from the first rotation, and the clock closes it.
        assert!(!accepted(&world, 10).contains(&tag(&old)), "{successor:?}");
        assert_eq!(refresh(&mut world, after(10), &old), EXPIRED);
        assert_eq!(refresh(&mut world, after(10), &again), EXPIRED, "the family died");
    }
}

#[test]
fn the_grace_window_spares_the_previous_token_alone() {
    let mut world = world_with(grace(Successor::Same));
    let (_, oldest) = sign_in(&mut world, START, ANA);
    let previous = refresh(&mut world, START, &oldest).unwrap();
    let newest = refresh(&mut world, after(1), &previous).unwrap();
    assert_eq!(accepted(&world, 1), [tag(&newest), tag(&previous)]);
    assert_eq!(refresh(&mut world, after(2), &oldest), EXPIRED);
    assert_eq!(refresh(&mut world, after(2), &newest), EXPIRED);
}

#[test]
fn until_first_use_the_old_token_lives_and_then_no_more() {
    // The new pair is used by a refresh with it, or by a call with its access token.
    for by_refresh in [true, false] {
        let mut world = world_with(RotationPolicy::UntilFirstUse);
        let (_, old) = sign_in(&mut world, START, ANA);
        let lost = refresh(&mut world, START, &old).unwrap();
        let ticket = world.begin_refresh(after(100), ACME, APP, &old).unwrap();
        let reply = world.finish_refresh(after(100), &ticket).unwrap();
        assert!(reply.tolerated);
        let text = |name: &str| reply.fields[name].as_str().unwrap().to_owned();
        let (access, new) = (text("access_token"), text("refresh_token"));
        assert_ne!(new, lost);
        assert!(accepted(&world, 100).contains(&tag(&old)));
        if by_refresh {
            refresh(&mut world, after(101), &new).unwrap();
        } else {
            world.use_session(after(101), &access).unwrap();
        }
        assert!(!accepted(&world, 101).contains(&tag(&old)), "{by_refresh}");
        assert_eq!(refresh(&mut world, after(101), &old), EXPIRED, "{by_refresh}");
    }
}

#[test]
fn two_tokens_of_an_approval_in_flight_do_not_both_win() {
    let mut world = world_with(grace(Successor::New));
    let (_, old) = sign_in(&mut world, START, ANA);
    let new = refresh(&mut world, START, &old).unwrap();
    let late = world.begin_refresh(START, ACME, APP, &old).unwrap();
    let busy = world.begin_refresh(START, ACME, APP, &old).unwrap_err();
    assert_eq!(busy.description, "token request is already being processed");
    refresh(&mut world, START, &new).unwrap();
    let refused = world.finish_refresh(START, &late).unwrap_err();
    assert!(refused.replay, "it is two generations old by now");
}

#[test]
fn what_is_tolerated_is_revoked_and_introspected_like_the_newest() {
    let mut world = world_with(grace(Successor::Same));
    let (_, old) = sign_in(&mut world, START, ANA);
    refresh(&mut world, START, &old).unwrap();
    assert_eq!(world.introspect(START, APP, &old)["active"], true);
    assert_eq!(world.introspect(after(10), APP, &old)["active"], false);
    assert!(world.revoke(after(10), &old).is_err());
    assert_eq!(world.revoke(after(9), &old), Ok(()));
    assert!(world.approvals.is_empty() && world.sessions.is_empty());
}

#[test]
fn a_checker_is_told_of_limits_that_have_passed() {
    let mut world = world_with(RotationPolicy::Strict);
    world.apps[0].idle_limit = Some(Duration::from_secs(30 * 60));
    let (_, token) = sign_in(&mut world, START, ANA);
    assert_eq!(accepted(&world, 30), [tag(&token)]);
    assert!(accepted(&world, 31).is_empty());
    world.users[0].active = false;
    assert!(accepted(&world, 0).is_empty());
}

#[tokio::test]
async fn the_control_plane_sets_a_policy_and_tells_the_live_token_by_its_tag() {
    let sim = Fixture::start().await;
    let policy = json!({ "grace": { "seconds": 60, "successor": "same" } });
    sim.control("apps", json!({ "client_id": PUBLIC, "rotation_policy": policy })).await;
    let facts = sim.get("localhost", "/_control/facts", None).await.json();
    assert_eq!(facts["apps"][0]["rotation_policy"], policy);
    assert_eq!(facts["apps"][1]["rotation_policy"], "strict");
    let whose = json!({ "username": ANA, "client_id": PUBLIC });
    let none = json!({ "approvals": 0, "alive": false, "tag": null, "tags": [] });
    assert_eq!(sim.control("refresh_tokens", whose.clone()).await, none);

    let old = sim.tokens("acme.my", PUBLIC, ANA).await.field("refresh_token");
    let new = sim.refresh("acme.my", PUBLIC, &old).await.field("refresh_token");
    let told = sim.control("refresh_tokens", whose.clone()).await;
    let expected = json!({ "approvals": 1, "alive": true, "tag": tag(&new),
        "tags": [tag(&new), tag(&old)] });
    assert_eq!(told, expected);
    let listed = sim.get("localhost", "/_control/approvals", None).await.json();
    assert_eq!(listed["approvals"][0]["alive"], true);
    assert_eq!(listed["approvals"][0]["tag"], json!(tag(&new)));
    assert_eq!(listed["approvals"][0]["tolerated_tags"], json!([tag(&old)]));

    assert_eq!(sim.refresh("acme.my", PUBLIC, &old).await.field("refresh_token"), new);
    assert_eq!((sim.count("tolerated").await, sim.count("replays").await), (1, 0));
    sim.control("clock", json!({ "advance_seconds": 60 })).await;
    assert_eq!(sim.refresh("acme.my", PUBLIC, &old).await.status, 400);
    assert_eq!((sim.count("tolerated").await, sim.count("replays").await), (1, 1));
    let told = sim.control("refresh_tokens", whose).await;
    assert_eq!((&told["alive"], &told["tag"]), (&json!(true), &json!(tag(&new))));

    for wrong in [json!("lenient"), json!({ "grace": { "seconds": 60 } }), json!(true)] {
        let body = json!({ "client_id": PUBLIC, "rotation_policy": wrong });
        assert_eq!(sim.post_json("localhost", "/_control/apps", &body).await.status, 400);
    }
}
