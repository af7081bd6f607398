//! An answer as the rules give it, before a fault script spoils it and before it becomes HTTP.

use serde_json::{Value, json};

/// The body of an answer.
#[derive(Clone)]
pub(crate) enum Body {
    /// Can be changed field by field.
    Json(Value),
    /// Sent as it is.
    Text(String),
    /// Sent as they are; they need not be text.
    Bytes(Vec<u8>),
}

/// An answer, and what the journal notes of it.
#[derive(Clone)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The `Content-Type`.
    pub(crate) content_type: String,
    /// Further headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Body,
    /// For the journal: `ok`, or what was refused and why. Never holds a token.
    pub(crate) outcome: String,
    /// For the journal: which token was presented.
    pub(crate) tag: Option<String>,
    /// For the journal: a code or refresh token was presented that had been spent before.
    pub(crate) replay: bool,
    /// For the journal: what a token response granted.
    pub(crate) grant: Option<Grant>,
    /// The key of the sign-in that goes on from this page.
    pub(crate) attempt: Option<String>,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: Body, outcome: &str) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            headers: vec![("Cache-Control".to_owned(), "no-store".to_owned())],
            body,
            outcome: outcome.to_owned(),
            tag: None,
            replay: false,
            grant: None,
            attempt: None,
        }
    }

    /// A JSON document.
    pub(crate) fn json(body: Value) -> Self {
        Self::new(200, "application/json;charset=UTF-8", Body::Json(body), "ok")
    }

    /// An OAuth error (RFC 6749 section 5.2).
    pub(crate) fn oauth_error(refusal: &Refusal) -> Self {
        let Refusal { error, description, .. } = *refusal;
        let body = json!({ "error": error, "error_description": description });
        let outcome = format!("{error}: {description}");
        let answer = Self::new(400, "application/json;charset=UTF-8", Body::Json(body), &outcome);
        Self { replay: refusal.replay, ..answer }
    }

    /// An error of the REST API, whose body is an array (Salesforce OAuth facts 5.2).
    pub(crate) fn rest_error(status: u16, code: &str, message: &str) -> Self {
        let body = json!([{ "message": message, "errorCode": code }]);
        Self::new(status, "application/json;charset=UTF-8", Body::Json(body), code)
    }

    /// Plain text, as the identity service refuses.
    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/html;charset=UTF-8", Body::Text(text.to_owned()), text)
    }

    /// A page.
    pub(crate) fn html(status: u16, html: String, outcome: &str) -> Self {
        Self::new(status, "text/html;charset=UTF-8", Body::Text(html), outcome)
    }

    /// 200 without a body.
    pub(crate) fn empty() -> Self {
        Self::new(200, "text/plain;charset=UTF-8", Body::Text(String::new()), "ok")
    }

    /// 302.
    pub(crate) fn redirect(location: &str, outcome: &str) -> Self {
        Self::empty().with_status(302).with_outcome(outcome).with_header("Location", location)
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same with another note for the journal.
    pub(crate) fn with_outcome(self, outcome: &str) -> Self {
        Self { outcome: outcome.to_owned(), ..self }
    }

    /// The same with one more header.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with the tag of the token that was presented.
    pub(crate) fn about(self, token: &str) -> Self {
        Self { tag: Some(crate::simulator::mint::tag(token)), ..self }
    }

    /// Where a redirect leads.
    pub(crate) fn location(&self) -> Option<&str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
        found.map(|(_, value)| value.as_str())
    }

    /// The bytes of the body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.body {
            Body::Json(value) => value.to_string().into_bytes(),
            Body::Text(text) => text.clone().into_bytes(),
            Body::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// What a token response granted, for the journal.
#[derive(Clone)]
pub(crate) struct Grant {
    /// The number of the approval, where a refresh token was granted.
    pub(crate) approval: Option<u64>,
    /// For whom.
    pub(crate) username: String,
    /// Tag of the refresh token in it; none where it has none.
    pub(crate) issued: Option<String>,
    /// The refresh token that was spent had been replaced before.
    pub(crate) tolerated: bool,
}

/// An OAuth error with its description (Salesforce OAuth facts 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The code.
    pub(crate) error: &'static str,
    /// The description.
    pub(crate) description: &'static str,
    /// It was refused because it had been spent before.
    pub(crate) replay: bool,
}

impl Refusal {
    /// A refusal that is no replay.
    pub(crate) const fn new(error: &'static str, description: &'static str) -> Self {
        Self { error, description, replay: false }
    }

    /// The same, because it had been spent before.
    pub(crate) const fn of_replay(self) -> Self {
        Self { replay: true, ..self }
    }
}
