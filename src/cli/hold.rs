//! `hold` and `release`: the stop button, for one or for many at once.

use crate::domain::credential::Credential;
use crate::engine::operation::HoldRequest;
use crate::engine::outcome::FailureDetail;
use crate::engine::{Failure, Operation, Outcome, exit, now};

use super::args::{Hold, Many, Release};
use super::context::Context;
use super::many::{self, Names};
use super::output::{Done, Ended, credential_json};
use super::unexpected;

/// Puts credentials on hold, all that are named or none.
pub(crate) async fn hold(hold: Hold, context: &Context) -> Done {
    let addresses = addresses(&hold.many, context).await?;
    if addresses.is_empty() {
        return Err(Failure {
            code: "nothing_held".into(),
            message: "no credential passes the filter: nothing was put on hold".into(),
            remedy: "correct the filter; orgkey list shows what is saved".into(),
            exit_code: exit::NOT_FOUND,
            detail: FailureDetail::None,
        }
        .into());
    }
    let request = HoldRequest { addresses, reason: hold.reason };
    let stopped = changed(Operation::Hold(request), context).await?;
    print(&stopped, context)?;
    if stopped.iter().any(may_live_on) {
        context.output.say(
            "an access token that was handed out before lives on while it is used; orgkey revoke ends it",
        );
    }
    Ok(())
}

/// Ends holds.
pub(crate) async fn release(release: Release, context: &Context) -> Done {
    let addresses = addresses(&release.many, context).await?;
    let request = HoldRequest { addresses, reason: release.reason.unwrap_or_default() };
    print(&changed(Operation::Release(request), context).await?, context)
}

/// Whether it has a token that nobody knows to be out of use.
fn may_live_on(credential: &Credential) -> bool {
    credential.token.as_ref().is_some_and(|token| token.refused.is_none())
}

async fn addresses(
    many: &Many,
    context: &Context,
) -> Result<Vec<crate::domain::name::Address>, Ended> {
    Ok(many::choose(many, Names::InUse, |_| true, context).await?.addresses)
}

async fn changed(operation: Operation, context: &Context) -> Result<Vec<Credential>, Ended> {
    match context.ask(operation).await? {
        Outcome::Credentials(credentials) => Ok(credentials),
        _ => Err(unexpected()),
    }
}

fn print(credentials: &[Credential], context: &Context) -> Done {
    if context.output.json {
        let all = credentials.iter().map(|credential| credential_json(credential, now()));
        return context.output.list("credentials", all);
    }
    for Credential { address, held, .. } in credentials {
        context.output.text(&match held {
            Some(hold) => format!("{address} is on hold: {hold}"),
            None => format!("{address} is released: not on hold"),
        })?;
    }
    Ok(())
}
