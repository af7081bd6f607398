//! How a credential is written into its record. The order is the one of the reader: first what
//! the state follows from, then what the filter looks at, then the rest.

use super::flag;
use super::words::Words;
use crate::domain::credential::{Cause, Check, Credential, PendingEdit, TokenSummary};
use crate::domain::hold::Hold;
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::Environment;
use crate::domain::rotation::Draining;
use crate::domain::time::UnixMillis;

/// What nearly every login URL begins and ends with.
pub(super) const MY_DOMAIN: (&str, &str) = ("https://", ".my.salesforce.com");
/// Characters of an ID by their six bits.
pub(super) const ALPHABET: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The characters of an ID that say something: neither the prefix of its kind nor its suffix.
pub(super) const SIGNIFICANT: std::ops::Range<usize> = 3..15;

/// How a text is written: in the lowest two bits of its first number.
pub(super) mod kind {
    /// As it is; the number is its length.
    pub(in crate::domain::packed) const WHOLE: u64 = 0;
    /// The number of a word.
    pub(in crate::domain::packed) const WORD: u64 = 1;
    /// What is between the two parts of `MY_DOMAIN`; the number is its length.
    pub(in crate::domain::packed) const MY_DOMAIN: u64 = 2;
}

/// Writes one record.
pub(super) fn write(credential: &Credential, bytes: &mut Vec<u8>, words: &mut Words) {
    let flags = flags(credential);
    bytes.extend(&flags.to_le_bytes()[..3]);
    let mut writer = Writer { bytes, words };
    credential.rotate_due.into_iter().for_each(|at| writer.time(at));
    writer.standing(credential, flags);
    writer.text(credential.address.name.as_str());
    writer.org_id(&credential.org_id);
    writer.user_id(&credential.user_id);
    credential.username.iter().for_each(|username| writer.text(username));
    writer.word(credential.login_url.as_str());
    writer.word(&credential.app);
    writer.list(&credential.tags);
    if let Some(Hold { reason, by, since }) = &credential.held {
        writer.word(reason);
        writer.word(by);
        writer.time(*since);
    }
    credential.pending.iter().for_each(|pending| writer.pending(pending));
    credential.token.iter().for_each(|token| writer.token(token, flags));
    credential.last_check.iter().for_each(|check| writer.check(check));
    if flags & flag::TEST_IS_CHECK == 0 {
        credential.last_test.iter().for_each(|test| writer.check(test));
    }
    if let Some(authorization) = &credential.authorization {
        writer.word(authorization.flow.as_str());
        writer.time(authorization.started_at);
    }
    credential.intent.iter().for_each(|intent| writer.time(intent.started_at));
    credential.draining.iter().for_each(|draining| writer.draining(draining));
}

fn flags(credential: &Credential) -> u32 {
    let is_login =
        |token: &TokenSummary| token.instance_url.as_str() == credential.login_url.as_str();
    let same = credential.last_test.is_some() && credential.last_test == credential.last_check;
    [
        (flag::SANDBOX, credential.address.environment == Environment::Sandbox),
        (flag::IN_USE, credential.in_use),
        (flag::OWED, credential.revocation_owed),
        (flag::PROVEN, credential.environment_proven),
        (flag::CANDIDATE, credential.has_candidate),
        (flag::HELD, credential.held.is_some()),
        (flag::USERNAME, credential.username.is_some()),
        (flag::PENDING, credential.pending.is_some()),
        (flag::TOKEN, credential.token.is_some()),
        (flag::CHECK, credential.last_check.is_some()),
        (flag::TEST, credential.last_test.is_some()),
        (flag::TEST_IS_CHECK, same),
        (flag::AUTHORIZATION, credential.authorization.is_some()),
        (flag::INTENT, credential.intent.is_some()),
        (flag::INSTANCE_IS_LOGIN, credential.token.as_ref().is_some_and(is_login)),
        (flag::DRAINING, credential.draining.is_some()),
        (flag::ROTATE_DUE, credential.rotate_due.is_some()),
        (flag::TAKEN, credential.draining.as_ref().is_some_and(|old| old.taken.is_some())),
        (flag::ROTATED, credential.token.as_ref().is_some_and(|token| token.rotated_at.is_some())),
    ]
    .into_iter()
    .filter(|(_, holds)| *holds)
    .fold(0, |flags, (flag, _)| flags | flag)
}

