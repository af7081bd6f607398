//! Which hosts are Salesforce's, what they say of the environment, and what a pasted Salesforce
//! address tells (Salesforce OAuth facts 1.1 and 1.2).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::domain::id::{OrgId, UserId};
use crate::domain::name::Environment;
use crate::domain::text;

/// The login host of production, Developer Edition and Trailhead orgs.
pub(crate) const PRODUCTION_LOGIN: &str = "https://login.salesforce.com";
/// The login host of sandboxes and scratch orgs.
pub(crate) const SANDBOX_LOGIN: &str = "https://test.salesforce.com";

/// Domains of Salesforce to which a token may be sent; each is matched on a label boundary.
const SALESFORCE_DOMAINS: [&str; 6] = [
    "salesforce.com",
    "force.com",
    "cloudforce.com",
    "salesforce.mil",
    "crmforce.mil",
    "sfcrmproducts.cn",
];

/// Hosts of the user interface, which answer no API, and the API host that belongs to each.
const UI_TO_API: [(&str, &str); 4] = [
    (".lightning.force.com", ".my.salesforce.com"),
    (".lightning.crmforce.mil", ".my.salesforce.mil"),
    (".lightning.sfcrmapps.cn", ".my.sfcrmproducts.cn"),
    (".my.salesforce-setup.com", ".my.salesforce.com"),
];

/// What the configuration says about hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostPolicy {
    /// Further domains that are trusted like Salesforce's own, e.g. `my.site.com`.
    pub(crate) trusted_domains: Vec<String>,
    /// Whether loopback hosts, and plain http to them, are accepted (demo and tests).
    pub(crate) allow_loopback: bool,
}

/// Why an address is not accepted. Every variant carries the cleaned host or address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    /// Not an address at all.
    #[error("'{0}' is not an address of Salesforce, e.g. https://acme.my.salesforce.com")]
    NotAnAddress(String),
    /// Plain http outside loopback.
    #[error("{0} is not https: tokens and codes are sent over https only")]
    NotHttps(String),
    /// A user name or password in the address.
    #[error("the address of {0} has a user name or password in it")]
    UserInfo(String),
    /// A port other than 443.
    #[error("{host} is named with port {port}; Salesforce answers on 443 only")]
    Port {
        /// The host.
        host: String,
        /// The port named.
        port: u16,
    },
    /// A query, a fragment or a path where none belongs.
    #[error("the address of {0} goes on after the host; only https://HOST is meant here")]
    Path(String),
    /// Not one of Salesforce's domains, and not trusted by the configuration.
    #[error("{0} is not a host of Salesforce")]
    Untrusted(String),
    /// A loopback host while the configuration does not allow it.
    #[error(
        "{0} is this machine itself; that is for the simulated Salesforce only, where config.toml has allow_loopback = true under [network]"
    )]
    Loopback(String),
    /// A host of the user interface or of Experience Cloud, where an API host is needed.
    #[error("{0} is a host of the user interface; the API answers on the My Domain host")]
    UserInterface(String),
}

impl HostPolicy {
    /// Checks an address against this policy. The last word before any request: `net` asks it too.
    pub(crate) fn check(&self, url: &Url) -> Result<(), HostError> {
        let host =
            host_text(url).ok_or_else(|| HostError::NotAnAddress(text::clean(url.as_str())))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HostError::UserInfo(host));
        }
        if is_loopback(url) {
            return if self.allow_loopback { Ok(()) } else { Err(HostError::Loopback(host)) };
        }
        if url.scheme() != "https" {
            return Err(HostError::NotHttps(host));
        }
        if let Some(port) = url.port() {
            return Err(HostError::Port { host, port });
        }
        let trusted = SALESFORCE_DOMAINS
            .iter()
            .copied()
            .chain(self.trusted_domains.iter().map(String::as_str))
            .any(|domain| is_within(&host, domain));
        if trusted && matches!(url.host(), Some(Host::Domain(_))) {
            Ok(())
        } else {
            Err(HostError::Untrusted(host))
        }
    }
}

