//! The rules of the token endpoint: exchanging a code and refreshing (Salesforce OAuth facts 3.1
//! to 3.3). Pure: time comes in, nothing is sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::time::UnixMillis;
use crate::simulator::answer::Refusal;
use crate::simulator::entry::KeptOut;
use crate::simulator::host::VirtualHost;
use crate::simulator::rotation::Standing;
use crate::simulator::world::{AppIndex, Approval, ApprovalId, Replay, Session, Subject, World};

/// Life of an authorization code.
const CODE_LIFE: Duration = Duration::from_secs(15 * 60);
/// Approvals per user and app; one more revokes the oldest (Salesforce OAuth facts, number 8).
pub(crate) const APPROVAL_LIMIT: usize = 5;

const UNKNOWN_CLIENT: Refusal = Refusal::new("invalid_client_id", "client identifier invalid");
const BAD_SECRET: Refusal = Refusal::new("invalid_client", "invalid client credentials");
const BAD_CODE: Refusal = Refusal::new("invalid_grant", "invalid authorization code");
const EXPIRED_CODE: Refusal = Refusal::new("invalid_grant", "expired authorization code");
const NO_VERIFIER: Refusal = Refusal::new("invalid_grant", "missing required code verifier");
const BAD_VERIFIER: Refusal = Refusal::new("invalid_request", "invalid code verifier");
const INACTIVE_USER: Refusal = Refusal::new("invalid_grant", "inactive user");
const DEAD_TOKEN: Refusal = Refusal::new("invalid_grant", "expired access/refresh token");
const IN_FLIGHT: Refusal =
    Refusal::new("invalid_grant", "token request is already being processed");

/// What the token endpoint answers.
#[derive(Debug)]
pub(crate) struct TokenReply {
    /// The fields of Salesforce OAuth facts 3.1.
    pub(crate) fields: Value,
    /// The approval that it belongs to, where a refresh token was granted.
    pub(crate) approval: Option<ApprovalId>,
    /// For whom.
    pub(crate) subject: Subject,
    /// The refresh token that was spent had been replaced before, and the policy let it pass.
    pub(crate) tolerated: bool,
}

/// A refresh that was accepted and is in flight: it must be finished or given up.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The refresh token that it spends.
    pub(crate) token: String,
    /// How long it is in flight.
    pub(crate) hold: Duration,
}

impl World {
    /// Identifies the client; its secret is required where it has one (RFC 6749 section 2.3).
    pub(crate) fn authenticate(
        &self,
        now: UnixMillis,
        client_id: Option<&str>,
        secret: Option<&str>,
    ) -> Result<AppIndex, Refusal> {
        let index = client_id.and_then(|id| self.known_app(now, id)).ok_or(UNKNOWN_CLIENT)?;
        match &self.app(index).secret {
            Some(expected) if secret != Some(expected.as_str()) => Err(BAD_SECRET),
            _ => Ok(index),
        }
    }

    /// Exchanges an authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.5). Whatever
    /// comes of it, the code is spent.
    pub(crate) fn exchange_code(
        &mut self,
        now: UnixMillis,
        host: VirtualHost,
        app: AppIndex,
        presented: &PresentedCode<'_>,
    ) -> Result<TokenReply, Refusal> {
        let code = self.codes.get_mut(presented.code).ok_or(BAD_CODE)?;
        let was_spent = std::mem::replace(&mut code.spent, true);
        let (subject, scopes) = (code.subject, code.scopes.clone());
        let (approval, issued_at) = (code.approval, code.issued_at);
        let same_redirect = presented.redirect_uri == Some(code.redirect_uri.as_str());
        let verified = presented.verifier.map(|verifier| challenge_of(verifier) == code.challenge);
        if was_spent {
            if self.app(app).replay == Replay::RevokeFamily
                && let Some(approval) = approval
            {
                self.end_approval(approval);
            }
            return Err(EXPIRED_CODE.of_replay());
        }
        if subject.app != app || !same_redirect || !self.serves(host, subject.org) {
            return Err(BAD_CODE);
        }
        if now.since(issued_at) >= CODE_LIFE {
            return Err(EXPIRED_CODE);
        }
        match verified {
            None => return Err(NO_VERIFIER),
            Some(false) => return Err(BAD_VERIFIER),
            Some(true) => {}
        }
        let reply = self.grant(now, subject, &scopes)?;
        if let Some(code) = self.codes.get_mut(presented.code) {
            code.approval = reply.approval;
        }
        Ok(reply)
    }

