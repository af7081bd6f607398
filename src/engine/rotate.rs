//! Rotation with no downtime: by a refresh where the org rotates refresh tokens, else by a new
//! sign-in, whose set takes the place of the old one when it has passed its test.

use std::sync::Arc;

use crate::domain::app::Rotation;
use crate::domain::audit::AuditEvent;
use crate::domain::credential::{Check, CheckOutcome, Credential};
use crate::domain::rotation::{RotateEvery, RotationWay};
use crate::engine::error::{Error, SetupNeed};
use crate::engine::operation::{RotateRequest, Selection};
use crate::engine::outcome::{OldToken, RotationHow, RotationReport};
use crate::engine::select::PlainName;
use crate::engine::token::{dead, refuse_held};
use crate::engine::{Engine, Outcome, Reporter};
use crate::store::CredentialRow;

/// What `rotate` says of a credential that it can't rotate by itself.
const NEEDS_PERSON: &str = "this app does not rotate refresh tokens: a sign-in is needed, and the old token works until the new one has passed its test";

impl Engine {
    /// Rotates a credential, or says that a person has to sign in for it.
    pub(super) async fn rotate(
        self: &Arc<Self>,
        request: RotateRequest,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(&request.selection, PlainName::Refused).await?;
        let way = self.rotation_way(&row.credential).await?;
        if request.dry_run {
            return Ok(Outcome::Rotated(Box::new(planned(&row.credential, way))));
        }
        refuse_held(&row.credential.address, row.credential.held.as_ref())?;
        let refused = row.credential.token.as_ref().and_then(|token| token.refused);
        let done = match (refused, way) {
            _ if row.credential.has_candidate => self.finish_sign_in(&row, reporter).await,
            (Some(cause), _) => Err(dead(&row, cause)),
            (None, RotationWay::Refresh) => self.rotate_by_refresh(&row, &request, reporter).await,
            (None, RotationWay::SignIn) => needs_sign_in(&row, NEEDS_PERSON),
        };
        let report = match done {
            Ok(report) => report,
            Err(error) => failed(&row.credential, way, error)?,
        };
        Ok(Outcome::Rotated(Box::new(report)))
    }

    /// How a credential would be rotated, by what is known of its app and its token.
    async fn rotation_way(&self, credential: &Credential) -> Result<RotationWay, Error> {
        let rotation =
            self.app(&credential.app).await?.map_or(Rotation::Unknown, |app| app.rotation);
        Ok(RotationWay::of(rotation, credential.token.as_ref()))
    }

    /// A sign-in that an ended process left before its test.
    async fn finish_sign_in(
        &self,
        row: &CredentialRow,
        reporter: &Reporter,
    ) -> Result<RotationReport, Error> {
        let check = self.resume_candidate(row.id, reporter).await?;
        let after = self.reload(row.id).await?.credential;
        let old = match (&after.draining, after.revocation_owed) {
            (Some(draining), _) => OldToken::Draining(draining.clone()),
            (None, true) => OldToken::Owed,
            (None, false) => OldToken::Revoked,
        };
        Ok(reported(&after, RotationHow::SignIn, old, &check))
    }

    async fn rotate_by_refresh(
        self: &Arc<Self>,
        row: &CredentialRow,
        request: &RotateRequest,
        reporter: &Reporter,
    ) -> Result<RotationReport, Error> {
        let Some(before) = &row.credential.token else {
            return Err(Error::Setup(SetupNeed::NoToken(row.credential.address.clone())));
        };
        self.refresh_to_rotate(row.id, before.generation, reporter).await?;
        let after = self.reload(row.id).await?.credential;
        let rotated_at = after.token.as_ref().and_then(|token| token.rotated_at);
        if rotated_at <= before.rotated_at {
            return needs_sign_in(
                row,
                "this org does not rotate refresh tokens: the access token is refreshed, the refresh token stayed; to replace it a sign-in is needed",
            );
        }
        let detail = format!("generation {} by refresh", generation_of(&after));
        let address = after.address.to_string();
        let reason = request.reason.as_deref();
        let entry = self.audit_of(AuditEvent::Rotated, address, detail, reason);
        self.store.call(move |store| store.record(&entry)).await?;
        // The new access token has to prove itself, and its result is the receipt's.
        let tested = self.test(&Selection::exactly(&after.address), reporter).await?;
        let after = self.reload(row.id).await?.credential;
        let Outcome::Tested(report) = tested else {
            return Err(Error::Setup(SetupNeed::NoToken(after.address)));
        };
        let mut check = report.check;
        if check.outcome != CheckOutcome::Ok {
            // That it was rotated is true whatever the test says.
            check.message = format!("rotated, but its access test failed: {}", check.message);
        }
        Ok(reported(&after, RotationHow::Refresh, OldToken::Spent, &check))
    }

