//! `simulate`: the simulated Salesforce alone, until a signal ends it.

use crate::engine::Failure;
use crate::engine::exit;
use crate::engine::outcome::FailureDetail;
use crate::simulator::{self, Facts, Options, Simulator};

use super::args::Simulate;
use super::output::{Done, Ended, Output};
use super::signals;

/// Threads of the simulated Salesforce, so that it is no slower than those who ask it.
const WORKERS: usize = 2;

/// The runtime of a simulated Salesforce.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Ended> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?)
}

/// Serves until a signal.
pub(crate) fn run(simulate: &Simulate, output: Output) -> Done {
    let options = Options { listen: simulate.listen };
    let runtime = runtime()?;
    runtime.block_on(async {
        let ended = signals::ended_by_signal();
        let simulator = start(options).await?;
        say_ready(simulator.facts(), output)?;
        let code = ended.await;
        simulator.stop().await;
        Err(Ended::Code(code))
    })
}

/// Starts the simulated Salesforce.
pub(crate) async fn start(options: Options) -> Result<Simulator, Ended> {
    simulator::start(options).await.map_err(|error| {
        Failure {
            code: "simulator_failed".into(),
            message: format!("the simulated Salesforce could not start: {error}"),
            remedy: "give another address of this machine with --listen, or port 0 for a free one"
                .into(),
            exit_code: exit::INVALID,
            detail: FailureDetail::None,
        }
        .into()
    })
}

fn say_ready(facts: &Facts, output: Output) -> Done {
    if output.json {
        let facts = serde_json::to_value(facts).map_err(std::io::Error::from)?;
        return output.object(&facts);
    }
    output.text(&facts_in_words(facts))
}

/// Orgs, users and apps, for a person.
fn facts_in_words(facts: &Facts) -> String {
    use std::fmt::Write;
    let mut words = format!(
        "The simulated Salesforce is ready at {}\n\
         To use it from orgkey, config.toml needs:  [network]  allow_loopback = true\n\n",
        facts.base_url
    );
    for org in &facts.orgs {
        let _ = writeln!(
            words,
            "{} ({})  Org ID {}  My Domain {}",
            org.name, org.environment, org.org_id, org.my_domain
        );
        for user in &org.users {
            let mut limits = String::new();
            if !user.active {
                limits.push_str("  inactive");
            }
            if !user.api_enabled {
                limits.push_str("  no API permission");
            }
            let _ = writeln!(
                words,
                "    {}  User ID {}  password {}{limits}",
                user.username, user.user_id, user.password
            );
        }
    }
    words.push('\n');
    for app in &facts.apps {
        let secret = app.client_secret.as_deref().unwrap_or("none");
        let _ = writeln!(words, "app {}  client ID {}  secret {secret}", app.name, app.client_id);
    }
    let _ = writeln!(words, "\nCtrl-C ends it; nothing of it is kept.");
    words
}
