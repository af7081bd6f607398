//! The orgs, users and apps that every simulated Salesforce begins with.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use crate::domain::app::{DEFAULT_REDIRECT_URI, DEFAULT_SESSION_TIMEOUT};
use crate::domain::id::UserId;
use crate::domain::name::Environment;
use crate::simulator::entry::{LoginRules, Standing};
use crate::simulator::mint::{MARKER, Mint};
use crate::simulator::rotation::RotationPolicy;
use crate::simulator::token::APPROVAL_LIMIT;
use crate::simulator::world::{App, Org, OrgIndex, Replay, User, World};

/// Scopes that every app offers.
const SCOPES: [&str; 5] = ["api", "refresh_token", "id", "openid", "web"];

/// Name, company, environment, Org ID and My Domain. The sandbox stands behind its production org.
const ORGS: [(&str, &str, Environment, &str, &str); 3] = [
    ("acme", "Acme", Environment::Production, "00D5g000004XyZTEA0", "acme.my"),
    ("acme--uat", "Acme", Environment::Sandbox, "00D7e000002UatQEAS", "acme--uat.sandbox.my"),
    ("globex", "Globex", Environment::Production, "00D5g000008GlBxEAK", "globex.my"),
];

/// Org, login, User ID, first and last name. As in real sandboxes, the copy of a user keeps the
/// User ID, and its username gets the sandbox's name as suffix.
const USERS: [(usize, &str, &str, &str, &str); 13] = [
    (0, "ana", "0055g00000AnaToAAJ", "Ana", "Torres"),
    (0, "ben", "0055g00000BenKaAAJ", "Ben", "Kaya"),
    (0, "cara", "0055g00000CarLiAAJ", "Cara", "Lind"),
    (0, "dan", "0055g00000DanMoAAJ", "Dan", "Moreau"),
    (0, "svc", "0055g00000SvcInAAJ", "Integration", "User"),
    (1, "ana", "0055g00000AnaToAAJ", "Ana", "Torres"),
    (1, "ben", "0055g00000BenKaAAJ", "Ben", "Kaya"),
    (1, "cara", "0055g00000CarLiAAJ", "Cara", "Lind"),
    (1, "dan", "0055g00000DanMoAAJ", "Dan", "Moreau"),
    (2, "eva", "0055g00000EvaRuAAJ", "Eva", "Rusu"),
    (2, "fin", "0055g00000FinDoAAJ", "Fin", "Doyle"),
    (2, "gus", "0055g00000GusPeAAJ", "Gus", "Perez"),
    (2, "hal", "0055g00000HalViAAJ", "Hal", "Vikar"),
];

/// Between two polls of a device code (Salesforce OAuth facts 3.4).
const DEVICE_INTERVAL: Duration = Duration::from_secs(5);

/// Users that lack the permission 'API Enabled'.
const WITHOUT_API: [&str; 2] = ["cara", "gus"];
/// Users that are inactive.
const INACTIVE: [&str; 2] = ["dan", "hal"];

/// The world as it begins; `port` is the one that listens, `seed` makes its tokens.
pub(crate) fn world(port: u16, seed: [u8; 32]) -> World {
    let mut world = World {
        port,
        mint: Mint::new(seed),
        orgs: orgs(),
        users: users(),
        apps: Vec::new(),
        attempts: HashMap::new(),
        browsers: HashMap::new(),
        remembered: None,
        client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        codes: HashMap::new(),
        devices: HashMap::new(),
        approvals: HashMap::new(),
        last_approval: 0,
        refresh_tokens: HashMap::new(),
        deactivated_tokens: HashMap::new(),
        sessions: HashMap::new(),
    };
    world.apps = apps(&redirect_uris(&world), &mut world.mint);
    world
}

fn orgs() -> Vec<Org> {
    ORGS.into_iter()
        .map(|(name, company, environment, id, my_domain)| Org {
            name: name.to_owned(),
            company: company.to_owned(),
            environment,
            id: id.to_owned(),
            my_domain: my_domain.to_owned(),
            api_calls: 0,
            standing: Standing::Active,
            login: LoginRules::default(),
        })
        .collect()
}

fn users() -> Vec<User> {
    USERS
        .into_iter()
        .map(|(org, login, id, first_name, last_name)| {
            let (name, ..) = ORGS[org];
            User {
                org: OrgIndex(org),
                username: username(name, login),
                id: id.to_owned(),
                password: format!("demo-{login}-1-{MARKER}"),
                first_name: first_name.to_owned(),
                last_name: last_name.to_owned(),
                active: !INACTIVE.contains(&login),
                api_enabled: !WITHOUT_API.contains(&login),
                login: LoginRules::default(),
            }
        })
        .collect()
}

