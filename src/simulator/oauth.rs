//! The OAuth endpoints as requests and answers: authorize with its pages, token, revoke,
//! introspect, discovery (Salesforce OAuth facts 1.3, 1.4 and 3).

use serde_json::json;

use crate::domain::time::UnixMillis;
use crate::simulator::answer::{Answer, Grant, Refusal};
use crate::simulator::authorize::{Step, with_query};
use crate::simulator::host::Place;
use crate::simulator::request::Request;
use crate::simulator::token::{PresentedCode, Ticket, TokenReply};
use crate::simulator::world::World;
use crate::simulator::{device, page};

/// The name of the cookie that keeps a browser logged in.
pub(crate) const COOKIE: &str = "sim_sid";

const UNSUPPORTED_GRANT: Refusal =
    Refusal::new("unsupported_grant_type", "grant type not supported");
const MUST_POST: Refusal = Refusal::new("invalid_request", "must use HTTP POST");

/// What the token endpoint makes of a request before time passes.
pub(crate) enum TokenStart {
    /// Answered at once.
    Answered(Box<Answer>),
    /// A refresh in flight.
    InFlight(Ticket),
}

/// `GET /services/oauth2/authorize`.
pub(crate) fn authorize(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let Request { place, query, .. } = request;
    let step = world.begin_sign_in(now, place.host, request.browser.as_deref(), query);
    show(world, request, step)
}

/// `POST /login`.
pub(crate) fn log_in(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let field = |name| request.form.get(name).unwrap_or_default();
    let place = &request.place;
    let (step, cookie) =
        world.log_in(now, place.host, field("attempt"), field("username"), field("pw"));
    let answer = show(world, request, step);
    match cookie {
        Some(cookie) => answer.with_header("Set-Cookie", &set_cookie(place, &cookie)),
        None => answer,
    }
}

/// The cookie stays on its host: by name, or by the path of its alias.
fn set_cookie(place: &Place, cookie: &str) -> String {
    let path = if place.prefix.is_empty() { "/" } else { &place.prefix };
    format!("{COOKIE}={cookie}; Path={path}; HttpOnly; SameSite=Lax")
}

/// `POST` of the approval page.
pub(crate) fn decide(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let attempt = request.form.get("attempt").unwrap_or_default();
    let allow = request.form.get("save").is_some();
    let step = world.decide(now, request.place.host, attempt, allow);
    show(world, request, step)
}

/// The answer that a step of a sign-in becomes.
pub(crate) fn show(world: &World, request: &Request, step: Step) -> Answer {
    let place = &request.place;
    match step {
        Step::LogIn { attempt, username, failure } => {
            page::login(place, &request.host_name, attempt, &username, failure)
        }
        Step::Approve { attempt } => page::approve(world, place, attempt),
        Step::Return { url, outcome } => Answer::redirect(&url, &outcome),
        Step::Below { path, outcome } => {
            Answer::redirect(&format!("{}{path}", place.prefix), &outcome)
        }
        Step::Stay(refusal) => {
            let pairs =
                [("error", Some(refusal.error)), ("error_description", Some(refusal.description))];
            let location = with_query(&format!("{}{}", place.prefix, page::ERROR_PATH), &pairs);
            Answer::redirect(&location, &format!("{}: {}", refusal.error, refusal.description))
        }
    }
}

/// The first half of `POST /services/oauth2/token`: all but a refresh is over with it.
pub(crate) fn token(world: &mut World, now: UnixMillis, request: &Request) -> TokenStart {
    let refuse = |refusal| TokenStart::Answered(Box::new(Answer::oauth_error(&refusal)));
    if request.method != "POST" {
        return refuse(MUST_POST);
    }
    match request.form.get("grant_type") {
        Some("authorization_code") => TokenStart::Answered(Box::new(exchange(world, now, request))),
        Some("refresh_token") => {
            let token = request.form.get("refresh_token").unwrap_or_default();
            let (id, secret) = request.client();
            let ticket = world
                .authenticate(now, id.as_deref(), secret.as_deref())
                .and_then(|app| world.begin_refresh(now, request.place.host, app, token));
            match ticket {
                Ok(ticket) => TokenStart::InFlight(ticket),
                Err(refusal) => {
                    let answer = Answer::oauth_error(&refusal).about(token);
                    TokenStart::Answered(Box::new(answer))
                }
            }
        }
        Some("device") => TokenStart::Answered(Box::new(device::poll(world, now, request))),
        None if request.form.get("response_type") == Some("device_code") => {
            TokenStart::Answered(Box::new(device::start(world, now, request)))
        }
        _ => refuse(UNSUPPORTED_GRANT),
    }
}