/// Whether `host` is a subdomain of `domain` (or, for a configured one, that domain itself).
fn is_within(host: &str, domain: &str) -> bool {
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    !domain.is_empty()
        && host.strip_suffix(&domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

fn host_text(url: &Url) -> Option<String> {
    url.host_str().map(|host| text::clean(&host.to_ascii_lowercase()))
}

/// Whether an address names this machine: 127/8, `[::1]`, `localhost` or a name below it.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => is_within(&name.to_ascii_lowercase(), "localhost"),
        None => false,
    }
}

/// The host of a URL of ours, with its port where one is named.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Where a credential signs in: `https://HOST`, or with a path for Experience Cloud. Authorize,
/// token, revoke and introspect requests go to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LoginUrl(String);

impl LoginUrl {
    /// Reads a login URL or a bare host as typed; hosts of the user interface are replaced by
    /// their My Domain, case and a trailing slash do not matter.
    pub(crate) fn parse(typed: &str, policy: &HostPolicy) -> Result<Self, HostError> {
        let url = parse_address(typed)?;
        let url = repair_ui_host(url);
        policy.check(&url)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(HostError::Path(host_text(&url).unwrap_or_default()));
        }
        if host_text(&url).is_some_and(|host| is_ui_host(&host)) {
            return Err(HostError::UserInterface(host_text(&url).unwrap_or_default()));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The generic login host of an environment.
    pub(crate) fn generic(environment: Environment) -> Self {
        Self(match environment {
            Environment::Production => PRODUCTION_LOGIN.to_owned(),
            Environment::Sandbox => SANDBOX_LOGIN.to_owned(),
        })
    }

    /// Takes back what [`Self::as_str`] gave to the store; `net` checks it again before use.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The URL without a trailing slash.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, with its port where one is named.
    pub(crate) fn host(&self) -> &str {
        host_of(&self.0)
    }

    /// The URL of an endpoint below it; `path` starts with a slash.
    pub(crate) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Whether it names this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback(&url))
    }

    /// Whether it is one of the two hosts that serve every org, not a My Domain.
    pub(crate) fn is_generic(&self) -> bool {
        let host = self.host().split(':').next().unwrap_or_default();
        matches!(
            host,
            "login.salesforce.com" | "test.salesforce.com" | "login.localhost" | "test.localhost"
        )
    }
}

impl fmt::Display for LoginUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Where a token is used: the `instance_url` of a token response, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct InstanceUrl(String);