/// A sandbox's ends in its name.
fn username(org: &str, login: &str) -> String {
    match org.split_once("--") {
        Some((company, sandbox)) => format!("{login}@{company}.example.{sandbox}"),
        None => format!("{login}@{org}.example"),
    }
}

/// Adds users to an org: active, with the API, and with numbers for names. Gives their indices.
/// There is a User ID for each of the first 10 billion.
pub(crate) fn more_users(world: &mut World, org: OrgIndex, count: usize) -> Range<usize> {
    let begin = world.users.len();
    for number in begin..begin + count {
        let login = format!("user{number}");
        let Ok(id) = UserId::parse(&format!("0055g{number:010}")) else { break };
        world.users.push(User {
            org,
            username: username(&world.org(org).name, &login),
            id: id.as_str().to_owned(),
            password: format!("demo-{login}-1-{MARKER}"),
            first_name: "User".to_owned(),
            last_name: number.to_string(),
            active: true,
            api_enabled: true,
            login: LoginRules::default(),
        });
    }
    begin..world.users.len()
}

/// The loopback redirect, and the success page of every host by its name and by its path alias.
fn redirect_uris(world: &World) -> Vec<String> {
    const SUCCESS: &str = "/services/oauth2/success";
    let hosts = ["login", "test"].into_iter().chain(ORGS.iter().map(|(.., domain)| *domain));
    let pages = hosts.flat_map(|host| {
        let alias = format!("http://localhost:{}/@{host}{SUCCESS}", world.port);
        [format!("{}{SUCCESS}", world.url_of(host)), alias]
    });
    std::iter::once(DEFAULT_REDIRECT_URI.to_owned()).chain(pages).collect()
}

fn apps(redirect_uris: &[String], mint: &mut Mint) -> Vec<App> {
    // Name, client ID, whether it has a secret, rotation, replay rule.
    let table = [
        ("orgkey", "3MVG9simulated.orgkey_public", false, true, Replay::RejectOnly),
        ("orgkey-secret", "3MVG9simulated.orgkey_secret", true, true, Replay::RejectOnly),
        ("orgkey-static", "3MVG9simulated.orgkey_static", false, false, Replay::RejectOnly),
        ("orgkey-strict", "3MVG9simulated.orgkey_strict", false, true, Replay::RevokeFamily),
    ];
    table
        .into_iter()
        .map(|(name, client_id, has_secret, rotation, replay)| {
            let secret = has_secret.then(|| format!("{MARKER}4872910365021987345"));
            App {
                name: name.to_owned(),
                client_id: client_id.to_owned(),
                signing_key: secret.clone().unwrap_or_else(|| mint.key()),
                secret,
                redirect_uris: redirect_uris.to_vec(),
                scopes: SCOPES.map(str::to_owned).to_vec(),
                rotation,
                policy: RotationPolicy::Strict,
                replay,
                session_timeout: DEFAULT_SESSION_TIMEOUT,
                idle_limit: None,
                age_limit: None,
                approval_limit: APPROVAL_LIMIT,
                hold: Duration::ZERO,
                blocked: false,
                installed: true,
                device_enabled: true,
                device_interval: DEVICE_INTERVAL,
                open_to_all: true,
                known_from: None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::app::check_client_id;
    use crate::domain::id::{OrgId, UserId};

    #[test]
    fn every_id_of_the_seed_has_its_right_check_suffix() {
        let world = world(1, [0; 32]);
        for org in &world.orgs {
            assert_eq!(OrgId::parse(&org.id[..15]).unwrap().as_str(), org.id);
        }
        for user in &world.users {
            assert_eq!(UserId::parse(&user.id[..15]).unwrap().as_str(), user.id);
        }
        for app in &world.apps {
            assert_eq!(check_client_id(&app.client_id), Ok(()));
        }
    }

    #[test]
    fn every_secret_of_the_seed_carries_the_marker() {
        let world = world(1, [0; 32]);
        assert!(world.users.iter().all(|user| user.password.contains(MARKER)));
        assert!(
            world
                .apps
                .iter()
                .filter_map(|app| app.secret.as_ref())
                .all(|secret| secret.contains(MARKER))
        );
    }

    #[test]
    fn sandbox_users_keep_their_id_and_get_a_suffix() {
        let world = world(1, [0; 32]);
        let production = world.user(world.user_by_name("ana@acme.example").unwrap());
        let sandbox = world.user(world.user_by_name("ana@acme.example.uat").unwrap());
        assert_eq!(production.id, sandbox.id);
        assert_ne!(production.org, sandbox.org);
    }
}
