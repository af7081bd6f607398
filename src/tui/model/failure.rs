//! What a refused operation changes: it is told on the screen that asked, else as a notice.

use crate::engine::outcome::{FailureDetail, KeyProtection, WrongAccount};
use crate::engine::{Failure, Operation};
use crate::tui::effect::Effect;
use crate::tui::model::dialog::{KeyDialog, KeyTask};
use crate::tui::model::jobs::address_of;
use crate::tui::model::notice::Tone;
use crate::tui::model::{Model, Screen};

/// What to do where a pending set-up is there no more.
const COMPLETED_OR_GIVEN_UP: &str =
    "it was completed or given up elsewhere: Esc shows which, s makes a fresh address";

impl Model {
    pub(super) fn failed(&mut self, operation: Operation, mut failure: Failure) -> Vec<Effect> {
        if matches!(operation, Operation::ShowSetup(_)) && failure.code == "nothing_pending" {
            // The list was older than what another process did.
            failure.remedy = COMPLETED_OR_GIVEN_UP.into();
        } else if failure.code == "round_open" {
            failure.remedy = "Q goes on with it".into();
        }
        if let FailureDetail::Key(protection) = failure.detail
            && !matches!(operation, Operation::OpenKey(_) | Operation::CreateKey(_))
        {
            return self.key_is_needed(operation, protection, &failure);
        }
        if let FailureDetail::WrongAccount(found) = failure.detail {
            return self.wrong_account(&operation, *found);
        }
        if matches!(operation, Operation::Show(_)) {
            // It is gone, or the list tells what is wrong.
            return self.ask(Operation::Index);
        }
        if self.is_outrun(&operation, &failure) {
            return self.reload(&operation);
        }
        let told = self.told_on_screen(&operation, &failure);
        let of_the_store = self.refused_for_the_store(&failure);
        if !told && of_the_store.is_none() {
            let place = address_of(&operation).map(|a| format!("{a}: ")).unwrap_or_default();
            self.say(Tone::Bad, format!("{place}{}", failure.message), &failure.remedy);
        }
        if operation == Operation::Index {
            self.list_again = false;
        }
        let mut effects = of_the_store.unwrap_or_default();
        effects.extend(match operation {
            Operation::Test(_) => self.reload_tested(&operation),
            Operation::CompleteSetup(_)
            | Operation::ShowSetup(_)
            | Operation::AwaitApproval(_)
            | Operation::AwaitRedirect(_) => self.reload(&operation),
            Operation::Delete(_) => self.ask(Operation::Index),
            Operation::Rotate(_) => self.after_rotation(),
            _ => Vec::new(),
        });
        effects
    }

    /// Tells the screen that asked; answers whether there is one.
    fn told_on_screen(&mut self, operation: &Operation, failure: &Failure) -> bool {
        let address = address_of(operation);
        for screen in self.screens.iter_mut().rev() {
            match (operation, screen) {
                (Operation::Save(_) | Operation::Reset(_), Screen::Form(form))
                    if form.saving > 0 =>
                {
                    form.fail(failure);
                }
                (Operation::AddApps(_) | Operation::EditApp(_), Screen::AppForm(form)) => {
                    form.fail(failure);
                }
                (
                    Operation::BeginSetup(_)
                    | Operation::ShowSetup(_)
                    | Operation::AwaitApproval(_)
                    | Operation::CompleteSetup(_),
                    Screen::Setup(setup),
                ) if Some(&setup.address) == address.as_ref() => setup.fail(failure),
                (Operation::AwaitRedirect(_), Screen::Setup(setup))
                    if Some(&setup.address) == address.as_ref() =>
                {
                    setup.redirect_failed(failure);
                }
                (Operation::OpenKey(_) | Operation::CreateKey(_), Screen::Key(dialog)) => {
                    dialog.fail(failure.message.clone());
                }
                _ => continue,
            }
            return true;
        }
        false
    }

    /// The key was closed meanwhile, or never made: it is asked for, then the operation again.
    fn key_is_needed(
        &mut self,
        operation: Operation,
        protection: KeyProtection,
        failure: &Failure,
    ) -> Vec<Effect> {
        self.key = Some((protection, false));
        if let Some(Screen::Key(dialog)) = self.screens.last_mut() {
            dialog.then.push(operation);
            dialog.task = match protection {
                KeyProtection::Missing => KeyTask::Create,
                KeyProtection::Passphrase | KeyProtection::Bare => KeyTask::Open,
            };
            return Vec::new();
        }
        match KeyDialog::new(protection, vec![operation]) {
            Some(dialog) => self.screens.push(Screen::Key(Box::new(dialog))),
            None => self.say(Tone::Bad, failure.message.clone(), &failure.remedy),
        }
        Vec::new()
    }

    /// Somebody else signed in. Nobody is torn out of a form for it.
    fn wrong_account(&mut self, operation: &Operation, found: WrongAccount) -> Vec<Effect> {
        let asked_here = match self.screens.last() {
            None => true,
            Some(Screen::Setup(setup)) => setup.address == found.address,
            Some(_) => false,
        };
        let address = found.address.clone();
        self.close_setup_of(&address);
        if asked_here {
            self.screens.push(Screen::WrongAccount(Box::new(found)));
        } else {
            let text = format!("{address}: another account signed in, nothing was stored");
            self.say(Tone::Bad, text, "s tries again");
        }
        self.reload(operation)
    }
}
