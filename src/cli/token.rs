//! `token`: an access token alone on standard output.

use serde_json::json;

use crate::agent::client;
use crate::config::settings::AgentUse;
use crate::engine::operation::TokenRequest;
use crate::engine::outcome::TokenAnswer;
use crate::engine::sensitive::Sensitive;
use crate::engine::{Event, Operation, Outcome, Progress, Settings};
use crate::platform::harden::has_file_size_limit;
use crate::platform::terminal;

use super::args::Token;
use super::context::{Context, read_stdin};
use super::output::{Done, Ended, Output};
use super::read::selection;
use super::{signals, unexpected, usage_failure};

/// Longest rejected token that is read, in bytes.
const TOKEN_LIMIT: u64 = 8 * 1024;

/// Hands out an access token. One that is still good comes straight from the store: no runtime, no
/// thread, no TLS.
pub(crate) fn run(token: Token, settings: Settings, output: Output) -> Done {
    if terminal::stdout_is_terminal() && !token.reveal {
        return Err(usage_failure(
            "the token would be shown on this terminal",
            "send it into a program or a file, or add --reveal",
        )
        .into());
    }
    let rejected = token.rejected.map(|_| read_stdin(TOKEN_LIMIT)).transpose()?;
    if rejected.as_ref().is_some_and(Sensitive::is_empty) {
        return Err(usage_failure(
            "--not - got no token on standard input",
            "send the token that Salesforce rejected, or leave --not out",
        )
        .into());
    }
    let request =
        TokenRequest { selection: selection(token.named), min_ttl: token.min_ttl, rejected };
    if let Some(answer) = ask_agent(&settings, &request, output)? {
        return print(&answer, output);
    }
    // Without a runtime nothing handles the signal that a file size limit sends.
    if !has_file_size_limit()
        && let Some(answer) = crate::engine::serve_stored(&settings, &request)?
    {
        return print(&answer, output);
    }
    signals::block_on(settings, |engine| async move {
        let context = Context::new(engine, output);
        match context.ask(Operation::Token(request)).await? {
            Outcome::Token(answer) => print(&answer, output),
            _ => Err(unexpected()),
        }
    })
}

/// Asks the agent, where there is one: nothing of the store is opened here then. `None` where it is
/// to be done in this process: there is no agent, or its key is locked and this process can open it.
fn ask_agent(
    settings: &Settings,
    request: &TokenRequest,
    output: Output,
) -> Result<Option<TokenAnswer>, Ended> {
    if settings.config.agent == AgentUse::Never {
        return Ok(None);
    }
    let socket = settings.locations.agent_socket();
    let tell = |event: &Event| match event {
        Event::Note(note) => output.say(&format!("note: {note}")),
        Event::Alarm(alarm) => output.alarm(alarm),
        Event::Progress(Progress::Waiting) => {
            output.say("waiting for another process that works on it");
        }
        Event::Progress(_) | Event::FirstRows(_) | Event::Done(_) => {}
    };
    match client::ask_blocking(&socket, Operation::Token(request.clone()), tell) {
        None => Ok(None),
        Some(Ok(Outcome::Token(answer))) => Ok(Some(answer)),
        Some(Ok(_)) => Err(unexpected()),
        Some(Err(failure)) if settings.opens_unattended() && failure.is_about_the_key() => Ok(None),
        Some(Err(failure)) => Err(failure.into()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "printing the access token is what the command is for"
)]
fn print(answer: &TokenAnswer, output: Output) -> Result<(), Ended> {
    use secrecy::ExposeSecret;
    if let Some(why) = &answer.unrecorded {
        output.say(&format!("note: this hand-out is in no record: {why}"));
    }
    let access_token = answer.access_token.0.expose_secret();
    if !output.json {
        return output.text(access_token);
    }
    output.object(&json!({
        "schema": 1,
        "name": answer.address.name,
        "environment": answer.address.environment,
        "access_token": access_token,
        "instance_url": answer.instance_url,
        "expires_at": answer.expiry.at.rfc3339(),
        "expiry_known": answer.expiry.known,
    }))
}
