//! The list: which rows there are, which are shown in which order, and where the cursor is.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::credential::{Check, CheckOutcome, Credential, State};
use crate::domain::name::Address;
use crate::domain::time::UnixMillis;
use crate::tui::model::field::LineField;
use crate::tui::model::filter::Filter;

/// How long the cursor rests before the panel follows, so that moving on costs two cells.
pub(crate) const REST: Duration = Duration::from_millis(150);

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// By name, production first.
    #[default]
    Name,
    /// What needs somebody first.
    State,
    /// Longest not tested first.
    Tested,
}

impl Order {
    /// The next one.
    fn next(self) -> Self {
        match self {
            Self::Name => Self::State,
            Self::State => Self::Tested,
            Self::Tested => Self::Name,
        }
    }

    /// The words on screen.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Name => "by name",
            Self::State => "what needs you first",
            Self::Tested => "longest not tested first",
        }
    }
}

/// The list of credentials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dashboard {
    /// All, by address; `None` until the first answer.
    credentials: Option<Vec<Credential>>,
    /// Indices of those shown, in the order shown.
    shown: Vec<usize>,
    /// Index into `shown`.
    cursor: usize,
    /// First row on screen, an index into `shown`.
    top: usize,
    /// Rows that fit on screen.
    rows: usize,
    /// The credential that the panel and the bar speak of.
    panel: Option<Address>,
    /// When the panel follows the cursor.
    follow_at: Option<UnixMillis>,
    /// The marked ones.
    pub(crate) marked: BTreeSet<Address>,
    /// Where a range of marks begins.
    anchor: Option<Address>,
    /// Whether only what needs somebody is shown.
    pub(crate) problems_only: bool,
    /// The order.
    pub(crate) order: Order,
    /// The filter's line.
    pub(crate) typed: LineField,
    /// Whether the filter's line has the keys.
    pub(crate) typing: bool,
    /// The parsed filter.
    filter: Filter,
    /// How many are in which condition, so that a key does not cost a pass over all of them.
    counts: Counts,
    /// The time that `counts` was taken at.
    counted_at: UnixMillis,
    /// When time alone changes what is shown.
    ages_at: Option<UnixMillis>,
}

/// How many credentials are in which condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// All.
    pub(crate) all: usize,
    /// Ready.
    pub(crate) ready: usize,
    /// A person has to do something.
    pub(crate) need_you: usize,
    /// A passing fault.
    pub(crate) unreachable: usize,
    /// Not tested since the sign-in.
    pub(crate) untested: usize,
}

impl Dashboard {
    /// Takes a fresh list over. The cursor stays on its credential.
    pub(crate) fn replace(&mut self, mut credentials: Vec<Credential>, now: UnixMillis) {
        credentials.sort_by(|a, b| a.address.cmp(&b.address));
        let there = |address: &Address| {
            credentials.binary_search_by(|other| other.address.cmp(address)).is_ok()
        };
        self.marked.retain(there);
        self.anchor = self.anchor.take().filter(there);
        let kept = self.selected().map(|credential| credential.address.clone());
        self.credentials = Some(credentials);
        self.arrange(kept.as_ref(), now);
    }

    /// Puts one credential in the place of its former self.
    pub(crate) fn replace_one(&mut self, credential: Credential, now: UnixMillis) {
        let mut all = self.credentials.take().unwrap_or_default();
        match all.binary_search_by(|other| other.address.cmp(&credential.address)) {
            Ok(index) => {
                self.counts.remove(all[index].state(self.counted_at));
                self.counts.add(credential.state(self.counted_at));
                let ages = changes_at(&credential, now);
                self.ages_at = self.ages_at.into_iter().chain(ages).min();
                all[index] = credential;
                // Neither the rows nor their order can have changed: no pass over all of them
                // for each of a thousand tests.
                if !self.is_filtered() && self.order == Order::Name {
                    self.credentials = Some(all);
                    return;
                }
            }
            Err(index) => all.insert(index, credential),
        }
        let kept = self.shown.get(self.cursor).map(|index| all[*index].address.clone());
        self.credentials = Some(all);
        self.arrange(kept.as_ref(), now);
    }

    /// Writes the result of an access test into its row.
    pub(crate) fn note_test(&mut self, address: &Address, check: &Check, now: UnixMillis) {
        let Some(mut credential) = self.find(address).cloned() else { return };
        credential.last_check = Some(check.clone());
        credential.last_test = Some(check.clone());
        if check.outcome == CheckOutcome::Ok {
            credential.intent = None;
        }
        self.replace_one(credential, now);
    }

    /// Puts the rows in order again, e.g. when time made another state of one.
    pub(crate) fn rearrange(&mut self, now: UnixMillis) {
        let kept = self.selected().map(|credential| credential.address.clone());
        self.arrange(kept.as_ref(), now);
    }

