//! What the list does on each intent.

use crate::domain::credential::Credential;
use crate::domain::name::Address;
use crate::engine::Operation;
use crate::engine::operation::{HoldRequest, Selection};
use crate::engine::outcome::KeyProtection;
use crate::tui::effect::Effect;
use crate::tui::input::Key;
use crate::tui::keymap::{self, FormIntent, Intent};
use crate::tui::model::apps::{AppForm, AppsScreen};
use crate::tui::model::dialog::{ConfirmDialog, KeyDialog, Question, TypedDialog, TypedTask};
use crate::tui::model::form::Form;
use crate::tui::model::notice::{Tone, grouped};
use crate::tui::model::palette::Palette;
use crate::tui::model::setup::{self, Setup};
use crate::tui::model::{Model, Screen};

/// From so many tests on, `T` asks first (product.md, Keys).
const MANY_TESTS: usize = 50;
/// Most that are revoked at once from here; the command does more, and can be taken up again.
const MOST_REVOKED: usize = 50;

impl Model {
    /// Answers a key while the list has the keys.
    pub(super) fn key_on_list(&mut self, key: Key) -> Vec<Effect> {
        if self.dashboard.typing {
            self.type_filter(key);
            return Vec::new();
        }
        keymap::dashboard(key).map_or_else(Vec::new, |intent| self.act(intent))
    }

    fn type_filter(&mut self, key: Key) {
        match keymap::form(key) {
            FormIntent::Cancel => {
                self.dashboard.typing = false;
                self.dashboard.set_filter("");
                self.dashboard.rearrange(self.now);
            }
            FormIntent::Activate | FormIntent::Next | FormIntent::Previous => {
                self.dashboard.typing = false;
            }
            FormIntent::Type(key) => {
                self.dashboard.typed.edit(key);
                self.dashboard.filter_typed(self.now);
            }
        }
    }

    /// Answers an intent of the list.
    pub(super) fn act_on_list(&mut self, intent: Intent) -> Vec<Effect> {
        match intent {
            Intent::Move(rows) => self.dashboard.move_by(rows, self.now),
            Intent::Page(pages) => self.dashboard.page_by(pages, self.now),
            Intent::First => self.dashboard.move_by(i64::MIN, self.now),
            Intent::Last => self.dashboard.move_by(i64::MAX, self.now),
            Intent::Mark => self.dashboard.toggle_mark(self.now),
            Intent::MarkRange => self.dashboard.mark_range(),
            Intent::MarkAll if !self.dashboard.is_whole() => self.say_list_is_read(),
            Intent::MarkAll => self.dashboard.mark_all(),
            Intent::MarkNone => self.dashboard.marked.clear(),
            Intent::Problems => {
                self.dashboard.problems_only = !self.dashboard.problems_only;
                self.dashboard.rearrange(self.now);
            }
            Intent::Order => {
                let order = self.dashboard.next_order(self.now);
                self.say(Tone::Plain, format!("order: {}", order.words()), "");
            }
            Intent::Filter => self.dashboard.typing = true,
            Intent::Bar => {
                self.bar = !self.bar;
                self.fit();
            }
            Intent::Back => return self.back(),
            Intent::New => {
                // The generic login host of the demo is nobody's: its form begins with an org's own.
                let account = self.demo_accounts.first();
                let my_domain = account.map_or("", |account| account.my_domain.as_str());
                let form = Form::for_new(my_domain);
                self.screens.push(Screen::Form(Box::new(form)));
            }
            Intent::Apps => self.screens.push(Screen::Apps(AppsScreen::default())),
            Intent::Palette => self.screens.push(Screen::Palette(Palette::default())),
            Intent::Help => self.screens.push(Screen::Help(0)),
            Intent::Messages => self.screens.push(Screen::Messages(0)),
            Intent::TestAll => return self.test_many(),
            Intent::Lock => return self.lock(),
            Intent::Round => return self.open_round(),
            Intent::WhichCopy => self.ask_which_copy(),
            _ => match self.dashboard.selected() {
                Some(selected) => return self.act_on_row(intent, &selected),
                None if self.dashboard.is_loaded() => {
                    self.say(Tone::Plain, "no credential is selected".into(), "n makes one");
                }
                None => {}
            },
        }
        Vec::new()
    }

    /// Takes away what is most in the way: tests that wait, marks, the filter, the notice.
    fn back(&mut self) -> Vec<Effect> {
        let left_out = self.jobs.forget_waiting();
        if left_out > 0 {
            let text = format!("{} tests are left out; those under way end", grouped(left_out));
            self.say(Tone::Plain, text, "");
        } else if !self.dashboard.marked.is_empty() {
            self.dashboard.marked.clear();
        } else if self.dashboard.is_filtered() {
            self.dashboard.problems_only = false;
            self.dashboard.set_filter("");
            self.dashboard.rearrange(self.now);
        } else {
            self.notices.dismiss();
        }
        Vec::new()
    }

