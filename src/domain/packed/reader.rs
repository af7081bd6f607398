//! How a record is read: at once what filter, order and counts look at, the rest when the whole
//! credential is asked for.

use std::borrow::Cow;

use super::flag;
use super::words::Words;
use super::writer::{ALPHABET, MY_DOMAIN, SIGNIFICANT, kind};
use crate::domain::app::Flow;
use crate::domain::credential::{
    AuthorizationSummary, Cause, Check, CheckKind, CheckOutcome, Credential, IntentSummary,
    PendingEdit, Standing, State, TokenSummary,
};
use crate::domain::hold::Hold;
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::id::{IdKind, OrgId, UserId};
use crate::domain::name::{Address, ConnectionName, Environment};
use crate::domain::rotation::{Draining, Taken};
use crate::domain::time::UnixMillis;
use crate::domain::token::{Expiry, Generation};

/// A credential as it can be looked at without a copy.
#[derive(Clone, Debug)]
pub(crate) struct Row<'a> {
    /// Name of the connection.
    pub(crate) name: &'a str,
    /// Its environment.
    pub(crate) environment: Environment,
    /// What the state follows from.
    pub(crate) standing: Standing,
    /// When it is to be rotated.
    pub(crate) rotate_due: Option<UnixMillis>,
    /// What the record says in its first three bytes.
    flags: u32,
    /// The last test when it is not the last check: how it ended.
    test_outcome: Option<CheckOutcome>,
    /// The whole record, and what follows it.
    record: &'a [u8],
    /// What follows the name.
    after_name: Reader<'a>,
}

/// What the filter looks at beside name, environment and state.
#[derive(Clone, Debug)]
pub(crate) struct Details<'a> {
    /// The 18 characters of the Org ID.
    pub(crate) org_id: [u8; 18],
    /// The 18 characters of the User ID.
    pub(crate) user_id: [u8; 18],
    /// Where known.
    pub(crate) username: Option<Cow<'a, str>>,
    /// Where it signs in.
    pub(crate) login_url: Cow<'a, str>,
    /// Name of the app.
    pub(crate) app: Cow<'a, str>,
    /// In the admin's order.
    pub(crate) tags: Vec<Cow<'a, str>>,
    /// What follows.
    rest: Reader<'a>,
}

impl<'a> Row<'a> {
    /// Reads the beginning of a record.
    pub(super) fn read(record: &'a [u8], words: &'a Words) -> Option<Self> {
        let [low, middle, high] = *record.first_chunk()?;
        let flags = u32::from_le_bytes([low, middle, high, 0]);
        let mut reader = Reader { bytes: record.get(3..)?, words };
        let rotate_due = if flags & flag::ROTATE_DUE == 0 { None } else { Some(reader.time()?) };
        let (standing, test_outcome) = reader.standing(flags)?;
        let name = match reader.text()? {
            Cow::Borrowed(name) => name,
            Cow::Owned(_) => return None,
        };
        let sandbox = flags & flag::SANDBOX != 0;
        let environment = if sandbox { Environment::Sandbox } else { Environment::Production };
        Some(Self {
            name,
            environment,
            standing,
            rotate_due,
            flags,
            test_outcome,
            record,
            after_name: reader,
        })
    }

    /// What its place among others follows from.
    pub(super) fn place(&self) -> (&'a str, Environment) {
        (self.name, self.environment)
    }

    /// Connection and environment.
    pub(crate) fn address(&self) -> Option<Address> {
        let name = ConnectionName::parse(self.name).ok()?;
        Some(Address { name, environment: self.environment })
    }

    /// What an admin can expect of it at the time `now`.
    pub(crate) fn state(&self, now: UnixMillis) -> State {
        self.standing.state(now)
    }

    /// Whether there is a token that can be tested.
    pub(crate) fn has_token_to_test(&self) -> bool {
        self.flags & (flag::TOKEN | flag::CANDIDATE) != 0
    }

    /// Whether it is on hold.
    pub(crate) fn is_held(&self) -> bool {
        self.flags & flag::HELD != 0
    }

    /// Whether a revocation for it is owed.
    pub(crate) fn owes_revocation(&self) -> bool {
        self.flags & flag::OWED != 0
    }

    /// Whether a replaced token set drains.
    pub(crate) fn is_draining(&self) -> bool {
        self.flags & flag::DRAINING != 0
    }

