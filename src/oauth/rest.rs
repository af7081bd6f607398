//! The calls of an access test: API versions, limits, and what the org says of itself (Salesforce
//! OAuth facts 1.3; bearer tokens by RFC 6750).

use secrecy::SecretString;

use super::{accept_api, text_field, unreadable};
use crate::domain::fault::Fault;
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::http::{Method, Purpose, Request, Response};
use crate::domain::id::OrgId;
use crate::domain::text;

/// A version of the REST API, e.g. 68.0; ordered by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// Reads `68.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// The daily request quota of an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DailyApiRequests {
    /// Requests allowed in 24 hours.
    pub(crate) max: u64,
    /// Requests left.
    pub(crate) remaining: u64,
}

/// What the org says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Organization {
    /// Its ID.
    pub(crate) org_id: OrgId,
    /// Its name, cleaned.
    pub(crate) name: String,
    /// Sandboxes and scratch orgs say yes.
    pub(crate) is_sandbox: bool,
}

/// Asks for the versions; needs no token.
pub(crate) fn versions_request(instance_url: &InstanceUrl) -> Request {
    ask(instance_url, "/services/data/", None)
}

/// The same of a host that people sign in at.
pub(crate) fn versions_request_at(login_url: &LoginUrl) -> Request {
    Request {
        method: Method::Get,
        url: login_url.endpoint("/services/data/"),
        purpose: Purpose::Question,
        form: Vec::new(),
        bearer: None,
    }
}

/// The newest version.
pub(crate) fn versions_response(host: &str, response: &Response) -> Result<ApiVersion, Fault> {
    accept_api(host, response)?
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| ApiVersion::parse(&text_field(entry, "version")?))
        .max()
        .ok_or_else(|| unreadable(host, response.status, "no API version"))
}

/// Asks for the limits: the cheapest call that proves access to the API.
pub(crate) fn limits_request(
    instance_url: &InstanceUrl,
    version: ApiVersion,
    access_token: &SecretString,
) -> Request {
    ask(instance_url, &format!("/services/data/v{version}/limits"), Some(access_token))
}

/// Reads the limits. A quota that is missing does not fail the test: the call itself passed.
pub(crate) fn limits_response(
    host: &str,
    response: &Response,
) -> Result<Option<DailyApiRequests>, Fault> {
    let limits = accept_api(host, response)?;
    let number = |name| limits.get("DailyApiRequests")?.get(name)?.as_u64();
    Ok(number("Max")
        .zip(number("Remaining"))
        .map(|(max, remaining)| DailyApiRequests { max, remaining }))
}

/// Asks the org for its ID, name and `IsSandbox`.
pub(crate) fn organization_request(
    instance_url: &InstanceUrl,
    version: ApiVersion,
    access_token: &SecretString,
) -> Request {
    const QUERY: &str = "SELECT+Id,Name,IsSandbox+FROM+Organization";
    ask(instance_url, &format!("/services/data/v{version}/query?q={QUERY}"), Some(access_token))
}

/// Reads the org's row.
pub(crate) fn organization_response(
    host: &str,
    response: &Response,
) -> Result<Organization, Fault> {
    let answer = accept_api(host, response)?;
    let refuse = |why: &str| unreadable(host, response.status, why);
    let record = answer
        .get("records")
        .and_then(|records| records.get(0))
        .ok_or_else(|| refuse("no record of Organization"))?;
    let org_id = text_field(record, "Id").ok_or_else(|| refuse("no 'Id'"))?;
    Ok(Organization {
        org_id: OrgId::parse(&org_id).map_err(|error| refuse(&error.to_string()))?,
        name: text::clean(&text_field(record, "Name").unwrap_or_default()),
        is_sandbox: record
            .get("IsSandbox")
            .and_then(serde_json::Value::as_bool)
            .ok_or_else(|| refuse("no 'IsSandbox'"))?,
    })
}

fn ask(instance_url: &InstanceUrl, path: &str, access_token: Option<&SecretString>) -> Request {
    Request {
        method: Method::Get,
        url: instance_url.endpoint(path),
        purpose: Purpose::Question,
        form: vec![],
        bearer: access_token.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fault::FaultKind;
    use crate::oauth::testing::answer;

    #[test]
    fn the_newest_version_is_taken_by_number() {
        let body = r#"[{"label":"Winter '27","url":"/services/data/v68.0","version":"68.0"},{"version":"9.0"},{"version":"100.0"},{"version":"x"}]"#;
        let newest = versions_response("h", &answer(200, body)).unwrap();
        assert_eq!(newest.to_string(), "100.0");
        for body in ["[]", "{}", "[1]", "no"] {
            let fault = versions_response("h", &answer(200, body)).unwrap_err();
            assert_eq!(fault.kind, FaultKind::NotAnOAuthAnswer, "{body}");
        }
    }

    #[test]
    fn limits_pass_even_without_the_quota() {
        let body = r#"{"DailyApiRequests":{"Max":100000,"Remaining":99873}}"#;
        let quota = Some(DailyApiRequests { max: 100_000, remaining: 99_873 });
        assert_eq!(limits_response("h", &answer(200, body)), Ok(quota));
        assert_eq!(limits_response("h", &answer(200, "{}")), Ok(None));
        let disabled = r#"[{"message":"x","errorCode":"API_DISABLED_FOR_ORG"}]"#;
        let fault = limits_response("h", &answer(403, disabled)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::ApiDisabled);
    }

    #[test]
    fn the_org_says_whether_it_is_a_sandbox() {
        let body = r#"{"totalSize":1,"done":true,"records":[{"Id":"00D5g00000Abc1XEAR","Name":"Ac\u001bme","IsSandbox":true}]}"#;
        let organization = organization_response("h", &answer(200, body)).unwrap();
        assert!(organization.is_sandbox);
        assert_eq!(organization.name, "Ac\u{fffd}me");
        assert!(organization_response("h", &answer(200, r#"{"records":[]}"#)).is_err());
    }

    #[test]
    fn calls_go_to_the_instance_with_the_token_in_the_header() {
        let instance = InstanceUrl::from_stored("https://acme.my.salesforce.com".into());
        let version = ApiVersion::parse("68.0").unwrap();
        let token = SecretString::from("00Dx!y");
        assert!(versions_request(&instance).bearer.is_none());
        let limits = limits_request(&instance, version, &token);
        assert_eq!(limits.url, "https://acme.my.salesforce.com/services/data/v68.0/limits");
        assert!(limits.bearer.is_some());
        let organization = organization_request(&instance, version, &token);
        assert!(organization.url.ends_with("/query?q=SELECT+Id,Name,IsSandbox+FROM+Organization"));
    }
}
