//! What is sealed, and how it reads when it is opened: the one place where secrets become bytes.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::domain::app::Flow;
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::http::Response;
use crate::domain::id::{OrgId, UserId};
use crate::domain::record::RecordId;
use crate::domain::time::UnixMillis;
use crate::domain::token::{Generation, TokenSet};
use crate::engine::error::Error;
use crate::vault::data_key::{DataKey, Place, SealPreparation, sealed_by};

/// Room for the sealed form of anything but the largest tokens, in bytes.
const PAYLOAD_ROOM: usize = 32 * 1024;

/// The sealing key with the store that it seals for.
pub(crate) struct Sealer<'a> {
    /// The opened key.
    pub(crate) key: &'a DataKey,
    /// Bound into every seal.
    pub(crate) store_id: RecordId,
}

/// A token set's sealed form.
#[derive(Serialize, Deserialize)]
struct TokenPayload {
    access_token: String,
    refresh_token: Option<String>,
    instance_url: InstanceUrl,
    identity_url: String,
    org_id: OrgId,
    user_id: UserId,
    login_url: LoginUrl,
    client_id: String,
    scopes: Vec<String>,
    flow: Flow,
    issued_at: UnixMillis,
    known_expiry: Option<UnixMillis>,
    /// Values of the first version have none.
    #[serde(default)]
    rotated: bool,
}

/// What a pending authorization code request needs at its end.
#[derive(Clone)]
pub(crate) struct PendingAuthorization {
    /// RFC 6749 section 10.12.
    pub(crate) state: SecretString,
    /// RFC 7636 section 4.1.
    pub(crate) code_verifier: SecretString,
    /// Sent again with the code, byte for byte.
    pub(crate) redirect_uri: String,
    /// What was opened in the browser.
    pub(crate) url: String,
    /// The attempt is bound to this host, whatever is pasted.
    pub(crate) login_url: LoginUrl,
    /// The client.
    pub(crate) client_id: String,
    /// Its name here.
    pub(crate) app: String,
    /// Whether the sign-in was begun to rotate the token that lives.
    pub(crate) is_rotation: bool,
    /// The longest drain of the token set that it replaces, in seconds, as the admin asked.
    pub(crate) drain_limit: Option<u64>,
    /// How it was begun; it stands in the row, not in the seal.
    pub(crate) flow: Flow,
}

/// Where a grant is spent, and by which client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenEndpoint {
    /// The login host's.
    pub(crate) login_url: LoginUrl,
    /// The client.
    pub(crate) client_id: String,
    /// Its name here.
    pub(crate) app: String,
    /// Of a sign-in: the longest drain of the token set that it replaces, in seconds.
    #[serde(default)]
    pub(crate) drain_limit: Option<u64>,
    /// How the grant was come by. Answers of the first version have none.
    #[serde(default = "first_flow")]
    pub(crate) flow: Flow,
}

fn first_flow() -> Flow {
    Flow::Paste
}

/// What a pending device flow needs at its end.
#[derive(Clone)]
pub(crate) struct PendingDevice {
    /// Presented at each poll.
    pub(crate) device_code: SecretString,
    /// What the person types.
    pub(crate) user_code: String,
    /// Where.
    pub(crate) verification_uri: String,
    /// At least so long between two polls.
    pub(crate) interval: Duration,
    /// The attempt is bound to this host.
    pub(crate) login_url: LoginUrl,
    /// The client.
    pub(crate) client_id: String,
    /// Its name here.
    pub(crate) app: String,
    /// What was asked for.
    pub(crate) scopes: Vec<String>,
    /// Whether it was begun to rotate the token that lives.
    pub(crate) is_rotation: bool,
    /// The longest drain of the token set that it replaces, in seconds.
    pub(crate) drain_limit: Option<u64>,
}

/// Its sealed form.
#[derive(Serialize, Deserialize)]
struct DevicePayload {
    device_code: String,
    user_code: String,
    verification_uri: String,
    interval_ms: u64,
    login_url: LoginUrl,
    client_id: String,
    app: String,
    scopes: Vec<String>,
    #[serde(default)]
    is_rotation: bool,
    #[serde(default)]
    drain_limit: Option<u64>,
}

impl Drop for DevicePayload {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.device_code.zeroize();
    }
}

