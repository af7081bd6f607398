//! The virtual hosts behind the one port: by the `Host` header, or, for clients that can't
//! resolve names below `localhost`, by a path that begins with `/@`.

use crate::domain::name::Environment;
use crate::simulator::world::{OrgIndex, World};

/// Which of Salesforce's hosts a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VirtualHost {
    /// `localhost` itself: the control plane and a page that lists the others.
    Plain,
    /// `login.localhost`, for production orgs.
    Login,
    /// `test.localhost`, for sandboxes.
    Test,
    /// The My Domain of an org.
    MyDomain(OrgIndex),
}

/// Where a request goes: the host, and the path on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The host.
    pub(crate) host: VirtualHost,
    /// What links and forms of this place start with: empty, or `/@acme.my`.
    pub(crate) prefix: String,
    /// The path without the prefix.
    pub(crate) path: String,
}

/// Finds the place of a request; `None` for a host that does not exist here. An unknown name is
/// never taken for `localhost`: a web page that points its own name at this machine gets nowhere.
pub(crate) fn locate(world: &World, authority: &str, path: &str) -> Option<Place> {
    let name = host_of(authority).to_ascii_lowercase();
    if !matches!(name.as_str(), "localhost" | "127.0.0.1" | "[::1]") {
        let host = by_name(world, name.strip_suffix(".localhost")?)?;
        return Some(Place { host, prefix: String::new(), path: path.to_owned() });
    }
    let Some(rest) = path.strip_prefix("/@") else {
        let path = path.to_owned();
        return Some(Place { host: VirtualHost::Plain, prefix: String::new(), path });
    };
    let (label, below) = rest.split_once('/').unwrap_or((rest, ""));
    let host = by_name(world, label)?;
    Some(Place { host, prefix: format!("/@{label}"), path: format!("/{below}") })
}

fn by_name(world: &World, label: &str) -> Option<VirtualHost> {
    match label {
        "login" => Some(VirtualHost::Login),
        "test" => Some(VirtualHost::Test),
        _ => world
            .orgs
            .iter()
            .position(|org| org.my_domain == label)
            .map(|index| VirtualHost::MyDomain(OrgIndex(index))),
    }
}

/// Drops the port of an authority.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

impl World {
    /// Whether users and tokens of an org are known on a host.
    pub(crate) fn serves(&self, host: VirtualHost, org: OrgIndex) -> bool {
        match host {
            VirtualHost::Plain => false,
            VirtualHost::Login => self.org(org).environment == Environment::Production,
            VirtualHost::Test => self.org(org).environment == Environment::Sandbox,
            VirtualHost::MyDomain(own) => own == org,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::seed::world;

    #[test]
    fn host_header_and_path_alias_lead_to_the_same_host() {
        let world = world(8080, [0; 32]);
        let table = [
            ("login.localhost:8080", "/x", Some((VirtualHost::Login, "", "/x"))),
            ("localhost:8080", "/@login/x", Some((VirtualHost::Login, "/@login", "/x"))),
            ("TEST.localhost", "/", Some((VirtualHost::Test, "", "/"))),
            ("acme.my.localhost:1", "/x", Some((VirtualHost::MyDomain(OrgIndex(0)), "", "/x"))),
            (
                "127.0.0.1:8080",
                "/@acme--uat.sandbox.my",
                Some((VirtualHost::MyDomain(OrgIndex(1)), "/@acme--uat.sandbox.my", "/")),
            ),
            ("[::1]:8080", "/_control/facts", Some((VirtualHost::Plain, "", "/_control/facts"))),
            ("evil.example", "/_control/facts", None),
            ("nobody.my.localhost:8080", "/", None),
            ("localhost:8080", "/@nobody.my/", None),
        ];
        for (authority, path, expected) in table {
            let place = locate(&world, authority, path);
            let found = place.as_ref().map(|place| (place.host, &*place.prefix, &*place.path));
            assert_eq!(found, expected, "{authority}{path}");
        }
    }
}
