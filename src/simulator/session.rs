//! The rules of what was issued: using a session, its sliding end, revoking, introspecting
//! (Salesforce OAuth facts 3.8, 3.9 and 4).

use serde_json::{Value, json};

use crate::domain::time::UnixMillis;
use crate::simulator::answer::Refusal;
use crate::simulator::world::{AppIndex, Approval, ApprovalId, Subject, UserIndex, World};

const NO_SUCH_TOKEN: Refusal = Refusal::new("invalid_token", "the token is invalid or was revoked");

/// A session that was found alive, and used.
#[derive(Debug)]
pub(crate) struct LiveSession {
    /// Whose.
    pub(crate) subject: Subject,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
}

impl LiveSession {
    /// Whether the REST API may be called with it.
    pub(crate) fn has_api_scope(&self) -> bool {
        self.scopes.iter().any(|scope| scope == "api" || scope == "full")
    }
}

impl World {
    /// Uses a session. Its life is counted anew once half of it has passed since it was last
    /// counted: with 30 min, a call after 10 changes nothing, one after 20 extends it to 50.
    pub(crate) fn use_session(&mut self, now: UnixMillis, token: &str) -> Option<LiveSession> {
        let subject = self.sessions.get(token)?.subject;
        let timeout = self.app(subject.app).session_timeout;
        let session = self.sessions.get_mut(token)?;
        if now >= session.expires_at {
            self.sessions.remove(token);
            return None;
        }
        if now.since(session.extended_at) >= timeout / 2 {
            session.extended_at = now;
            session.expires_at = now.plus(timeout);
        }
        let (scopes, pair) = (session.scopes.clone(), session.refresh_token.clone());
        if let Some(of_pair) = pair.and_then(|token| self.refresh_tokens.get_mut(&token)) {
            of_pair.used = true;
        }
        Some(LiveSession { subject, scopes })
    }

    /// Revokes a token (RFC 7009): an access token is that session alone, a refresh token is the
    /// approval with every session made from it. Other approvals live on.
    pub(crate) fn revoke(&mut self, now: UnixMillis, token: &str) -> Result<(), Refusal> {
        if let Some(session) = self.sessions.remove(token) {
            return if now < session.expires_at { Ok(()) } else { Err(NO_SUCH_TOKEN) };
        }
        let accepted = self.accepts(now, token);
        match self.refresh_tokens.get(token).filter(|_| accepted) {
            Some(known) => {
                self.end_approval(known.approval);
                Ok(())
            }
            None => Err(NO_SUCH_TOKEN),
        }
    }

    /// Ends an approval: its refresh tokens and its sessions.
    pub(crate) fn end_approval(&mut self, id: ApprovalId) {
        self.approvals.remove(&id);
        self.refresh_tokens.retain(|_, token| token.approval != id);
        self.sessions.retain(|_, session| session.approval != Some(id));
    }

    /// Ends every approval and session of which `dies` holds.
    pub(crate) fn end_all(&mut self, dies: impl Fn(Subject) -> bool) {
        let dead = self.approvals.iter().filter(|(_, approval)| dies(approval.subject));
        let dead: Vec<ApprovalId> = dead.map(|(id, _)| *id).collect();
        for id in dead {
            self.end_approval(id);
        }
        self.sessions.retain(|_, session| !dies(session.subject));
        self.codes.retain(|_, code| !dies(code.subject));
    }

    /// Deactivates a user: every token dies at once, and reactivation does not revive them.
    pub(crate) fn deactivate(&mut self, user: UserIndex) {
        self.users[user.0].active = false;
        let approvals = &self.approvals;
        let is_theirs = |id| approvals.get(id).is_some_and(|it: &Approval| it.subject.user == user);
        let tokens = self.refresh_tokens.iter().filter(|(_, token)| is_theirs(&token.approval));
        self.deactivated_tokens.extend(tokens.map(|(token, _)| (token.clone(), user)));
        self.end_all(|subject| subject.user == user);
    }

    /// Lets sessions end now; their refresh tokens live on.
    pub(crate) fn expire_sessions(&mut self, user: Option<UserIndex>) -> usize {
        let before = self.sessions.len();
        self.sessions.retain(|_, session| user.is_some_and(|user| session.subject.user != user));
        before - self.sessions.len()
    }

    /// What introspection tells the asking app (RFC 7662): it sees its own tokens only, and
    /// asking does not count as use.
    pub(crate) fn introspect(&self, now: UnixMillis, asking: AppIndex, token: &str) -> Value {
        let inactive = json!({ "active": false });
        let seconds = |at: UnixMillis| at.0.div_euclid(1000);
        if let Some(session) = self.sessions.get(token) {
            if session.subject.app != asking || now >= session.expires_at {
                return inactive;
            }
            let mut told = self.told(session.subject, &session.scopes, "access_token");
            told["exp"] = seconds(session.expires_at).into();
            told["iat"] = seconds(session.issued_at).into();
            told["nbf"] = seconds(session.issued_at).into();
            return told;
        }
        let known = self.refresh_tokens.get(token).filter(|_| self.accepts(now, token));
        match known.and_then(|known| self.approvals.get(&known.approval)) {
            Some(approval) if approval.subject.app == asking => {
                let mut told = self.told(approval.subject, &approval.scopes, "refresh_token");
                told["iat"] = seconds(approval.approved_at).into();
                told
            }
            _ => inactive,
        }
    }

    fn told(&self, subject: Subject, scopes: &[String], token_type: &str) -> Value {
        json!({
            "active": true,
            "scope": scopes.join(" "),
            "client_id": self.app(subject.app).client_id,
            "username": self.user(subject.user).username,
            "sub": self.identity_url(subject.user),
            "token_type": token_type,
        })
    }
}
