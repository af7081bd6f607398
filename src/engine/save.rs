//! Save, Reset and Use: from typed fields to rows. Pure but for the store it is given; every
//! refusal names its field.

use crate::domain::app::DEFAULT_APP;
use crate::domain::audit::AuditEvent;
use crate::domain::credential::{Credential, PendingEdit};
use crate::domain::host::{HostPolicy, LoginUrl, environment_by_host, read_address};
use crate::domain::id::{IdError, IdKind, IdNote, OrgId, UserId};
use crate::domain::name::{Address, ConnectionName, Environment};
use crate::domain::policy::Account;
use crate::domain::text;
use crate::domain::time::UnixMillis;
use crate::engine::error::{Error, Invalid};
use crate::engine::operation::{ResetRequest, SaveRequest};
use crate::engine::outcome::Field;
use crate::engine::saved::SavedAccounts;
use crate::store::{CredentialEdit, NewCredential};

/// Longest username, in characters (Salesforce's own limit).
const USERNAME_LIMIT: usize = 80;
/// Most tags of a credential.
const TAG_LIMIT: usize = 20;

/// Parsed credentials, and what is worth knowing about them.
pub(crate) struct Parsed<T> {
    /// The result.
    pub(crate) value: T,
    /// One line each.
    pub(crate) notes: Vec<String>,
}

/// Parses one new credential; `saved` is what is there, to find contradictions.
pub(crate) fn parse_new(
    request: &SaveRequest,
    policy: &HostPolicy,
    saved: &SavedAccounts,
) -> Result<Parsed<NewCredential>, Error> {
    let at_line = |error: Invalid| Error::Invalid(Box::new(error.at_line(request.line)));
    let mut notes = Vec::new();
    let name = parse_name(&request.name).map_err(at_line)?;
    let environment = if request.sandbox { Environment::Sandbox } else { Environment::Production };
    let org = parse_org(&request.org_id, policy).map_err(at_line)?;
    let user = parse_user(&request.user_id, policy).map_err(at_line)?;
    notes.extend(org.note.into_iter().chain(user.note));
    let typed = request.login_url.as_deref().map(str::trim).filter(|url| !url.is_empty());
    let login_url = match typed {
        Some(typed) => parse_login(typed, policy).map_err(at_line)?,
        None => org.my_domain.or(user.my_domain).unwrap_or_else(|| LoginUrl::generic(environment)),
    };
    check_environment(environment, &login_url).map_err(at_line)?;
    let address = Address { name, environment };
    let account = Account { org_id: org.id, user_id: user.id };
    saved.check(&address, &account).map_err(at_line)?;
    notes.extend(saved.note(&account));
    let value = NewCredential {
        address,
        org_id: account.org_id,
        user_id: account.user_id,
        username: parse_username(request.username.as_deref()).map_err(at_line)?,
        login_url,
        app: app_name(request.app.as_deref()),
        tags: parse_tags(&request.tags).map_err(at_line)?,
    };
    Ok(Parsed { value, notes })
}

/// Parses an edit of `current`. What is not given stays; an edit of the account is staged while a
/// token lives.
pub(crate) fn parse_edit(
    request: &ResetRequest,
    current: &Credential,
    policy: &HostPolicy,
    saved: &SavedAccounts,
) -> Result<Parsed<CredentialEdit>, Error> {
    let refuse = |error: Invalid| Error::Invalid(Box::new(error));
    let mut notes = Vec::new();
    let base = current.pending.clone().unwrap_or_else(|| saved_account(current));
    let mut account = base.clone();
    let mut my_domain = None;
    if let Some(typed) = &request.org_id {
        let org = parse_org(typed, policy).map_err(refuse)?;
        notes.extend(org.note);
        account.org_id = org.id;
        my_domain = org.my_domain;
    }
    if let Some(typed) = &request.user_id {
        let user = parse_user(typed, policy).map_err(refuse)?;
        notes.extend(user.note);
        account.user_id = user.id;
        my_domain = my_domain.or(user.my_domain);
    }
    match &request.username {
        Some(typed) => account.username = parse_username(Some(typed)).map_err(refuse)?,
        // The username that was proved at a sign-in is no hint for the sign-in of another user. One
        // that was only typed stays: nothing is cleared.
        None if account.user_id != base.user_id && current.token.is_some() => {
            let is_saved_one = account.user_id == current.user_id;
            account.username = current.username.clone().filter(|_| is_saved_one);
        }
        None => {}
    }
    match request.login_url.as_deref().map(str::trim) {
        Some("") => account.login_url = LoginUrl::generic(current.address.environment),
        Some(typed) => account.login_url = parse_login(typed, policy).map_err(refuse)?,
        None => account.login_url = my_domain.unwrap_or(account.login_url),
    }
    if let Some(app) = &request.app {
        account.app = app_name(Some(app));
    }
    check_environment(current.address.environment, &account.login_url).map_err(refuse)?;
    let ids = Account { org_id: account.org_id.clone(), user_id: account.user_id.clone() };
    saved.check(&current.address, &ids).map_err(refuse)?;
    if let Some(name) = &request.rename {
        refuse_secret(Field::Name, name.as_str()).map_err(refuse)?;
    }
    let tags = match &request.tags {
        Some(tags) => parse_tags(tags).map_err(refuse)?,
        None => current.tags.clone(),
    };
    let token_lives = current.token.as_ref().is_some_and(|token| token.refused.is_none());
    let saved_one = saved_account(current);
    // Whose token it is was Salesforce's own answer: another username waits for another sign-in.
    let differs = !same_account(&account, &saved_one) || account.username != saved_one.username;
    let value = CredentialEdit {
        rename: request.rename.clone(),
        account_changes: !same_account(&account, &base),
        stage: token_lives && differs,
        account,
        tags,
    };
    Ok(Parsed { value, notes })
}