    /// Issues tokens for what a user allowed.
    pub(crate) fn grant(
        &mut self,
        now: UnixMillis,
        subject: Subject,
        scopes: &[String],
    ) -> Result<TokenReply, Refusal> {
        if !self.user(subject.user).active {
            return Err(INACTIVE_USER);
        }
        self.admit(now, subject.user).map_err(KeptOut::refusal)?;
        let refresh = scopes
            .iter()
            .any(|scope| scope == "refresh_token" || scope == "offline_access")
            .then(|| self.approve(now, subject, scopes));
        let approval = refresh.as_ref().map(|(approval, _)| *approval);
        let refresh_token = refresh.map(|(_, token)| token);
        let access =
            self.open_session(now, subject, approval, refresh_token.clone(), scopes.to_vec());
        let fields = self.reply(now, subject, scopes, access, refresh_token);
        Ok(TokenReply { fields, approval, subject, tolerated: false })
    }

    /// Accepts a refresh and puts its token in flight, so that a second one is refused meanwhile.
    pub(crate) fn begin_refresh(
        &mut self,
        now: UnixMillis,
        host: VirtualHost,
        app: AppIndex,
        token: &str,
    ) -> Result<Ticket, Refusal> {
        let known = self.refresh_tokens.get(token).ok_or_else(|| self.why_dead(token))?;
        let (id, in_flight) = (known.approval, known.in_flight);
        let subject = self.approvals.get(&id).ok_or(DEAD_TOKEN)?.subject;
        if subject.app != app || !self.serves(host, subject.org) || self.app(app).blocked {
            return Err(DEAD_TOKEN);
        }
        if in_flight {
            return Err(IN_FLIGHT);
        }
        if !self.accepts(now, token) {
            return Err(self.refuse_replay(id));
        }
        if !self.in_time(now, id) {
            self.end_approval(id);
            return Err(DEAD_TOKEN);
        }
        if !self.user(subject.user).active {
            return Err(INACTIVE_USER);
        }
        self.admit(now, subject.user).map_err(KeptOut::refusal)?;
        let hold = self.app(app).hold;
        if let Some(known) = self.refresh_tokens.get_mut(token) {
            known.in_flight = true;
        }
        Ok(Ticket { token: token.to_owned(), hold })
    }

    /// A spent token came back: the replay rule of its app holds.
    fn refuse_replay(&mut self, id: ApprovalId) -> Refusal {
        let app = self.approvals.get(&id).map(|approval| self.app(approval.subject.app));
        if app.is_some_and(|app| app.replay == Replay::RevokeFamily) {
            self.end_approval(id);
        }
        DEAD_TOKEN.of_replay()
    }

    fn why_dead(&self, token: &str) -> Refusal {
        let user = self.deactivated_tokens.get(token);
        let is_inactive = user.is_some_and(|user| !self.user(*user).active);
        if is_inactive { INACTIVE_USER } else { DEAD_TOKEN }
    }

