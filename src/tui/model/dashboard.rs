//! The list: which rows there are, which are shown in which order, and where the cursor is.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::credential::{Check, CheckOutcome, Credential, Standing, State};
use crate::domain::filter::Filter;
use crate::domain::name::Address;
use crate::domain::packed::{Packed, Row};
use crate::domain::round::{self, RoundPurpose};
use crate::domain::time::UnixMillis;
use crate::tui::model::field::LineField;

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
    /// What is to be rotated first.
    Due,
}

impl Order {
    /// The next one.
    fn next(self) -> Self {
        match self {
            Self::Name => Self::State,
            Self::State => Self::Tested,
            Self::Tested => Self::Due,
            Self::Due => Self::Name,
        }
    }

    /// The words on screen.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Name => "by name",
            Self::State => "what needs you first",
            Self::Tested => "longest not tested first",
            Self::Due => "due for rotation first",
        }
    }
}

/// The list of credentials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dashboard {
    /// By address; `None` until the first answer.
    credentials: Option<Packed>,
    /// Whether they are all there are, and not only the first of them.
    whole: bool,
    /// Indices of those shown, in the order shown.
    shown: Vec<u32>,
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
    /// Shows how the list begins while the rest of it is read; a list that is there already is
    /// the better one.
    pub(crate) fn begin(&mut self, credentials: Packed, now: UnixMillis) {
        if self.credentials.is_none() {
            self.credentials = Some(credentials);
            self.arrange(None, now);
        }
    }

    /// Takes a fresh list over. The cursor stays on its credential.
    pub(crate) fn replace(&mut self, credentials: Packed, now: UnixMillis) {
        let there = |address: &Address| credentials.find(address).is_ok();
        self.marked.retain(there);
        self.anchor = self.anchor.take().filter(there);
        let kept = self.selected_address();
        self.credentials = Some(credentials);
        self.whole = true;
        self.arrange(kept.as_ref(), now);
    }

    /// Puts one credential in the place of its former self.
    pub(crate) fn replace_one(&mut self, credential: &Credential, now: UnixMillis) {
        let kept = self.selected_address();
        let all = self.credentials.get_or_insert_default();
        match all.find(&credential.address) {
            Ok(index) => {
                if let Some(former) = all.row(index) {
                    self.counts.remove(former.state(self.counted_at));
                    self.counts.add(credential.state(self.counted_at));
                }
                let ages = changes_at(&credential.standing(), now);
                self.ages_at = self.ages_at.into_iter().chain(ages).min();
                all.replace(index, credential);
                // Neither the rows nor their order can have changed: no pass over all of them
                // for each of a thousand tests.
                if !self.is_filtered() && self.order == Order::Name {
                    return;
                }
            }
            Err(index) => all.insert(index, credential),
        }
        self.arrange(kept.as_ref(), now);
    }

    /// Writes the result of an access test into its row.
    pub(crate) fn note_test(&mut self, address: &Address, check: &Check, now: UnixMillis) {
        let Some(mut credential) = self.find(address) else { return };
        credential.last_check = Some(check.clone());
        credential.last_test = Some(check.clone());
        if check.outcome == CheckOutcome::Ok {
            credential.intent = None;
        }
        self.replace_one(&credential, now);
    }

    /// Puts the rows in order again, e.g. when time made another state of one.
    pub(crate) fn rearrange(&mut self, now: UnixMillis) {
        let kept = self.selected_address();
        self.arrange(kept.as_ref(), now);
    }

    fn arrange(&mut self, kept: Option<&Address>, now: UnixMillis) {
        self.count(now);
        self.show(kept, now);
    }

    /// Finds out what is shown, without a count of all.
    fn show(&mut self, kept: Option<&Address>, now: UnixMillis) {
        let row = |index: u32| self.row(index);
        let mut shown: Vec<u32> = (0..)
            .zip(self.rows())
            .filter(|(_, row)| !self.problems_only || is_problem(row.state(now)))
            .filter(|(_, row)| self.filter.passes(row, now))
            .map(|(index, _)| index)
            .collect();
        match self.order {
            Order::Name => {}
            Order::State => {
                shown.sort_by_cached_key(|index| row(*index).map(|row| urgency(row.state(now))));
            }
            Order::Tested => {
                shown.sort_by_cached_key(|index| row(*index).map(|row| row.standing.tested_at));
            }
            Order::Due => shown.sort_by_cached_key(|index| {
                let due = row(*index).and_then(|row| row.rotate_due);
                (due.is_none(), due)
            }),
        }
        let kept = kept.and_then(|address| self.index_of(address));
        let place = kept.and_then(|kept| shown.iter().position(|index| *index == kept));
        self.cursor = place.unwrap_or(self.cursor).min(shown.len().saturating_sub(1));
        self.shown = shown;
        self.scroll();
        if self.follow_at.is_none() || !self.has_panel() {
            self.follow();
        }
    }

    fn has_panel(&self) -> bool {
        self.panel.as_ref().is_some_and(|address| self.contains(address))
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.credentials.iter().flat_map(Packed::rows)
    }

    fn row(&self, index: u32) -> Option<Row<'_>> {
        self.credentials.as_ref()?.row(usize::try_from(index).ok()?)
    }

    fn index_of(&self, address: &Address) -> Option<u32> {
        let index = self.credentials.as_ref()?.find(address).ok()?;
        u32::try_from(index).ok()
    }

    fn selected_address(&self) -> Option<Address> {
        self.row(*self.shown.get(self.cursor)?)?.address()
    }

    /// The list has room for so many rows.
    pub(crate) fn set_rows(&mut self, rows: usize) {
        self.rows = rows.max(1);
        self.scroll();
    }

    /// Whether there is something to show: the list, or its first rows.
    pub(crate) fn is_loaded(&self) -> bool {
        self.credentials.is_some()
    }

    /// Whether all of the list is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// How many are known, shown or not.
    pub(crate) fn len(&self) -> usize {
        self.credentials.as_ref().map_or(0, Packed::len)
    }

    /// One by its address.
    pub(crate) fn find(&self, address: &Address) -> Option<Credential> {
        self.at(self.index_of(address)?)
    }

    /// Whether there is one of this address.
    pub(crate) fn contains(&self, address: &Address) -> bool {
        self.index_of(address).is_some()
    }

    /// Whether there is one of this address, with a token that can be tested.
    pub(crate) fn can_be_tested(&self, address: &Address) -> bool {
        let row = self.index_of(address).and_then(|index| self.row(index));
        row.is_some_and(|row| row.has_token_to_test())
    }

    fn at(&self, index: u32) -> Option<Credential> {
        self.credentials.as_ref()?.get(usize::try_from(index).ok()?)
    }

    /// How many are shown.
    pub(crate) fn shown(&self) -> usize {
        self.shown.len()
    }

    /// The addresses of those shown from the `from`th on, in their order.
    fn addresses(&self, from: usize) -> impl Iterator<Item = Address> {
        self.shown.iter().skip(from).filter_map(|index| self.row(*index)?.address())
    }

    /// The rows on screen, each with whether the cursor is on it.
    pub(crate) fn on_screen(&self) -> impl Iterator<Item = (bool, Credential)> {
        let shown = self.shown.iter().enumerate().skip(self.top).take(self.rows);
        shown.filter_map(|(place, index)| Some((place == self.cursor, self.at(*index)?)))
    }

    /// How many are above and below what is on screen.
    pub(crate) fn off_screen(&self) -> (usize, usize) {
        (self.top, self.shown.len().saturating_sub(self.top + self.rows))
    }

    /// The credential under the cursor.
    pub(crate) fn selected(&self) -> Option<Credential> {
        self.at(*self.shown.get(self.cursor)?)
    }

    /// The credential that panel and bar speak of: where the cursor last rested.
    pub(crate) fn rested(&self) -> Option<Credential> {
        self.panel.as_ref().and_then(|address| self.find(address))
    }

    /// Puts the cursor on a credential; filters that hide it are taken away.
    pub(crate) fn select(&mut self, address: &Address, now: UnixMillis) {
        self.arrange(Some(address), now);
        if self.selected_address().as_ref() != Some(address) {
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
        self.panel = self.selected_address();
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
        let kept = self.selected_address();
        self.show(kept.as_ref(), now);
    }

    /// Whether rows are hidden.
    pub(crate) fn is_filtered(&self) -> bool {
        self.problems_only || !self.filter.is_empty()
    }

    /// Marks the row, or takes its mark away, and goes on to the next.
    pub(crate) fn toggle_mark(&mut self, now: UnixMillis) {
        let Some(address) = self.selected_address() else { return };
        if !self.marked.remove(&address) {
            self.marked.insert(address.clone());
        }
        self.anchor = Some(address);
        self.move_by(1, now);
    }

    /// Marks from the last mark to the cursor.
    pub(crate) fn mark_range(&mut self) {
        let anchor = self.anchor.as_ref().and_then(|address| self.index_of(address));
        let start = self.shown.iter().position(|index| Some(*index) == anchor);
        let start = start.unwrap_or(self.cursor);
        let (from, to) = (start.min(self.cursor), start.max(self.cursor));
        let range: Vec<Address> = self.addresses(from).take(to + 1 - from).collect();
        self.marked.extend(range);
    }

    /// Marks all shown.
    pub(crate) fn mark_all(&mut self) {
        let all: Vec<Address> = self.addresses(0).collect();
        self.marked.extend(all);
    }

    /// What is meant by 'all': the marked ones, or else those shown.
    pub(crate) fn many(&self) -> Vec<Address> {
        if self.marked.is_empty() {
            self.addresses(0).collect()
        } else {
            self.marked.iter().cloned().collect()
        }
    }

    /// Of those that are meant by 'all', what a round for `purpose` finds something to do with.
    pub(crate) fn taken_by_round(&self, purpose: RoundPurpose, now: UnixMillis) -> Vec<Address> {
        let takes = |address: &Address| {
            let row = self.index_of(address).and_then(|index| self.row(index));
            row.is_some_and(|row| round::takes(purpose, &row, now))
        };
        self.many().into_iter().filter(takes).collect()
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
        let mut ages_at = None;
        for row in self.rows() {
            counts.add(row.state(now));
            let due = row.rotate_due.filter(|due| *due > now);
            let ages = changes_at(&row.standing, now).into_iter().chain(due);
            ages_at = ages_at.into_iter().chain(ages).min();
        }
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
fn changes_at(standing: &Standing, now: UnixMillis) -> Option<UnixMillis> {
    let deadline = standing.intent_deadline;
    let deadline = deadline.map(|at| at.plus(Duration::from_millis(1))).filter(|at| *at > now);
    let pending = standing.authorization_ends.filter(|end| *end > now);
    let minute = pending.map(|end| next_minute(end, now));
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