/// The account as it is saved.
pub(crate) fn saved_account(credential: &Credential) -> PendingEdit {
    PendingEdit {
        org_id: credential.org_id.clone(),
        user_id: credential.user_id.clone(),
        username: credential.username.clone(),
        login_url: credential.login_url.clone(),
        app: credential.app.clone(),
    }
}

/// The account that the next sign-in has to be: the staged one, or the saved one.
pub(crate) fn account_to_sign_in(credential: &Credential) -> PendingEdit {
    credential.pending.clone().unwrap_or_else(|| saved_account(credential))
}

/// Whether a token of one is a token of the other: the username is no part of it.
fn same_account(one: &PendingEdit, other: &PendingEdit) -> bool {
    one.org_id == other.org_id
        && one.user_id == other.user_id
        && one.login_url == other.login_url
        && one.app.eq_ignore_ascii_case(&other.app)
}

/// The audit's words for an edit.
pub(crate) fn edit_event(edit: &CredentialEdit) -> AuditEvent {
    if edit.stage { AuditEvent::EditStaged } else { AuditEvent::CredentialEdited }
}

/// An ID, and what came with it.
struct ParsedId<T> {
    id: T,
    note: Option<String>,
    my_domain: Option<LoginUrl>,
}

fn parse_name(typed: &str) -> Result<ConnectionName, Invalid> {
    refuse_secret(Field::Name, typed)?;
    ConnectionName::parse(typed).map_err(|error| {
        Invalid::new(
            Field::Name,
            error.to_string(),
            "choose a name of letters, digits, '.', '_' and '-', e.g. acme or acme-uat",
        )
    })
}

fn parse_org(typed: &str, policy: &HostPolicy) -> Result<ParsedId<OrgId>, Invalid> {
    refuse_secret(Field::OrgId, typed)?;
    let facts = read_address(typed, policy).unwrap_or_default();
    if let Some(id) = facts.org_id {
        return Ok(ParsedId { id, note: None, my_domain: facts.my_domain });
    }
    let (id, note) = OrgId::parse_with_note(typed)
        .map_err(|error| invalid_id(Field::OrgId, IdKind::Organization, &error))?;
    let note = id_note(IdKind::Organization, note, id.as_str());
    Ok(ParsedId { id, note, my_domain: None })
}

fn parse_user(typed: &str, policy: &HostPolicy) -> Result<ParsedId<UserId>, Invalid> {
    refuse_secret(Field::UserId, typed)?;
    let facts = read_address(typed, policy).unwrap_or_default();
    if let Some(id) = facts.user_id {
        return Ok(ParsedId { id, note: None, my_domain: facts.my_domain });
    }
    let (id, note) = UserId::parse_with_note(typed)
        .map_err(|error| invalid_id(Field::UserId, IdKind::User, &error))?;
    let note = id_note(IdKind::User, note, id.as_str());
    Ok(ParsedId { id, note, my_domain: None })
}

fn invalid_id(field: Field, kind: IdKind, error: &IdError) -> Invalid {
    Invalid::new(field, error.to_string(), format!("find it at {}", kind.where_shown()))
}

