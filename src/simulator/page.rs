//! The pages a person sees: login, approval, error, success. Plain HTML without scripts, with
//! links that stay below the place's prefix, so that chromium, lynx, w3m and curl can all sign in.

use crate::simulator::answer::Answer;
use crate::simulator::facts::Facts;
use crate::simulator::host::Place;
use crate::simulator::world::World;

const PAGE: &str = include_str!("../../assets/simulator/page.html");
const STYLE: &str = include_str!("../../assets/simulator/style.css");
const LOGIN: &str = include_str!("../../assets/simulator/login.html");
const APPROVE: &str = include_str!("../../assets/simulator/approve.html");
const ERROR: &str = include_str!("../../assets/simulator/error.html");
const SUCCESS: &str = include_str!("../../assets/simulator/success.html");
const INDEX: &str = include_str!("../../assets/simulator/index.html");

/// Path of the page on which errors stay that may not go back to the redirect URI.
pub(crate) const ERROR_PATH: &str = "/setup/secur/RemoteAccessErrorPage.apexp";
/// What the journal calls the approval page.
pub(crate) const APPROVAL_PAGE: &str = "approval page";
/// Path of the approval page's form.
pub(crate) const APPROVE_PATH: &str = "/setup/secur/RemoteAccessAuthorizationPage.apexp";

/// The login page.
pub(crate) fn login(
    place: &Place,
    host: &str,
    attempt: String,
    username: &str,
    failure: Option<&str>,
) -> Answer {
    let failure =
        failure.map(|text| format!("<p class=\"failure\" role=\"alert\">{}</p>\n", escape(text)));
    let content = fill(
        LOGIN,
        &[
            ("host", &escape(host)),
            ("failure", failure.as_deref().unwrap_or_default()),
            ("prefix", &escape(&place.prefix)),
            ("attempt", &escape(&attempt)),
            ("username", &escape(username)),
        ],
    );
    let outcome = if failure.is_some() { "login refused" } else { "login page" };
    let answer = page(200, "Login | Salesforce", "", &content, outcome);
    Answer { attempt: Some(attempt), ..answer }
}

/// The approval page of a sign-in.
pub(crate) fn approve(world: &World, place: &Place, attempt: String) -> Answer {
    let Some((user, app)) =
        world.attempts.get(&attempt).and_then(|kept| Some((world.user(kept.user?), kept)))
    else {
        return error("invalid_request", "the sign-in is over");
    };
    let items = app.scopes.iter();
    let items = items.map(|scope| format!("<li>{} ({})</li>\n", meaning(scope), escape(scope)));
    let scopes = items.collect::<Vec<_>>().concat();
    let content = fill(
        APPROVE,
        &[
            ("app", &escape(&world.app(app.app).name)),
            ("scopes", &scopes),
            ("username", &escape(&user.username)),
            ("prefix", &escape(&place.prefix)),
            ("attempt", &escape(&attempt)),
            ("org_id", &world.org(user.org).id),
            ("user_id", &user.id),
        ],
    );
    let answer = page(200, "Allow Access? | Salesforce", "", &content, APPROVAL_PAGE);
    Answer { attempt: Some(attempt), ..answer }
}

/// What the approval page says of a scope.
fn meaning(scope: &str) -> &'static str {
    match scope {
        "api" => "Manage user data via APIs",
        "refresh_token" | "offline_access" => "Perform requests at any time",
        "id" => "Access the identity URL service",
        "openid" => "Access unique user identifiers",
        "web" => "Manage user data via Web browsers",
        _ => "Use the service",
    }
}

/// The page on which an error stays.
pub(crate) fn error(error: &str, description: &str) -> Answer {
    let content = fill(ERROR, &[("error", &escape(error)), ("description", &escape(description))]);
    page(200, "OAuth Error | Salesforce", "", &content, "error page")
}

/// The page that leaves code and state in the address.
pub(crate) fn success() -> Answer {
    page(200, "Authorized | Salesforce", "", SUCCESS, "success page")
}

/// The page of a path that does not exist.
pub(crate) fn not_found() -> Answer {
    page(404, "URL No Longer Exists", "", "<h1>URL No Longer Exists</h1>\n", "no such page")
}

/// The list of hosts, users and apps on plain localhost.
pub(crate) fn index(facts: &Facts) -> Answer {
    let rows = facts.orgs.iter().flat_map(|org| org.users.iter().map(move |user| (org, user)));
    let users: String = rows
        .map(|(org, user)| {
            let note = match (user.active, user.api_enabled) {
                (false, _) => "inactive",
                (true, false) => "without API",
                (true, true) => "",
            };
            let cells =
                [&*org.name, &org.org_id, &user.username, &user.user_id, &user.password, note];
            row(&cells)
        })
        .collect();
    let apps: String = facts
        .apps
        .iter()
        .map(|app| {
            let rotation = if app.rotation { "yes" } else { "no" };
            let secret = app.client_secret.as_deref().unwrap_or("none");
            row(&[&app.name, &app.client_id, secret, rotation])
        })
        .collect();
    let content = fill(
        INDEX,
        &[
            ("login_url", &facts.login_url),
            ("test_url", &facts.test_url),
            ("users", &users),
            ("apps", &apps),
        ],
    );
    page(200, "Simulated Salesforce", "wide", &content, "index page")
}

fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
    format!("<tr><td>{}</td></tr>\n", cells.join("</td><td>"))
}

/// A page around its content.
pub(crate) fn page(status: u16, title: &str, width: &str, content: &str, outcome: &str) -> Answer {
    let html =
        fill(PAGE, &[("title", title), ("style", STYLE), ("width", width), ("content", content)]);
    Answer::html(status, html, outcome)
        .with_header("X-Frame-Options", "DENY")
        .with_header("Referrer-Policy", "no-referrer")
}

/// Puts values into the places of a template. The parts are joined in one pass, so that a value
/// that looks like a place is left alone.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut parts = template.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        let value = values.iter().find(|(candidate, _)| *candidate == name);
        filled.push_str(value.map_or("", |(_, value)| value));
        filled.push_str(rest);
    }
    filled
}

/// Makes text fit for HTML, in content and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_escaped_and_never_a_place() {
        let place = Place {
            host: crate::simulator::host::VirtualHost::Login,
            prefix: String::new(),
            path: String::new(),
        };
        let answer = login(&place, "login", "key".into(), "\"><script>{{attempt}}", None);
        let html = String::from_utf8(answer.bytes()).unwrap();
        assert!(html.contains("&quot;&gt;&lt;script&gt;{{attempt}}"), "{html}");
        assert!(!html.contains("<script"));
    }
}
