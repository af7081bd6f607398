//! Refresh token rotation: how long a token that was replaced goes on being accepted, and which
//! token is an approval's own at a moment. Pure: time comes in.
//!
//! Salesforce promises no overlap, so `strict` is what every app begins with; the others are what
//! other servers do (Auth0 and Okta give seconds, Airlock waits for the new pair's first use), and
//! what one in front of Salesforce may do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::time::UnixMillis;
use crate::simulator::mint;
use crate::simulator::world::{App, AppIndex, ApprovalId, UserIndex, World};

/// What becomes of a refresh token when a newer one was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RotationPolicy {
    /// It is dead at once.
    Strict,
    /// It is accepted for some time yet.
    Grace {
        /// How long, on the virtual clock.
        seconds: u64,
        /// What it is answered with.
        successor: Successor,
    },
    /// It is accepted until its successor, or the access token of the same answer, is used.
    UntilFirstUse,
}

/// What a replaced token that is still accepted is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Successor {
    /// The refresh token that replaced it.
    Same,
    /// One more, which replaces the first.
    New,
}

/// A refresh token that is or was the one of a living approval.
pub(crate) struct RefreshToken {
    /// The approval.
    pub(crate) approval: ApprovalId,
    /// When and by which it was replaced.
    pub(crate) replaced: Option<Replaced>,
    /// A refresh with it is being carried out.
    pub(crate) in_flight: bool,
    /// It, or the access token that came with it, was used.
    pub(crate) used: bool,
}

/// That a refresh token was replaced.
pub(crate) struct Replaced {
    /// When.
    pub(crate) at: UnixMillis,
    /// By which.
    pub(crate) by: String,
}

/// What a refresh token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The newest of its approval.
    Live,
    /// Replaced, and accepted by the policy all the same.
    Tolerated,
    /// Replaced, and dead.
    Spent,
}

/// What a checker is told of the refresh tokens of one user and app.
#[derive(Debug, Serialize)]
pub(crate) struct LiveTokens {
    /// Living approvals.
    approvals: usize,
    /// Whether the newest approval's own token would be accepted now.
    alive: bool,
    /// Its tag.
    tag: Option<String>,
    /// Tags of all tokens that would be accepted now, the newest approval first.
    tags: Vec<String>,
}

impl World {
    /// What a refresh token is worth; none where it is not known.
    pub(crate) fn standing(&self, now: UnixMillis, token: &str) -> Option<Standing> {
        let known = self.refresh_tokens.get(token)?;
        let Some(replaced) = &known.replaced else { return Some(Standing::Live) };
        // Only the one before the newest is spared: an older one was proven to be superseded.
        let newest = self.refresh_tokens.get(&replaced.by).filter(|next| next.replaced.is_none());
        let app = self.approvals.get(&known.approval)?.subject.app;
        let tolerated = newest.is_some_and(|newest| match self.app(app).policy {
            RotationPolicy::Strict => false,
            RotationPolicy::Grace { seconds, .. } => {
                now.since(replaced.at) < Duration::from_secs(seconds)
            }
            RotationPolicy::UntilFirstUse => !newest.used,
        });
        Some(if tolerated { Standing::Tolerated } else { Standing::Spent })
    }

    /// Whether a refresh token would be taken for a revocation, an introspection or a refresh.
    pub(crate) fn accepts(&self, now: UnixMillis, token: &str) -> bool {
        self.standing(now, token).is_some_and(|standing| standing != Standing::Spent)
    }

    /// The refresh token that answers a refresh with `spent`: a new one, or, where the policy says
    /// so, the one that replaced it before.
    pub(crate) fn succeed(&mut self, now: UnixMillis, id: ApprovalId, spent: &str) -> String {
        let Some(known) = self.refresh_tokens.get_mut(spent) else {
            return self.add_refresh_token(id);
        };
        known.used = true;
        let first = known.replaced.as_ref().map(|replaced| replaced.by.clone());
        let app = self.approvals.get(&id).map(|approval| self.app(approval.subject.app));
        if let (Some(first), Some(app)) = (first, app)
            && app.policy.successor() == Successor::Same
        {
            return first;
        }
        let next = self.add_refresh_token(id);
        for (token, entry) in &mut self.refresh_tokens {
            if entry.approval != id || *token == next {
                continue;
            }
            match &mut entry.replaced {
                None => entry.replaced = Some(Replaced { at: now, by: next.clone() }),
                // Its time goes on from when it was first replaced.
                Some(replaced) if token == spent => replaced.by.clone_from(&next),
                Some(_) => {}
            }
        }
        next
    }

    /// Issues a refresh token for an approval.
    pub(crate) fn add_refresh_token(&mut self, approval: ApprovalId) -> String {
        let token = self.mint.refresh_token();
        let entry = RefreshToken { approval, replaced: None, in_flight: false, used: false };
        self.refresh_tokens.insert(token.clone(), entry);
        token
    }

    /// Whether an approval's own refresh token is neither too old nor unused for too long.
    pub(crate) fn in_time(&self, now: UnixMillis, id: ApprovalId) -> bool {
        let Some(approval) = self.approvals.get(&id) else { return false };
        let App { idle_limit, age_limit, .. } = self.app(approval.subject.app);
        let within =
            |limit: Option<Duration>, since| limit.is_none_or(|limit| now.since(since) <= limit);
        within(*idle_limit, approval.used_at) && within(*age_limit, approval.approved_at)
    }

    /// Tags of the tokens of an approval that a refresh would accept now, its own one first. The
    /// clock, the org, the user and the app have their say; what is in flight counts as accepted.
    pub(crate) fn accepted_tags(&self, now: UnixMillis, id: ApprovalId) -> Vec<String> {
        let Some(approval) = self.approvals.get(&id) else { return Vec::new() };
        let (user, app) = (approval.subject.user, approval.subject.app);
        let is_kept_out = !self.user(user).active || self.admit(now, user).is_err();
        if !self.in_time(now, id) || is_kept_out || self.app(app).blocked {
            return Vec::new();
        }
        let of_approval = self.refresh_tokens.iter().filter(|(_, entry)| entry.approval == id);
        let mut accepted: Vec<_> =
            of_approval.filter(|(token, _)| self.accepts(now, token)).collect();
        accepted.sort_by_key(|(token, entry)| (entry.replaced.is_some(), *token));
        accepted.into_iter().map(|(token, _)| mint::tag(token)).collect()
    }

    /// What is alive of a user through an app.
    pub(crate) fn live_tokens(
        &self,
        now: UnixMillis,
        user: UserIndex,
        app: AppIndex,
    ) -> LiveTokens {
        let is_theirs = |id: &&ApprovalId| {
            let subject = self.approvals.get(id).map(|approval| approval.subject);
            subject.is_some_and(|subject| subject.user == user && subject.app == app)
        };
        let mut ids: Vec<ApprovalId> = self.approvals.keys().filter(is_theirs).copied().collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let newest = ids.first().map(|id| self.accepted_tags(now, *id)).unwrap_or_default();
        LiveTokens {
            approvals: ids.len(),
            alive: !newest.is_empty(),
            tag: newest.first().cloned(),
            tags: ids.iter().flat_map(|id| self.accepted_tags(now, *id)).collect(),
        }
    }
}

impl RotationPolicy {
    /// What a tolerated token is answered with.
    fn successor(self) -> Successor {
        match self {
            Self::Grace { successor, .. } => successor,
            Self::Strict | Self::UntilFirstUse => Successor::New,
        }
    }
}