fn id_note(kind: IdKind, note: Option<IdNote>, id: &str) -> Option<String> {
    let label = kind.label();
    note.map(|note| match note {
        IdNote::CaseRepaired => format!("the {label} had lost its case; it is {id}"),
        IdNote::CaseDoubtful => format!(
            "all letters of the {label} have one case: if that happened in a copy, the sign-in will say so"
        ),
    })
}

/// A token or a key in a field for something else is refused before anything of it is shown.
pub(super) fn refuse_secret(field: Field, typed: &str) -> Result<(), Invalid> {
    let what = match field {
        Field::OrgId | Field::UserId => "an ID",
        Field::Username => "a username",
        Field::LoginUrl => "an address",
        Field::Tags => "a tag",
        Field::ClientId => "a client ID",
        Field::RedirectUri => "a redirect URI",
        Field::Scopes => "a scope",
        Field::Name | Field::App | Field::Environment => "a name",
    };
    match text::secret_kind(typed) {
        None => Ok(()),
        Some(_) => Err(Invalid::new(
            field,
            format!("this looks like a token or a key, not like {what}; it was not kept"),
            "if it was shown to anyone, revoke it at Salesforce",
        )),
    }
}

pub(super) fn parse_login(typed: &str, policy: &HostPolicy) -> Result<LoginUrl, Invalid> {
    refuse_secret(Field::LoginUrl, typed)?;
    LoginUrl::parse(typed, policy).map_err(|error| {
        Invalid::new(
            Field::LoginUrl,
            error.to_string(),
            "give the My Domain URL, e.g. https://acme.my.salesforce.com (Setup > My Domain)",
        )
    })
}

fn parse_username(typed: Option<&str>) -> Result<Option<String>, Invalid> {
    let Some(username) = typed.map(str::trim).filter(|username| !username.is_empty()) else {
        return Ok(None);
    };
    refuse_secret(Field::Username, username)?;
    let plain = !username.chars().any(|c| c.is_whitespace() || text::is_unprintable(c));
    let has_at =
        username.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if plain && has_at && username.chars().count() <= USERNAME_LIMIT {
        Ok(Some(username.to_owned()))
    } else {
        Err(Invalid::new(
            Field::Username,
            // Not shown: it may be a password.
            "what was entered is no Salesforce username",
            "it looks like an e-mail address; leave it empty and it is learned at the first login",
        ))
    }
}

pub(super) fn parse_tags(typed: &[String]) -> Result<Vec<String>, Invalid> {
    let mut tags: Vec<String> = Vec::new();
    for tag in typed.iter().flat_map(|typed| typed.split([' ', ','])).filter(|tag| !tag.is_empty())
    {
        refuse_secret(Field::Tags, tag)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !tag.chars().all(allowed) || tag.len() > 64 {
            return Err(Invalid::new(
                Field::Tags,
                format!("'{}' is no tag", text::clean(tag)),
                "a tag has letters, digits, '.', '_' and '-'",
            ));
        }
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    if tags.len() > TAG_LIMIT {
        return Err(Invalid::new(
            Field::Tags,
            format!("{} tags are too many", tags.len()),
            format!("{TAG_LIMIT} are the most"),
        ));
    }
    Ok(tags)
}

pub(super) fn app_name(typed: Option<&str>) -> String {
    typed.map(str::trim).filter(|app| !app.is_empty()).unwrap_or(DEFAULT_APP).to_owned()
}

pub(super) fn check_environment(
    environment: Environment,
    login_url: &LoginUrl,
) -> Result<(), Invalid> {
    let host = login_url.host();
    match environment_by_host(host) {
        Some(Environment::Sandbox) if environment == Environment::Production => Err(Invalid::new(
            Field::Environment,
            format!("{host} is a sandbox's host, but the credential is to be production"),
            "give --sandbox, or the production My Domain",
        )),
        Some(Environment::Production) if environment == Environment::Sandbox => Err(Invalid::new(
            Field::LoginUrl,
            format!("{host} signs in to production, but the credential is to be sandbox"),
            "leave --sandbox out, or give the sandbox's My Domain or https://test.salesforce.com",
        )),
        _ => Ok(()),
    }
}

/// The part of an audit row that says what an account is.
pub(crate) fn account_detail(account: &PendingEdit) -> String {
    format!(
        "org {} user {} login {} app {}",
        account.org_id,
        account.user_id,
        account.login_url.host(),
        text::clean(&account.app)
    )
}

/// The end of a set-up that was begun at `started_at`.
pub(crate) fn authorization_end(started_at: UnixMillis) -> UnixMillis {
    started_at.plus(std::time::Duration::from_secs(24 * 3600))
}
