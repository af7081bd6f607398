//! Rounds on the dashboard: what one is begun with, its worklist, and the work itself, in which a
//! sign-in that ends leads to the next.

use crate::domain::credential::{CheckOutcome, Credential};
use crate::domain::name::Address;
use crate::domain::round::{Round, RoundItemState, RoundPurpose};
use crate::engine::Operation;
use crate::engine::operation::{SkipInRound, StartRound};
use crate::engine::outcome::RotationReport;
use crate::tui::effect::Effect;
use crate::tui::input::Key;
use crate::tui::keymap::{self, RoundIntent};
use crate::tui::model::dialog::{ConfirmDialog, Question, TypedDialog, TypedTask};
use crate::tui::model::notice::Tone;
use crate::tui::model::{Model, Screen};

/// What there is to begin a round with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoundStart {
    /// Those that a round of each purpose finds something to do with.
    pub(crate) choices: [(RoundPurpose, Vec<Address>); 2],
    /// Which of them the cursor is on.
    pub(crate) cursor: usize,
    /// How the credentials were chosen.
    pub(crate) chosen_by: String,
}

/// How the model stands with rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundDesk {
    /// The open round, or the one that ended last, as far as the engine has told.
    pub(crate) round: Option<Round>,
    /// Whether somebody works through it: each sign-in that ends leads to the next.
    pub(crate) at_work: bool,
    /// The row of the worklist that the cursor is on.
    pub(crate) cursor: usize,
    /// What was worked on last.
    last: Option<Address>,
    /// Whether a screen is to be opened with the next answer.
    opening: bool,
}

impl RoundDesk {
    /// The round, while it is open.
    pub(crate) fn open(&self) -> Option<&Round> {
        self.round.as_ref().filter(|round| round.is_open())
    }

    /// Whose turn it is and of how many, for a credential that is worked on in the round.
    pub(crate) fn place_of(&self, address: &Address) -> Option<(usize, usize)> {
        let round = self.open().filter(|_| self.at_work)?;
        round.item(address).map(|_| (round.place(), round.items.len()))
    }

    fn has(&self, address: &Address) -> bool {
        self.open().is_some_and(|round| round.item(address).is_some())
    }

    /// The address that the cursor is on, and how it stands.
    fn under_cursor(&self) -> Option<(Address, RoundItemState)> {
        let item = self.round.as_ref()?.items.get(self.cursor)?;
        Some((item.address.clone(), item.state))
    }

    fn unattended(&self) -> Vec<Address> {
        let waiting = self.open().into_iter().flat_map(Round::waiting);
        waiting.filter(|item| item.is_unattended).map(|item| item.address.clone()).collect()
    }

    fn put_cursor_on(&mut self, address: &Address) {
        let items = self.round.iter().flat_map(|round| &round.items);
        if let Some(place) = items.into_iter().position(|item| item.address == *address) {
            self.cursor = place;
        }
    }
}

impl Model {
    /// `Q`: the worklist of the open round, or what one could be begun with.
    pub(super) fn open_round(&mut self) -> Vec<Effect> {
        self.round.opening = true;
        self.ask(Operation::Round)
    }

    /// The engine told where a round stands.
    pub(super) fn hear_round(
        &mut self,
        operation: &Operation,
        round: Option<Round>,
    ) -> Vec<Effect> {
        self.round.round = round;
        let last = self.round.round.as_ref().map_or(0, |round| round.items.len().saturating_sub(1));
        self.round.cursor = self.round.cursor.min(last);
        match operation {
            Operation::StartRound(_) => return self.round_started(),
            Operation::EndRound => self.round_ended(),
            Operation::SkipInRound(skip) if skip.note.is_some() => {
                self.close_setup_of(&skip.address);
                self.round.last = Some(skip.address.clone());
                return self.go_on_with_round();
            }
            _ if std::mem::take(&mut self.round.opening) => self.show_round(),
            _ => return self.go_on_with_round(),
        }
        Vec::new()
    }