    /// What the filter looks at beside.
    pub(crate) fn details(&self) -> Option<Details<'a>> {
        let mut reader = self.after_name;
        Some(Details {
            org_id: reader.id(IdKind::Organization)?,
            user_id: reader.id(IdKind::User)?,
            username: self.given(flag::USERNAME, || reader.text())?,
            login_url: reader.text()?,
            app: reader.text()?,
            tags: reader.list(|tag| tag)?,
            rest: reader,
        })
    }

    /// The whole credential.
    pub(super) fn whole(&self) -> Option<Credential> {
        self.read_whole().map(|(credential, _)| credential)
    }

    /// How many bytes its record has.
    pub(super) fn record_len(&self) -> Option<usize> {
        let (_, end) = self.read_whole()?;
        Some(self.record.len() - end.bytes.len())
    }

    fn read_whole(&self) -> Option<(Credential, Reader<'a>)> {
        let Details { org_id, user_id, username, login_url, app, tags, rest } = self.details()?;
        let mut reader = rest;
        let held = self.given(flag::HELD, || reader.hold())?;
        let pending = self.given(flag::PENDING, || reader.pending())?;
        let token = self.given(flag::TOKEN, || self.token(&mut reader, &login_url))?;
        let last_check = self.given(flag::CHECK, || {
            let (at, outcome) = self.standing.last_check?;
            reader.check(at, outcome)
        })?;
        let last_test = if self.flags & flag::TEST_IS_CHECK == 0 {
            self.given(flag::TEST, || reader.check(self.standing.tested_at?, self.test_outcome?))?
        } else {
            last_check.clone()
        };
        let authorization = self.given(flag::AUTHORIZATION, || {
            Some(AuthorizationSummary {
                flow: Flow::parse(&reader.text()?)?,
                started_at: reader.time()?,
                expires_at: self.standing.authorization_ends?,
            })
        })?;
        let intent = self.given(flag::INTENT, || {
            let deadline = self.standing.intent_deadline?;
            Some(IntentSummary { started_at: reader.time()?, deadline })
        })?;
        let draining = self.given(flag::DRAINING, || {
            let until = reader.time()?;
            let got_by = self.given(flag::TAKEN, || {
                Some(Taken {
                    at: reader.time()?,
                    program: reader.text()?.into_owned(),
                    terminal: reader.text()?.into_owned(),
                })
            })?;
            Some(Draining { until, taken: got_by })
        })?;
        let credential = Credential {
            address: self.address()?,
            in_use: self.flags & flag::IN_USE != 0,
            org_id: OrgId::parse(str::from_utf8(&org_id).ok()?).ok()?,
            user_id: UserId::parse(str::from_utf8(&user_id).ok()?).ok()?,
            username: username.map(Cow::into_owned),
            login_url: LoginUrl::from_stored(login_url.into_owned()),
            app: app.into_owned(),
            tags: tags.into_iter().map(Cow::into_owned).collect(),
            held,
            revocation_owed: self.flags & flag::OWED != 0,
            environment_proven: self.flags & flag::PROVEN != 0,
            pending,
            token,
            has_candidate: self.standing.has_candidate,
            last_check,
            last_test,
            authorization,
            intent,
            draining,
            rotate_due: self.rotate_due,
        };
        Some((credential, reader))
    }

    fn token(&self, reader: &mut Reader<'a>, login_url: &str) -> Option<TokenSummary> {
        let (signed_in_at, refused) = self.standing.token?;
        let instance_url = if self.flags & flag::INSTANCE_IS_LOGIN == 0 {
            reader.text()?.into_owned()
        } else {
            login_url.to_owned()
        };
        let issued_at = reader.time()?;
        let at = reader.time()?;
        let bits = reader.byte()?;
        Some(TokenSummary {
            instance_url: InstanceUrl::from_stored(instance_url),
            issued_at,
            expiry: Expiry { at, known: bits & 1 != 0 },
            scopes: reader.list(Cow::into_owned)?,
            flow: Flow::parse(&reader.text()?)?,
            generation: Generation(reader.number()?),
            signed_in_at,
            refused,
            refreshable: bits & 2 != 0,
            rotated_at: self.given(flag::ROTATED, || reader.time())?,
        })
    }

    /// Reads what a flag says is there. The outer `None` says that the record does not read.
    #[expect(clippy::option_option, reason = "not there and not readable are two things")]
    fn given<T>(&self, flag: u32, read: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
        if self.flags & flag == 0 { Some(None) } else { read().map(Some) }
    }
}