    /// How often tokens are to be rotated, by what config.toml and the store say.
    pub(super) async fn rotate_every(&self) -> Result<RotateEvery, Error> {
        let config = &self.settings.config;
        let stored = self.store.call(|store| store.apps()).await?;
        let configured = config.apps();
        let apps = configured.iter().chain(&stored).filter_map(|app| {
            let seconds = app.rotate_every?;
            Some((app.name.as_str(), std::time::Duration::from_secs(seconds)))
        });
        Ok(RotateEvery::new(apps, config.tags_rotate_every()))
    }

    /// Writes into credentials that are answered when they are due.
    pub(super) async fn note_due(&self, outcome: &mut Outcome) -> Result<(), Error> {
        let credentials: Vec<&mut Credential> = match outcome {
            Outcome::Credentials(all) => all.iter_mut().collect(),
            Outcome::Credential(one) => vec![one],
            Outcome::SetupCompleted(receipt) => vec![&mut receipt.credential],
            _ => return Ok(()),
        };
        let every = self.rotate_every().await?;
        for credential in credentials {
            every.note(credential);
        }
        Ok(())
    }
}

fn needs_sign_in(row: &CredentialRow, message: &str) -> Result<RotationReport, Error> {
    let credential = &row.credential;
    let address = &credential.address;
    let Some(token) = &credential.token else {
        return Err(Error::Setup(SetupNeed::NoToken(address.clone())));
    };
    Ok(RotationReport {
        address: address.clone(),
        how: RotationHow::SignIn,
        outcome: CheckOutcome::NeedsSetup,
        generation: Some(token.generation),
        old: OldToken::Kept,
        message: message.into(),
        remedy: format!("orgkey rotate {address} on a terminal begins the sign-in"),
    })
}

fn generation_of(credential: &Credential) -> u64 {
    credential.token.as_ref().map_or(0, |token| token.generation.0)
}

fn reported(
    credential: &Credential,
    how: RotationHow,
    old: OldToken,
    check: &Check,
) -> RotationReport {
    RotationReport {
        address: credential.address.clone(),
        how,
        outcome: check.outcome,
        generation: credential.token.as_ref().map(|token| token.generation),
        old,
        message: check.message.clone(),
        remedy: check.remedy.clone(),
    }
}

/// What would be done; nothing is.
fn planned(credential: &Credential, way: RotationWay) -> RotationReport {
    let (how, outcome, message) = match (&credential.token, credential.held.as_ref()) {
        (_, Some(reason)) => (RotationHow::OnHold, CheckOutcome::Ok, format!("on hold: {reason}")),
        (None, None) => (RotationHow::NoToken, CheckOutcome::Ok, "no token to rotate".into()),
        (Some(token), None) if token.refused.is_some() => {
            let message = "Salesforce refused the token: set up the OAuth token".into();
            (RotationHow::SignIn, CheckOutcome::NeedsSetup, message)
        }
        (Some(_), None) => match way {
            RotationWay::Refresh => (RotationHow::Refresh, CheckOutcome::Ok, "by a refresh".into()),
            RotationWay::SignIn => {
                (RotationHow::SignIn, CheckOutcome::NeedsSetup, "a sign-in is needed".into())
            }
        },
    };
    RotationReport {
        address: credential.address.clone(),
        how,
        outcome,
        generation: credential.token.as_ref().map(|token| token.generation),
        old: OldToken::Kept,
        message,
        remedy: String::new(),
    }
}

/// A failure that says something of the credential is its result among others; what is wrong with
/// this machine stays an error.
fn failed(
    credential: &Credential,
    way: RotationWay,
    error: Error,
) -> Result<RotationReport, Error> {
    let remedy = error.remedy();
    let (outcome, message) = match error {
        Error::Salesforce(fault) => (fault.outcome(), fault.message()),
        Error::Setup(SetupNeed::Refused { message, .. }) => (CheckOutcome::NeedsSetup, message),
        Error::Setup(SetupNeed::NoToken(_)) => {
            (CheckOutcome::NeedsSetup, "there is no token to rotate".into())
        }
        Error::Uncertain { message, .. } => (CheckOutcome::Uncertain, message),
        other => return Err(other),
    };
    let how = match (&credential.token, way) {
        (None, _) => RotationHow::NoToken,
        (Some(_), RotationWay::Refresh) => RotationHow::Refresh,
        (Some(_), RotationWay::SignIn) => RotationHow::SignIn,
    };
    Ok(RotationReport {
        address: credential.address.clone(),
        how,
        outcome,
        generation: credential.token.as_ref().map(|token| token.generation),
        old: OldToken::Kept,
        message,
        remedy,
    })
}