fn exchange(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let form = &request.form;
    let presented = PresentedCode {
        code: form.get("code").unwrap_or_default(),
        redirect_uri: form.get("redirect_uri"),
        verifier: form.get("code_verifier"),
    };
    let (id, secret) = request.client();
    let reply = world
        .authenticate(now, id.as_deref(), secret.as_deref())
        .and_then(|app| world.exchange_code(now, request.place.host, app, &presented));
    answer(world, reply).about(presented.code)
}

/// The second half of a refresh.
pub(crate) fn finish_refresh(world: &mut World, now: UnixMillis, ticket: &Ticket) -> Answer {
    let reply = world.finish_refresh(now, ticket);
    answer(world, reply).about(&ticket.token)
}

/// The answer, and for the journal what it handed out.
pub(crate) fn answer(world: &World, reply: Result<TokenReply, Refusal>) -> Answer {
    let TokenReply { fields, approval, subject, tolerated } = match reply {
        Ok(reply) => reply,
        Err(refusal) => return Answer::oauth_error(&refusal),
    };
    let refresh_token = fields["refresh_token"].as_str();
    let grant = Grant {
        approval: approval.map(|id| id.0),
        username: world.user(subject.user).username.clone(),
        issued: refresh_token.map(crate::simulator::mint::tag),
        tolerated,
    };
    Answer { grant: Some(grant), ..Answer::json(fields) }
}

/// `POST` or `GET /services/oauth2/revoke`; with `callback` the answer is JSONP.
pub(crate) fn revoke(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let Request { form, query, .. } = request;
    let Some(token) = form.get("token").or_else(|| query.get("token")) else {
        let description = "this type of token is not supported";
        return Answer::oauth_error(&Refusal::new("unsupported_token_type", description));
    };
    let refusal = world.revoke(now, token).err();
    let answer = refusal.map_or_else(Answer::empty, |refusal| Answer::oauth_error(&refusal));
    match query.get("callback") {
        Some(callback) if callback.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            let error = refusal.map(|refusal| json!({ "error": refusal.error }));
            let script = format!("{callback}({});", error.unwrap_or_else(|| json!({})));
            let outcome = answer.outcome;
            let answer = Answer::html(200, script, &outcome);
            Answer { content_type: "application/javascript".to_owned(), ..answer }
        }
        _ => answer,
    }
    .about(token)
}

/// `POST /services/oauth2/introspect`: for clients that can prove who they are.
pub(crate) fn introspect(world: &World, now: UnixMillis, request: &Request) -> Answer {
    if request.method != "POST" {
        return Answer::oauth_error(&MUST_POST);
    }
    let (id, secret) = request.client();
    let app = world.authenticate(now, id.as_deref(), secret.as_deref());
    match app {
        Ok(app) if world.app(app).secret.is_some() => {
            let token = request.form.get("token").unwrap_or_default();
            Answer::json(world.introspect(now, app, token)).about(token)
        }
        Ok(_) => Answer::oauth_error(&Refusal::new("invalid_client", "invalid client credentials")),
        Err(refusal) => Answer::oauth_error(&refusal),
    }
}

/// `GET /.well-known/openid-configuration`.
pub(crate) fn discovery(world: &World, request: &Request) -> Answer {
    let issuer = format!("http://{}:{}", request.host_name, world.port);
    Answer::json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/services/oauth2/authorize"),
        "token_endpoint": format!("{issuer}/services/oauth2/token"),
        "revocation_endpoint": format!("{issuer}/services/oauth2/revoke"),
        "introspection_endpoint": format!("{issuer}/services/oauth2/introspect"),
        "userinfo_endpoint": format!("{issuer}/services/oauth2/userinfo"),
        "response_types_supported": ["code"],
        "scopes_supported": ["api", "refresh_token", "id", "openid", "web"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
    }))
}
