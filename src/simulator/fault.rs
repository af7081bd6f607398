//! Fault scripts: what is to go wrong with the next request that matches. Every error of Salesforce
//! OAuth facts 5.1 and 5.2 can be had by status and body, or by an error in the browser's redirect.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::simulator::answer::{Answer, Body};
use crate::simulator::authorize::error_return;
use crate::simulator::leave::Leaving;
use crate::simulator::page;
use crate::simulator::request::Request;

/// Which requests a fault is for; what is absent matches all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Match {
    /// The whole path without prefix and query, or its beginning followed by `*`.
    pub(crate) path: Option<String>,
    /// The `grant_type` of a token request.
    pub(crate) grant_type: Option<String>,
    /// The host without `.localhost` and port: `acme.my`.
    pub(crate) host: Option<String>,
}

/// An error of an authorization request, for its redirect URI or for Salesforce's own page.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallbackError {
    /// The code.
    pub(crate) error: String,
    /// The description.
    #[serde(default)]
    pub(crate) error_description: String,
}

/// How the answer leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Then {
    /// Whole.
    #[default]
    Answer,
    /// Not at all: the connection is reset.
    Reset,
    /// Not at all: the connection stays open and silent.
    Stall,
    /// So many bytes of the body, of the announced length; then the connection ends.
    Truncate(usize),
    /// So many bytes of the body in chunks, without the last one; then the connection ends.
    CutChunks(usize),
    /// Whole, so many bytes per second, from the status line on.
    Drip(u64),
    /// Headers at once, and then so many bytes of the body per second.
    DripBody(u64),
    /// Filled up with white space to so many bytes, which are announced.
    Huge(u64),
    /// Followed by white space without end, in chunks.
    Endless,
    /// As a redirect.
    Redirect(String),
}

impl TryFrom<String> for Then {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if let Some(url) = text.strip_prefix("redirect:") {
            return Ok(Self::Redirect(url.to_owned()));
        }
        let (word, count) = text.split_once('@').unwrap_or((&text, ""));
        let bytes = |least: u64| match count.parse::<u64>() {
            Ok(count) if count >= least => Ok(count),
            _ => Err(format!("'{count}' is no number of bytes from {least}")),
        };
        let size = || bytes(0).map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        match (word, count) {
            ("answer", "") => Ok(Self::Answer),
            ("reset", "") => Ok(Self::Reset),
            ("stall", "") => Ok(Self::Stall),
            ("endless", "") => Ok(Self::Endless),
            ("truncate", _) => size().map(Self::Truncate),
            ("cut_chunks", _) => size().map(Self::CutChunks),
            ("drip", _) => bytes(1).map(Self::Drip),
            ("drip_body", _) => bytes(1).map(Self::DripBody),
            ("huge", _) => bytes(1).map(Self::Huge),
            _ => Err(format!(
                "'{text}' is none of answer, reset, stall, truncate@BYTES, cut_chunks@BYTES, \
                 drip@BYTES_PER_SECOND, drip_body@BYTES_PER_SECOND, huge@BYTES, endless, redirect:URL"
            )),
        }
    }
}

impl From<Then> for String {
    fn from(then: Then) -> Self {
        match then {
            Then::Answer => "answer".to_owned(),
            Then::Reset => "reset".to_owned(),
            Then::Stall => "stall".to_owned(),
            Then::Endless => "endless".to_owned(),
            Then::Truncate(count) => format!("truncate@{count}"),
            Then::CutChunks(count) => format!("cut_chunks@{count}"),
            Then::Drip(pace) => format!("drip@{pace}"),
            Then::DripBody(pace) => format!("drip_body@{pace}"),
            Then::Huge(count) => format!("huge@{count}"),
            Then::Redirect(url) => format!("redirect:{url}"),
        }
    }
}

impl Then {
    /// The way out, and the word for it in the journal, behind the status.
    pub(crate) fn leaving(&self) -> (Leaving, &'static str) {
        match *self {
            Self::Answer | Self::Redirect(_) => (Leaving::Whole, ""),
            Self::Reset => (Leaving::Reset, "reset"),
            Self::Stall => (Leaving::Reset, "stalled"),
            Self::Truncate(bytes) => (Leaving::Truncated(bytes), "truncated"),
            Self::CutChunks(bytes) => (Leaving::ChunksCut(bytes), "chunks cut"),
            Self::Drip(pace) => (Leaving::Drip(pace), "dripped"),
            Self::DripBody(pace) => (Leaving::DripBody(pace), "body dripped"),
            Self::Huge(bytes) => (Leaving::Huge(bytes), "huge"),
            Self::Endless => (Leaving::Endless, "endless"),
        }
    }
}

/// Bytes, written in Base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Base64(Vec<u8>);

impl TryFrom<String> for Base64 {
    type Error = base64::DecodeError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD.decode(text).map(Self)
    }
}

impl From<Base64> for String {
    fn from(Base64(bytes): Base64) -> Self {
        STANDARD.encode(bytes)
    }
}

