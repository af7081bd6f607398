//! Checks as they are kept in the history.

use std::time::Duration;

use crate::domain::credential::{Check, CheckKind, CheckOutcome};
use crate::domain::fault::Fault;
use crate::engine::now;

/// A check that passed.
pub(super) fn passed(kind: CheckKind, latency: Duration, message: &str) -> Check {
    Check {
        kind,
        at: now(),
        outcome: CheckOutcome::Ok,
        latency_ms: millis(latency),
        message: message.to_owned(),
        remedy: String::new(),
    }
}

/// A check that a fault ended.
pub(super) fn failed(kind: CheckKind, latency: Duration, fault: &Fault) -> Check {
    Check {
        kind,
        at: now(),
        outcome: fault.outcome(),
        latency_ms: millis(latency),
        message: fault.message(),
        remedy: fault.remedy(),
    }
}

fn millis(latency: Duration) -> u64 {
    u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)
}