/// Where a record is written to.
struct Writer<'a> {
    /// The records.
    bytes: &'a mut Vec<u8>,
    /// Texts that come again.
    words: &'a mut Words,
}

impl Writer<'_> {
    fn standing(&mut self, credential: &Credential, flags: u32) {
        let standing = credential.standing();
        standing.intent_deadline.into_iter().for_each(|at| self.time(at));
        if let Some((signed_in_at, refused)) = standing.token {
            self.time(signed_in_at);
            self.bytes.push(refused.map_or(0, |cause: Cause| cause.code() + 1));
        }
        standing.authorization_ends.into_iter().for_each(|at| self.time(at));
        if let Some((at, outcome)) = standing.last_check {
            self.time(at);
            self.bytes.push(outcome.code());
        }
        if let Some(test) = &credential.last_test
            && flags & flag::TEST_IS_CHECK == 0
        {
            self.time(test.at);
            self.bytes.push(test.outcome.code());
        }
    }

    fn pending(&mut self, pending: &PendingEdit) {
        self.org_id(&pending.org_id);
        self.user_id(&pending.user_id);
        self.number(u64::from(pending.username.is_some()));
        pending.username.iter().for_each(|username| self.text(username));
        self.word(pending.login_url.as_str());
        self.word(&pending.app);
    }

    fn token(&mut self, token: &TokenSummary, flags: u32) {
        if flags & flag::INSTANCE_IS_LOGIN == 0 {
            self.word(token.instance_url.as_str());
        }
        self.time(token.issued_at);
        self.time(token.expiry.at);
        self.bytes.push(u8::from(token.expiry.known) | u8::from(token.refreshable) << 1);
        self.list(&token.scopes);
        self.word(token.flow.as_str());
        self.number(token.generation.0);
        token.rotated_at.into_iter().for_each(|at| self.time(at));
    }

    fn draining(&mut self, draining: &Draining) {
        self.time(draining.until);
        if let Some(taken) = &draining.taken {
            self.time(taken.at);
            self.word(&taken.program);
            self.word(&taken.terminal);
        }
    }

    /// When and how it ended is with what the state follows from.
    fn check(&mut self, check: &Check) {
        self.bytes.push(check.kind.code());
        self.number(check.latency_ms);
        self.word(&check.message);
        self.word(&check.remedy);
    }

    fn list(&mut self, words: &[String]) {
        self.number(u64::try_from(words.len()).unwrap_or(u64::MAX));
        for word in words {
            self.word(word);
        }
    }

    fn org_id(&mut self, id: &OrgId) {
        self.id(id.as_str());
    }

    fn user_id(&mut self, id: &UserId) {
        self.id(id.as_str());
    }

    /// Twelve characters in nine bytes.
    fn id(&mut self, id: &str) {
        let significant = id.as_bytes().get(SIGNIFICANT).unwrap_or_default();
        for four in significant.chunks(4) {
            let value = four.iter().fold(0_u32, |value, digit| {
                value << 6 | u32::from(ALPHABET.binary_search(digit).map_or(0, six_bits))
            });
            self.bytes.extend(&value.to_be_bytes()[1..]);
        }
    }

    /// A time: small numbers, also those before 1970, are short.
    fn time(&mut self, at: UnixMillis) {
        self.number((at.0 << 1 ^ at.0 >> 63).cast_unsigned());
    }

    /// Seven bits in each byte, the lowest first; the highest bit says that more follow.
    fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                self.bytes.push(low & 0x7f);
                return;
            }
            self.bytes.push(low | 0x80);
        }
    }

    /// A text of which each credential has one of its own.
    fn text(&mut self, text: &str) {
        self.marked(kind::WHOLE, text);
    }

    /// A text that other credentials may have too.
    fn word(&mut self, text: &str) {
        let (front, back) = MY_DOMAIN;
        let own = text.strip_prefix(front).and_then(|rest| rest.strip_suffix(back));
        if let Some(own) = own {
            self.marked(kind::MY_DOMAIN, own);
        } else if let Some(number) = self.words.number(text) {
            self.number(u64::from(number) << 2 | kind::WORD);
        } else {
            self.text(text);
        }
    }

    fn marked(&mut self, kind: u64, text: &str) {
        self.number(u64::try_from(text.len()).unwrap_or(u64::MAX) << 2 | kind);
        self.bytes.extend(text.as_bytes());
    }
}

fn six_bits(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(0)
}