    fn show_round(&mut self) {
        let first = self.round.open().map(|round| round.waiting().next().cloned());
        if let Some(first) = first {
            if let Some(item) = first {
                self.round.put_cursor_on(&item.address);
            }
            self.screens.push(Screen::Round);
        } else if !self.dashboard.is_whole() {
            self.say_list_is_read();
        } else {
            let start = self.round_start();
            let is_empty = start.choices.iter().all(|(_, addresses)| addresses.is_empty());
            if is_empty && self.round.round.is_none() {
                let text = "there is nothing here to begin a round with";
                let remedy = match self.dashboard.len() {
                    0 => "n saves the first one",
                    _ => "mark others, or show them: Esc, /",
                };
                self.say(Tone::Plain, text.into(), remedy);
            } else {
                self.screens.push(Screen::RoundStart(Box::new(start)));
            }
        }
    }

    fn round_start(&self) -> RoundStart {
        let choice = |purpose| (purpose, self.dashboard.taken_by_round(purpose, self.now));
        let choices = [choice(RoundPurpose::Setup), choice(RoundPurpose::Rotate)];
        let marked = self.dashboard.marked.len();
        let chosen_by = match self.dashboard.typed.value() {
            _ if marked > 0 => format!("{marked} marked"),
            _ if self.dashboard.problems_only => "problems only".into(),
            "" => "all".into(),
            filter => filter.to_owned(),
        };
        let cursor = usize::from(choices[0].1.is_empty());
        RoundStart { choices, cursor, chosen_by }
    }

