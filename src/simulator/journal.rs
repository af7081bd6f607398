//! The journal: the truth about which requests arrived and what came of them, for tests to count.
//! It names the tokens that were presented by a tag, never by themselves.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::time::UnixMillis;
use crate::simulator::answer::Answer;
use crate::simulator::request::Request;

/// Entries that are kept; the counts go on beyond it.
const KEPT: usize = 50_000;

/// A request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// Counts from 1.
    pub(crate) number: u64,
    /// On the virtual clock, RFC 3339.
    pub(crate) at: String,
    /// The same in milliseconds.
    pub(crate) at_ms: i64,
    /// The host without port.
    pub(crate) host: String,
    /// `GET` or another.
    pub(crate) method: String,
    /// The path without query.
    pub(crate) path: String,
    /// Of a token request.
    pub(crate) grant_type: Option<String>,
    /// Of a request that names a client.
    pub(crate) client_id: Option<String>,
    /// Whether a fault script had a hand in it.
    pub(crate) fault: bool,
    /// What the rules made of it: `ok`, a refusal, or `not carried out`; none until they did.
    pub(crate) outcome: Option<String>,
    /// When they did, on the virtual clock: from then on what is granted lives, whether or not the
    /// answer arrives.
    pub(crate) carried_out_at: Option<String>,
    /// Tag of the token that it presented.
    pub(crate) tag: Option<String>,
    /// It presented what had been spent before, and was refused.
    pub(crate) replay: bool,
    /// It presented a refresh token that had been replaced, and the rotation policy let it pass.
    pub(crate) tolerated: bool,
    /// Of a token response: for whom.
    pub(crate) username: Option<String>,
    /// Of a token response: the number of the approval.
    pub(crate) approval: Option<u64>,
    /// Of a token response: tag of the refresh token in it.
    pub(crate) issued: Option<String>,
    /// What was to leave: a status, or how it was cut. None while it is under way.
    pub(crate) sent: Option<String>,
    /// Whether it was handed to the network to its last byte. None while it is on its way.
    pub(crate) whole: Option<bool>,
}

/// The journal.
#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    last: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Journal {
    /// Notes that a request arrived, and gives its number.
    pub(crate) fn arrived(&mut self, at: UnixMillis, request: &Request, fault: bool) -> u64 {
        self.last += 1;
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        let client_id =
            request.client().0.or_else(|| request.query.get("client_id").map(str::to_owned));
        self.entries.push_back(Entry {
            number: self.last,
            at: at.rfc3339(),
            at_ms: at.0,
            host: request.host_name.clone(),
            method: request.method.clone(),
            path: request.place.path.clone(),
            grant_type: request.form.get("grant_type").map(str::to_owned),
            client_id,
            fault,
            outcome: None,
            carried_out_at: None,
            tag: None,
            replay: false,
            tolerated: false,
            username: None,
            approval: None,
            issued: None,
            sent: None,
            whole: None,
        });
        self.count("requests");
        self.last
    }

    /// Notes what the rules made of it. Called before anything is sent, so that the journal tells
    /// what happened even where nobody is left to hear the answer.
    pub(crate) fn carried_out(&mut self, number: u64, at: String, answer: &Answer) {
        let Some(entry) = self.entry(number) else { return };
        entry.outcome = Some(answer.outcome.clone());
        entry.carried_out_at = Some(at);
        entry.tag.clone_from(&answer.tag);
        entry.replay = answer.replay;
        let tolerated = answer.grant.as_ref().is_some_and(|grant| grant.tolerated);
        if let Some(grant) = &answer.grant {
            entry.tolerated = tolerated;
            entry.username = Some(grant.username.clone());
            entry.approval = grant.approval;
            entry.issued.clone_from(&grant.issued);
        }
        let (path, grant) = (entry.path.clone(), entry.grant_type.clone());
        let ok = answer.outcome == "ok";
        match (path.as_str(), grant.as_deref()) {
            ("/services/oauth2/token", Some("authorization_code")) => {
                self.count(if ok { "codes_exchanged" } else { "codes_refused" });
            }
            ("/services/oauth2/token", Some("refresh_token")) => {
                self.count(if ok { "refreshes" } else { "refreshes_refused" });
            }
            ("/services/oauth2/token", Some("device")) => {
                self.count("device_polls");
                if ok {
                    self.count("device_grants");
                }
            }
            ("/services/oauth2/revoke", _) if ok => self.count("revocations"),
            ("/services/oauth2/introspect", _) => self.count("introspections"),
            (other, _) if other.starts_with("/services/data/v") => self.count("api_calls"),
            _ => {}
        }
        if answer.outcome.ends_with("already being processed") {
            self.count("refused_in_flight");
        }
        if answer.replay {
            self.count("replays");
        }
        if tolerated {
            self.count("tolerated");
        }
    }

    /// Notes whether the last byte was handed to the network.
    pub(crate) fn left(&mut self, number: u64, whole: bool) {
        if let Some(entry) = self.entry(number) {
            entry.whole = Some(whole);
        }
    }

    /// Notes what is to leave.
    pub(crate) fn sent(&mut self, number: u64, sent: String) {
        if let Some(entry) = self.entry(number) {
            entry.sent = Some(sent);
        }
    }

    /// All entries that are kept, as JSON lines.
    pub(crate) fn lines(&self) -> String {
        let lines = self.entries.iter().filter_map(|entry| serde_json::to_string(entry).ok());
        lines.map(|line| line + "\n").collect()
    }

    /// The counts since the start or the last clearing; what never happened counts 0.
    pub(crate) fn counts(&self) -> Value {
        let names = [
            "requests",
            "codes_exchanged",
            "codes_refused",
            "refreshes",
            "refreshes_refused",
            "refused_in_flight",
            "replays",
            "tolerated",
            "device_polls",
            "device_grants",
            "revocations",
            "introspections",
            "api_calls",
        ];
        let count = |name| self.counts.get(name).copied().unwrap_or(0);
        names.iter().map(|name| ((*name).to_owned(), json!(count(name)))).collect()
    }

    /// Forgets entries and counts; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.counts.clear();
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.number == number)
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }
}
