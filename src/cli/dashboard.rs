//! The dashboard on an engine: the agent's for exchanges, this process's for the rest.

use tokio::sync::mpsc;

use crate::agent::route::{Route, Which};
use crate::config::settings::TerminalUse;
use crate::engine::outcome::FailureDetail;
use crate::engine::{Engine, Event, Failure, Operation, Settings, now};
use crate::platform;
use crate::tui::terminal::Multiplexer;
use crate::tui::{self, Demo, Port};

use super::output::{Done, Ended};
use super::signals;

impl Port for Route {
    fn submit(&self, operation: Operation) -> mpsc::Receiver<Event> {
        Self::submit(self, operation)
    }
}

/// Opens the dashboard on the real store.
pub(crate) fn run(settings: Settings) -> Done {
    let runtime = signals::runtime()?;
    let result = runtime.block_on(async {
        let engine = Engine::open(settings).map_err(Failure::from)?;
        show(Route::new(engine, Which::Started, None), None).await
    });
    runtime.shutdown_background();
    result
}

/// Shows the dashboard until the person leaves or the terminal does; what was sent to Salesforce
/// by then becomes durable before the process ends.
pub(crate) async fn show(route: Route, demo: Option<Demo>) -> Done {
    let engine = route.engine();
    // Where an agent has the key it is the agent that does it.
    tokio::spawn(std::sync::Arc::clone(&engine).drain_in_time());
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let terminal = engine.settings().config.terminal;
    let term = std::env::var("TERM").unwrap_or_default();
    let knows_links = !matches!(term.as_str(), "" | "dumb" | "linux");
    let settings = tui::Settings {
        no_color: set("NO_COLOR"),
        ascii: set("ORGKEY_ASCII"),
        multiplexer: Multiplexer::of_this_process(),
        terminal: TerminalUse { links: terminal.links && knows_links, ..terminal },
        demo,
        clock: now,
        zone: jiff::tz::TimeZone::system(),
        host_policy: engine.settings().config.host_policy(),
    };
    let shown = tui::run(route, settings).await;
    if matches!(shown, Ok(signals::HUNG_UP)) {
        platform::session::let_go_of_terminal();
    }
    signals::close(&engine).await;
    match shown {
        Ok(0) => Ok(()),
        Ok(code) => Err(Ended::Code(code)),
        Err(error) => Err(Failure {
            code: "no_dashboard".into(),
            message: error.to_string(),
            remedy: error.remedy().into(),
            exit_code: error.exit_code(),
            detail: FailureDetail::None,
        }
        .into()),
    }
}