impl PendingDevice {
    /// Where its code is spent.
    pub(crate) fn endpoint(&self) -> TokenEndpoint {
        TokenEndpoint {
            login_url: self.login_url.clone(),
            client_id: self.client_id.clone(),
            app: self.app.clone(),
            flow: Flow::Device,
            drain_limit: self.drain_limit,
        }
    }
}

/// Where an answer in the inbox belongs.
#[derive(Clone, Debug)]
pub(crate) struct AnswerPlace {
    /// What was spent, as part of the seal.
    pub(crate) table: &'static str,
    /// For which credential.
    pub(crate) credential: RecordId,
    /// Its generation when the grant was spent.
    pub(crate) generation: Generation,
    /// Who answered.
    pub(crate) endpoint: TokenEndpoint,
}

/// The first line of a sealed answer; the body follows it.
#[derive(Serialize, Deserialize)]
struct AnswerHead {
    status: u16,
    content_type: String,
    endpoint: TokenEndpoint,
}

/// A pending authorization's sealed form.
#[derive(Serialize, Deserialize)]
struct AuthorizationPayload {
    state: String,
    code_verifier: String,
    redirect_uri: String,
    url: String,
    login_url: LoginUrl,
    client_id: String,
    app: String,
    // Not in what an older version sealed.
    #[serde(default)]
    is_rotation: bool,
    #[serde(default)]
    drain_limit: Option<u64>,
}

impl PendingAuthorization {
    /// Where its code is spent.
    pub(crate) fn endpoint(&self) -> TokenEndpoint {
        TokenEndpoint {
            login_url: self.login_url.clone(),
            client_id: self.client_id.clone(),
            app: self.app.clone(),
            drain_limit: self.drain_limit,
            flow: self.flow,
        }
    }
}

impl Drop for TokenPayload {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl Drop for AuthorizationPayload {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.state.zeroize();
        self.code_verifier.zeroize();
        self.url.zeroize();
    }
}

