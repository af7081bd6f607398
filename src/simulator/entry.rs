//! Who is let in, from where and when: login IP ranges and login hours of an org and of a user's
//! profile, and whether the org itself is open (Salesforce OAuth facts 5.1 and 5.2). Pure: the
//! time and the client's address come in.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::time::UnixMillis;
use crate::simulator::answer::{Answer, Refusal};
use crate::simulator::world::{UserIndex, World};

/// Minutes of a day.
const DAY: i64 = 24 * 60;

/// How an org stands with Salesforce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// Open.
    #[default]
    Active,
    /// Locked, suspended or closed.
    Locked,
    /// Its trial is over.
    TrialExpired,
}

/// From where and when one may log in. Empty ranges and no hours let everyone in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LoginRules {
    /// Login IP Ranges.
    pub(crate) ip_ranges: Vec<IpRange>,
    /// Login Hours, every day the same.
    pub(crate) hours: Option<Hours>,
}

/// Two addresses and all between them: `198.51.100.0-198.51.100.255`, or one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct IpRange {
    first: IpAddr,
    last: IpAddr,
}

impl TryFrom<String> for IpRange {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>()) {
            (Ok(first), Ok(last)) if first <= last && first.is_ipv4() == last.is_ipv4() => {
                Ok(Self { first, last })
            }
            _ => Err(format!("'{text}' is no IP range: FIRST-LAST, or one address")),
        }
    }
}

impl From<IpRange> for String {
    fn from(range: IpRange) -> Self {
        format!("{}-{}", range.first, range.last)
    }
}

/// Hours of every day in UTC, `08:00-18:00`; the end is not among them, and may lie on the next
/// day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Hours {
    /// In minutes since midnight.
    from: i64,
    /// In minutes since midnight.
    to: i64,
}

impl TryFrom<String> for Hours {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let minutes = |part: &str| {
            let (hour, minute) = part.trim().split_once(':')?;
            let (hour, minute) = (hour.parse::<i64>().ok()?, minute.parse::<i64>().ok()?);
            let fits = (0..24).contains(&hour) && (0..60).contains(&minute);
            fits.then_some(hour * 60 + minute)
        };
        text.split_once('-')
            .and_then(|(from, to)| Some(Self { from: minutes(from)?, to: minutes(to)? }))
            .ok_or_else(|| format!("'{text}' are no hours: HH:MM-HH:MM"))
    }
}

impl From<Hours> for String {
    fn from(Hours { from, to }: Hours) -> Self {
        format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl Hours {
    fn contain(self, now: UnixMillis) -> bool {
        let minute = now.0.div_euclid(60_000).rem_euclid(DAY);
        if self.from <= self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

/// Why someone is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptOut {
    /// The org is locked.
    OrgLocked,
    /// The org's trial is over.
    TrialExpired,
    /// The address is in none of the ranges.
    Address,
    /// It is not the hour.
    Hour,
}

impl KeptOut {
    /// As the token endpoint says it.
    pub(crate) const fn refusal(self) -> Refusal {
        let description = match self {
            Self::OrgLocked | Self::TrialExpired => "inactive organization",
            Self::Address => "ip restricted",
            Self::Hour => "ip restricted or invalid login hours",
        };
        Refusal::new("invalid_grant", description)
    }

    /// As the REST API says it: an address that changed makes the session unfit, the rest is 403.
    pub(crate) fn rest_error(self) -> Answer {
        let (status, code, message) = match self {
            Self::OrgLocked => (403, "ORG_LOCKED", "The organization has been locked"),
            Self::TrialExpired => (403, "TRIAL_EXPIRED", "The trial of the organization is over"),
            Self::Address => {
                (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API")
            }
            Self::Hour => {
                (403, "LOGIN_DURING_RESTRICTED_TIME", "The user may not log in at this time")
            }
        };
        Answer::rest_error(status, code, message)
    }
}

impl World {
    /// Whether a user is let in now from the client's address: by the org first, then by the
    /// user's own rules.
    pub(crate) fn admit(&self, now: UnixMillis, user: UserIndex) -> Result<(), KeptOut> {
        let user = self.user(user);
        let org = self.org(user.org);
        match org.standing {
            Standing::Active => {}
            Standing::Locked => return Err(KeptOut::OrgLocked),
            Standing::TrialExpired => return Err(KeptOut::TrialExpired),
        }
        for rules in [&org.login, &user.login] {
            let is_in = |range: &IpRange| {
                (range.first..=range.last).contains(&self.client_address)
                    && range.first.is_ipv4() == self.client_address.is_ipv4()
            };
            if !rules.ip_ranges.is_empty() && !rules.ip_ranges.iter().any(is_in) {
                return Err(KeptOut::Address);
            }
            if rules.hours.is_some_and(|hours| !hours.contain(now)) {
                return Err(KeptOut::Hour);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_end_on_the_next_day_and_do_not_contain_their_end() {
        let at = |minutes: i64| UnixMillis((3 * DAY + minutes) * 60_000);
        let hours = |text: &str| Hours::try_from(text.to_owned());
        let day = hours("08:00-18:00").unwrap();
        let night = hours("22:30-06:00").unwrap();
        for (minute, in_day, in_night) in
            [(0, false, true), (6 * 60, false, false), (8 * 60, true, false)]
        {
            assert_eq!((day.contain(at(minute)), night.contain(at(minute))), (in_day, in_night));
        }
        assert!(!day.contain(at(18 * 60)) && night.contain(at(22 * 60 + 30)));
        assert_eq!(String::from(night), "22:30-06:00");
        for wrong in ["8-18", "24:00-01:00", "08:00", "08:60-09:00", ""] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_are_of_one_kind_and_in_order() {
        let range = |text: &str| IpRange::try_from(text.to_owned());
        assert_eq!(String::from(range("198.51.100.7").unwrap()), "198.51.100.7-198.51.100.7");
        for wrong in ["198.51.100.9-198.51.100.1", "198.51.100.1-::1", "acme", ""] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
