//! What keeps a loopback redirect from arriving, in words. Paste stays possible after each.

use crate::domain::name::Address;

/// Why nothing listens for the redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotListening {
    /// None of the app's redirect URIs is `http://localhost:PORT/...`.
    NoRedirectUri {
        /// Which app.
        app: String,
    },
    /// Every registered port is taken.
    PortTaken {
        /// Each port, and who has it where that can be told.
        taken: Vec<(u16, Option<String>)>,
    },
    /// The system does not let the port be opened.
    PortRefused {
        /// Which port.
        port: u16,
        /// Why.
        why: String,
    },
    /// What is pending was not begun as loopback.
    OtherFlow(Address),
    /// Nobody came in time.
    TimeOver(Address),
    /// The port was given to a later sign-in, the attempt was given up or ended elsewhere, or the
    /// process ends.
    Closed(Address),
}

impl NotListening {
    /// A stable word for scripts.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoRedirectUri { .. } => "no_loopback_redirect_uri",
            Self::PortTaken { .. } => "port_taken",
            Self::PortRefused { .. } => "port_refused",
            Self::OtherFlow(_) => "not_loopback",
            Self::TimeOver(_) => "listening_over",
            Self::Closed(_) => "listening_ended",
        }
    }

    /// What happened and why.
    pub(super) fn message(&self) -> String {
        match self {
            Self::NoRedirectUri { app } => {
                format!("the app {app} has no redirect URI that begins with http://localhost:PORT")
            }
            Self::PortTaken { taken } => {
                let each: Vec<_> =
                    taken.iter().map(|(port, by)| taken_by(*port, by.as_deref())).collect();
                each.join("; ")
            }
            Self::PortRefused { port, why } => {
                format!("port {port} of localhost can't be opened: {why}")
            }
            Self::OtherFlow(address) => {
                format!("the pending set-up of {address} does not wait for a loopback redirect")
            }
            Self::TimeOver(address) => {
                format!("no answer came for {address} in 15 minutes, so nothing listens any more")
            }
            Self::Closed(address) => {
                format!("nothing listens any more for the answer of {address}")
            }
        }
    }

    /// What to do next.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::NoRedirectUri { app } => format!(
                "add http://localhost:1717/OauthRedirect to the app's Callback URLs in Salesforce and to the redirect URIs of {app} here; or paste: --flow paste"
            ),
            Self::PortTaken { .. } | Self::PortRefused { .. } => {
                "end that program, or register one more http://localhost:PORT/OauthRedirect for the app; or paste: --flow paste".into()
            }
            Self::OtherFlow(address) | Self::TimeOver(address) => {
                format!("paste the address that the browser ended at, or begin again: orgkey setup {address} --flow loopback")
            }
            Self::Closed(address) => {
                format!("look at it with orgkey show {address}; while it is pending, paste still works")
            }
        }
    }
}

/// A port that somebody has.
pub(crate) fn taken_by(port: u16, by: Option<&str>) -> String {
    match by {
        Some(by) => format!("port {port} is taken by {by}"),
        None => format!("port {port} is taken by another program"),
    }
}
