//! Times and causes in words, the same in every place.
//!
//! Times are clock times, not ages: an age would have to be drawn anew every minute or would
//! soon be untrue, and an idle dashboard sends nothing at all.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::domain::credential::{Cause, Credential, State};
use crate::domain::rotation::Draining;
use crate::domain::time::{UnixMillis, span_in_words};

/// A point of time where space is short: `14:05` today, `yesterday`, `12 Nov`, `12 Nov 2025`.
pub(crate) fn day_or_clock(at: UnixMillis, now: UnixMillis, zone: &TimeZone) -> String {
    let (then, today) = (local(at, zone), local(now, zone));
    let yesterday = today.date().yesterday().ok();
    if then.date() == today.date() {
        then.strftime("%H:%M").to_string()
    } else if Some(then.date()) == yesterday {
        "yesterday".to_owned()
    } else if then.year() == today.year() {
        then.strftime("%-d %b").to_string()
    } else {
        then.strftime("%-d %b %Y").to_string()
    }
}

/// A point of time with its clock: `14:05` today, `24 Nov 14:05` else.
pub(crate) fn day_and_clock(at: UnixMillis, now: UnixMillis, zone: &TimeZone) -> String {
    let (then, today) = (local(at, zone), local(now, zone));
    let format = if then.date() == today.date() {
        "%H:%M"
    } else if then.year() == today.year() {
        "%-d %b %H:%M"
    } else {
        "%-d %b %Y %H:%M"
    };
    then.strftime(format).to_string()
}

fn local(at: UnixMillis, zone: &TimeZone) -> DateTime {
    let time = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    zone.to_datetime(time)
}

/// What is left until `end`: `9 min left`, or `expired`.
pub(crate) fn left(end: UnixMillis, now: UnixMillis) -> String {
    let left = end.since(now);
    match left.as_secs() {
        0 if left.is_zero() => "expired".to_owned(),
        0..60 => "under 1 min left".to_owned(),
        _ => format!("{} left", span_in_words(left)),
    }
}

/// When the token that was replaced dies, and who still holds it.
pub(crate) fn draining(draining: &Draining, now: UnixMillis, zone: &TimeZone) -> String {
    let until = day_and_clock(draining.until, now, zone);
    match &draining.taken {
        Some(taken) => {
            let at = day_and_clock(taken.at, now, zone);
            format!("old token until {until}; {} took it {at}", taken.holder())
        }
        None => format!("old token until {until}"),
    }
}

/// A cause where space is short.
pub(crate) fn cause_in_short(cause: Cause) -> &'static str {
    match cause {
        Cause::Never => "never set up",
        Cause::Revoked => "token revoked",
        Cause::UserInactive => "user inactive",
        Cause::IdleExpired => "unused too long",
        Cause::SandboxRefreshed => "sandbox refreshed",
        Cause::SupersededElsewhere => "ALARM: used elsewhere",
        Cause::Unknown => "token refused",
    }
}

/// A cause as a sentence.
pub(crate) fn cause_in_full(cause: Cause) -> &'static str {
    match cause {
        Cause::Never => "it was never set up",
        Cause::Revoked => "the token was revoked at Salesforce",
        Cause::UserInactive => "the user is deactivated or frozen in Salesforce",
        Cause::IdleExpired => "the refresh token was not used for too long",
        Cause::SandboxRefreshed => "the sandbox was refreshed: its Org ID is a new one",
        Cause::SupersededElsewhere => {
            "ALARM: the newest token is refused though nobody here spent it; a copy is in use \
             elsewhere"
        }
        Cause::Unknown => "Salesforce refused the token and did not say why",
    }
}