    /// A key on what a round can be begun with.
    pub(super) fn key_on_round_start(&mut self, key: Key) -> Vec<Effect> {
        let Some(Screen::RoundStart(start)) = self.screens.last_mut() else { return Vec::new() };
        match key {
            Key::Up | Key::Char('k') => start.cursor = 0,
            Key::Down | Key::Char('j') => start.cursor = 1,
            Key::Esc | Key::Char('q') => {
                self.screens.pop();
            }
            Key::Char('l') if self.round.round.is_some() => {
                self.screens.pop();
                self.screens.push(Screen::Round);
            }
            Key::Enter => {
                let (purpose, addresses) = start.choices[start.cursor].clone();
                let chosen_by = start.chosen_by.clone();
                if !addresses.is_empty() {
                    self.screens.pop();
                    return self.ask(Operation::StartRound(StartRound {
                        purpose,
                        addresses,
                        chosen_by,
                        dry_run: false,
                        reason: None,
                    }));
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn round_started(&mut self) -> Vec<Effect> {
        (self.round.cursor, self.round.at_work, self.round.last) = (0, false, None);
        self.dashboard.marked.clear();
        self.screens.push(Screen::Round);
        self.run_unattended()
    }

    /// What needs nobody goes first, as many at once as the engine takes.
    fn run_unattended(&mut self) -> Vec<Effect> {
        let addresses = self.round.unattended();
        if !addresses.is_empty() {
            self.say(Tone::Plain, format!("{} run by themselves", addresses.len()), "");
            self.jobs.line_up_rotations(addresses);
        }
        Vec::new()
    }

    fn round_ended(&mut self) {
        self.round.at_work = false;
        let Some(round) = &self.round.round else { return };
        let counts = round.counts();
        let text = format!(
            "the round is over: {} of {} have a new token, {} passed over",
            counts.refreshed + counts.signed_in,
            round.items.len(),
            counts.skipped
        );
        self.say(Tone::Good, text, "Q, then l shows its receipt");
    }

    /// A key on the worklist.
    pub(super) fn key_on_round(&mut self, key: Key) -> Vec<Effect> {
        let Some(intent) = keymap::round(key) else { return Vec::new() };
        let rows = self.round.round.as_ref().map_or(0, |round| round.items.len());
        let is_open = self.round.open().is_some();
        match intent {
            RoundIntent::Move(by) => {
                let step = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
                let moved = if by < 0 {
                    self.round.cursor.saturating_sub(step)
                } else {
                    self.round.cursor.saturating_add(step)
                };
                self.round.cursor = moved.min(rows.saturating_sub(1));
            }
            RoundIntent::Leave => {
                self.screens.pop();
            }
            RoundIntent::Work if is_open => return self.work_on_round(),
            RoundIntent::Skip if is_open => return self.skip_under_cursor(),
            RoundIntent::RunUnattended if is_open => return self.run_unattended(),
            RoundIntent::End if is_open => self.ask_to_end_round(),
            RoundIntent::Work
            | RoundIntent::Skip
            | RoundIntent::RunUnattended
            | RoundIntent::End => {}
        }
        Vec::new()
    }

    /// Begins to work: with the one under the cursor, else with the first that needs a person.
    fn work_on_round(&mut self) -> Vec<Effect> {
        self.round.at_work = true;
        if let Some((address, RoundItemState::Waiting)) = self.round.under_cursor() {
            return self.begin_in_round(&address);
        }
        self.round.last = None;
        self.go_on_with_round()
    }

    /// The next sign-in, while somebody works and nothing lies over the worklist.
    pub(super) fn go_on_with_round(&mut self) -> Vec<Effect> {
        let Some(round) = self.round.open() else { return Vec::new() };
        let shown = matches!(self.screens.last(), Some(Screen::Round));
        if round.counts().waiting == 0 {
            let ends =
                shown && self.round.at_work && self.jobs.asking(&Operation::EndRound).is_none();
            return if ends { self.ask(Operation::EndRound) } else { Vec::new() };
        }
        if !shown || !self.round.at_work {
            return Vec::new();
        }
        let busy = |address: &Address| self.jobs.of(address).is_some();
        let next = match &self.round.last {
            Some(last) => round.next_after(last),
            None => round.waiting().find(|item| !item.is_unattended).or(round.waiting().next()),
        };
        let next = next.map(|item| item.address.clone()).filter(|address| !busy(address));
        if let Some(address) = next {
            return self.begin_in_round(&address);
        }
        self.round.at_work = false;
        Vec::new()
    }

    fn begin_in_round(&mut self, address: &Address) -> Vec<Effect> {
        self.round.put_cursor_on(address);
        match self.dashboard.find(address) {
            Some(credential) => self.begin_sign_in(&credential),
            // The list is still read: its end goes on with the round.
            None if !self.dashboard.is_whole() => Vec::new(),
            None => {
                self.round.at_work = false;
                let mut effects = self.ask(Operation::Index);
                effects.extend(self.ask(Operation::Round));
                effects
            }
        }
    }

    /// The set-up pane of a credential; in a round for what the round is for.
    pub(super) fn begin_sign_in(&mut self, credential: &Credential) -> Vec<Effect> {
        let address = &credential.address;
        let round = self.round.open().filter(|_| self.round.at_work && self.round.has(address));
        let rotates = round.is_some_and(|round| round.facts.purpose == RoundPurpose::Rotate);
        self.set_up(credential, rotates)
    }

    /// A sign-in came to its end, in this round or beside it.
    pub(super) fn after_sign_in(&mut self, address: &Address) -> Vec<Effect> {
        if !self.round.has(address) {
            return Vec::new();
        }
        self.round.last = Some(address.clone());
        self.ask(Operation::Round)
    }

    /// Whether a rotation is one of the round's that a person has to do, which is in the worklist.
    pub(super) fn is_left_to_round(&self, report: &RotationReport) -> bool {
        report.outcome == CheckOutcome::NeedsSetup
            && self.round.has(&report.address)
            && self.screens.iter().any(|screen| matches!(screen, Screen::Round))
    }

    /// After the last rotation of those that need nobody, where the round stands.
    pub(super) fn after_rotation(&mut self) -> Vec<Effect> {
        if self.round.open().is_none() || self.jobs.rotations_left() {
            return Vec::new();
        }
        self.ask(Operation::Round)
    }

    /// The person left the pane: what is pending stays so, and nothing follows by itself.
    pub(super) fn leave_round(&mut self) {
        self.round.at_work = false;
    }

    /// Asks why a credential is passed over.
    pub(super) fn ask_to_skip(&mut self, address: Address) {
        let dialog = TypedDialog::new(TypedTask::Skip, vec![address], false);
        self.screens.push(Screen::Typed(Box::new(dialog)));
    }

    fn skip_under_cursor(&mut self) -> Vec<Effect> {
        match self.round.under_cursor() {
            Some((address, RoundItemState::Waiting)) => self.ask_to_skip(address),
            Some((address, RoundItemState::Skipped)) => {
                return self.ask(Operation::SkipInRound(SkipInRound { address, note: None }));
            }
            _ => {}
        }
        Vec::new()
    }

    fn ask_to_end_round(&mut self) {
        let waiting = self.round.open().map_or(0, |round| round.counts().waiting);
        let text = format!("{waiting} wait for a sign-in and stay as they are.");
        let question = Question::Ask(Box::new(Operation::EndRound));
        let dialog = ConfirmDialog::new(question, "End the round?".into(), text, "End it");
        self.screens.push(Screen::Confirm(Box::new(dialog)));
    }
}

#[cfg(test)]
pub(crate) mod tests;
