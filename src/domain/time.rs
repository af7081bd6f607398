//! Points in time and spans as plain integers, and how they are written for people and scripts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01 00:00 UTC, as every store and reply keeps it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(crate) struct UnixMillis(pub(crate) i64);

impl UnixMillis {
    /// The point `span` later, or the last representable one.
    pub(crate) fn plus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The time from `earlier` to this point; zero when `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_millis(millis.unsigned_abs())
    }

    /// RFC 3339 in UTC with whole seconds, e.g. `2026-11-25T00:35:09Z`.
    pub(crate) fn rfc3339(self) -> String {
        let seconds = self.0.div_euclid(1000);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }

    /// The clock of a time zone, e.g. `18:00`.
    pub(crate) fn clock(self, zone: &jiff::tz::TimeZone) -> String {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        zone.to_datetime(time).strftime("%H:%M").to_string()
    }

    /// The minute that has come by then, in UTC: `14:03 UTC`.
    pub(crate) fn minute_after(self) -> String {
        let minute = self.plus(Duration::from_millis(59_999)).rfc3339();
        format!("{} UTC", minute.get(11..16).unwrap_or_default())
    }
}

/// A span for people, in its largest unit rounded down: `40 s`, `3 min`, `2 h`, `27 d`.
pub(crate) fn span_in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A limit for people, exact, in the largest unit that gives a whole number: `90 s`, `150 min`,
/// `2 h`, `30 d`. For limits that are compared, which rounding would make look equal.
pub(crate) fn limit_in_words(limit: Duration) -> String {
    let seconds = limit.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let whole = units.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    whole
        .map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

/// Why a span such as `10m` was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a span of time: write a number and a unit, e.g. 90s, 10m, 2h, 30d")]
pub(crate) struct SpanError(pub(crate) String);

/// Reads a span as admins type it: `90s`, `10m`, `2h`, `30d`. A number without a unit is refused:
/// two seconds and two hours are far apart.
pub(crate) fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let refuse = || SpanError(crate::domain::text::clean(text));
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let seconds_per_unit = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(refuse()),
    };
    number.checked_mul(seconds_per_unit).map(Duration::from_secs).ok_or_else(refuse)
}

/// A point in time as admins name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(UnixMillis),
}

impl When {
    /// Reads a span (`12h`, `30d`), a day in UTC (`2026-11-25`) or a time of RFC 3339.
    pub(crate) fn parse(text: &str) -> Result<Self, WhenError> {
        let trimmed = text.trim();
        if let Ok(span) = parse_span(trimmed) {
            return Ok(Self::Ago(span));
        }
        let day = format!("{trimmed}T00:00:00Z");
        let time: Result<jiff::Timestamp, _> =
            trimmed.parse().or_else(|error| day.parse().map_err(|_| error));
        let time = time.map_err(|_| WhenError(crate::domain::text::clean_and_mask(text)))?;
        Ok(Self::At(UnixMillis(time.as_millisecond())))
    }

    /// The point itself.
    pub(crate) fn resolve(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => {
                let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
                UnixMillis(now.0.saturating_sub(millis))
            }
        }
    }
}

/// Why a point in time was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no time: write a span (12h, 30d), a day (2026-11-25), or 2026-11-25T14:03:00Z")]
pub(crate) struct WhenError(pub(crate) String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_whole_seconds() {
        assert_eq!(UnixMillis(1_795_473_512_345).rfc3339(), "2026-11-23T22:38:32Z");
        assert_eq!(UnixMillis(-1).rfc3339(), "1969-12-31T23:59:59Z");
        assert_eq!(UnixMillis(i64::MAX).rfc3339(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_time_to_wait_for_is_told_as_the_minute_after_it() {
        // 22:38:32.345
        assert_eq!(UnixMillis(1_795_473_512_345).minute_after(), "22:39 UTC");
        assert_eq!(UnixMillis(1_795_473_480_000).minute_after(), "22:38 UTC");
    }

    #[test]
    fn spans_are_read_with_their_unit() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("2h", 7_200), ("30d", 2_592_000)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "5", "m", "10 weeks", "-5m", "99999999999999999999s", "300000000000000000d"]
        {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_a_span_a_day_or_a_full_time() {
        let now = UnixMillis(1_795_473_512_345);
        for (text, at) in [
            ("1h", now.0 - 3_600_000),
            (" 2026-11-23 ", 1_795_392_000_000),
            ("2026-11-23T22:38:32Z", 1_795_473_512_000),
            ("2026-11-23T23:38:32+01:00", 1_795_473_512_000),
        ] {
            assert_eq!(When::parse(text).map(|when| when.resolve(now).0), Ok(at), "{text}");
        }
        let long = When::parse("30000000000000d").unwrap();
        assert!(long.resolve(now) < UnixMillis(0), "{long:?}");
        for text in ["", "yesterday", "2026-13-01", "2026-11-23T22:38:32", "12"] {
            assert!(When::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_told_exactly() {
        for (seconds, words) in
            [(0, "0 s"), (90, "90 s"), (9_000, "150 min"), (7_200, "2 h"), (2_592_000, "30 d")]
        {
            assert_eq!(limit_in_words(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn spans_are_told_in_their_largest_unit() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(span_in_words(Duration::from_secs(seconds)), words);
        }
    }
}