impl Sealer<'_> {
    /// Seals a token set for its row.
    pub(crate) fn seal_token_set(
        &self,
        row: RecordId,
        generation: Generation,
        token: &TokenSet,
    ) -> Result<Vec<u8>, Error> {
        self.seal_token(("token_set", row, generation), token)
    }

    /// Seals the token set that a discovery found.
    pub(crate) fn seal_found(&self, row: RecordId, token: &TokenSet) -> Result<Vec<u8>, Error> {
        self.seal_token(("discovery", row, Generation(0)), token)
    }

    #[expect(clippy::disallowed_methods, reason = "tokens are sealed before they touch the disk")]
    fn seal_token(
        &self,
        (table, row, generation): (&'static str, RecordId, Generation),
        token: &TokenSet,
    ) -> Result<Vec<u8>, Error> {
        let payload = TokenPayload {
            access_token: token.access_token.expose_secret().to_owned(),
            refresh_token: token.refresh_token.as_ref().map(|t| t.expose_secret().to_owned()),
            instance_url: token.instance_url.clone(),
            identity_url: token.identity_url.clone(),
            org_id: token.org_id.clone(),
            user_id: token.user_id.clone(),
            login_url: token.login_url.clone(),
            client_id: token.client_id.clone(),
            scopes: token.scopes.clone(),
            flow: token.flow,
            issued_at: token.issued_at,
            known_expiry: token.known_expiry,
            rotated: token.rotated,
        };
        self.seal(&payload, table, row, generation)
    }

    /// Opens a token set.
    pub(crate) fn open_token_set(
        &self,
        row: RecordId,
        generation: Generation,
        sealed: &[u8],
    ) -> Result<TokenSet, Error> {
        self.open_token(("token_set", row, generation), sealed)
    }

    /// Opens the token set that a discovery found.
    pub(crate) fn open_found(&self, row: RecordId, sealed: &[u8]) -> Result<TokenSet, Error> {
        self.open_token(("discovery", row, Generation(0)), sealed)
    }

    fn open_token(
        &self,
        (table, row, generation): (&'static str, RecordId, Generation),
        sealed: &[u8],
    ) -> Result<TokenSet, Error> {
        let mut payload: TokenPayload = self.open(sealed, table, row, generation)?;
        Ok(TokenSet {
            access_token: SecretString::from(std::mem::take(&mut payload.access_token)),
            refresh_token: payload.refresh_token.take().map(SecretString::from),
            instance_url: payload.instance_url.clone(),
            identity_url: std::mem::take(&mut payload.identity_url),
            org_id: payload.org_id.clone(),
            user_id: payload.user_id.clone(),
            login_url: payload.login_url.clone(),
            client_id: std::mem::take(&mut payload.client_id),
            scopes: std::mem::take(&mut payload.scopes),
            flow: payload.flow,
            issued_at: payload.issued_at,
            known_expiry: payload.known_expiry,
            rotated: payload.rotated,
        })
    }

    /// Seals a pending authorization for its row, in the table of those of credentials or in that
    /// of discoveries.
    #[expect(
        clippy::disallowed_methods,
        reason = "state and verifier are sealed before they touch the disk"
    )]
    pub(crate) fn seal_authorization(
        &self,
        row: RecordId,
        table: &'static str,
        pending: &PendingAuthorization,
    ) -> Result<Vec<u8>, Error> {
        let payload = AuthorizationPayload {
            state: pending.state.expose_secret().to_owned(),
            code_verifier: pending.code_verifier.expose_secret().to_owned(),
            redirect_uri: pending.redirect_uri.clone(),
            url: pending.url.clone(),
            login_url: pending.login_url.clone(),
            client_id: pending.client_id.clone(),
            app: pending.app.clone(),
            is_rotation: pending.is_rotation,
            drain_limit: pending.drain_limit,
        };
        self.seal(&payload, table, row, Generation(0))
    }

    /// Opens a pending authorization.
    pub(crate) fn open_authorization(
        &self,
        row: RecordId,
        table: &'static str,
        flow: Flow,
        sealed: &[u8],
    ) -> Result<PendingAuthorization, Error> {
        let mut payload: AuthorizationPayload = self.open(sealed, table, row, Generation(0))?;
        Ok(PendingAuthorization {
            state: SecretString::from(std::mem::take(&mut payload.state)),
            code_verifier: SecretString::from(std::mem::take(&mut payload.code_verifier)),
            redirect_uri: std::mem::take(&mut payload.redirect_uri),
            url: std::mem::take(&mut payload.url),
            login_url: payload.login_url.clone(),
            client_id: std::mem::take(&mut payload.client_id),
            app: std::mem::take(&mut payload.app),
            is_rotation: payload.is_rotation,
            drain_limit: payload.drain_limit,
            flow,
        })
    }

    /// Seals a pending device flow for its row.
    #[expect(clippy::disallowed_methods, reason = "the device code is sealed before it is stored")]
    pub(crate) fn seal_device(
        &self,
        row: RecordId,
        pending: &PendingDevice,
    ) -> Result<Vec<u8>, Error> {
        let payload = DevicePayload {
            device_code: pending.device_code.expose_secret().to_owned(),
            user_code: pending.user_code.clone(),
            verification_uri: pending.verification_uri.clone(),
            interval_ms: u64::try_from(pending.interval.as_millis()).unwrap_or(u64::MAX),
            login_url: pending.login_url.clone(),
            client_id: pending.client_id.clone(),
            app: pending.app.clone(),
            scopes: pending.scopes.clone(),
            is_rotation: pending.is_rotation,
            drain_limit: pending.drain_limit,
        };
        self.seal(&payload, "authorization", row, Generation(0))
    }

    /// Opens a pending device flow.
    pub(crate) fn open_device(&self, row: RecordId, sealed: &[u8]) -> Result<PendingDevice, Error> {
        let mut payload: DevicePayload = self.open(sealed, "authorization", row, Generation(0))?;
        Ok(PendingDevice {
            device_code: SecretString::from(std::mem::take(&mut payload.device_code)),
            user_code: std::mem::take(&mut payload.user_code),
            verification_uri: std::mem::take(&mut payload.verification_uri),
            interval: Duration::from_millis(payload.interval_ms),
            login_url: payload.login_url.clone(),
            client_id: std::mem::take(&mut payload.client_id),
            app: std::mem::take(&mut payload.app),
            scopes: std::mem::take(&mut payload.scopes),
            is_rotation: payload.is_rotation,
            drain_limit: payload.drain_limit,
        })
    }

    /// Seals one secret for its row: a client secret, or a token whose revocation is owed.
    #[expect(clippy::disallowed_methods, reason = "secrets are sealed before they touch the disk")]
    pub(crate) fn seal_secret(
        &self,
        table: &'static str,
        row: RecordId,
        secret: &SecretString,
    ) -> Result<Vec<u8>, Error> {
        let place = self.place(table, &row, Generation(0));
        Ok(self.key.seal(secret.expose_secret().as_bytes(), &place)?)
    }

    /// Opens one secret.
    pub(crate) fn open_secret(
        &self,
        table: &'static str,
        row: RecordId,
        sealed: &[u8],
    ) -> Result<SecretString, Error> {
        let plain = self.key.open(sealed, &self.place(table, &row, Generation(0)))?;
        let text = std::str::from_utf8(&plain).map_err(|_| unreadable(table))?;
        Ok(SecretString::from(text))
    }

    /// Seals an exchange's answer as it came, for the inbox. Neither waits nor asks the system for
    /// anything, for until it is done the answer is nowhere else.
    pub(crate) fn seal_answer(
        &self,
        preparation: SealPreparation,
        place: &AnswerPlace,
        answer: &Response,
    ) -> Result<Vec<u8>, Error> {
        let head = AnswerHead {
            status: answer.status,
            content_type: answer.content_type.clone(),
            endpoint: place.endpoint.clone(),
        };
        let mut plain = Zeroizing::new(Vec::with_capacity(answer.body.len() + 1024));
        serde_json::to_writer(&mut *plain, &head).map_err(|_| unreadable(place.table))?;
        plain.push(b'\n');
        plain.extend_from_slice(&answer.body);
        let place = self.place(place.table, &place.credential, place.generation);
        Ok(self.key.seal_prepared(preparation, &plain, &place)?)
    }

    /// Opens an answer that waited in the inbox.
    pub(crate) fn open_answer(
        &self,
        table: &'static str,
        credential: RecordId,
        generation: Generation,
        sealed: &[u8],
    ) -> Result<(Response, TokenEndpoint), Error> {
        let plain = self.key.open(sealed, &self.place(table, &credential, generation))?;
        let end = plain.iter().position(|byte| *byte == b'\n').ok_or_else(|| unreadable(table))?;
        let head: AnswerHead =
            serde_json::from_slice(&plain[..end]).map_err(|_| unreadable(table))?;
        let response = Response {
            status: head.status,
            content_type: head.content_type,
            location: None,
            received_at: crate::engine::now(),
            date: None,
            retry_after: None,
            body: Zeroizing::new(plain[end + 1..].to_vec()),
        };
        Ok((response, head.endpoint))
    }

    /// Seals a value of a row anew; `None` where it is sealed by the key in use already.
    pub(crate) fn reseal(
        &self,
        table: &'static str,
        row: RecordId,
        generation: Generation,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        if sealed_by(sealed) == Some(self.key.current_id()) {
            return Ok(None);
        }
        let place = self.place(table, &row, generation);
        let plain = self.key.open(sealed, &place)?;
        Ok(Some(self.key.seal(&plain, &place)?))
    }

    fn seal<T: Serialize>(
        &self,
        payload: &T,
        table: &'static str,
        row: RecordId,
        generation: Generation,
    ) -> Result<Vec<u8>, Error> {
        // Room enough from the start: a buffer that grows would leave copies of a token behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(PAYLOAD_ROOM));
        serde_json::to_writer(&mut *plain, payload).map_err(|_| unreadable(table))?;
        Ok(self.key.seal(&plain, &self.place(table, &row, generation))?)
    }

    fn open<T: for<'de> Deserialize<'de>>(
        &self,
        sealed: &[u8],
        table: &'static str,
        row: RecordId,
        generation: Generation,
    ) -> Result<T, Error> {
        let plain = self.key.open(sealed, &self.place(table, &row, generation))?;
        serde_json::from_slice(&plain).map_err(|_| unreadable(table))
    }

    fn place<'a>(
        &'a self,
        table: &'static str,
        row: &'a RecordId,
        generation: Generation,
    ) -> Place<'a> {
        Place {
            store_id: &self.store_id.0,
            table,
            row: &row.0,
            column: "sealed",
            generation: generation.0,
        }
    }
}

/// A value that opened, so it is ours, and yet does not read: a fault of this program.
fn unreadable(table: &str) -> Error {
    Error::Store(crate::store::Error::Damaged(format!("a sealed value of {table} does not read")))
}
