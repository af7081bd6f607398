//! The access test: one real call with the token, and what else it proves on the way.

use std::sync::Arc;

use crate::domain::credential::{Check, CheckKind, CheckOutcome};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::http::{Request, Response};
use crate::domain::http_time::ClockOffset;
use crate::domain::name::Environment;
use crate::domain::policy::{EnvironmentProof, prove_environment};
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenRole, TokenSet};
use crate::engine::error::{Error, SetupNeed};
use crate::engine::operation::Selection;
use crate::engine::outcome::{Progress, TestReport};
use crate::engine::select::PlainName;
use crate::engine::token::{expiry_from, refuse_dead};
use crate::engine::{Engine, Outcome, Reporter, check, now};
use crate::oauth::{identity, rest};

/// What a test that passes says (product.md).
pub(super) const PASSED: &str = "Access test successful";

/// What a call with a token told.
pub(super) struct Probe {
    /// For the history.
    pub(super) check: Check,
    /// What ended it, where it did not pass.
    pub(super) fault: Option<Fault>,
    /// `Organization.IsSandbox`, where the scope let us read it.
    pub(super) is_sandbox: Option<bool>,
    /// Requests used and allowed in 24 hours.
    pub(super) api_requests: Option<(u64, u64)>,
}

/// What a call that passed told.
struct Passed {
    is_sandbox: Option<bool>,
    api_requests: Option<(u64, u64)>,
    clock_offset: Option<ClockOffset>,
}

impl Engine {
    /// Tests a credential: a dead access token is refreshed once and tried again.
    pub(super) async fn test(
        self: &Arc<Self>,
        selection: &Selection,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(selection, PlainName::InUse).await?;
        let address = row.credential.address.clone();
        if row.credential.token.is_none() && row.credential.has_candidate {
            let check = self.resume_candidate(row.id, reporter).await?;
            return Ok(Outcome::Tested(TestReport { address, check, api_requests: None }));
        }
        let held = row.credential.held.is_some();
        let (mut generation, mut token) = self.live_token(row.id).await?;
        reporter.progress(Progress::TestingAccess);
        let mut probe = self.probe(&token, CheckKind::Test).await?;
        let dead = probe.fault.as_ref().is_some_and(Fault::wants_refresh);
        let renewable = dead && token.refresh_token.is_some();
        if renewable && held {
            // On hold nothing is refreshed, so nothing is known of the refresh token.
            probe.check.outcome = CheckOutcome::Unreachable;
            probe.check.message =
                "the access token has ended, and on hold nothing is refreshed".into();
            probe.check.remedy = format!("the refresh token is kept: orgkey release {address}");
        }
        if renewable && !held {
            match self.refresh(row.id, generation, reporter).await {
                Ok(()) => {
                    (generation, token) = self.live_token(row.id).await?;
                    reporter.progress(Progress::TestingAccess);
                    probe = self.probe(&token, CheckKind::Test).await?;
                }
                Err(error) => return self.report_refresh_failure(row.id, address, error).await,
            }
        }
        let environment = address.environment;
        let report = self.record_probe(row.id, generation, &token, environment, probe).await?;
        self.revoke_due(row.id, reporter).await?;
        self.settle_debts(reporter).await?;
        Ok(Outcome::Tested(TestReport { address, ..report }))
    }

    /// A refresh that failed within a test is the test's result, where it says something of the
    /// token; what is wrong with this machine stays an error.
    async fn report_refresh_failure(
        &self,
        id: RecordId,
        address: crate::domain::name::Address,
        error: Error,
    ) -> Result<Outcome, Error> {
        let remedy = error.remedy();
        // The message stands beside the address, and does not repeat it.
        let (outcome, message) = match error {
            Error::Salesforce(fault) => (fault.outcome(), fault.message()),
            Error::Setup(SetupNeed::Refused { message, .. }) => (CheckOutcome::NeedsSetup, message),
            Error::Uncertain { message, .. } => (CheckOutcome::Uncertain, message),
            other => return Err(other),
        };
        let check =
            Check { kind: CheckKind::Test, at: now(), outcome, latency_ms: 0, message, remedy };
        let kept = check.clone();
        self.store.call(move |store| store.record_check(id, &kept)).await?;
        Ok(Outcome::Tested(TestReport { address, check, api_requests: None }))
    }

    /// The active token set, opened.
    async fn live_token(&self, credential: RecordId) -> Result<(Generation, TokenSet), Error> {
        let row = self.reload(credential).await?;
        let stored =
            self.store.call(move |store| store.token_set(credential, TokenRole::Active)).await?;
        let Some(stored) = stored else {
            return Err(Error::Setup(SetupNeed::NoToken(row.credential.address)));
        };
        refuse_dead(&row, &stored)?;
        let key = self.key().await?;
        let token = key.sealer().open_token_set(stored.id, stored.generation, &stored.sealed)?;
        Ok((stored.generation, token))
    }