    /// Carries out an accepted refresh. With rotation the old refresh token is replaced and the
    /// answer has a new one; without, the answer has none.
    pub(crate) fn finish_refresh(
        &mut self,
        now: UnixMillis,
        ticket: &Ticket,
    ) -> Result<TokenReply, Refusal> {
        // It may have been revoked while it was in flight.
        let spent = self.refresh_tokens.get_mut(&ticket.token).ok_or(DEAD_TOKEN)?;
        spent.in_flight = false;
        let id = spent.approval;
        // Where two tokens of an approval are accepted, the other one may have come first.
        let standing = self.standing(now, &ticket.token);
        if standing == Some(Standing::Spent) {
            return Err(self.refuse_replay(id));
        }
        let approval = self.approvals.get_mut(&id).ok_or(DEAD_TOKEN)?;
        approval.used_at = now;
        approval.refreshes += 1;
        let (subject, scopes) = (approval.subject, approval.scopes.clone());
        let rotated = self.app(subject.app).rotation.then(|| self.succeed(now, id, &ticket.token));
        let pair = rotated.clone().unwrap_or_else(|| ticket.token.clone());
        let access = self.open_session(now, subject, Some(id), Some(pair), scopes.clone());
        let fields = self.reply(now, subject, &scopes, access, rotated);
        let tolerated = standing == Some(Standing::Tolerated);
        Ok(TokenReply { fields, approval: Some(id), subject, tolerated })
    }

    /// Adds an approval with its refresh token; the sixth of a user and app ends the oldest.
    fn approve(
        &mut self,
        now: UnixMillis,
        subject: Subject,
        scopes: &[String],
    ) -> (ApprovalId, String) {
        let mut same: Vec<ApprovalId> = self
            .approvals
            .iter()
            .filter(|(_, approval)| approval.subject == subject)
            .map(|(id, _)| *id)
            .collect();
        same.sort_unstable();
        let surplus = (same.len() + 1).saturating_sub(self.app(subject.app).approval_limit);
        for oldest in same.into_iter().take(surplus) {
            self.end_approval(oldest);
        }
        self.last_approval += 1;
        let id = ApprovalId(self.last_approval);
        let scopes = scopes.to_vec();
        let approval = Approval { subject, scopes, approved_at: now, used_at: now, refreshes: 0 };
        self.approvals.insert(id, approval);
        (id, self.add_refresh_token(id))
    }

    fn open_session(
        &mut self,
        now: UnixMillis,
        subject: Subject,
        approval: Option<ApprovalId>,
        refresh_token: Option<String>,
        scopes: Vec<String>,
    ) -> String {
        let org_id = self.org(subject.org).id.clone();
        let token = self.mint.access_token(&org_id);
        let expires_at = now.plus(self.app(subject.app).session_timeout);
        let session = Session {
            subject,
            approval,
            refresh_token,
            scopes,
            issued_at: now,
            extended_at: now,
            expires_at,
        };
        self.sessions.insert(token.clone(), session);
        token
    }

    fn reply(
        &self,
        now: UnixMillis,
        subject: Subject,
        scopes: &[String],
        access_token: String,
        refresh_token: Option<String>,
    ) -> Value {
        let identity = self.identity_url(subject.user);
        let issued_at = now.0.to_string();
        let signature = sign(&self.app(subject.app).signing_key, &identity, &issued_at);
        let mut reply = Map::new();
        let mut put = |name: &str, value: String| reply.insert(name.to_owned(), value.into());
        put("access_token", access_token);
        if let Some(token) = refresh_token {
            put("refresh_token", token);
        }
        put("signature", signature);
        put("scope", scopes.join(" "));
        put("instance_url", self.instance_url(subject.org));
        put("id", identity);
        put("token_type", "Bearer".to_owned());
        put("issued_at", issued_at);
        Value::Object(reply)
    }
}

/// What a client presents with a code.
pub(crate) struct PresentedCode<'form> {
    /// The code, decoded once.
    pub(crate) code: &'form str,
    /// Must be the one of the authorization request.
    pub(crate) redirect_uri: Option<&'form str>,
    /// RFC 7636 section 4.1.
    pub(crate) verifier: Option<&'form str>,
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2).
pub(crate) fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// The signature of a token response: HMAC-SHA256 over the identity URL and the time of issue
/// (Salesforce OAuth facts 3.1).
fn sign(key: &str, identity: &str, issued_at: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(identity.as_bytes());
    mac.update(issued_at.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