/// What is left of a record.
#[derive(Clone, Copy, Debug)]
struct Reader<'a> {
    /// The bytes.
    bytes: &'a [u8],
    /// Texts that come again.
    words: &'a Words,
}

impl<'a> Reader<'a> {
    fn standing(&mut self, flags: u32) -> Option<(Standing, Option<CheckOutcome>)> {
        let there = |flag: u32| flags & flag != 0;
        let mut standing =
            Standing { has_candidate: there(flag::CANDIDATE), ..Standing::default() };
        if there(flag::INTENT) {
            standing.intent_deadline = Some(self.time()?);
        }
        if there(flag::TOKEN) {
            let signed_in_at = self.time()?;
            let refused = match self.byte()?.checked_sub(1) {
                Some(code) => Some(Cause::from_code(code)?),
                None => None,
            };
            standing.token = Some((signed_in_at, refused));
        }
        if there(flag::AUTHORIZATION) {
            standing.authorization_ends = Some(self.time()?);
        }
        if there(flag::CHECK) {
            standing.last_check = Some((self.time()?, CheckOutcome::from_code(self.byte()?)?));
        }
        let mut test_outcome = None;
        if there(flag::TEST_IS_CHECK) {
            standing.tested_at = standing.last_check.map(|(at, _)| at);
        } else if there(flag::TEST) {
            standing.tested_at = Some(self.time()?);
            test_outcome = Some(CheckOutcome::from_code(self.byte()?)?);
        }
        Some((standing, test_outcome))
    }

    fn hold(&mut self) -> Option<Hold> {
        Some(Hold {
            reason: self.text()?.into_owned(),
            by: self.text()?.into_owned(),
            since: self.time()?,
        })
    }

    fn pending(&mut self) -> Option<PendingEdit> {
        let (org_id, user_id) = (self.id(IdKind::Organization)?, self.id(IdKind::User)?);
        let username = match self.number()? {
            0 => None,
            _ => Some(self.text()?.into_owned()),
        };
        Some(PendingEdit {
            org_id: OrgId::parse(str::from_utf8(&org_id).ok()?).ok()?,
            user_id: UserId::parse(str::from_utf8(&user_id).ok()?).ok()?,
            username,
            login_url: LoginUrl::from_stored(self.text()?.into_owned()),
            app: self.text()?.into_owned(),
        })
    }

    fn check(&mut self, at: UnixMillis, outcome: CheckOutcome) -> Option<Check> {
        Some(Check {
            kind: CheckKind::from_code(self.byte()?)?,
            at,
            outcome,
            latency_ms: self.number()?,
            message: self.text()?.into_owned(),
            remedy: self.text()?.into_owned(),
        })
    }

    fn list<T>(&mut self, each: impl Fn(Cow<'a, str>) -> T) -> Option<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| self.text().map(&each)).collect()
    }

    /// The 18 characters.
    fn id(&mut self, kind: IdKind) -> Option<[u8; 18]> {
        let mut id = [0; 18];
        id[..SIGNIFICANT.start].copy_from_slice(kind.prefix().as_bytes());
        let (fours, _) = id[SIGNIFICANT].as_chunks_mut::<4>();
        let (threes, _) = self.take(9)?.as_chunks::<3>();
        for ([a, b, c, d], [high, middle, low]) in fours.iter_mut().zip(threes) {
            *a = *ALPHABET.get(usize::from(high >> 2))?;
            *b = *ALPHABET.get(usize::from(high << 4 & 0x30 | middle >> 4))?;
            *c = *ALPHABET.get(usize::from(middle << 2 & 0x3c | low >> 6))?;
            *d = *ALPHABET.get(usize::from(low & 0x3f))?;
        }
        let (short, suffix) = id.split_at_mut(SIGNIFICANT.end);
        suffix.copy_from_slice(&crate::domain::id::suffix_of(short));
        Some(id)
    }

    fn time(&mut self) -> Option<UnixMillis> {
        let number = self.number()?;
        Some(UnixMillis((number >> 1).cast_signed() ^ -(number & 1).cast_signed()))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        let head = self.number()?;
        let (mark, number) = (head & 3, head >> 2);
        if mark == kind::WORD {
            return self.words.get(u16::try_from(number).ok()?).map(Cow::Borrowed);
        }
        let text = str::from_utf8(self.take(usize::try_from(number).ok()?)?).ok()?;
        Some(match mark {
            kind::MY_DOMAIN => Cow::Owned([MY_DOMAIN.0, text, MY_DOMAIN.1].concat()),
            _ => Cow::Borrowed(text),
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }
}
