//! The log: a file, only where `ORGKEY_LOG` asks for it, and never the terminal.
//!
//! Only what orgkey itself says goes into it. Libraries are left out whatever the level: at `trace`
//! some of them write headers, and a header can hold a token.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::locations::Locations;
use crate::platform;

/// Environment variable with the level: error, warn, info, debug or trace.
const LOG_LEVEL: &str = "ORGKEY_LOG";

/// Starts the log. A log that can't be written keeps nobody from working.
pub(crate) fn start(locations: &Locations) {
    let level = std::env::var(LOG_LEVEL).ok().and_then(|word| word.parse::<LevelFilter>().ok());
    let Some(level) = level.filter(|level| *level != LevelFilter::OFF) else { return };
    let path = locations.log_file();
    let folder = path.parent().map(platform::files::create_private_folder);
    if !matches!(folder, Some(Ok(()))) {
        return;
    }
    let Ok(file) = OpenOptions::new().append(true).create(true).mode(0o600).open(&path) else {
        return;
    };
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(file));
    let ours = Targets::new().with_target(env!("CARGO_PKG_NAME"), level);
    // A second start in one process keeps the first log.
    let _ = tracing_subscriber::registry().with(lines).with(ours).try_init();
}