/// One entry of the script.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    /// Which requests.
    #[serde(rename = "match")]
    pub(crate) matching: Match,
    /// How many of them; 1 where it is absent, 0 for all until the script is cleared.
    pub(crate) times: Option<u64>,
    /// Waited before the request is looked at, in ms of the wall clock.
    pub(crate) delay_before_ms: u64,
    /// A refresh is in flight so long, in ms of the wall clock, beside the app's own hold.
    pub(crate) hold_ms: u64,
    /// Whether the request is carried out. Where absent: unless the fault brings its own answer.
    pub(crate) commit: Option<bool>,
    /// Waited after it was carried out, in ms of the wall clock.
    pub(crate) delay_after_ms: u64,
    /// How the answer leaves.
    pub(crate) then: Then,
    /// Replaces the status.
    pub(crate) status: Option<u16>,
    /// Added to the headers.
    pub(crate) headers: BTreeMap<String, String>,
    /// Replaces the body; text is sent as it is, anything else as JSON.
    pub(crate) body: Option<Value>,
    /// Replaces the body by bytes that need not be text, in Base64.
    pub(crate) body_base64: Option<Base64>,
    /// Replaces the content type.
    pub(crate) content_type: Option<String>,
    /// Sets fields of a JSON object body.
    pub(crate) set_fields: Map<String, Value>,
    /// Drops fields of a JSON object body.
    pub(crate) drop_fields: Vec<String>,
    /// Answers an authorization request with an error at its redirect URI.
    pub(crate) callback_error: Option<CallbackError>,
    /// Answers with Salesforce's own error page, from which nothing comes back to the redirect URI.
    pub(crate) page_error: Option<CallbackError>,
}

impl Fault {
    fn matches(&self, request: &Request) -> bool {
        let Match { path, grant_type, host } = &self.matching;
        let path_fits = path.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => request.place.path.starts_with(beginning),
            None => request.place.path == wanted,
        });
        let grant_fits = grant_type
            .as_deref()
            .is_none_or(|wanted| request.form.get("grant_type") == Some(wanted));
        let name = request.host_name.strip_suffix(".localhost").unwrap_or(&request.host_name);
        let host_fits = host.as_deref().is_none_or(|wanted| name == wanted);
        path_fits && grant_fits && host_fits
    }

    /// Whether the request is carried out by the rules.
    pub(crate) fn commits(&self) -> bool {
        let brings_answer = self.status.is_some_and(|status| status >= 400)
            || self.body.is_some()
            || self.body_base64.is_some()
            || self.callback_error.is_some()
            || self.page_error.is_some()
            || matches!(self.then, Then::Redirect(_));
        self.commit.unwrap_or(!brings_answer)
    }

    /// The wait before.
    pub(crate) fn delay_before(&self) -> Duration {
        Duration::from_millis(self.delay_before_ms)
    }

    /// The time a refresh is held in flight.
    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    /// The wait after.
    pub(crate) fn delay_after(&self) -> Duration {
        Duration::from_millis(self.delay_after_ms)
    }

    /// Changes an answer as the script says.
    pub(crate) fn spoil(&self, request: &Request, mut answer: Answer) -> Answer {
        if let Some(CallbackError { error, error_description }) = &self.callback_error
            && let Some(uri) = request.query.get("redirect_uri")
        {
            let url = error_return(uri, request.query.get("state"), error, error_description);
            return Answer::redirect(&url, &answer.outcome);
        }
        if let Some(CallbackError { error, error_description }) = &self.page_error {
            let page = format!("{}{}", request.place.prefix, page::ERROR_PATH);
            return Answer::redirect(&error_return(&page, None, error, error_description), error);
        }
        if let Then::Redirect(url) = &self.then {
            answer = Answer { tag: answer.tag, ..Answer::redirect(url, &answer.outcome) };
        }
        if let Some(body) = &self.body {
            answer.body = match body {
                Value::String(text) => Body::Text(text.clone()),
                other => Body::Json(other.clone()),
            };
        }
        if let Some(Base64(bytes)) = &self.body_base64 {
            answer.body = Body::Bytes(bytes.clone());
        }
        if let Body::Json(Value::Object(fields)) = &mut answer.body {
            fields.extend(self.set_fields.clone());
            fields.retain(|name, _| !self.drop_fields.contains(name));
        }
        answer.status = self.status.unwrap_or(answer.status);
        if let Some(content_type) = &self.content_type {
            answer.content_type.clone_from(content_type);
        }
        answer.headers.extend(self.headers.clone());
        answer
    }
}

/// The script: entries in their order.
#[derive(Default)]
pub(crate) struct Script(Vec<Fault>);

impl Script {
    /// Appends entries.
    pub(crate) fn append(&mut self, faults: Vec<Fault>) {
        self.0.extend(faults);
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is left of it.
    pub(crate) fn entries(&self) -> &[Fault] {
        &self.0
    }

    /// The first entry that matches; it is used up by one.
    pub(crate) fn take(&mut self, request: &Request) -> Option<Fault> {
        let index = self.0.iter().position(|fault| fault.matches(request))?;
        let fault = self.0[index].clone();
        match fault.times.unwrap_or(1) {
            0 => {}
            1 => {
                self.0.remove(index);
            }
            left => self.0[index].times = Some(left - 1),
        }
        Some(fault)
    }
}
