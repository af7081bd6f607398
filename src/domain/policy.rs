//! When to refresh, and which answer of Salesforce fits the saved credential.

use std::time::Duration;

use crate::domain::host::environment_by_host;
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::Environment;
use crate::domain::time::UnixMillis;
use crate::domain::token::Expiry;

/// Life that an access token must have left to be handed out, where the script asks for none.
pub(crate) const DEFAULT_MIN_TTL: Duration = Duration::from_secs(60);

/// Whether less than `min_ttl` is left of an access token.
pub(crate) fn must_refresh(expiry: Expiry, min_ttl: Duration, now: UnixMillis) -> bool {
    expiry.at < now.plus(min_ttl)
}

/// An account: what a sign-in or a refresh must agree in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Account {
    /// The org.
    pub(crate) org_id: OrgId,
    /// The user in it.
    pub(crate) user_id: UserId,
}

/// How the environment of a login compares with the credential's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvironmentProof {
    /// Host or `IsSandbox` says the same.
    Proven,
    /// Nothing says it.
    NotProven,
    /// Host or `IsSandbox` says the other.
    Contradicted(Environment),
}

/// Compares the environment with what the instance host and, where it could be read,
/// `Organization.IsSandbox` say. A contradiction by either wins.
pub(crate) fn prove_environment(
    expected: Environment,
    instance_host: &str,
    is_sandbox: Option<bool>,
) -> EnvironmentProof {
    let by_host = environment_by_host(instance_host);
    let by_org = is_sandbox
        .map(|sandbox| if sandbox { Environment::Sandbox } else { Environment::Production });
    let found: Vec<Environment> = by_org.into_iter().chain(by_host).collect();
    match found.iter().find(|environment| **environment != expected) {
        Some(other) => EnvironmentProof::Contradicted(*other),
        None if found.is_empty() => EnvironmentProof::NotProven,
        None => EnvironmentProof::Proven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_refreshed_when_less_than_the_asked_life_is_left() {
        let expiry = Expiry { at: UnixMillis(100_000), known: true };
        assert!(!must_refresh(expiry, Duration::from_secs(60), UnixMillis(40_000)));
        assert!(must_refresh(expiry, Duration::from_secs(60), UnixMillis(40_001)));
        assert!(must_refresh(expiry, Duration::from_secs(600), UnixMillis(0)));
    }

    #[test]
    fn environments_are_proved_by_host_or_org_and_contradicted_by_either() {
        use Environment::{Production, Sandbox};
        use EnvironmentProof::{Contradicted, NotProven, Proven};
        let plain = "acme.my.salesforce.com";
        let sandbox = "acme--uat.sandbox.my.salesforce.com";
        let table = [
            (Production, plain, None, NotProven),
            (Production, plain, Some(false), Proven),
            (Production, plain, Some(true), Contradicted(Sandbox)),
            (Production, sandbox, None, Contradicted(Sandbox)),
            (Production, sandbox, Some(false), Contradicted(Sandbox)),
            (Sandbox, plain, None, NotProven),
            (Sandbox, plain, Some(false), Contradicted(Production)),
            (Sandbox, sandbox, None, Proven),
            (Sandbox, sandbox, Some(true), Proven),
        ];
        for (expected, host, is_sandbox, proof) in table {
            assert_eq!(
                prove_environment(expected, host, is_sandbox),
                proof,
                "{expected} {host} {is_sandbox:?}"
            );
        }
    }
}
