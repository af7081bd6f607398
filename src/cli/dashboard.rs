//! The dashboard on the engine of this process.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::engine::outcome::FailureDetail;
use crate::engine::{Engine, Event, Failure, Operation, Settings, now};
use crate::tui::{self, Demo, Port};

use super::output::{Done, Ended};
use super::signals;

/// The engine in this process, as the dashboard sees it.
struct InProcess(Arc<Engine>);

impl Port for InProcess {
    fn submit(&self, operation: Operation) -> mpsc::Receiver<Event> {
        self.0.submit(operation)
    }
}

/// Opens the dashboard on the real store.
pub(crate) fn run(settings: Settings) -> Done {
    let runtime = signals::runtime()?;
    let result = runtime.block_on(async {
        let engine = Engine::open(settings).map_err(Failure::from)?;
        show(engine, None).await
    });
    runtime.shutdown_background();
    result
}

/// Shows the dashboard until the person leaves or the terminal does; what was sent to Salesforce
/// by then becomes durable before the process ends.
pub(crate) async fn show(engine: Arc<Engine>, demo: Option<Demo>) -> Done {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let settings = tui::Settings {
        no_color: set("NO_COLOR"),
        ascii: set("ORGKEY_ASCII"),
        tmux: set("TMUX"),
        demo,
        clock: now,
        zone: jiff::tz::TimeZone::system(),
        host_policy: engine.settings().config.host_policy(),
    };
    let shown = tui::run(InProcess(Arc::clone(&engine)), settings).await;
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
