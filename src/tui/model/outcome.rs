//! What the engine's answers change. An answer belongs to the operation that was asked: the
//! screen that asked may be gone by then, the list never is.

use crate::domain::credential::{CheckOutcome, Credential};
use crate::domain::name::Address;
use crate::engine::outcome::{
    AuthorizationStarted, KeyProtection, KeyReport, Proof, Revocation, RevokeReceipt, SetupReceipt,
    TestReport,
};
use crate::engine::{Failure, Operation, Outcome, Selection};
use crate::tui::effect::Effect;
use crate::tui::model::jobs::address_of;
use crate::tui::model::notice::{Tone, grouped};
use crate::tui::model::{Model, Screen, setup};

impl Model {
    /// An operation ended.
    pub(super) fn done(
        &mut self,
        operation: Operation,
        result: Result<Outcome, Failure>,
    ) -> Vec<Effect> {
        match result {
            Ok(outcome) => self.succeeded(&operation, outcome),
            Err(failure) => self.failed(operation, failure),
        }
    }

    fn succeeded(&mut self, operation: &Operation, outcome: Outcome) -> Vec<Effect> {
        match (operation, outcome) {
            (Operation::Index, Outcome::Index(all)) => {
                self.dashboard.replace(all, self.now);
                if std::mem::take(&mut self.list_again) {
                    return self.ask(Operation::Index);
                }
                return self.go_on_with_round();
            }
            (Operation::Apps, Outcome::Apps(apps)) => self.apps = Some(apps),
            (Operation::AddApps(_) | Operation::EditApp(_), Outcome::Apps(apps)) => {
                return self.app_saved(&apps);
            }
            (Operation::DeleteApp(name), Outcome::Done) => return self.app_deleted(name),
            (_, Outcome::AppTested(report)) => {
                self.screens.push(Screen::AppReport(Box::new(report), 0));
            }
            (Operation::History(selection), Outcome::History(entries)) => {
                if let Some(Screen::History(address, shown, _)) = self.screens.last_mut()
                    && address.target() == selection.target
                {
                    *shown = Some(entries);
                }
            }
            (_, Outcome::Key(report)) => return self.key_changed(operation, &report),
            (_, Outcome::AuthorizationStarted(started)) => {
                let mut effects = self.begun(started.clone());
                effects.extend(self.reload(operation));
                effects.extend(self.await_approval(&started));
                return effects;
            }
            (_, Outcome::SetupCompleted(receipt)) => {
                let address = receipt.credential.address.clone();
                self.set_up_completed(*receipt);
                let mut effects = self.first_answer(operation);
                effects.extend(self.reload(operation));
                effects.extend(self.after_sign_in(&address));
                return effects;
            }
            (_, Outcome::Tested(report)) => {
                self.tested(&report);
                return self.reload_tested(operation);
            }
            (_, Outcome::Credential(credential)) => {
                return self.changed(operation, &credential);
            }
            (Operation::Save(_), Outcome::Credentials(saved)) => {
                return self.saved(operation, saved);
            }
            (_, Outcome::Rotated(report)) => return self.rotated(operation, &report),
            (_, Outcome::Round(round)) => {
                return self.hear_round(operation, round.map(|round| *round));
            }
            (_, Outcome::Changed(changed)) => return self.store_changed(operation, changed),
            (_, Outcome::CopyStanding(standing)) => self.hear_standing(standing),
            (_, Outcome::Adopted(receipt)) => return self.adopted(&receipt),
            (_, outcome) => return self.ended_or_stopped(operation, outcome),
        }
        Vec::new()
    }

    /// What was deleted, revoked, held or released.
    fn ended_or_stopped(&mut self, operation: &Operation, outcome: Outcome) -> Vec<Effect> {
        match (operation, outcome) {
            (_, Outcome::Deleted(receipts)) => {
                for receipt in receipts {
                    let text = format!("{} is deleted", receipt.address);
                    let revoked = revocation_in_words(receipt.revocation);
                    if receipt.message.is_empty() {
                        self.say(Tone::Good, text, revoked);
                    } else {
                        let text = format!("{text}; {revoked}");
                        self.say(Tone::Bad, text, receipt.message.as_str());
                    }
                }
                return self.after_revocation();
            }
            (_, Outcome::Revoked(receipt)) => {
                self.say_revoked(&receipt);
                return self.after_revocation();
            }
            (_, Outcome::Owed(owed)) => self.owed = owed.len(),
            (Operation::Hold(_) | Operation::Release(_), Outcome::Credentials(changed)) => {
                self.say_held(&changed);
                for credential in changed {
                    self.dashboard.replace_one(&credential, self.now);
                }
            }
            _ => {}
        }
        Vec::new()
    }

    /// The list has changed, and so may what is owed.
    fn after_revocation(&mut self) -> Vec<Effect> {
        let mut effects = self.ask(Operation::Index);
        effects.extend(self.ask(Operation::Owed));
        effects
    }

