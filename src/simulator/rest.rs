//! The part of the REST API that a client asks to know where it stands: versions, the resource
//! list, limits, the Organization row, a User row (Salesforce OAuth facts 1.3 and 5.2).

use serde_json::{Map, Value, json};

use crate::domain::name::Environment;
use crate::domain::time::UnixMillis;
use crate::simulator::answer::Answer;
use crate::simulator::host::VirtualHost;
use crate::simulator::request::Request;
use crate::simulator::soql;
use crate::simulator::world::{OrgIndex, Subject, World};

/// Oldest and newest API version that is listed.
const VERSIONS: std::ops::RangeInclusive<u32> = 60..=68;
/// Calls a day that an org may make.
const DAILY_CALLS: u64 = 100_000;

/// `GET /services/data...`; `below` is what follows it.
pub(crate) fn data(world: &mut World, now: UnixMillis, request: &Request, below: &str) -> Answer {
    if below.trim_matches('/').is_empty() {
        return versions();
    }
    let VirtualHost::MyDomain(org) = request.place.host else {
        let message = "Destination URL not reset. The URL returned from login must be set";
        return Answer::rest_error(403, "URL_NOT_RESET", message);
    };
    let subject = match enter(world, now, request, org) {
        Ok(subject) => subject,
        Err(answer) => return *answer,
    };
    world.orgs[org.0].api_calls += 1;
    let usage = format!("api-usage={}/{DAILY_CALLS}", world.org(org).api_calls);
    let mut segments = below.trim_matches('/').splitn(2, '/');
    let version = segments.next().unwrap_or_default();
    let resource = segments.next().unwrap_or_default();
    let answer = if is_version(version) {
        route(world, request, subject, version, resource)
    } else {
        not_found()
    };
    answer.with_header("Sforce-Limit-Info", &usage).about(request.bearer().unwrap_or_default())
}

fn is_version(segment: &str) -> bool {
    VERSIONS.into_iter().any(|version| segment == format!("v{version}.0"))
}

fn not_found() -> Answer {
    Answer::rest_error(404, "NOT_FOUND", "The requested resource does not exist")
}

/// Checks the session, the scope and the permission.
fn enter(
    world: &mut World,
    now: UnixMillis,
    request: &Request,
    org: OrgIndex,
) -> Result<Subject, Box<Answer>> {
    let refuse = |status, code, message| Err(Box::new(Answer::rest_error(status, code, message)));
    let Some(token) = request.bearer() else {
        return refuse(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE");
    };
    let about = |result: Result<Subject, Box<Answer>>| {
        result.map_err(|answer| Box::new(answer.about(token)))
    };
    let session = world.use_session(now, token).filter(|session| session.subject.org == org);
    let Some(session) = session else {
        return about(refuse(401, "INVALID_SESSION_ID", "Session expired or invalid"));
    };
    if let Err(kept_out) = world.admit(now, session.subject.user) {
        return about(Err(Box::new(kept_out.rest_error())));
    }
    if !session.has_api_scope() {
        let message = "This session is not valid for use with the REST API";
        return about(refuse(401, "INVALID_SESSION_ID", message));
    }
    if !world.user(session.subject.user).api_enabled {
        let message = "API is not enabled for this Organization or Partner";
        return about(refuse(403, "API_DISABLED_FOR_ORG", message));
    }
    Ok(session.subject)
}

fn versions() -> Answer {
    let list = VERSIONS
        .map(|version| {
            // Three releases a year; 68 is Winter '27, 67 is Summer '26.
            let age = VERSIONS.end() - version;
            let release = ["Winter", "Summer", "Spring"][age as usize % 3];
            let year = 27 - age.div_ceil(3);
            json!({
                "label": format!("{release} '{year}"),
                "url": format!("/services/data/v{version}.0"),
                "version": format!("{version}.0"),
            })
        })
        .collect();
    Answer::json(Value::Array(list))
}

fn route(
    world: &World,
    request: &Request,
    subject: Subject,
    version: &str,
    resource: &str,
) -> Answer {
    let base = format!("/services/data/{version}");
    match resource.trim_end_matches('/') {
        "" => Answer::json(json!({
            "identity": world.identity_url(subject.user),
            "limits": format!("{base}/limits"),
            "query": format!("{base}/query"),
            "sobjects": format!("{base}/sobjects"),
        })),
        "limits" => limits(world, subject.org),
        "query" => query(world, request, subject, &base),
        other => match other.strip_prefix("sobjects/User/") {
            Some(id) => user(world, subject, id, &base),
            None => not_found(),
        },
    }
}

fn limits(world: &World, org: OrgIndex) -> Answer {
    let remaining = DAILY_CALLS.saturating_sub(world.org(org).api_calls);
    Answer::json(json!({
        "DailyApiRequests": { "Max": DAILY_CALLS, "Remaining": remaining },
        "DailyBulkApiBatches": { "Max": 15_000, "Remaining": 15_000 },
        "DataStorageMB": { "Max": 1_073, "Remaining": 1_070 },
    }))
}

fn query(world: &World, request: &Request, subject: Subject, base: &str) -> Answer {
    let Some(select) = request.query.get("q").and_then(soql::parse) else {
        return Answer::rest_error(400, "MALFORMED_QUERY", "unexpected token: '<EOF>'");
    };
    if !select.object.eq_ignore_ascii_case("Organization") {
        let message = format!("sObject type '{}' is not supported.", select.object);
        return Answer::rest_error(400, "INVALID_TYPE", &message);
    }
    let row = organization(world, subject.org);
    let mut record = Map::new();
    let url = format!("{base}/sobjects/Organization/{}", world.org(subject.org).id);
    record.insert("attributes".to_owned(), json!({ "type": "Organization", "url": url }));
    for field in &select.fields {
        let Some((name, value)) = row.iter().find(|(name, _)| name.eq_ignore_ascii_case(field))
        else {
            let message = format!("No such column '{field}' on entity 'Organization'.");
            return Answer::rest_error(400, "INVALID_FIELD", &message);
        };
        record.insert(name.clone(), value.clone());
    }
    Answer::json(json!({ "totalSize": 1, "done": true, "records": [record] }))
}

fn organization(world: &World, index: OrgIndex) -> Map<String, Value> {
    let org = world.org(index);
    let sandbox = org.environment == Environment::Sandbox;
    [
        ("Id", json!(org.id)),
        ("Name", json!(org.company)),
        ("InstanceName", json!(if sandbox { "USA612S" } else { "USA612" })),
        ("IsSandbox", json!(sandbox)),
        ("TrialExpirationDate", Value::Null),
        ("NamespacePrefix", Value::Null),
        ("OrganizationType", json!("Enterprise Edition")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn user(world: &World, subject: Subject, id: &str, base: &str) -> Answer {
    let wanted = crate::domain::id::UserId::parse(id).ok();
    let found = world.users.iter().find(|user| {
        user.org == subject.org && wanted.as_ref().is_some_and(|id| id.as_str() == user.id)
    });
    let Some(user) = found else { return not_found() };
    Answer::json(json!({
        "attributes": { "type": "User", "url": format!("{base}/sobjects/User/{}", user.id) },
        "Id": user.id,
        "Username": user.username,
        "Name": format!("{} {}", user.first_name, user.last_name),
        "Email": user.username,
        "IsActive": user.active,
    }))
}