    /// Keeps what a test of the active token told.
    async fn record_probe(
        &self,
        id: RecordId,
        generation: Generation,
        token: &TokenSet,
        environment: Environment,
        probe: Probe,
    ) -> Result<TestReport, Error> {
        let proof = prove_environment(environment, token.instance_url.host(), probe.is_sandbox);
        let mut check = probe.check;
        if let EnvironmentProof::Contradicted(found) = proof {
            check.outcome = CheckOutcome::WrongAccount;
            check.message =
                format!("the token is of a {found} org, the credential is saved as {environment}");
            check.remedy = "save it in the other environment, and delete it here".into();
        }
        let kept = check.clone();
        let wants_refresh = probe.fault.as_ref().is_some_and(Fault::wants_refresh);
        if check.outcome == CheckOutcome::Ok {
            let row = self.reload(id).await?;
            let session = self.session_timeout(&row.credential.app).await?;
            let expiry = expiry_from(token.known_expiry, now(), session);
            let proven = proof == EnvironmentProof::Proven;
            self.store
                .call(move |store| store.record_passed_test(id, generation, expiry, proven, &kept))
                .await?;
        } else if wants_refresh && token.refresh_token.is_none() {
            let row = self.reload(id).await?;
            let entry = self.audit(
                crate::domain::audit::AuditEvent::TokenRefused,
                &row.credential,
                kept.message.clone(),
            );
            let cause = crate::domain::credential::Cause::Unknown;
            self.store
                .call(move |store| store.refuse_token(id, generation, cause, &kept, &entry))
                .await?;
        } else {
            self.store.call(move |store| store.record_check(id, &kept)).await?;
        }
        let address = self.reload(id).await?.credential.address;
        Ok(TestReport { address, check, api_requests: probe.api_requests })
    }

    /// Calls the API with a token: the limits, which prove that the API is open to this user, or
    /// the user's own record where the token has no scope for it.
    pub(super) async fn probe(&self, token: &TokenSet, kind: CheckKind) -> Result<Probe, Error> {
        let started = tokio::time::Instant::now();
        let result = if has_api_scope(token) {
            self.probe_api(token).await?
        } else {
            self.probe_identity(token).await?
        };
        let latency = started.elapsed();
        Ok(match result {
            Ok(Passed { is_sandbox, api_requests, clock_offset }) => {
                let mut check = check::passed(kind, latency, PASSED);
                if let Some(offset) = clock_offset {
                    check.message = format!("{PASSED}; {offset}");
                    ClockOffset::REMEDY.clone_into(&mut check.remedy);
                }
                Probe { check, fault: None, is_sandbox, api_requests }
            }
            Err(fault) => Probe {
                check: check::failed(kind, latency, &fault),
                fault: Some(fault),
                is_sandbox: None,
                api_requests: None,
            },
        })
    }

    async fn probe_api(&self, token: &TokenSet) -> Result<Result<Passed, Fault>, Error> {
        let (instance, host) = (&token.instance_url, token.instance_url.host());
        let answer = self.ask(rest::versions_request(instance)).await?;
        let version = match answer.and_then(|response| rest::versions_response(host, &response)) {
            Ok(version) => version,
            Err(fault) => return Ok(Err(fault)),
        };
        let request = rest::limits_request(instance, version, &token.access_token);
        let answer = self.ask(request).await?;
        let limits = answer.and_then(|response| {
            Ok((rest::limits_response(host, &response)?, response.clock_offset()))
        });
        let (limits, clock_offset) = match limits {
            Ok(limits) => limits,
            Err(fault) => return Ok(Err(fault)),
        };
        // What the org says of itself is proof where it can be read, and no failure where not.
        let request = rest::organization_request(instance, version, &token.access_token);
        let is_sandbox = self
            .ask(request)
            .await?
            .and_then(|response| rest::organization_response(host, &response))
            .ok()
            .map(|organization| organization.is_sandbox);
        let requests =
            limits.map(|limits| (limits.max.saturating_sub(limits.remaining), limits.max));
        Ok(Ok(Passed { is_sandbox, api_requests: requests, clock_offset }))
    }

    async fn probe_identity(&self, token: &TokenSet) -> Result<Result<Passed, Fault>, Error> {
        let (instance, host) = (&token.instance_url, token.instance_url.host());
        let request = identity::userinfo_request(instance, &token.access_token);
        let answer = self.ask(request).await?;
        Ok(match answer.and_then(|response| identity::response(host, &response)) {
            Ok(_) => Err(Fault::new(FaultKind::NoApiScope, host, "", None)),
            Err(fault) => Err(fault),
        })
    }

    /// Sends a question. A transport fault is an answer of its own kind.
    pub(super) async fn ask(&self, request: Request) -> Result<Result<Response, Fault>, Error> {
        Ok(self.http()?.send(request).await.map_err(|error| Fault::from(&error)))
    }

    /// The username, where Salesforce tells it.
    pub(super) async fn username_of(&self, token: &TokenSet) -> Option<String> {
        let (instance, host) = (&token.instance_url, token.instance_url.host());
        let request =
            identity::request(instance, &token.org_id, &token.user_id, &token.access_token);
        let response = self.ask(request).await.ok()?.ok()?;
        identity::response(host, &response).ok()?.username
    }
}

fn has_api_scope(token: &TokenSet) -> bool {
    token.scopes.is_empty() || token.scopes.iter().any(|scope| scope == "api" || scope == "full")
}
