//! Starts an agent that outlives whoever starts it.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::client::Client;
use crate::engine::Settings;

/// The argument of an agent that nobody waits for.
pub(crate) const IN_BACKGROUND: &str = "--background";
/// Variables that name what opens the key without a question.
const UNATTENDED: [&str; 2] = ["ORGKEY_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY"];
/// How long a new agent may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(10);

/// The agent that is there, or a new one. `None` where there can't be one: then the work is done in
/// this process.
pub(crate) async fn ensure(settings: &Settings, open_for: Option<Duration>) -> Option<Client> {
    let socket = settings.locations.agent_socket();
    if let Some(client) = Client::connect(&socket, open_for).await {
        return Some(client);
    }
    let mut agent = Command::new(std::env::current_exe().ok()?);
    agent
        .args(["agent", IN_BACKGROUND])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/");
    // What opens the key for this process does not open it for everyone: `lock` has to mean it.
    for variable in UNATTENDED {
        agent.env_remove(variable);
    }
    let mut child = agent.spawn().ok()?;
    let end = tokio::time::Instant::now() + START_LIMIT;
    while tokio::time::Instant::now() < end {
        if let Some(client) = Client::connect(&socket, open_for).await {
            return Some(client);
        }
        if child.try_wait().is_ok_and(|status| status.is_some_and(|status| !status.success())) {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
    None
}
