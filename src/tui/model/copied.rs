//! A store that may be a copy, or that was moved: said on screen, asked about once for all
//! credentials. The question begins where Enter does no harm.

use crate::domain::copy::{CopyStanding, Moved};
use crate::engine::outcome::AdoptReceipt;
use crate::engine::{Failure, Operation};
use crate::tui::effect::Effect;
use crate::tui::keymap::FormIntent;
use crate::tui::model::notice::{Tone, grouped};
use crate::tui::model::{Model, Screen};

/// What can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing is decided.
    Cancel,
    /// This copy goes on.
    Adopt,
    /// Another copy goes on.
    Elsewhere,
}

/// Asks which copy goes on; of a store that was moved, whether it is taken back.
#[derive(Clone, Debug)]
pub(crate) struct CopiedDialog {
    /// Which answer has the keys.
    pub(crate) focus: Answer,
    /// Those that there are, the first one harmless.
    pub(crate) answers: Vec<Answer>,
}

impl CopiedDialog {
    /// Asks what is open; nothing where nothing is.
    pub(crate) fn new(standing: &CopyStanding) -> Option<Self> {
        let answers = match standing {
            CopyStanding { moved: Some(_), .. } => vec![Answer::Cancel, Answer::Adopt],
            CopyStanding { question: Some(_), .. } => {
                vec![Answer::Cancel, Answer::Adopt, Answer::Elsewhere]
            }
            CopyStanding { question: None, moved: None } => return None,
        };
        Some(Self { focus: Answer::Cancel, answers })
    }

    /// Answers a key.
    pub(crate) fn key(&mut self, intent: FormIntent) -> Option<Answer> {
        let at = self.answers.iter().position(|answer| *answer == self.focus).unwrap_or(0);
        let count = self.answers.len();
        match intent {
            FormIntent::Cancel => return Some(Answer::Cancel),
            FormIntent::Activate => return Some(self.focus),
            FormIntent::Next => self.focus = self.answers[(at + 1) % count],
            FormIntent::Previous => self.focus = self.answers[(at + count - 1) % count],
            FormIntent::Type(_) => {}
        }
        None
    }
}

impl Model {
    /// Fulfils an answer.
    pub(super) fn copied_answered(&mut self, answer: Answer) -> Vec<Effect> {
        self.screens.pop();
        match answer {
            Answer::Cancel => Vec::new(),
            Answer::Adopt => self.ask(Operation::Adopt(None)),
            Answer::Elsewhere => self.ask(Operation::LeaveToCopy(None)),
        }
    }

    /// Asks on the person's own wish.
    pub(super) fn ask_which_copy(&mut self) {
        match CopiedDialog::new(&self.standing) {
            Some(dialog) => self.screens.push(Screen::Copied(dialog)),
            None => self.say(
                Tone::Plain,
                "nothing says that this store is a copy".into(),
                "orgkey move --to FILE takes it to another host",
            ),
        }
    }

    /// The engine told how the store stands. The open question is put once by itself; nobody is torn
    /// out of another screen for it.
    pub(super) fn hear_standing(&mut self, standing: CopyStanding) {
        match &standing {
            CopyStanding { moved: Some(moved), .. } => {
                self.say(Tone::Bad, moved_in_words(moved), "C takes it back to here");
            }
            CopyStanding { question: Some(question), .. } => self.say(
                Tone::Bad,
                format!("this store may be a copy: {}", question.sign.words()),
                "C says which copy goes on; until then no single-use token is refreshed",
            ),
            CopyStanding { question: None, moved: None } => {}
        }
        let is_open = standing.question.is_some() && standing.moved.is_none();
        let dialog = CopiedDialog::new(&standing).filter(|_| is_open && !self.copy_asked);
        self.standing = standing;
        if let Some(dialog) = dialog.filter(|_| self.screens.is_empty()) {
            self.copy_asked = true;
            self.screens.push(Screen::Copied(dialog));
        }
    }

    /// This copy goes on.
    pub(super) fn adopted(&mut self, receipt: &AdoptReceipt) -> Vec<Effect> {
        self.standing = CopyStanding::default();
        self.copy_asked = false;
        match receipt.spent.len() {
            0 => self.say(Tone::Good, "this store goes on, on this host".into(), ""),
            spent => {
                let spent = grouped(u64::try_from(spent).unwrap_or(u64::MAX));
                let text = format!("this store goes on; tokens that were spent elsewhere: {spent}");
                self.say(Tone::Bad, text, "! shows them, s sets up an OAuth token");
            }
        }
        self.ask(Operation::Index)
    }

