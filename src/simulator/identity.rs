//! The identity URL and userinfo (Salesforce OAuth facts 3.10). Their refusals are plain text, not
//! JSON, and say 403 for a dead session: clients that take it for a missing permission fail here.

use serde_json::json;

use crate::domain::id::{OrgId, UserId};
use crate::domain::time::UnixMillis;
use crate::simulator::answer::Answer;
use crate::simulator::request::Request;
use crate::simulator::session::LiveSession;
use crate::simulator::world::World;

/// `GET /id/ORG/USER`; `below` is what follows `/id/`.
pub(crate) fn identity(
    world: &mut World,
    now: UnixMillis,
    request: &Request,
    below: &str,
) -> Answer {
    let ids = below
        .split_once('/')
        .and_then(|(org, user)| Some((OrgId::parse(org).ok()?, UserId::parse(user).ok()?)));
    let Some((org, user)) = ids else { return Answer::text(404, "Bad_Id") };
    let session = match live(world, now, request) {
        Ok(session) => session,
        Err(answer) => return *answer,
    };
    let subject = session.subject;
    let own = (world.org(subject.org), world.user(subject.user));
    let answer = if own.0.id != org.as_str() {
        Answer::text(403, "Wrong_Org")
    } else if own.1.id != user.as_str() {
        Answer::text(404, "Bad_Id")
    } else {
        describe(world, &session)
    };
    answer.about(request.bearer().unwrap_or_default())
}

fn live(world: &mut World, now: UnixMillis, request: &Request) -> Result<LiveSession, Box<Answer>> {
    let Some(token) = request.bearer() else {
        return Err(Box::new(Answer::text(403, "Missing_OAuth_Token")));
    };
    match world.use_session(now, token) {
        Some(session)
            if world.serves(request.place.host, session.subject.org)
                && world.admit(now, session.subject.user).is_ok() =>
        {
            Ok(session)
        }
        _ => Err(Box::new(Answer::text(403, "Bad_OAuth_Token").about(token))),
    }
}

fn describe(world: &World, session: &LiveSession) -> Answer {
    let subject = session.subject;
    let (org, user) = (world.org(subject.org), world.user(subject.user));
    let instance = world.instance_url(subject.org);
    let identity = world.identity_url(subject.user);
    Answer::json(json!({
        "id": identity,
        "asserted_user": true,
        "user_id": user.id,
        "organization_id": org.id,
        "username": user.username,
        "nick_name": user.first_name.to_lowercase(),
        "display_name": format!("{} {}", user.first_name, user.last_name),
        "email": user.username,
        "email_verified": true,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "timezone": "Europe/Berlin",
        "status": { "created_date": null, "body": null },
        "urls": {
            "rest": format!("{instance}/services/data/v{{version}}/"),
            "query": format!("{instance}/services/data/v{{version}}/query/"),
            "sobjects": format!("{instance}/services/data/v{{version}}/sobjects/"),
            "custom_domain": instance,
        },
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 3_600_000,
        "is_app_installed": world.app(subject.app).installed,
    }))
}

/// `GET` or `POST /services/oauth2/userinfo`.
pub(crate) fn userinfo(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let session = match live(world, now, request) {
        Ok(session) => session,
        Err(answer) => return *answer,
    };
    let subject = session.subject;
    let (org, user) = (world.org(subject.org), world.user(subject.user));
    Answer::json(json!({
        "sub": world.identity_url(subject.user),
        "user_id": user.id,
        "organization_id": org.id,
        "preferred_username": user.username,
        "nickname": user.first_name.to_lowercase(),
        "name": format!("{} {}", user.first_name, user.last_name),
        "email": user.username,
        "email_verified": true,
        "given_name": user.first_name,
        "family_name": user.last_name,
        "zoneinfo": "Europe/Berlin",
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 3_600_000,
        "is_app_installed": world.app(subject.app).installed,
    }))
    .about(request.bearer().unwrap_or_default())
}
