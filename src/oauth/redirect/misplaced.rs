//! What people paste by mistake where the redirect belongs, named for what it is and never echoed.

use crate::domain::host::percent_decode;
use crate::domain::id::{OrgId, UserId};
use crate::domain::text::{SecretKind, secret_kind};

/// A thing in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// `00D...!...`, a JWT, or an address with either.
    AccessToken,
    /// `5Aep...`.
    RefreshToken,
    /// `force://...`.
    SfdxAuthUrl,
    /// PEM.
    PrivateKey,
    /// `AGE-SECRET-KEY-...`.
    AgeIdentity,
    /// A Consumer Key.
    ClientId,
    /// A Consumer Secret.
    ClientSecret,
    /// `user@host`.
    Username,
    /// An Org ID or a User ID.
    SalesforceId,
}

impl std::fmt::Display for Misplaced {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::AccessToken => "an access token",
            Self::RefreshToken => "a refresh token",
            Self::SfdxAuthUrl => "an sfdx auth URL, which holds a refresh token",
            Self::PrivateKey => "a private key",
            Self::AgeIdentity => "an age identity",
            Self::ClientId => "a Consumer Key (client ID)",
            Self::ClientSecret => "a Consumer Secret (client secret)",
            Self::Username => "a username or an e-mail address",
            Self::SalesforceId => "a Salesforce ID",
        })
    }
}

impl Misplaced {
    /// Where it belongs, or what to do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::AccessToken | Self::RefreshToken | Self::SfdxAuthUrl => {
                "to bring a token of another tool use orgkey import; if others could see it, revoke it"
            }
            Self::PrivateKey => "a key belongs into a file (private_key_file of the app)",
            Self::AgeIdentity => "keep it off the screen; if others could see it, rotate the key",
            Self::ClientId => "give it to the app (orgkey app add NAME --client-id ID)",
            Self::ClientSecret => {
                "give it to the app by a file (orgkey app add NAME --secret-from FILE)"
            }
            Self::Username => "a username belongs on Salesforce's own page",
            Self::SalesforceId => "IDs are entered with save and reset",
        }
    }
}

/// A secret known by its shape, anywhere in the paste, as it stands or percent-encoded.
pub(super) fn secret(pasted: &str, compact: &str) -> Option<Misplaced> {
    let decoded = percent_decode(compact);
    [pasted, compact, &decoded].into_iter().find_map(|text| match secret_kind(text)? {
        SecretKind::AccessToken => Some(Misplaced::AccessToken),
        SecretKind::RefreshToken => Some(Misplaced::RefreshToken),
        SecretKind::SfdxAuthUrl => Some(Misplaced::SfdxAuthUrl),
        SecretKind::PrivateKey => Some(Misplaced::PrivateKey),
        SecretKind::AgeIdentity => Some(Misplaced::AgeIdentity),
        SecretKind::AuthorizationCode => None,
    })
}

/// A name or client credential known by its shape, where the paste is nothing else.
pub(super) fn name(text: &str) -> Option<Misplaced> {
    let is_hex_secret = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_digit_secret =
        (16..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if text.starts_with("3MVG9") {
        Some(Misplaced::ClientId)
    } else if is_hex_secret || is_digit_secret {
        Some(Misplaced::ClientSecret)
    } else if OrgId::parse(text).is_ok() || UserId::parse(text).is_ok() {
        Some(Misplaced::SalesforceId)
    } else if text
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
    {
        Some(Misplaced::Username)
    } else {
        None
    }
}