    fn act_on_row(&mut self, intent: Intent, selected: &Credential) -> Vec<Effect> {
        self.dashboard.follow();
        let address = &selected.address;
        match intent {
            Intent::Details => self.screens.push(Screen::Details(address.clone(), 0)),
            Intent::SetUp => return self.set_up(selected, false),
            Intent::Test => return self.test(selected),
            Intent::Rotate => return self.rotate(selected),
            Intent::Reset => self.reset(address),
            Intent::Delete => self.ask_typed(TypedTask::Delete, vec![address.clone()]),
            Intent::Revoke => self.revoke(address),
            Intent::Hold => self.hold_or_release(selected),
            Intent::UseOther => self.use_other(selected),
            Intent::Discard => self.discard(selected),
            Intent::Copy => self.screens.push(Screen::Copy(address.clone())),
            Intent::History => {
                self.screens.push(Screen::History(address.clone(), None, 0));
                return self.ask(Operation::History(Selection::exactly(address)));
            }
            _ => {}
        }
        Vec::new()
    }

    /// The marked ones, else the one under the cursor.
    fn marked_or(&self, address: &Address) -> Vec<Address> {
        let marked = &self.dashboard.marked;
        if marked.is_empty() { vec![address.clone()] } else { marked.iter().cloned().collect() }
    }

    /// Puts a question whose answer is typed.
    fn ask_typed(&mut self, task: TypedTask, addresses: Vec<Address>) {
        let has_other = |address: &Address| {
            let (name, environment) = (address.name.clone(), address.environment.other());
            self.dashboard.contains(&Address { name, environment })
        };
        let plain_is_clear = matches!(addresses.as_slice(), [one] if !has_other(one));
        let dialog = TypedDialog::new(task, addresses, plain_is_clear);
        self.screens.push(Screen::Typed(Box::new(dialog)));
    }

    fn revoke(&mut self, address: &Address) {
        let mut meant = self.marked_or(address);
        meant.retain(|address| self.dashboard.can_be_tested(address));
        if meant.is_empty() {
            self.say(Tone::Plain, format!("{address} has no token to revoke"), "");
        } else if meant.len() > MOST_REVOKED {
            let text = format!("{} are marked; {MOST_REVOKED} are the most here", meant.len());
            self.say(Tone::Plain, text, "orgkey revoke --filter FILTER does more, with a receipt");
        } else {
            self.ask_typed(TypedTask::Revoke, meant);
        }
    }

    /// Releases where all that are meant are on hold; else puts all of them on hold.
    fn hold_or_release(&mut self, selected: &Credential) {
        let meant = self.marked_or(&selected.address);
        let held = |address: &Address| {
            self.dashboard.find(address).is_some_and(|credential| credential.held.is_some())
        };
        if !meant.iter().all(held) {
            self.ask_typed(TypedTask::Hold, meant);
            return;
        }
        let title = match meant.as_slice() {
            [address] => format!("Release {address}?"),
            all => format!("Release {} credentials?", all.len()),
        };
        let text = match &selected.held {
            Some(why) if meant.len() == 1 => format!("On hold: {why}. Scripts get tokens again."),
            _ => "Scripts get tokens again.".to_owned(),
        };
        let request = HoldRequest { addresses: meant, reason: String::new() };
        let question = Question::Ask(Box::new(Operation::Release(request)));
        let dialog = ConfirmDialog::new(question, title, text, "Release");
        self.screens.push(Screen::Confirm(Box::new(dialog)));
    }

    fn test(&mut self, selected: &Credential) -> Vec<Effect> {
        if selected.token.is_none() && !selected.has_candidate {
            let text = format!("{} has no token to test yet", selected.address);
            self.say(Tone::Plain, text, "s sets up the OAuth token");
            return Vec::new();
        }
        self.ask_with_key(Operation::Test(Selection::exactly(&selected.address)))
    }

    /// 'All shown' is more than is known yet.
    pub(super) fn say_list_is_read(&mut self) {
        let remedy = "press the key again when it is, or mark those that are meant";
        self.say(Tone::Plain, "the list is not read to its end yet".into(), remedy);
    }

    fn test_many(&mut self) -> Vec<Effect> {
        if self.dashboard.marked.is_empty() && !self.dashboard.is_whole() {
            self.say_list_is_read();
            return Vec::new();
        }
        let mut all = self.dashboard.many();
        all.retain(|address| self.dashboard.can_be_tested(address));
        if all.is_empty() {
            self.say(Tone::Plain, "no token to test among those shown".into(), "");
        } else if all.len() > MANY_TESTS {
            let title = format!("Test access of {} credentials?", all.len());
            let text = "Each is one call to its org, 128 at once.".to_owned();
            let dialog = ConfirmDialog::new(Question::TestMany(all), title, text, "Test");
            self.screens.push(Screen::Confirm(Box::new(dialog)));
        } else {
            return self.line_up_tests(all);
        }
        Vec::new()
    }

