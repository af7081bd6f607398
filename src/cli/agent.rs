//! `agent`, `unlock`, `lock`: the process that holds the opened key.

use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::{client::Client, server};
use crate::domain::time::UnixMillis;
use crate::engine::outcome::{FailureDetail, KeyProtection, KeyReport};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Error, Failure, Operation, Outcome, Settings, exit};
use crate::platform;

use super::args::Agent;
use super::context::Context;
use super::output::{Done, Ended, Output};
use super::{signals, unexpected};

/// How long an agent that somebody started along with other work waits for more.
const IDLE: Duration = Duration::from_secs(60);
/// Longest wait for an agent that was told to end: its last exchange, and a little.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the agent, or ends the one that is there.
pub(crate) fn run(agent: &Agent, settings: Settings, output: Output) -> Done {
    if agent.background {
        platform::session::begin();
    }
    let idle = agent.background.then_some(IDLE);
    let runtime = signals::runtime()?;
    let result = runtime.block_on(async {
        if agent.stop {
            return stop(&settings, output).await;
        }
        let ended = server::run(settings, idle, told_to_end()).await.map_err(Failure::from)?;
        match ended {
            server::Ended::Done => Ok(()),
            // Whoever starts one in the background wants one to be there, and one is.
            server::Ended::Another if agent.background => Ok(()),
            server::Ended::Another => Err(Failure {
                code: "agent_running".into(),
                message: "there is an agent already".into(),
                remedy: "orgkey agent --stop ends it".into(),
                exit_code: exit::REFUSED,
                detail: FailureDetail::None,
            }
            .into()),
        }
    });
    runtime.shutdown_background();
    result
}

/// SIGTERM, or Ctrl-C. A hang-up of the terminal it was started from is nothing to it.
async fn told_to_end() {
    let received = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    // Noted and not acted on.
    let _hang_ups = signal(SignalKind::hangup());
    tokio::select! {
        () = received(SignalKind::terminate()) => {}
        () = received(SignalKind::interrupt()) => {}
    }
}

async fn stop(settings: &Settings, output: Output) -> Done {
    let socket = settings.locations.agent_socket();
    let Some(client) = Client::connect(&socket, None).await else {
        output.say("there is no agent");
        return Ok(());
    };
    client.tell_to_leave();
    let gone = async {
        while socket.exists() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(STOP_LIMIT, gone).await.is_err() {
        return Err(Failure {
            code: "agent_at_work".into(),
            message: format!("the agent (process {}) is still at work", client.pid()),
            remedy: "it ends when what was sent to Salesforce is committed; look at its log".into(),
            exit_code: exit::UNREACHABLE,
            detail: FailureDetail::None,
        }
        .into());
    }
    output.say("the agent has ended");
    Ok(())
}

/// Opens the key in an agent, which is started where there is none.
pub(crate) async fn unlock(context: &Context) -> Done {
    let Some(agent) = context.route.agent().await else {
        return Err(Failure {
            code: "no_agent".into(),
            message: "no agent is there and none could be started".into(),
            remedy: "see orgkey.log; with agent = \"never\" in config.toml there is none, and each command opens the key by itself".into(),
            exit_code: exit::LOCKED,
            detail: FailureDetail::None,
        }
        .into());
    };
    let status = key(context.ask_once(Operation::KeyStatus).await?)?;
    let report = match status.protection {
        KeyProtection::Passphrase => {
            if let Some(file) = context.passphrase_file() {
                let passphrase = platform::secret_file::read_secret_file(&file)
                    .map_err(|error| Failure::from(Error::SecretFile(error)))?;
                key(context.ask(Operation::OpenKey(Sensitive(passphrase))).await?)?
            } else if status.open && !platform::terminal::stdin_is_terminal() {
                // Open it is; for how long anew only the passphrase decides.
                status
            } else if !platform::terminal::stdin_is_terminal() {
                return Err(Failure::from(Error::Key(status.protection)).into());
            } else {
                context.open_key().await?;
                key(context.ask_once(Operation::KeyStatus).await?)?
            }
        }
        KeyProtection::Missing => return Err(Failure::from(Error::Key(status.protection)).into()),
        KeyProtection::Bare => status,
    };
    tell(&report, agent.pid(), context.output)
}

/// Forgets the opened key.
pub(crate) async fn lock(context: &Context) -> Done {
    let Some(agent) = context.route.agent().await else {
        context.output.say("no agent holds the key");
        return Ok(());
    };
    let report = key(context.ask_once(Operation::LockKey).await?)?;
    tell(&report, agent.pid(), context.output)
}

fn key(outcome: Outcome) -> Result<KeyReport, Ended> {
    match outcome {
        Outcome::Key(report) => Ok(report),
        _ => Err(unexpected()),
    }
}

fn tell(report: &KeyReport, pid: u32, output: Output) -> Done {
    if output.json {
        return output.object(&json!({
            "schema": 1,
            "key": {
                "protection": report.protection,
                "open": report.open,
                "open_until": report.open_until.map(UnixMillis::rfc3339),
            },
            "agent": { "pid": pid },
        }));
    }
    output.text(&match (report.protection, report.open_until) {
        (KeyProtection::Bare, _) => {
            format!("the sealing key is a bare file and always open; the agent is process {pid}")
        }
        (_, Some(until)) => {
            let zone = jiff::tz::TimeZone::system();
            format!("the key is open to {} in the agent, process {pid}", until.clock(&zone))
        }
        (_, None) if report.open => format!("the key is open in the agent, process {pid}"),
        (_, None) => "the key is locked".to_owned(),
    })?;
    if let Some(agent) = report.agent.filter(|agent| agent.outlives_sessions() == Some(false)) {
        output.say(&format!("note: the agent {}\n      {}", agent.words(), agent.remedy()));
    }
    Ok(())
}
