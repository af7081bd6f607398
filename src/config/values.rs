//! Values of config.toml that are checked while they are read, so that the error knows its line.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

use super::settings::AppTable;
use crate::domain::app::{self, AppError};
use crate::domain::name::ConnectionName;
use crate::domain::text;
use crate::domain::time;

/// Where the system's log listens (syslog(3)).
const SYSLOG_SOCKET: &str = "/dev/log";

/// Why a value is refused, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

/// Gives a checked text its way in through serde.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(try_from = "String")]
        pub(super) struct $name(pub(super) String);

        impl TryFrom<String> for $name {
            type Error = Refused;
            fn try_from(text: String) -> Result<Self, Refused> {
                let check: fn(&str) -> Result<(), Refused> = $check;
                check(&text).map(|()| Self(text))
            }
        }
    };
}

checked_text!(
    /// A client ID (RFC 6749 section 2.2).
    ClientId,
    |id| app::check_client_id(id).map_err(refused)
);
checked_text!(
    /// A redirect URI by Salesforce's rules.
    RedirectUri,
    |uri| app::check_redirect_uri(uri).map_err(refused)
);
checked_text!(
    /// One scope-token of RFC 6749 section 3.3.
    Scope,
    |scope| {
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !scope.is_empty() && scope.bytes().all(allowed) {
            Ok(())
        } else {
            Err(refused(AppError::Scope(text::clean_and_mask(scope))))
        }
    }
);
checked_text!(
    /// The name of a file, absolute or relative to the folder of config.toml.
    FileName,
    |name| {
        if text::secret_kind(name).is_some() {
            Err(Refused("this is a secret, not the name of a file that holds one".to_owned()))
        } else if name.trim().is_empty() || name.contains('\0') {
            Err(Refused("a file is named here".to_owned()))
        } else if name.starts_with('~') {
            Err(Refused(
                "'~' is not replaced here: write the path in full, or relative to config.toml"
                    .to_owned(),
            ))
        } else {
            Ok(())
        }
    }
);

fn refused(error: impl fmt::Display) -> Refused {
    Refused(error.to_string())
}

/// A domain that is trusted like Salesforce's own, in lower case: at least two labels, no scheme,
/// port or star, so that no whole top-level domain is trusted by a slip.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TrustedDomain(pub(super) String);

impl TryFrom<String> for TrustedDomain {
    type Error = Refused;
    fn try_from(text: String) -> Result<Self, Refused> {
        let domain = text.to_ascii_lowercase();
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last_is_letters = domain
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()));
        if domain.contains('.') && domain.split('.').all(label) && last_is_letters {
            Ok(Self(domain))
        } else {
            Err(Refused(format!(
                "'{}' is not a domain: write it as in my.site.com, without https:// or *",
                text::clean_and_mask(&text)
            )))
        }
    }
}

/// A span of time of at least a second, written like `90s`, `10m`, `2h`, `30d`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Duration);

impl TryFrom<String> for Span {
    type Error = Refused;
    fn try_from(text: String) -> Result<Self, Refused> {
        let span = time::parse_span(&text).map_err(refused)?;
        if span.is_zero() { Err(Refused("the span is zero".to_owned())) } else { Ok(Self(span)) }
    }
}

/// The longest wait for one answer; see [`super::settings::Network::deadline`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Span")]
pub(super) struct Deadline(pub(super) Duration);

impl TryFrom<Span> for Deadline {
    type Error = Refused;
    fn try_from(span: Span) -> Result<Self, Refused> {
        if span.0 <= super::settings::LONGEST_DEADLINE {
            Ok(Self(span.0))
        } else {
            Err(Refused(format!(
                "the deadline is {}; {} is the most",
                time::span_in_words(span.0),
                time::span_in_words(super::settings::LONGEST_DEADLINE)
            )))
        }
    }
}

/// Where audit rows are sent: `true` is the system's log, a full path another socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SyslogSocket(pub(super) Option<PathBuf>);

impl<'de> Deserialize<'de> for SyslogSocket {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SyslogVisitor)
    }
}

struct SyslogVisitor;

impl Visitor<'_> for SyslogVisitor {
    type Value = SyslogSocket;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("true, false, or the full path of a socket")
    }

    fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<SyslogSocket, E> {
        Ok(SyslogSocket(is_on.then(|| SYSLOG_SOCKET.into())))
    }

    fn visit_str<E: de::Error>(self, path: &str) -> Result<SyslogSocket, E> {
        if path.starts_with('/') && !path.contains('\0') {
            return Ok(SyslogSocket(Some(path.into())));
        }
        let path = text::clean_and_mask(path);
        Err(E::custom(format_args!("'{path}' is not the full path of a socket")))
    }
}

/// The tables `[apps.NAME]`, by name; names are unique without regard to case.
#[derive(Debug, Default)]
pub(super) struct AppTables(pub(super) Vec<(ConnectionName, AppTable)>);

impl<'de> Deserialize<'de> for AppTables {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AppTablesVisitor)
    }
}

struct AppTablesVisitor;

impl<'de> Visitor<'de> for AppTablesVisitor {
    type Value = AppTables;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("tables [apps.NAME]")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<AppTables, M::Error> {
        let mut apps: Vec<(ConnectionName, AppTable)> = Vec::new();
        while let Some(name) = map.next_key::<ConnectionName>()? {
            let same = |(other, _): &&(ConnectionName, AppTable)| other.folded() == name.folded();
            if let Some((other, _)) = apps.iter().find(same) {
                return Err(de::Error::custom(format_args!(
                    "the apps {other} and {name} differ in case alone"
                )));
            }
            let app = map.next_value()?;
            apps.push((name, app));
        }
        Ok(AppTables(apps))
    }
}
