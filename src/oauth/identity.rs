//! Who a token belongs to: the identity URL and userinfo (OpenID Connect Core section 5.3, and
//! Salesforce OAuth facts 3.10).

use secrecy::SecretString;

use super::{accept_api, text_field, unreadable};
use crate::domain::fault::Fault;
use crate::domain::host::InstanceUrl;
use crate::domain::http::{Method, Purpose, Request, Response};
use crate::domain::id::{OrgId, UserId};
use crate::domain::text;

/// A user as the identity service describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The org.
    pub(crate) org_id: OrgId,
    /// The user.
    pub(crate) user_id: UserId,
    /// The login name; userinfo's may be another name of the user's.
    pub(crate) username: Option<String>,
    /// Whether the user is active, where it is said.
    pub(crate) active: Option<bool>,
}

/// Asks the identity service of the instance. The host of an answered identity URL is not used:
/// the token goes to the checked instance URL alone.
pub(crate) fn request(
    instance_url: &InstanceUrl,
    org_id: &OrgId,
    user_id: &UserId,
    access_token: &SecretString,
) -> Request {
    let path = format!("/id/{org_id}/{user_id}?version=latest&format=json");
    ask(instance_url, &path, access_token)
}

/// Asks userinfo, which needs no ID.
pub(crate) fn userinfo_request(instance_url: &InstanceUrl, access_token: &SecretString) -> Request {
    ask(instance_url, "/services/oauth2/userinfo", access_token)
}

fn ask(instance_url: &InstanceUrl, path: &str, access_token: &SecretString) -> Request {
    Request {
        method: Method::Get,
        url: instance_url.endpoint(path),
        purpose: Purpose::Question,
        form: vec![],
        bearer: Some(access_token.clone()),
    }
}

/// Reads the answer of either.
pub(crate) fn response(host: &str, response: &Response) -> Result<Identity, Fault> {
    let value = accept_api(host, response)?;
    let id = |name: &str| {
        text_field(&value, name)
            .ok_or_else(|| unreadable(host, response.status, &format!("no '{name}'")))
    };
    let wrong =
        |error: crate::domain::id::IdError| unreadable(host, response.status, &error.to_string());
    Ok(Identity {
        org_id: OrgId::parse(&id("organization_id")?).map_err(wrong)?,
        user_id: UserId::parse(&id("user_id")?).map_err(wrong)?,
        username: text_field(&value, "username")
            .or_else(|| text_field(&value, "preferred_username"))
            .map(|name| text::clean(&name)),
        active: value.get("active").and_then(serde_json::Value::as_bool),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fault::FaultKind;
    use crate::oauth::testing::answer;

    #[test]
    fn both_services_name_org_and_user() {
        let identity = r#"{"id":"https://x","user_id":"0055g00000FgHiJAAV","organization_id":"00D5g00000Abc1XEAR","username":"svc@acme.com","active":true}"#;
        let userinfo = r#"{"sub":"https://x","user_id":"0055g00000FgHiJ","organization_id":"00D5g00000Abc1X","preferred_username":"svc@acme.com"}"#;
        for (body, active) in [(identity, Some(true)), (userinfo, None)] {
            let answered = response("h", &answer(200, body)).unwrap();
            assert_eq!(answered.org_id.as_str(), "00D5g00000Abc1XEAR");
            assert_eq!(answered.user_id.as_str(), "0055g00000FgHiJAAV");
            assert_eq!(answered.username.as_deref(), Some("svc@acme.com"));
            assert_eq!(answered.active, active);
        }
    }

    #[test]
    fn refusals_in_plain_text_are_understood() {
        for (status, body, kind) in [
            (403, "Bad_OAuth_Token", FaultKind::SessionExpired),
            (403, "Missing_OAuth_Token", FaultKind::AuthHeaderInvalid),
            (403, "Wrong_Org", FaultKind::WrongOrg),
            (404, "", FaultKind::NotFound),
            (200, "{}", FaultKind::NotAnOAuthAnswer),
            (200, r#"{"user_id":"x","organization_id":"y"}"#, FaultKind::NotAnOAuthAnswer),
            (200, "<html>maintenance", FaultKind::Maintenance),
        ] {
            assert_eq!(response("h", &answer(status, body)).unwrap_err().kind, kind, "{body}");
        }
    }

    #[test]
    fn the_token_goes_to_the_instance_in_the_header() {
        let instance = InstanceUrl::from_stored("https://acme.my.salesforce.com".into());
        let org = OrgId::parse("00D5g00000Abc1X").unwrap();
        let user = UserId::parse("0055g00000FgHiJ").unwrap();
        let request = request(&instance, &org, &user, &"00Dx!y".into());
        assert_eq!(
            request.url,
            "https://acme.my.salesforce.com/id/00D5g00000Abc1XEAR/0055g00000FgHiJAAV?version=latest&format=json"
        );
        assert!(request.bearer.is_some() && request.form.is_empty());
    }
}