    fn arrange(&mut self, kept: Option<&Address>, now: UnixMillis) {
        self.count(now);
        let all = self.credentials.as_deref().unwrap_or_default();
        let mut shown: Vec<usize> = (0..all.len())
            .filter(|index| self.filter.passes(&all[*index], now))
            .filter(|index| !self.problems_only || is_problem(all[*index].state(now)))
            .collect();
        match self.order {
            Order::Name => {}
            Order::State => shown.sort_by_key(|index| urgency(all[*index].state(now))),
            Order::Tested => {
                let tested = |c: &Credential| c.last_test.as_ref().map(|test| test.at);
                shown.sort_by_key(|index| tested(&all[*index]));
            }
        }
        let place =
            kept.and_then(|address| shown.iter().position(|index| all[*index].address == *address));
        self.cursor = place.unwrap_or(self.cursor).min(shown.len().saturating_sub(1));
        self.shown = shown;
        self.scroll();
        if self.follow_at.is_none() || !self.has_panel() {
            self.follow();
        }
    }

    fn has_panel(&self) -> bool {
        self.panel.as_ref().is_some_and(|address| self.find(address).is_some())
    }

    /// The list has room for so many rows.
    pub(crate) fn set_rows(&mut self, rows: usize) {
        self.rows = rows.max(1);
        self.scroll();
    }

    /// Whether the first list has arrived.
    pub(crate) fn is_loaded(&self) -> bool {
        self.credentials.is_some()
    }

    /// All credentials, by address.
    pub(crate) fn all(&self) -> &[Credential] {
        self.credentials.as_deref().unwrap_or_default()
    }

    /// One by its address.
    pub(crate) fn find(&self, address: &Address) -> Option<&Credential> {
        let all = self.all();
        let index = all.binary_search_by(|other| other.address.cmp(address)).ok()?;
        all.get(index)
    }

    /// Those shown, in their order.
    pub(crate) fn shown(&self) -> impl ExactSizeIterator<Item = &Credential> {
        self.shown.iter().map(|index| &self.all()[*index])
    }

    /// The rows on screen, each with whether the cursor is on it.
    pub(crate) fn on_screen(&self) -> impl Iterator<Item = (bool, &Credential)> {
        let end = (self.top + self.rows).min(self.shown.len());
        (self.top..end).map(|place| (place == self.cursor, &self.all()[self.shown[place]]))
    }

    /// How many are above and below what is on screen.
    pub(crate) fn off_screen(&self) -> (usize, usize) {
        (self.top, self.shown.len().saturating_sub(self.top + self.rows))
    }

    /// The credential under the cursor.
    pub(crate) fn selected(&self) -> Option<&Credential> {
        self.shown.get(self.cursor).and_then(|index| self.all().get(*index))
    }

    /// The credential that panel and bar speak of: where the cursor last rested.
    pub(crate) fn rested(&self) -> Option<&Credential> {
        self.panel.as_ref().and_then(|address| self.find(address))
    }

    /// Puts the cursor on a credential; filters that hide it are taken away.
    pub(crate) fn select(&mut self, address: &Address, now: UnixMillis) {
        self.arrange(Some(address), now);
        if self.selected().is_none_or(|credential| credential.address != *address) {
            self.problems_only = false;
            self.set_filter("");
            self.arrange(Some(address), now);
        }
        self.follow();
    }

    /// Moves the cursor; the panel follows when it rests.
    pub(crate) fn move_by(&mut self, rows: i64, now: UnixMillis) {
        let last = self.shown.len().saturating_sub(1);
        let target = i64::try_from(self.cursor).unwrap_or(i64::MAX).saturating_add(rows);
        let target = usize::try_from(target.max(0)).unwrap_or(usize::MAX).min(last);
        if target != self.cursor {
            self.cursor = target;
            self.follow_at = Some(now.plus(REST));
            self.scroll();
        }
    }

    /// Moves the cursor by screens.
    pub(crate) fn page_by(&mut self, pages: i64, now: UnixMillis) {
        let rows = i64::try_from(self.rows).unwrap_or(1);
        self.move_by(pages.saturating_mul(rows), now);
    }

    /// Keeps the cursor on screen. At an edge the list moves by half a screen: one larger frame
    /// now and then costs a slow line less than a whole list at every key.
    fn scroll(&mut self) {
        let half = self.rows / 2;
        if self.cursor < self.top {
            self.top = (self.cursor + 1).saturating_sub(half.max(1));
        } else if self.rows > 0 && self.cursor >= self.top + self.rows {
            self.top = self.cursor - half;
        }
        let most = self.shown.len().saturating_sub(self.rows);
        self.top = self.top.min(most).min(self.cursor);
    }

    /// When the panel follows the cursor.
    pub(crate) fn follow_at(&self) -> Option<UnixMillis> {
        self.follow_at
    }

    /// The panel follows the cursor now.
    pub(crate) fn follow(&mut self) {
        self.follow_at = None;
        self.panel = self.selected().map(|credential| credential.address.clone());
    }

