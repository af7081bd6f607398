//! What the form says of its fields: their names, where their values come from, and whether what
//! was typed is right. The domain's own parsers decide.

use crate::domain::host::{HostPolicy, LoginUrl};
use crate::domain::id::{IdKind, IdNote, OrgId, UserId};
use crate::domain::name::ConnectionName;
use crate::engine::outcome::Field;
use crate::tui::model::field::LineField;
use crate::tui::model::form::Values;

/// What is known of a field's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It may stay empty, or nothing was typed yet.
    Nothing,
    /// It is right; what is worth saying of it.
    Good(String),
    /// It is wrong, and why.
    Wrong(String),
}

/// What Salesforce, or orgkey, calls a field.
pub(crate) fn label(field: Field) -> &'static str {
    match field {
        Field::Name => "Name",
        Field::OrgId => "Org ID",
        Field::UserId => "User ID",
        Field::Username => "Username",
        Field::LoginUrl => "My Domain",
        Field::Environment => "Use salesforce.com Sandbox",
        Field::App => "App",
        Field::Tags => "Tags",
        Field::ClientId => "Consumer Key",
        Field::RedirectUri => "Callback URLs",
        Field::Scopes => "OAuth Scopes",
    }
}

/// Where the value of the focused field comes from.
pub(crate) fn hint(field: Field) -> &'static str {
    match field {
        Field::Name => "yours to choose: letters, digits, '.', '_' and '-', e.g. acme",
        Field::OrgId => IdKind::Organization.where_shown(),
        Field::UserId => IdKind::User.where_shown(),
        Field::Username => "optional: who signs in; learned at the first login",
        Field::LoginUrl => "e.g. https://acme.my.salesforce.com; any address of the org will do",
        Field::Environment => "Space ticks it. Sandbox has its own Org ID, User ID and token",
        Field::App => "the org's External Client App or Connected App; a on the list adds one",
        Field::Tags => "optional words to filter by, e.g. eu billing",
        Field::ClientId => "External Client App Manager > the app > Settings > Consumer Key",
        Field::RedirectUri => "exactly as in the app; several are separated by blanks",
        Field::Scopes => "api refresh_token id, unless the app allows less",
    }
}

/// What is known of a field's text, by the parser that the engine asks too.
pub(crate) fn check(
    field: Field,
    name: &LineField,
    values: &Values,
    policy: &HostPolicy,
) -> Finding {
    let good = |text: &str| Finding::Good(text.to_owned());
    match field {
        Field::Name => match ConnectionName::parse(name.value()) {
            Ok(_) => Finding::Nothing,
            Err(error) => Finding::Wrong(error.to_string()),
        },
        Field::OrgId => match OrgId::parse_with_note(values.org_id.value()) {
            Ok((id, note)) => good(&id_remark(id.as_str(), values.org_id.value(), note)),
            Err(error) => Finding::Wrong(error.to_string()),
        },
        Field::UserId => match UserId::parse_with_note(values.user_id.value()) {
            Ok((id, note)) => good(&id_remark(id.as_str(), values.user_id.value(), note)),
            Err(error) => Finding::Wrong(error.to_string()),
        },
        Field::LoginUrl if !values.login_url.value().trim().is_empty() => {
            match LoginUrl::parse(values.login_url.value(), policy) {
                Ok(url) if url.as_str() == values.login_url.value().trim() => Finding::Nothing,
                Ok(url) => good(&format!("= {url}")),
                Err(error) => Finding::Wrong(error.to_string()),
            }
        }
        _ => Finding::Nothing,
    }
}

fn id_remark(id: &str, typed: &str, note: Option<IdNote>) -> String {
    match note {
        Some(IdNote::CaseRepaired) => format!("= {id}, its case restored"),
        Some(IdNote::CaseDoubtful) => format!("= {id}; all letters of one case, copied right?"),
        None if typed.trim() == id => String::new(),
        None => format!("= {id}"),
    }
}

/// The first field that is wrong, in Tab order.
pub(crate) fn first_wrong(name: &LineField, values: &Values, policy: &HostPolicy) -> Option<Field> {
    [Field::Name, Field::OrgId, Field::UserId, Field::LoginUrl]
        .into_iter()
        .find(|field| matches!(check(*field, name, values, policy), Finding::Wrong(_)))
}
