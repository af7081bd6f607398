//! The one place that asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::UnixMillis;

/// Now, by the system's clock.
#[expect(clippy::disallowed_methods, reason = "the one clock; everything else is told the time")]
pub(crate) fn now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