impl InstanceUrl {
    /// Checks an `instance_url` from a server. A loopback one is accepted only from a loopback
    /// login host (Salesforce OAuth facts 1.2).
    pub(crate) fn parse(
        answered: &str,
        login: &LoginUrl,
        policy: &HostPolicy,
    ) -> Result<Self, HostError> {
        let url = Url::parse(answered.trim())
            .map_err(|_| HostError::NotAnAddress(text::clean(answered)))?;
        policy.check(&url)?;
        let host = host_text(&url).unwrap_or_default();
        if is_loopback(&url) && !login.is_loopback() {
            return Err(HostError::Loopback(host));
        }
        if is_ui_host(&host) {
            return Err(HostError::UserInterface(host));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(HostError::Path(host));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// Takes back what [`Self::as_str`] gave to the store; `net` checks it again before use.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The URL without a trailing slash.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of an API path; `path` starts with a slash.
    pub(crate) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The host, with its port where one is named.
    pub(crate) fn host(&self) -> &str {
        self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest)
    }
}

impl fmt::Display for InstanceUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// What a host alone says of the environment: `.sandbox.my.`, `.scratch.my.` and `test.` are
/// sandboxes for certain, `login.` never is; of a plain My Domain the host proves nothing.
pub(crate) fn environment_by_host(host: &str) -> Option<Environment> {
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let labels: Vec<&str> = host.split('.').collect();
    if labels.windows(2).any(|pair| pair == ["sandbox", "my"] || pair == ["scratch", "my"]) {
        return Some(Environment::Sandbox);
    }
    match host.as_str() {
        "test.salesforce.com" | "test.localhost" => Some(Environment::Sandbox),
        "login.salesforce.com" | "login.localhost" => Some(Environment::Production),
        _ => None,
    }
}

fn is_ui_host(host: &str) -> bool {
    UI_TO_API.iter().any(|(ui, _)| host.ends_with(ui))
        || is_within(host, "lightning.force.com")
        || is_within(host, "visual.force.com")
        || is_within(host, "content.force.com")
}

/// Replaces a host of the user interface by the API host that belongs to it.
fn repair_ui_host(mut url: Url) -> Url {
    let Some(host) = url.host_str().map(str::to_ascii_lowercase) else { return url };
    let api = UI_TO_API
        .iter()
        .find_map(|(ui, api)| host.strip_suffix(ui).map(|name| format!("{name}{api}")));
    if let Some(api) = api
        && url.set_host(Some(&api)).is_ok()
    {
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
    }
    url
}

/// Reads an address as people type and paste it: without a scheme, with blanks, in quotes.
fn parse_address(typed: &str) -> Result<Url, HostError> {
    let compact: String =
        typed.chars().filter(|c| !c.is_whitespace() && !text::is_unprintable(*c)).collect();
    let compact = compact.trim_matches(|c| matches!(c, '"' | '\'' | '<' | '>'));
    let refuse = || HostError::NotAnAddress(text::clean_and_mask(typed));
    let parse = |text: &str| Url::parse(text).map_err(|_| refuse());
    let url = if compact.contains("://") {
        parse(compact)?
    } else {
        // The simulated Salesforce speaks plain http; everybody else https.
        let url = parse(&format!("https://{compact}"))?;
        if is_loopback(&url) { parse(&format!("http://{compact}"))? } else { url }
    };
    let has_host = url
        .host_str()
        .is_some_and(|host| host.contains('.') || host == "localhost" || host.starts_with('['));
    if matches!(url.scheme(), "http" | "https") && has_host { Ok(url) } else { Err(refuse()) }
}

/// What could be read out of a pasted Salesforce address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressFacts {
    /// The first Org ID in it.
    pub(crate) org_id: Option<OrgId>,
    /// The first User ID in it.
    pub(crate) user_id: Option<UserId>,
    /// The My Domain URL, where the host is one of Salesforce's.
    pub(crate) my_domain: Option<LoginUrl>,
}

