//! What the simulated Salesforce says of itself to those who want to sign in to it.

use serde::Serialize;

use crate::domain::name::Environment;
use crate::simulator::entry::{LoginRules, Standing};
use crate::simulator::rotation::RotationPolicy;
use crate::simulator::world::{OrgIndex, World};

/// Version of this shape in JSON.
const SCHEMA: u32 = 1;

/// All that a person or a test has to know. Passwords and secrets are invented, and shown on
/// purpose.
#[derive(Serialize, Clone)]
pub(crate) struct Facts {
    /// Version of the shape.
    pub(crate) schema: u32,
    /// `http://localhost:PORT`, a page that lists the hosts; path aliases start from it.
    pub(crate) base_url: String,
    /// `http://localhost:PORT/_control`.
    pub(crate) control_url: String,
    /// The generic host of production orgs.
    pub(crate) login_url: String,
    /// The generic host of sandboxes.
    pub(crate) test_url: String,
    /// All orgs.
    pub(crate) orgs: Vec<OrgFacts>,
    /// All apps.
    pub(crate) apps: Vec<AppFacts>,
}

/// An org and its users.
#[derive(Serialize, Clone)]
pub(crate) struct OrgFacts {
    /// Its name in the control plane.
    pub(crate) name: String,
    /// Production or sandbox.
    pub(crate) environment: Environment,
    /// 18 characters.
    pub(crate) org_id: String,
    /// `http://acme.my.localhost:PORT`.
    pub(crate) my_domain: String,
    /// Whether it is open at all.
    pub(crate) standing: Standing,
    /// From where and when its users may log in.
    pub(crate) login: LoginRules,
    /// All of its users.
    pub(crate) users: Vec<UserFacts>,
}

/// A user with the password.
#[derive(Serialize, Clone)]
pub(crate) struct UserFacts {
    /// For the login page.
    pub(crate) username: String,
    /// 18 characters.
    pub(crate) user_id: String,
    /// For the login page.
    pub(crate) password: String,
    /// Whether the user may log in.
    pub(crate) active: bool,
    /// The permission 'API Enabled'.
    pub(crate) api_enabled: bool,
    /// Login IP Ranges and Login Hours of the user's profile.
    pub(crate) login: LoginRules,
}

/// An app with its secret.
#[derive(Serialize, Clone)]
pub(crate) struct AppFacts {
    /// Its name.
    pub(crate) name: String,
    /// RFC 6749 section 2.2.
    pub(crate) client_id: String,
    /// Required where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<String>,
    /// Matched exactly.
    pub(crate) redirect_uris: Vec<String>,
    /// Whether a refresh answers a new refresh token.
    pub(crate) rotation: bool,
    /// What becomes of the refresh token that it replaces.
    pub(crate) rotation_policy: RotationPolicy,
    /// Blocked by an admin.
    pub(crate) blocked: bool,
    /// Whether new approvals are given.
    pub(crate) installed: bool,
    /// Names of the orgs that know it: all.
    pub(crate) orgs: Vec<String>,
}

impl World {
    /// The facts as they stand now.
    pub(crate) fn facts(&self) -> Facts {
        let base_url = format!("http://localhost:{}", self.port);
        Facts {
            schema: SCHEMA,
            control_url: format!("{base_url}/_control"),
            base_url,
            login_url: self.url_of("login"),
            test_url: self.url_of("test"),
            orgs: (0..self.orgs.len()).map(|index| self.org_facts(OrgIndex(index))).collect(),
            apps: self.app_facts(),
        }
    }

    fn org_facts(&self, index: OrgIndex) -> OrgFacts {
        let org = self.org(index);
        let users = self.users.iter().filter(|user| user.org == index);
        OrgFacts {
            name: org.name.clone(),
            environment: org.environment,
            org_id: org.id.clone(),
            my_domain: self.instance_url(index),
            standing: org.standing,
            login: org.login.clone(),
            users: users
                .map(|user| UserFacts {
                    username: user.username.clone(),
                    user_id: user.id.clone(),
                    password: user.password.clone(),
                    active: user.active,
                    api_enabled: user.api_enabled,
                    login: user.login.clone(),
                })
                .collect(),
        }
    }

    fn app_facts(&self) -> Vec<AppFacts> {
        let orgs: Vec<String> = self.orgs.iter().map(|org| org.name.clone()).collect();
        self.apps
            .iter()
            .map(|app| AppFacts {
                name: app.name.clone(),
                client_id: app.client_id.clone(),
                client_secret: app.secret.clone(),
                redirect_uris: app.redirect_uris.clone(),
                rotation: app.rotation,
                rotation_policy: app.policy,
                blocked: app.blocked,
                installed: app.installed,
                orgs: orgs.clone(),
            })
            .collect()
    }
}
