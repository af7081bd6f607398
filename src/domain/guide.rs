//! How an org's admin makes the app in Salesforce, step by step, in Salesforce's own words
//! (Salesforce OAuth facts 0 and 3.2; Setup of an External Client App).

use crate::domain::app::DEFAULT_REDIRECT_URI;
use crate::domain::host::LoginUrl;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuideStep {
    /// Where, or what for.
    pub(crate) title: &'static str,
    /// What to choose and type there.
    pub(crate) lines: Vec<String>,
}

/// The Callback URLs that suit every way to sign in: a page of Salesforce that loads, for copy and
/// paste, and the loopback address, for a tunnel.
pub(crate) fn callback_urls(login_url: &LoginUrl) -> [String; 2] {
    [login_url.endpoint("/services/oauth2/success"), DEFAULT_REDIRECT_URI.to_owned()]
}

/// The steps for an org that signs in there.
pub(crate) fn steps(login_url: &LoginUrl) -> Vec<GuideStep> {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let [page, loopback] = callback_urls(login_url);
    vec![
        GuideStep {
            title: "Setup > External Client App Manager > New External Client App",
            lines: lines(&[
                "Name, e.g. orgkey; Contact Email; Distribution State: Local",
                "(an old Connected App does as well; new ones can't be made any more)",
            ]),
        },
        GuideStep {
            title: "API (Enable OAuth Settings): tick Enable OAuth; Callback URL, a line each",
            lines: vec![page, loopback],
        },
        GuideStep {
            title: "OAuth Scopes",
            lines: lines(&[
                "Manage user data via APIs (api)",
                "Perform requests at any time (refresh_token, offline_access)",
                "Access the identity URL service (id, profile, email, address, phone)",
            ]),
        },
        GuideStep {
            title: "Security",
            lines: lines(&[
                "tick  Require Proof Key for Code Exchange (PKCE)",
                "tick  Enable Refresh Token Rotation, where it is offered",
                "untick  Require Secret for Web Server Flow, and for Refresh Token Flow;",
                "or keep them, and give the Consumer Secret to orgkey as well",
                "leave the other flows off; Create",
            ]),
        },
        GuideStep {
            title: "Policies > Edit",
            lines: lines(&[
                "Permitted Users: Admin approved users are pre-authorized, and a",
                "permission set of those who sign in; or All users may self-authorize",
                "Refresh Token Policy: until revoked, or expire if not used for 30 days",
                "IP Relaxation: enforce, if the address of this host is allowed",
                "Run As of the Client Credentials Flow: nobody, for a person signs in",
            ]),
        },
        GuideStep {
            title: "Settings > OAuth Settings > Consumer Key and Secret",
            lines: lines(&["copy the Consumer Key: it is the client ID"]),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::app::{DEFAULT_SCOPES, check_redirect_uri};
    use crate::domain::name::Environment;

    #[test]
    fn what_it_tells_to_type_is_what_orgkey_accepts_and_asks_for() {
        for environment in [Environment::Production, Environment::Sandbox] {
            let login_url = LoginUrl::generic(environment);
            let urls = callback_urls(&login_url);
            for url in &urls {
                check_redirect_uri(url).unwrap();
            }
            let steps = steps(&login_url);
            let text: Vec<String> = steps.into_iter().flat_map(|step| step.lines).collect();
            let all = text.join("\n");
            assert!(urls.iter().all(|url| text.contains(url)));
            assert!(DEFAULT_SCOPES.iter().all(|scope| all.contains(&format!("({scope}"))), "{all}");
            assert!(text.iter().all(|line| line.len() <= 74 && line.is_ascii()), "{all}");
        }
    }
}