/// Finds IDs and the My Domain in a pasted address of the browser, e.g. of a user's Setup page.
/// `None` when the text is no address at all, so that a bare ID is left to its own parser.
pub(crate) fn read_address(pasted: &str, policy: &HostPolicy) -> Option<AddressFacts> {
    if !pasted.contains("://") && !pasted.contains(".salesforce.") && !pasted.contains(".force.") {
        return None;
    }
    let url = parse_address(pasted).ok()?;
    let mut decoded = url.as_str().to_owned();
    for _ in 0..2 {
        decoded = percent_decode(&decoded);
    }
    let after_host = decoded
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("", |(_, rest)| rest);
    let words = || {
        after_host
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| matches!(word.len(), 15 | 18))
    };
    let origin = Url::parse(&format!("{}://{}", url.scheme(), authority(&url))).ok()?;
    Some(AddressFacts {
        org_id: words().find_map(|word| OrgId::parse(word).ok()),
        user_id: words().find_map(|word| UserId::parse(word).ok()),
        my_domain: LoginUrl::parse(origin.as_str(), policy)
            .ok()
            .filter(|login| !login.is_generic()),
    })
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Decodes `%XX` once; what is no valid escape stays as it is.
pub(crate) fn percent_decode(encoded: &str) -> String {
    let bytes = encoded.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes
            .get(index + 1..index + 3)
            .filter(|_| bytes[index] == b'%')
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let Some(byte) = hex {
            decoded.push(byte);
            index += 3;
        } else {
            decoded.push(bytes[index]);
            index += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loopback() -> HostPolicy {
        HostPolicy { allow_loopback: true, ..HostPolicy::default() }
    }

    #[test]
    fn login_urls_are_read_as_people_type_them() {
        let table = [
            ("acme.my.salesforce.com", "https://acme.my.salesforce.com"),
            (" HTTPS://ACME.my.salesforce.com/ ", "https://acme.my.salesforce.com"),
            (
                "https://acme.lightning.force.com/lightning/setup/x?y=1#z",
                "https://acme.my.salesforce.com",
            ),
            (
                "https://acme--uat.sandbox.lightning.force.com/",
                "https://acme--uat.sandbox.my.salesforce.com",
            ),
            ("https://acme.my.salesforce-setup.com/lightning", "https://acme.my.salesforce.com"),
            ("login.salesforce.com", "https://login.salesforce.com"),
        ];
        for (typed, url) in table {
            assert_eq!(
                LoginUrl::parse(typed, &HostPolicy::default()).unwrap().as_str(),
                url,
                "{typed}"
            );
        }
    }

    #[test]
    fn foreign_hosts_get_no_token() {
        for typed in [
            "http://acme.my.salesforce.com",
            "https://evilsalesforce.com",
            "https://acme.my.salesforce.com.evil.example",
            "https://evilcrmforce.mil",
            "https://user:pw@acme.my.salesforce.com",
            "https://acme.my.salesforce.com:8443",
            "https://127.0.0.1",
            "http://localhost:1717",
            "https://10.0.0.1",
            "https://acme.my.salesforce.com/?next=1",
            "ftp://acme.my.salesforce.com",
            "javascript:alert(1)",
            "acme",
            "",
        ] {
            assert!(LoginUrl::parse(typed, &HostPolicy::default()).is_err(), "{typed}");
        }
        let login = LoginUrl::parse("https://login.salesforce.com", &loopback()).unwrap();
        for answered in [
            "http://localhost:1717",
            "https://acme.lightning.force.com",
            "https://acme.my.salesforce.com/services",
            "http://acme.my.salesforce.com",
            "https://acme.my.xn--salesforce-9za.com",
        ] {
            assert!(InstanceUrl::parse(answered, &login, &loopback()).is_err(), "{answered}");
        }
    }

    #[test]
    fn a_trusted_domain_counts_on_a_label_boundary_only() {
        let policy =
            HostPolicy { trusted_domains: vec!["my.site.com".into()], allow_loopback: false };
        assert!(LoginUrl::parse("https://acme.my.site.com/partners", &policy).is_ok());
        assert!(LoginUrl::parse("https://evilmy.site.com", &policy).is_err());
    }

    #[test]
    fn hosts_prove_a_sandbox_and_never_more_than_they_say() {
        let table = [
            ("acme--uat.sandbox.my.salesforce.com", Some(Environment::Sandbox)),
            ("acme--uat.sandbox.my.localhost:8080", Some(Environment::Sandbox)),
            ("test.salesforce.com", Some(Environment::Sandbox)),
            ("login.salesforce.com", Some(Environment::Production)),
            ("acme.my.salesforce.com", None),
            ("sandbox.my-company.my.salesforce.com", None),
            ("acme-dev-ed.develop.my.salesforce.com", None),
        ];
        for (host, environment) in table {
            assert_eq!(environment_by_host(host), environment, "{host}");
        }
    }

    #[test]
    fn a_pasted_address_gives_its_ids_and_its_my_domain() {
        let setup_page = "https://acme.lightning.force.com/lightning/setup/ManageUsers/page?address=%2F0055g00000FgHiJ%3Fnoredirect%3D1%26org%3D00D5g00000Abc1X";
        let facts = read_address(setup_page, &HostPolicy::default()).unwrap();
        assert_eq!(facts.org_id.unwrap().as_str(), "00D5g00000Abc1XEAR");
        assert_eq!(facts.user_id.unwrap().as_str(), "0055g00000FgHiJAAV");
        assert_eq!(facts.my_domain.unwrap().as_str(), "https://acme.my.salesforce.com");
        assert_eq!(read_address("00D5g00000Abc1X", &HostPolicy::default()), None);
    }

    proptest! {
        #[test]
        fn reading_an_address_never_panics(text in any::<String>()) {
            let _ = read_address(&text, &HostPolicy::default());
            let _ = LoginUrl::parse(&text, &loopback());
        }

        #[test]
        fn a_host_outside_salesforce_is_never_accepted(host in "[a-z]{1,12}(\\.[a-z]{1,12}){0,3}\\.(com|mil|cn|evil)") {
            let inside = SALESFORCE_DOMAINS.iter().any(|domain| is_within(&host, domain));
            prop_assume!(!inside);
            let address = format!("https://{host}");
            prop_assert!(LoginUrl::parse(&address, &HostPolicy::default()).map(|url| url.host().to_owned()) != Ok(host));
        }
    }
}