    /// The next order; answers it.
    pub(crate) fn next_order(&mut self, now: UnixMillis) -> Order {
        self.order = self.order.next();
        self.rearrange(now);
        self.order
    }

    /// Sets the filter by text; the rows follow with [`Self::rearrange`].
    pub(crate) fn set_filter(&mut self, typed: &str) {
        self.typed.set(typed);
        self.filter = Filter::parse(typed);
    }

    /// The filter's line was edited.
    pub(crate) fn filter_typed(&mut self, now: UnixMillis) {
        self.filter = Filter::parse(self.typed.value());
        self.rearrange(now);
    }

    /// Whether rows are hidden.
    pub(crate) fn is_filtered(&self) -> bool {
        self.problems_only || !self.filter.is_empty()
    }

    /// Marks the row, or takes its mark away, and goes on to the next.
    pub(crate) fn toggle_mark(&mut self, now: UnixMillis) {
        let Some(address) = self.selected().map(|credential| credential.address.clone()) else {
            return;
        };
        if !self.marked.remove(&address) {
            self.marked.insert(address.clone());
        }
        self.anchor = Some(address);
        self.move_by(1, now);
    }

    /// Marks from the last mark to the cursor.
    pub(crate) fn mark_range(&mut self) {
        let anchor = self.anchor.clone();
        let start =
            self.shown().position(|credential| Some(&credential.address) == anchor.as_ref());
        let start = start.unwrap_or(self.cursor);
        let (from, to) = (start.min(self.cursor), start.max(self.cursor));
        let range: Vec<Address> =
            self.shown().skip(from).take(to + 1 - from).map(|c| c.address.clone()).collect();
        self.marked.extend(range);
    }

    /// Marks all shown.
    pub(crate) fn mark_all(&mut self) {
        let all: Vec<Address> = self.shown().map(|c| c.address.clone()).collect();
        self.marked.extend(all);
    }

    /// What is meant by 'all': the marked ones, or else those shown.
    pub(crate) fn many(&self) -> Vec<Address> {
        if self.marked.is_empty() {
            self.shown().map(|c| c.address.clone()).collect()
        } else {
            self.marked.iter().cloned().collect()
        }
    }

    /// How many are in which condition.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// When time alone changes what is shown: a refresh's deadline, or a pending set-up's last
    /// minutes. `None` when nothing ages.
    pub(crate) fn ages_at(&self) -> Option<UnixMillis> {
        self.ages_at
    }

    fn count(&mut self, now: UnixMillis) {
        let mut counts = Counts::default();
        for credential in self.all() {
            counts.add(credential.state(now));
        }
        let ages_at = self.all().iter().filter_map(|credential| changes_at(credential, now)).min();
        (self.counts, self.counted_at, self.ages_at) = (counts, now, ages_at);
    }
}

impl Counts {
    fn add(&mut self, state: State) {
        self.all += 1;
        *self.of(state) += 1;
    }

    fn remove(&mut self, state: State) {
        self.all = self.all.saturating_sub(1);
        let count = self.of(state);
        *count = count.saturating_sub(1);
    }

    fn of(&mut self, state: State) -> &mut usize {
        match state {
            State::Ready => &mut self.ready,
            State::Unreachable => &mut self.unreachable,
            State::Untested => &mut self.untested,
            _ => &mut self.need_you,
        }
    }
}

/// When time alone changes what is shown of a credential.
fn changes_at(credential: &Credential, now: UnixMillis) -> Option<UnixMillis> {
    let deadline = credential.intent.as_ref().map(|intent| intent.deadline);
    let deadline = deadline.map(|at| at.plus(Duration::from_millis(1))).filter(|at| *at > now);
    let pending = credential.pending_authorization(now);
    let minute = pending.map(|pending| next_minute(pending.expires_at, now));
    deadline.into_iter().chain(minute).min()
}

/// When the words of a countdown to `end` change next: each minute, or each hour when it is far.
pub(crate) fn next_minute(end: UnixMillis, now: UnixMillis) -> UnixMillis {
    let left = end.since(now);
    let unit: u64 = if left >= Duration::from_secs(2 * 3600) { 3_600_000 } else { 60_000 };
    let into = u64::try_from(left.as_millis()).unwrap_or(0) % unit;
    now.plus(Duration::from_millis(into + 1))
}

/// Whether somebody should look at it.
fn is_problem(state: State) -> bool {
    !matches!(state, State::Ready | State::Untested)
}

/// What needs somebody first is smallest.
fn urgency(state: State) -> u8 {
    match state {
        State::NeedsSetup => 0,
        State::Misconfigured => 1,
        State::Uncertain => 2,
        State::Limited => 3,
        State::Authorizing => 4,
        State::NoToken => 5,
        State::Unreachable => 6,
        State::Untested => 7,
        State::Ready => 8,
    }
}

#[cfg(test)]
mod tests;
