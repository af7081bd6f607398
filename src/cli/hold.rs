//! `hold` and `release`: the stop button, for one or for many at once.

use crate::domain::credential::Credential;
use crate::engine::operation::HoldRequest;
use crate::engine::{Operation, Outcome, lives_on, now};

use super::args::{Hold, Many, Release};
use super::context::Context;
use super::many::{self, Names};
use super::output::{Done, Ended, credential_json};
use super::unexpected;

/// Puts credentials on hold, all that are named or none.
pub(crate) async fn hold(hold: Hold, context: &Context) -> Done {
    let addresses = addresses(&hold.many, context).await?;
    let request = HoldRequest { addresses, reason: hold.reason };
    let stopped = changed(Operation::Hold(request), context).await?;
    print(&stopped, context)?;
    if let Some(until) = lives_on(&stopped) {
        context.output.say(&format!(
            "an access token that was handed out before lives on, until {} at most; orgkey revoke ends it",
            until.rfc3339()
        ));
    }
    Ok(())
}

/// Ends holds.
pub(crate) async fn release(release: Release, context: &Context) -> Done {
    let addresses = addresses(&release.many, context).await?;
    let request = HoldRequest { addresses, reason: release.reason.unwrap_or_default() };
    print(&changed(Operation::Release(request), context).await?, context)
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
            None => format!("{address} is not on hold"),
        })?;
    }
    Ok(())
}