    /// A token was not spent because of how the store stands: said once for all of them.
    pub(super) fn refused_for_the_store(&mut self, failure: &Failure) -> Option<Vec<Effect>> {
        if !["store_copied", "moved_elsewhere"].contains(&failure.code.as_str()) {
            return None;
        }
        if self.jobs.any(|operation| *operation == Operation::CopyStanding) {
            return Some(Vec::new());
        }
        if self.standing == CopyStanding::default() {
            return Some(self.ask(Operation::CopyStanding));
        }
        self.hear_standing(self.standing.clone());
        Some(Vec::new())
    }
}

/// Where a store went on, in words.
pub(crate) fn moved_in_words(moved: &Moved) -> String {
    if moved.to.is_empty() {
        "another copy of this store goes on: nothing is refreshed here".into()
    } else {
        format!("this store was moved to {}: nothing is refreshed here", moved.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::engine::outcome::FailureDetail;
    use crate::tui::input::Key;
    use crate::tui::model::tests::{answer, deny, failure, keys, loaded, loaded_as, press};
    use crate::tui::model::{jobs, sample};

    fn asks(model: &Model) -> bool {
        matches!(model.screens.last(), Some(Screen::Copied(_)))
    }

    fn under_way(model: &Model, operation: &Operation) -> bool {
        model.jobs.any(|other| other == operation)
    }

    fn refusal() -> Failure {
        Failure { code: "store_copied".into(), ..failure("no", "answer", FailureDetail::None) }
    }

    #[test]
    fn the_question_is_put_once_and_begins_on_cancel() {
        let mut model = loaded_as(sample::many(), sample::copied());
        assert!(asks(&model));
        press(&mut model, Key::Enter);
        assert!(!asks(&model) && !model.jobs.any(|_| true), "Enter decides nothing");
        // It stays on screen, and one key away.
        assert_eq!(model.standing, sample::copied());
        model.hear_standing(sample::copied());
        assert!(!asks(&model), "once by itself");
        keys(&mut model, "C");
        assert!(asks(&model));
    }

    #[test]
    fn each_answer_is_given_for_all_and_its_end_is_told() {
        let mut model = loaded_as(sample::many(), sample::copied());
        press(&mut model, Key::Tab);
        press(&mut model, Key::Enter);
        assert!(under_way(&model, &Operation::Adopt(None)));
        let spent = vec![sample::address("acme", "production")];
        answer(&mut model, |_| Outcome::Adopted(AdoptReceipt { before: sample::copied(), spent }));
        assert_eq!(model.standing, CopyStanding::default());
        assert!(model.notices.newest().unwrap().text.contains("spent elsewhere: 1"));
        assert!(under_way(&model, &Operation::Index), "the states have changed");

        let mut model = loaded_as(sample::many(), sample::copied());
        press(&mut model, Key::BackTab);
        press(&mut model, Key::Enter);
        assert!(under_way(&model, &Operation::LeaveToCopy(None)));
        answer(&mut model, |_| Outcome::CopyStanding(sample::moved()));
        assert!(!asks(&model), "it was just decided");
        assert_eq!(model.standing, sample::moved());
        keys(&mut model, "C");
        press(&mut model, Key::Tab);
        press(&mut model, Key::Enter);
        assert!(under_way(&model, &Operation::Adopt(None)), "it is taken back");
    }

    #[test]
    fn many_refused_refreshes_ask_one_question_and_tear_nobody_out_of_a_form() {
        let mut model = loaded(sample::many());
        keys(&mut model, "*T");
        keys(&mut model, "n");
        let tests = model.jobs.running().count();
        assert!(tests > 1);
        let said = model.notices.all().count();
        for _ in 0..tests {
            let is_test = |job: &jobs::Job| matches!(job.operation, Operation::Test(_));
            let job = model.jobs.running().find(|(_, job)| is_test(job)).map(|(job, _)| *job);
            let event = Box::new(crate::engine::Event::Done(Err(refusal())));
            let message = crate::tui::message::Message::Engine { job: job.unwrap(), event };
            model.update(message, sample::NOW);
        }
        let asked = |job: &&jobs::Job| job.operation == Operation::CopyStanding;
        let asked = model.jobs.running().map(|(_, job)| job).filter(asked).count();
        assert_eq!((asked, model.notices.all().count()), (1, said));
        answer(&mut model, |_| Outcome::CopyStanding(sample::copied()));
        assert!(matches!(model.screens.last(), Some(Screen::Form(_))));
        assert_eq!(model.notices.all().count(), said + 1, "one notice for all");
        press(&mut model, Key::Esc);
        keys(&mut model, "t");
        deny(&mut model, refusal());
        assert!(asks(&model), "put when nothing else has the keys");
    }

    #[test]
    fn nothing_is_asked_of_a_store_that_is_no_copy() {
        let mut model = loaded(sample::many());
        keys(&mut model, "C");
        assert!(!asks(&model));
        assert!(model.notices.newest().unwrap().text.contains("nothing says"));
    }
}
