//! The list follows what other processes change: commands, scripts, another dashboard, the agent.

use crate::domain::change::{ChangeMark, Changes};
use crate::engine::Operation;
use crate::engine::operation::Selection;
use crate::engine::outcome::Changed;
use crate::tui::effect::Effect;
use crate::tui::model::Model;

impl Model {
    /// Asks how far the store has come, before the list is read.
    pub(super) fn begin_to_follow(&mut self) -> Vec<Effect> {
        self.ask(Operation::AwaitChange(None))
    }

    /// Somebody changed the store, this dashboard or another process.
    pub(super) fn store_changed(
        &mut self,
        operation: &Operation,
        Changed { mark, changes }: Changed,
    ) -> Vec<Effect> {
        if *operation == Operation::AwaitChange(None) {
            return self.wait_for_change(mark);
        }
        if self.jobs.is_at_many() {
            // What its own work changes is told by its answers; the rest is looked at after it.
            self.changed_since = match operation {
                Operation::AwaitChange(seen) => *seen,
                _ => None,
            };
            return Vec::new();
        }
        let mut effects = self.ask(Operation::Owed);
        match changes {
            Changes::Of(addresses) => {
                for address in addresses {
                    effects.extend(self.ask(Operation::Show(Selection::exactly(&address))));
                }
                if self.round.open().is_some() {
                    effects.extend(self.ask(Operation::Round));
                }
            }
            Changes::Any => {
                effects.extend(self.ask(Operation::Index));
                effects.extend(self.ask(Operation::Apps));
                effects.extend(self.ask(Operation::CopyStanding));
                effects.extend(self.ask(Operation::Round));
            }
        }
        effects.extend(self.wait_for_change(mark));
        effects
    }

    /// After many tests or rotations: what was changed meanwhile.
    pub(super) fn follow_again(&mut self) -> Vec<Effect> {
        match self.changed_since.take_if(|_| !self.jobs.is_at_many()) {
            Some(seen) => self.wait_for_change(seen),
            None => Vec::new(),
        }
    }

    fn wait_for_change(&mut self, mark: ChangeMark) -> Vec<Effect> {
        self.ask(Operation::AwaitChange(Some(mark)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Event, Outcome};
    use crate::tui::message::Message;
    use crate::tui::model::sample;
    use crate::tui::model::tests::{loaded, submitted};

    const SEEN: ChangeMark = ChangeMark { audit: 7, check: 3 };
    const LATER: ChangeMark = ChangeMark { audit: 9, check: 3 };

    fn waiting() -> Model {
        let mut model = loaded(sample::numbered(60));
        let effects = model.wait_for_change(SEEN);
        assert_eq!(submitted(&effects), [&Operation::AwaitChange(Some(SEEN))]);
        model
    }

    fn told(model: &mut Model, changes: Changes) -> Vec<Operation> {
        let job = model.jobs.asking(&Operation::AwaitChange(Some(SEEN))).unwrap();
        let outcome = Outcome::Changed(Changed { mark: LATER, changes });
        let event = Box::new(Event::Done(Ok(outcome)));
        let effects = model.update(Message::Engine { job, event }, sample::NOW);
        submitted(&effects).into_iter().cloned().collect()
    }

    #[test]
    fn what_is_changed_elsewhere_is_read_again_and_no_more() {
        let mut model = waiting();
        let address = sample::address("acme", "production");
        let asked = told(&mut model, Changes::Of(vec![address.clone()]));
        let show = Operation::Show(Selection::exactly(&address));
        assert_eq!(asked, [Operation::Owed, show, Operation::AwaitChange(Some(LATER))]);
        let mut model = waiting();
        let asked = told(&mut model, Changes::Any);
        assert!(asked.contains(&Operation::Index) && asked.contains(&Operation::Round));
    }

    #[test]
    fn while_many_are_tested_nothing_is_read_and_after_it_all_that_came() {
        let mut model = waiting();
        let all: Vec<_> =
            sample::numbered(60).into_iter().map(|credential| credential.address).collect();
        model.jobs.line_up(all);
        assert_eq!(told(&mut model, Changes::Any).len(), 60, "the tests alone");
        assert!(model.follow_again().is_empty());
        let jobs: Vec<_> = model.jobs.running().map(|(job, _)| *job).collect();
        for job in jobs {
            model.jobs.end(job);
        }
        let effects = model.follow_again();
        assert_eq!(submitted(&effects), [&Operation::AwaitChange(Some(SEEN))]);
    }
}