    fn say_revoked(&mut self, receipt: &RevokeReceipt) {
        let RevokeReceipt { address, revocation, proof, app, message, .. } = receipt;
        let (tone, text) = match (revocation, proof) {
            (Revocation::Confirmed, Some(Proof::StillServed)) => {
                (Tone::Bad, "revoked, but its access token lives until its session ends")
            }
            (Revocation::Confirmed, Some(Proof::Refused)) => {
                (Tone::Good, "revoked; its access token is refused")
            }
            (Revocation::Confirmed, _) => (Tone::Good, "revoked at Salesforce (confirmed)"),
            (Revocation::Owed | Revocation::Draining, _) => (
                Tone::Bad,
                "out of use here; Salesforce could not be told: it is owed, tried again",
            ),
            (Revocation::NothingToRevoke, _) => (Tone::Plain, "there was no live token to revoke"),
        };
        let remedy = if message.is_empty() {
            format!("to keep new sign-ins out, block the app ({app}) or freeze the user")
        } else {
            message.clone()
        };
        self.say(tone, format!("{address}: {text}"), &remedy);
    }

    fn say_held(&mut self, changed: &[Credential]) {
        let held = changed.iter().any(|credential| credential.held.is_some());
        let which = match changed {
            [one] => one.address.to_string(),
            all => format!("{} credentials", all.len()),
        };
        let (tone, word) = if held { (Tone::Bad, "on hold") } else { (Tone::Good, "released") };
        let verb = if changed.len() == 1 { "is" } else { "are" };
        let remedy = if held { "H releases it" } else { "" };
        self.say(tone, format!("{which} {verb} {word}"), remedy);
    }

    fn app_deleted(&mut self, name: &str) -> Vec<Effect> {
        self.say(Tone::Good, format!("the app '{name}' is deleted here"), "");
        self.ask(Operation::Apps)
    }

    fn changed(&mut self, operation: &Operation, credential: &Credential) -> Vec<Effect> {
        self.say_changed(operation, credential);
        self.close_form_of(operation, &credential.address);
        self.dashboard.replace_one(credential, self.now);
        // What renames a connection or puts another one in use changes two rows.
        match operation {
            Operation::Reset(_) | Operation::Use(_) => self.ask(Operation::Index),
            _ => Vec::new(),
        }
    }

    fn saved(&mut self, operation: &Operation, saved: Vec<Credential>) -> Vec<Effect> {
        for credential in saved {
            let address = credential.address.clone();
            self.say(Tone::Good, format!("{address} is saved"), "s sets up its OAuth token");
            self.dashboard.replace_one(&credential, self.now);
            self.close_form_of(operation, &address);
        }
        self.ask(Operation::Index)
    }

    fn say_changed(&mut self, operation: &Operation, credential: &Credential) {
        let address = &credential.address;
        let (text, remedy) = match operation {
            Operation::Reset(_) if credential.pending.is_some() => {
                let kept = "staged: the token works on until the new account has signed in: s";
                (format!("{address} is saved"), kept)
            }
            Operation::Reset(_) if credential.token.is_none() => {
                (format!("{address} is saved"), "s sets up its OAuth token")
            }
            Operation::Reset(_) => (format!("{address} is saved"), ""),
            Operation::Use(_) => (format!("plain '{}' means {address} now", address.name), ""),
            Operation::AbandonSetup(_) => (format!("the set-up of {address} is given up"), ""),
            Operation::DiscardPending(_) => {
                (format!("the staged edit of {address} is dropped"), "")
            }
            _ => return,
        };
        self.say(Tone::Good, text, remedy);
    }

    /// One of the form's operations went well; the form closes with the last of them.
    fn close_form_of(&mut self, operation: &Operation, address: &Address) {
        if !matches!(operation, Operation::Save(_) | Operation::Reset(_)) {
            return;
        }
        let Some(index) = self.screens.iter().rposition(|s| matches!(s, Screen::Form(_))) else {
            return;
        };
        if let Screen::Form(form) = &mut self.screens[index] {
            if form.saving == 0 {
                return;
            }
            form.saving -= 1;
            if form.saving > 0 {
                return;
            }
        }
        // A question about the form goes with it.
        self.screens.truncate(index);
        self.dashboard.select(address, self.now);
    }

    fn app_saved(&mut self, apps: &[crate::domain::app::App]) -> Vec<Effect> {
        if let Some(index) = self.screens.iter().rposition(|s| matches!(s, Screen::AppForm(_))) {
            self.screens.truncate(index);
        }
        for app in apps {
            self.say(
                Tone::Good,
                format!("the app '{}' is saved", app.name),
                "s sets up tokens with it",
            );
        }
        self.ask(Operation::Apps)
    }

    fn key_changed(&mut self, operation: &Operation, report: &KeyReport) -> Vec<Effect> {
        self.note_key(report);
        if *operation == Operation::LockKey {
            self.say(Tone::Good, "the sealing key is locked".into(), "L opens it again");
        }
        let opened = matches!(operation, Operation::CreateKey(_) | Operation::OpenKey(_));
        if !opened || !report.open {
            return Vec::new();
        }
        let text = match (operation, report.protection) {
            (Operation::CreateKey(_), KeyProtection::Bare) => {
                "the sealing key is made, a bare file"
            }
            (Operation::CreateKey(_), _) => "the sealing key is made, and open",
            _ => "the sealing key is open",
        };
        self.say(Tone::Good, text.into(), "");
        let index = self.screens.iter().rposition(|s| matches!(s, Screen::Key(_)));
        let Some(Screen::Key(dialog)) = index.map(|index| self.screens.remove(index)) else {
            return Vec::new();
        };
        self.go_on(dialog.then)
    }