/// The one sentence that says what to do next.
pub(crate) fn next_step(credential: &Credential, now: UnixMillis, zone: &TimeZone) -> String {
    if let Some(why) = &credential.held {
        return format!("on hold: {why}; H releases it");
    }
    if credential.pending.is_some() {
        return "s signs the staged account in, x drops it; the token serves on".to_owned();
    }
    let remedy = credential.last_check.as_ref().map(|check| check.remedy.as_str());
    let remedy = remedy.filter(|remedy| !remedy.is_empty());
    match credential.state(now) {
        State::NoToken => "s sets up the OAuth token".to_owned(),
        State::Authorizing => "s shows the address again; sign in and paste back".to_owned(),
        State::Untested => "t tests access".to_owned(),
        State::Ready => "nothing to do".to_owned(),
        State::Limited => remedy.unwrap_or("let the org's admin allow the API").to_owned(),
        State::Unreachable => "the token is kept; t tries again".to_owned(),
        State::Uncertain => uncertain_step(credential, now, zone),
        State::Misconfigured => remedy.unwrap_or("let the org's admin look at the app").to_owned(),
        State::NeedsSetup => {
            let cause = credential.cause(now).unwrap_or(Cause::Unknown);
            format!("{}: s sets up the OAuth token", cause_in_full(cause))
        }
    }
}

/// What was cut off and when, how long the token serves on, and the key that goes on.
fn uncertain_step(credential: &Credential, now: UnixMillis, zone: &TimeZone) -> String {
    let when = credential.intent.as_ref().map(|intent| day_and_clock(intent.started_at, now, zone));
    let when = when.map(|when| format!(" at {when}")).unwrap_or_default();
    match &credential.token {
        None => format!("a sign-in{when} was cut off: s signs in again"),
        Some(token) if token.expiry.at > now => format!(
            "a refresh{when} was cut off; the token serves until {}: t tests it",
            day_and_clock(token.expiry.at, now, zone)
        ),
        Some(_) => format!("a refresh{when} was cut off: t tries once more, s signs in again"),
    }
}

/// The short word at the end of a row.
pub(crate) fn row_note(credential: &Credential, now: UnixMillis, zone: &TimeZone) -> String {
    if credential.held.is_some() {
        return "on hold".to_owned();
    }
    if let Some(pending) = credential.pending_authorization(now) {
        return format!("sign-in, {}", left(pending.expires_at, now));
    }
    match credential.state(now) {
        State::NeedsSetup => cause_in_short(credential.cause(now).unwrap_or(Cause::Unknown)).into(),
        State::Uncertain => credential.intent.as_ref().map_or_else(String::new, |intent| {
            format!("cut off {}", day_or_clock(intent.started_at, now, zone))
        }),
        // Why is a sentence that begins with the host, and stands in the panel; there is no room
        // for it here.
        State::Limited => "API refused".to_owned(),
        State::Misconfigured => "app or policy".to_owned(),
        _ if credential.pending.is_some() => "edit staged".to_owned(),
        _ if credential.revocation_owed => "revocation owed".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::model::sample::NOW;

    #[test]
    fn times_are_clock_times_near_and_dates_far() {
        let table = [
            (0, "14:05", "14:05"),
            (3_600, "13:05", "13:05"),
            (86_400, "yesterday", "24 Nov 14:05"),
            (5 * 86_400, "20 Nov", "20 Nov 14:05"),
            (400 * 86_400, "21 Oct 2025", "21 Oct 2025 14:05"),
        ];
        for (seconds, short, full) in table {
            let at = UnixMillis(NOW.0 - seconds * 1000);
            assert_eq!(day_or_clock(at, NOW, &TimeZone::UTC), short);
            assert_eq!(day_and_clock(at, NOW, &TimeZone::UTC), full);
        }
    }

    #[test]
    fn a_countdown_ends_in_words() {
        let words = |millis| left(UnixMillis(NOW.0 + millis), NOW);
        assert_eq!(words(-1), "expired");
        assert_eq!(words(59_000), "under 1 min left");
        assert_eq!(words(580_000), "9 min left");
        assert_eq!(words(86_000_000), "23 h left");
    }
}
