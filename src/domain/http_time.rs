//! Times that an HTTP answer tells: the server's clock (`Date`) and when to ask again
//! (`Retry-After`), RFC 9110 sections 6.6.1 and 10.2.3.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::time::{UnixMillis, span_in_words};

/// Longest wait that a server may ask for; what asks for more is shown as this.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Clocks that are closer than this count as equal: an assertion is then still accepted.
const TOLERANCE: Duration = Duration::from_secs(2 * 60);

/// How far this machine's clock is ahead of the server's, in ms; negative where it is behind. Kept
/// only where it is more than two minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ClockOffset(i64);

impl ClockOffset {
    /// What to do about it.
    pub(crate) const REMEDY: &str =
        "set this machine's clock right (timedatectl status shows it and what keeps it)";

    /// The offset at an answer's arrival, where there is one to speak of.
    pub(crate) fn between(here: UnixMillis, there: UnixMillis) -> Option<Self> {
        let is_far = here.since(there) > TOLERANCE || there.since(here) > TOLERANCE;
        is_far.then(|| Self(here.0.saturating_sub(there.0)))
    }
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = span_in_words(Duration::from_millis(self.0.unsigned_abs()));
        let side = if self.0 > 0 { "ahead of" } else { "behind" };
        write!(formatter, "this machine's clock is {amount} {side} the server's")
    }
}

/// Reads a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn parse_date(text: &str) -> Option<UnixMillis> {
    let timestamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(UnixMillis(timestamp.as_millisecond()))
}

/// Reads `Retry-After`: seconds, or a date by the server's clock. What is neither, or is over, is
/// ignored.
pub(crate) fn parse_retry_after(text: &str, server_time: UnixMillis) -> Option<Duration> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        // More digits than a number holds are a long wait, too.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        parse_date(text)?.since(server_time)
    };
    (!wait.is_zero()).then(|| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Sun, 06 Nov 1994 08:49:37 GMT`, the example of RFC 9110.
    const THEN: UnixMillis = UnixMillis(784_111_777_000);

    #[test]
    fn dates_are_read_as_http_writes_them() {
        assert_eq!(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(THEN));
        for garbage in ["", "yesterday", "1994-11-06", "Sun, 99 Nov 1994 08:49:37 GMT", "\u{1b}[2J"]
        {
            assert_eq!(parse_date(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_wait_is_read_in_seconds_or_as_a_date_and_is_never_long() {
        let seconds = |count| Some(Duration::from_secs(count));
        for (text, wait) in [
            ("120", seconds(120)),
            (" 7 ", seconds(7)),
            ("Sun, 06 Nov 1994 08:54:37 GMT", seconds(300)),
            ("31536000", seconds(900)),
            ("99999999999999999999999", seconds(900)),
            ("Mon, 06 Nov 1995 08:49:37 GMT", seconds(900)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("0", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(text, THEN), wait, "{text}");
        }
    }

    #[test]
    fn a_clock_is_told_off_from_two_minutes_on() {
        let words = |millis: i64| {
            ClockOffset::between(UnixMillis(THEN.0 + millis), THEN).map(|off| off.to_string())
        };
        assert_eq!(words(120_000), None);
        assert_eq!(words(-120_000), None);
        let ahead = "this machine's clock is 3 h ahead of the server's";
        assert_eq!(words(3 * 3_600_000).as_deref(), Some(ahead));
        let behind = "this machine's clock is 2 min behind the server's";
        assert_eq!(words(-121_000).as_deref(), Some(behind));
        assert!(ClockOffset::between(UnixMillis(i64::MAX), UnixMillis(i64::MIN)).is_some());
    }
}