    /// Tests these, as many at once as the engine takes; the key is asked for once.
    pub(super) fn line_up_tests(&mut self, all: Vec<Address>) -> Vec<Effect> {
        if let Some((protection, false)) = self.key {
            let then =
                all.iter().map(|address| Operation::Test(Selection::exactly(address))).collect();
            if let Some(dialog) = KeyDialog::new(protection, then) {
                self.screens.push(Screen::Key(Box::new(dialog)));
                return Vec::new();
            }
        }
        self.say(Tone::Plain, format!("testing access of {}", all.len()), "");
        self.jobs.line_up(all);
        Vec::new()
    }

    /// Opens the set-up pane. A missing app is asked for first: without its Consumer Key there
    /// is no address to show.
    pub(super) fn set_up(&mut self, selected: &Credential, is_rotation: bool) -> Vec<Effect> {
        let known = self
            .apps
            .as_ref()
            .is_none_or(|apps| apps.iter().any(|app| app.name.eq_ignore_ascii_case(&selected.app)));
        if !known {
            let mut form = AppForm::for_new(&selected.app);
            form.remark = Some(format!(
                "{} signs in through the app '{}', which orgkey does not know yet",
                selected.address, selected.app
            ));
            self.screens.push(Screen::AppForm(Box::new(form)));
            return Vec::new();
        }
        let pending = selected.pending_authorization(self.now).is_some();
        let operation = if pending {
            Operation::ShowSetup(Selection::exactly(&selected.address))
        } else {
            setup::begin(&selected.address, is_rotation, self.look.beside_browser)
        };
        if self.jobs.of(&selected.address).is_some() {
            self.say_busy(&operation);
            return Vec::new();
        }
        let setup = Setup { is_rotation, ..Setup::new(selected.address.clone()) };
        self.screens.push(Screen::Setup(Box::new(setup)));
        self.ask_with_key(operation)
    }

    /// Opens the form of saved credentials.
    pub(super) fn reset(&mut self, address: &Address) {
        let other =
            Address { name: address.name.clone(), environment: address.environment.other() };
        if let Some(credential) = self.dashboard.find(address) {
            let form = Form::for_reset(&credential, self.dashboard.find(&other).as_ref());
            self.screens.push(Screen::Form(Box::new(form)));
        }
    }

    fn use_other(&mut self, selected: &Credential) {
        let name = &selected.address.name;
        let other =
            Address { name: name.clone(), environment: selected.address.environment.other() };
        if !self.dashboard.contains(&other) {
            let text = format!("{name} has one environment only, {}", selected.address.environment);
            self.say(Tone::Plain, text, "r and the sandbox box add the other one");
            return;
        }
        let next = if selected.in_use { other } else { selected.address.clone() };
        let text = format!(
            "Commands that say plain '{name}' mean {next} from then on, and no longer {}/{}; token and delete want the full address.",
            name,
            next.environment.other()
        );
        let question = Question::Ask(Box::new(Operation::Use(next.clone())));
        let dialog = ConfirmDialog::new(question, format!("Put {next} in use?"), text, "Use it");
        self.screens.push(Screen::Confirm(Box::new(dialog)));
    }

    fn discard(&mut self, selected: &Credential) {
        if selected.pending.is_none() {
            self.say(Tone::Plain, format!("{} has no staged edit", selected.address), "");
            return;
        }
        let operation = Operation::DiscardPending(Selection::exactly(&selected.address));
        let dialog = ConfirmDialog::new(
            Question::Ask(Box::new(operation)),
            format!("Drop the staged edit of {}?", selected.address),
            "The saved IDs and the present token stay as they are.".into(),
            "Drop it",
        );
        self.screens.push(Screen::Confirm(Box::new(dialog)));
    }

    fn lock(&mut self) -> Vec<Effect> {
        match self.key {
            Some((KeyProtection::Passphrase, true)) => return self.ask(Operation::LockKey),
            Some((KeyProtection::Bare, _)) => {
                let text = "the key is a bare file: there is no passphrase to lock it with";
                self.say(Tone::Plain, text.into(), "");
            }
            Some((protection, _)) => {
                let dialog = KeyDialog::new(protection, Vec::new());
                self.screens.extend(dialog.map(|dialog| Screen::Key(Box::new(dialog))));
            }
            None => {}
        }
        Vec::new()
    }
}