    /// The key is open: what waited for it is asked.
    fn go_on(&mut self, then: Vec<Operation>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for operation in then {
            match (&operation, address_of(&operation)) {
                (Operation::Test(_), Some(address)) => self.jobs.line_up(vec![address]),
                _ => effects.extend(self.ask(operation)),
            }
        }
        effects
    }

    /// A device flow is polled for as long as it is pending, whatever is on the screen.
    fn await_approval(&mut self, started: &AuthorizationStarted) -> Vec<Effect> {
        let operation = setup::await_approval(&started.address);
        if started.device.is_none() || self.jobs.asking(&operation).is_some() {
            return Vec::new();
        }
        self.ask(operation)
    }

    fn set_up_completed(&mut self, receipt: SetupReceipt) {
        let SetupReceipt { credential, test, replaced, .. } = receipt;
        let address = credential.address.clone();
        self.close_setup_of(&address);
        let who = credential.username.clone().unwrap_or_else(|| credential.user_id.to_string());
        let tone = if test.outcome == CheckOutcome::Ok { Tone::Good } else { Tone::Bad };
        let text =
            format!("{address}: signed in as {who}. {} ({} ms)", test.message, test.latency_ms);
        let remedy = match replaced {
            _ if tone == Tone::Bad => test.remedy,
            Revocation::NothingToRevoke => String::new(),
            Revocation::Confirmed => "the token it replaces is revoked".into(),
            Revocation::Owed => {
                "the token it replaces is revoked as soon as Salesforce answers".into()
            }
            Revocation::Draining => {
                "the token it replaces still serves running scripts and is revoked then".into()
            }
        };
        self.say(tone, text, &remedy);
        self.dashboard.replace_one(&credential, self.now);
    }

    pub(super) fn close_setup_of(&mut self, address: &Address) {
        self.screens.retain(|screen| match screen {
            Screen::Setup(setup) => setup.address != *address,
            _ => true,
        });
    }

    fn tested(&mut self, report: &TestReport) {
        self.dashboard.note_test(&report.address, &report.check, self.now);
        let check = &report.check;
        let tone = if check.outcome == CheckOutcome::Ok { Tone::Good } else { Tone::Bad };
        let requests = match report.api_requests {
            Some((used, allowed)) => {
                format!(", API requests {} of {}", grouped(used), grouped(allowed))
            }
            None => String::new(),
        };
        let text =
            format!("{}: {} ({} ms{requests})", report.address, check.message, check.latency_ms);
        self.say(tone, text, &check.remedy);
    }

    /// Asks for the row that an operation may have changed, and for no other.
    pub(super) fn reload(&mut self, operation: &Operation) -> Vec<Effect> {
        let Some(address) = address_of(operation) else { return self.ask(Operation::Index) };
        let show = Operation::Show(Selection::exactly(&address));
        // An answer that is on its way may be older than the change, and would come last.
        let on_its_way = self.jobs.asking(&show).or(self.jobs.asking(&Operation::Index));
        self.ask(if on_its_way.is_some() { Operation::Index } else { show })
    }

    /// After many tests the list is asked for, once.
    pub(super) fn reload_tested(&mut self, operation: &Operation) -> Vec<Effect> {
        if self.jobs.tests_left() > 0 {
            self.many_tests = true;
            return Vec::new();
        }
        if std::mem::take(&mut self.many_tests) {
            self.ask(Operation::Index)
        } else {
            self.reload(operation)
        }
    }
}

/// What happened to a token at Salesforce, for people.
pub(crate) fn revocation_in_words(revocation: Revocation) -> &'static str {
    match revocation {
        Revocation::NothingToRevoke => "there was no token to revoke",
        Revocation::Confirmed => "its token is revoked at Salesforce (confirmed)",
        Revocation::Owed => "Salesforce did not answer: the revocation is owed and tried again",
        Revocation::Draining => "its token is revoked when running scripts are done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::outcome::DeleteReceipt;
    use crate::tui::model::sample;
    use crate::tui::model::tests::{answer, keys, loaded, submitted};

    #[test]
    fn delete_needs_the_address_and_says_what_became_of_the_token() {
        let mut model = loaded(sample::many());
        assert_eq!(keys(&mut model, "D\r"), []);
        let effects = keys(&mut model, "Dacme/production\r");
        assert!(matches!(submitted(&effects).as_slice(), [Operation::Delete(_)]));
        let address = sample::address("acme", "production");
        answer(&mut model, |_| {
            let revocation = Revocation::Owed;
            Outcome::Deleted(vec![DeleteReceipt {
                address,
                revocation,
                proof: None,
                message: String::new(),
            }])
        });
        assert!(model.notices.newest().unwrap().remedy.contains("owed"));
    }
}
