//! Keys and pastes on what lies over the list.

use crate::domain::guide;
use crate::domain::host::LoginUrl;
use crate::domain::name::Environment;
use crate::domain::text;
use crate::engine::Operation;
use crate::engine::operation::Selection;
use crate::engine::outcome::AuthorizationStarted;
use crate::engine::sensitive::Sensitive;
use crate::tui::effect::Effect;
use crate::tui::input::Key;
use crate::tui::keymap::{self, AppsIntent, ReadIntent};
use crate::tui::model::apps::AppForm;
use crate::tui::model::dialog::{ConfirmDialog, DialogWish, Question, copies};
use crate::tui::model::field::{exposed, refusal};
use crate::tui::model::form::Wish;
use crate::tui::model::jobs;
use crate::tui::model::notice::Tone;
use crate::tui::model::palette::PaletteWish;
use crate::tui::model::setup::{SetupView, SetupWish, Stage};
use crate::tui::model::{Model, Screen};

impl Model {
    /// Answers a key on whatever has the keys.
    pub(super) fn key(&mut self, key: Key) -> Vec<Effect> {
        let (policy, demo) = (self.policy.clone(), self.look.demo);
        match self.screens.last_mut() {
            None => self.key_on_list(key),
            Some(Screen::Form(form)) => {
                let wish = form.key(keymap::form(key), &policy);
                let changed = form.changed;
                self.grant(wish, changed)
            }
            Some(Screen::AppForm(form)) => {
                let wish = form.key(keymap::form(key));
                let changed = form.changed;
                self.grant(wish, changed)
            }
            Some(Screen::Setup(setup)) => {
                let wish = setup.key(key, demo);
                self.grant_setup(wish)
            }
            Some(Screen::Typed(dialog)) => {
                let wish = dialog.key(keymap::form(key));
                self.grant_dialog(wish)
            }
            Some(Screen::Key(dialog)) => {
                let wish = dialog.key(keymap::form(key));
                self.grant_key(wish)
            }
            Some(Screen::Confirm(dialog)) => match dialog.key(key) {
                Some(yes) => self.confirmed(yes),
                None => Vec::new(),
            },
            Some(Screen::Palette(palette)) => {
                let wish = palette.key(keymap::form(key));
                self.grant_palette(wish)
            }
            Some(Screen::WrongAccount(_)) => self.key_on_wrong_account(key),
            Some(Screen::Copy(_)) => self.key_on_copies(key),
            Some(Screen::Copied(dialog)) => match dialog.key(keymap::form(key)) {
                Some(answer) => self.copied_answered(answer),
                None => Vec::new(),
            },
            Some(Screen::Apps(_)) => self.key_on_apps(key),
            Some(Screen::RoundStart(_)) => self.key_on_round_start(key),
            Some(Screen::Round) => self.key_on_round(key),
            Some(Screen::Guide(login_url, _)) if key == Key::Char('y') => {
                let urls = guide::callback_urls(login_url).join("\n");
                self.copy_text(urls, "the Callback URLs")
            }
            Some(_) => self.key_on_page(key),
        }
    }

    /// Fulfils what the palette wants; the command acts on the list, as its key would.
    fn grant_palette(&mut self, wish: PaletteWish) -> Vec<Effect> {
        if wish != PaletteWish::Nothing {
            self.screens.pop();
        }
        match wish {
            PaletteWish::Do(intent) => self.act(intent),
            PaletteWish::Nothing | PaletteWish::Leave => Vec::new(),
        }
    }

    /// Fulfils what a form wants.
    fn grant(&mut self, wish: Wish, changed: bool) -> Vec<Effect> {
        match wish {
            Wish::Nothing => Vec::new(),
            Wish::Leave if changed => {
                let dialog = ConfirmDialog::new(
                    Question::DiscardForm,
                    "Leave without saving?".into(),
                    "What was typed here is lost.".into(),
                    "Leave",
                );
                self.screens.push(Screen::Confirm(Box::new(dialog)));
                Vec::new()
            }
            Wish::Leave => {
                self.screens.pop();
                Vec::new()
            }
            Wish::Send(operations) => {
                let wanted = operations.len();
                let mut effects = Vec::new();
                for operation in operations {
                    // A client secret is sealed, so the key has to be there.
                    let needs_key = matches!(
                        &operation,
                        Operation::EditApp(app) if app.client_secret.is_some()
                    ) || matches!(
                        &operation,
                        Operation::AddApps(apps) if apps.iter().any(|app| app.client_secret.is_some())
                    );
                    let asked =
                        if needs_key { self.ask_with_key(operation) } else { self.ask(operation) };
                    effects.extend(asked);
                }
                if effects.len() < wanted && !matches!(self.screens.last(), Some(Screen::Key(_))) {
                    self.form_was_not_sent(wanted - effects.len());
                }
                effects
            }
        }
    }

    /// The credential is busy: the form stays as it is and can be sent again.
    fn form_was_not_sent(&mut self, count: usize) {
        match self.screens.last_mut() {
            Some(Screen::Form(form)) => {
                form.saving = form.saving.saturating_sub(count);
                form.remark = Some("this credential is busy: save again in a moment".into());
            }
            Some(Screen::AppForm(form)) => form.saving = false,
            _ => {}
        }
    }

    fn grant_setup(&mut self, wish: SetupWish) -> Vec<Effect> {
        match wish {
            SetupWish::Nothing => Vec::new(),
            SetupWish::Leave => self.leave_setup(),
            SetupWish::Send(operation) => {
                let effects = self.ask_with_key(operation);
                if effects.is_empty()
                    && let Some(Screen::Setup(setup)) = self.screens.last_mut()
                {
                    let waiting = setup.started.is_some();
                    setup.stage = if waiting { Stage::Waiting } else { Stage::Failed };
                }
                effects
            }
            SetupWish::Listen => self.listen(),
            SetupWish::Copy(url) => self.copy_address(url),
            SetupWish::Image => self.show_qr_code(),
            SetupWish::Redraw => vec![Effect::Redraw],
            SetupWish::Person(AuthorizationStarted { url, user_id, .. }) => {
                vec![Effect::PlayPerson { url, user_id }]
            }
            SetupWish::Skip => {
                let Some(Screen::Setup(setup)) = self.screens.last() else { return Vec::new() };
                let address = setup.address.clone();
                if self.round.place_of(&address).is_some() {
                    self.ask_to_skip(address);
                }
                Vec::new()
            }
            SetupWish::GiveUp => {
                let Some(Screen::Setup(setup)) = self.screens.last() else { return Vec::new() };
                let operation = Operation::AbandonSetup(Selection::exactly(&setup.address));
                let dialog = ConfirmDialog::new(
                    Question::Ask(Box::new(operation)),
                    format!("Give the set-up of {} up?", setup.address),
                    "What was begun becomes worthless. Saved IDs and any present token stay."
                        .into(),
                    "Give up",
                );
                self.screens.push(Screen::Confirm(Box::new(dialog)));
                Vec::new()
            }
        }
    }

    /// Sends the address to the clipboard. Whether it arrives is the terminal's secret.
    pub(super) fn copy_address(&mut self, url: String) -> Vec<Effect> {
        let allowed = self.look.terminal.clipboard;
        let Some(Screen::Setup(setup)) = self.screens.last_mut() else { return Vec::new() };
        setup.copied = allowed;
        if allowed {
            return vec![Effect::Copy(url)];
        }
        setup.view = SetupView::Steps;
        let problem = "config.toml does not let anything be sent to the clipboard";
        setup.problem = Some((problem.into(), "v shows the address, to select by hand".into()));
        vec![Effect::Redraw]
    }

    fn show_qr_code(&mut self) -> Vec<Effect> {
        let allowed = self.look.terminal.qr_codes;
        let Some(Screen::Setup(setup)) = self.screens.last_mut() else { return Vec::new() };
        if allowed {
            setup.view = SetupView::QrCode;
        } else {
            setup.view = SetupView::Steps;
            let problem = "config.toml does not let QR codes be shown";
            setup.problem = Some((problem.into(), "y copies the address, v shows it".into()));
        }
        vec![Effect::Redraw]
    }

    fn leave_setup(&mut self) -> Vec<Effect> {
        self.leave_round();
        if let Some(Screen::Setup(setup)) = self.screens.pop() {
            let address = &setup.address;
            match setup.stage {
                Stage::Waiting => self.say(
                    Tone::Plain,
                    format!("the set-up of {address} stays pending"),
                    "s shows its address again",
                ),
                Stage::Completing(_) => {
                    self.say(Tone::Plain, format!("the set-up of {address} goes on"), "");
                }
                Stage::Starting | Stage::Failed => {}
            }
        }
        Vec::new()
    }

    fn grant_dialog(&mut self, wish: DialogWish) -> Vec<Effect> {
        match wish {
            DialogWish::Nothing => Vec::new(),
            DialogWish::Close => {
                self.screens.pop();
                Vec::new()
            }
            DialogWish::Do(operations) => {
                self.screens.pop();
                operations.into_iter().flat_map(|operation| self.ask(operation)).collect()
            }
        }
    }

    fn grant_key(&mut self, wish: DialogWish) -> Vec<Effect> {
        match wish {
            DialogWish::Nothing => Vec::new(),
            DialogWish::Do(operations) => {
                operations.into_iter().flat_map(|operation| self.ask(operation)).collect()
            }
            DialogWish::Close => {
                let closed = self.screens.pop();
                let Some(Screen::Key(dialog)) = closed else { return Vec::new() };
                // What waited for the key is not done: what waits for its answer is told.
                for operation in &dialog.then {
                    self.not_done(operation);
                }
                Vec::new()
            }
        }
    }

    /// An operation was not asked because the key stayed closed.
    fn not_done(&mut self, operation: &Operation) {
        match (operation, self.screens.last_mut()) {
            (Operation::BeginSetup(_) | Operation::ShowSetup(_), Some(Screen::Setup(_))) => {
                self.screens.pop();
            }
            (
                Operation::CompleteSetup(_) | Operation::AwaitRedirect(_),
                Some(Screen::Setup(setup)),
            ) => {
                setup.stage = Stage::Waiting;
            }
            (Operation::AddApps(_) | Operation::EditApp(_), Some(Screen::AppForm(form))) => {
                form.saving = false;
            }
            _ => {}
        }
    }

    fn confirmed(&mut self, yes: bool) -> Vec<Effect> {
        let Some(Screen::Confirm(dialog)) = self.screens.pop() else { return Vec::new() };
        match dialog.question {
            _ if !yes => Vec::new(),
            Question::Quit => vec![Effect::Quit(0)],
            Question::DiscardForm => {
                self.screens.pop();
                Vec::new()
            }
            Question::TestMany(addresses) => self.line_up_tests(addresses),
            Question::Ask(operation) => {
                if matches!(*operation, Operation::AbandonSetup(_)) {
                    self.screens.pop();
                    self.leave_round();
                }
                self.ask(*operation)
            }
        }
    }

    fn key_on_wrong_account(&mut self, key: Key) -> Vec<Effect> {
        let Some(Screen::WrongAccount(found)) = self.screens.last().cloned() else {
            return Vec::new();
        };
        let address = &found.address;
        match key {
            Key::Esc | Key::Enter | Key::Char('q') => {
                self.screens.pop();
            }
            Key::Char('s') => {
                self.screens.pop();
                if let Some(mut credential) = self.dashboard.find(address) {
                    // The wrong account has spent what was pending, whatever the list still says.
                    credential.authorization = None;
                    return self.begin_sign_in(&credential);
                }
            }
            Key::Char('n') if self.round.place_of(address).is_some() => {
                self.screens.pop();
                self.ask_to_skip(address.clone());
            }
            Key::Char('r') => {
                self.screens.pop();
                self.reset(address);
                if let Some(Screen::Form(form)) = self.screens.last_mut() {
                    form.propose_user(&found);
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn key_on_copies(&mut self, key: Key) -> Vec<Effect> {
        let Some(Screen::Copy(address)) = self.screens.pop() else { return Vec::new() };
        let wanted = self.dashboard.find(&address).and_then(|credential| {
            copies(&credential).into_iter().find(|(letter, ..)| Key::Char(*letter) == key)
        });
        let Some((_, what, value)) = wanted else { return Vec::new() };
        self.copy_text(value, &format!("{what} of {address}"))
    }

    /// Sends what is no secret to the clipboard.
    fn copy_text(&mut self, text: String, what: &str) -> Vec<Effect> {
        if !self.look.terminal.clipboard {
            let text = "config.toml does not let anything be sent to the clipboard".into();
            self.say(Tone::Plain, text, "select it by hand");
            return Vec::new();
        }
        self.say(Tone::Plain, format!("{what} sent; your terminal may ignore it"), "");
        vec![Effect::Copy(text)]
    }

    fn key_on_apps(&mut self, key: Key) -> Vec<Effect> {
        let Some(intent) = keymap::apps(key) else { return Vec::new() };
        let apps = self.apps.as_deref().unwrap_or_default();
        let Some(Screen::Apps(screen)) = self.screens.last_mut() else { return Vec::new() };
        let last = apps.len().saturating_sub(1);
        screen.cursor = screen.cursor.min(last);
        let selected = apps.get(screen.cursor).cloned();
        match (intent, selected) {
            (AppsIntent::Move(rows), _) => {
                let step = usize::try_from(rows.unsigned_abs()).unwrap_or(0);
                screen.cursor = if rows < 0 {
                    screen.cursor.saturating_sub(step)
                } else {
                    (screen.cursor + step).min(last)
                };
            }
            (AppsIntent::Leave, _) => {
                self.screens.pop();
            }
            (AppsIntent::Add, _) => {
                let name = if apps.is_empty() { "" } else { "new-app" };
                let mut form = AppForm::for_new(name);
                if !apps.is_empty() {
                    form.name.set("");
                    form.focus = crate::tui::model::apps::APP_ORDER[0];
                }
                self.screens.push(Screen::AppForm(Box::new(form)));
            }
            (AppsIntent::Guide, _) => {
                let login_url = self.dashboard.rested().map_or_else(
                    || LoginUrl::generic(Environment::Production),
                    |credential| credential.login_url.clone(),
                );
                self.screens.push(Screen::Guide(login_url, 0));
            }
            (AppsIntent::Edit, Some(app)) => {
                if let Some(form) = AppForm::for_edit(&app) {
                    self.screens.push(Screen::AppForm(Box::new(form)));
                } else {
                    let text = format!("the app '{}' is kept in config.toml", app.name);
                    self.say(Tone::Plain, text, "edit it there");
                }
            }
            (AppsIntent::Test, Some(app)) => return self.ask(Operation::TestApp(app.name)),
            (AppsIntent::Delete, Some(app)) => {
                let dialog = ConfirmDialog::new(
                    Question::Ask(Box::new(Operation::DeleteApp(app.name.clone()))),
                    format!("Delete the app '{}' here?", app.name),
                    "Its secret is removed from this machine; the app in Salesforce stays.".into(),
                    "Delete",
                );
                self.screens.push(Screen::Confirm(Box::new(dialog)));
            }
            (_, None) => {}
        }
        Vec::new()
    }

    fn key_on_page(&mut self, key: Key) -> Vec<Effect> {
        let intent = keymap::reading(key);
        if intent == Some(ReadIntent::Leave) {
            let closed = self.screens.pop();
            return match closed {
                // On the way back from the details, a key of the list is not lost.
                Some(Screen::Details(..)) if key == Key::Char('?') => {
                    self.screens.push(Screen::Help(0));
                    Vec::new()
                }
                // Nobody waits for this answer any more.
                Some(Screen::History(address, None, _)) => {
                    let asked = Operation::History(Selection::exactly(&address));
                    let job = self.jobs.asking(&asked);
                    job.map(|job| {
                        self.jobs.end(job);
                        Effect::Cancel(job)
                    })
                    .into_iter()
                    .collect()
                }
                _ => Vec::new(),
            };
        }
        let lines = usize::from(self.size.height);
        match (self.screens.last_mut(), intent) {
            (
                Some(
                    Screen::Help(top)
                    | Screen::Messages(top)
                    | Screen::History(_, _, top)
                    | Screen::AppReport(_, top)
                    | Screen::Guide(_, top)
                    | Screen::Details(_, top),
                ),
                Some(ReadIntent::Scroll(by)),
            ) => {
                let step = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
                *top = if by < 0 { top.saturating_sub(step) } else { *top + step.min(lines) };
                *top = (*top).min(1_000);
                Vec::new()
            }
            // The details are the panel at full size: its keys act on the same credential.
            (Some(Screen::Details(..)), None) => {
                self.screens.pop();
                self.key_on_list(key)
            }
            _ => Vec::new(),
        }
    }

    /// Gives pasted text to the field that has the keys. It never acts as keys.
    pub(super) fn paste(&mut self, pasted: &Sensitive) -> Vec<Effect> {
        let policy = self.policy.clone();
        match self.screens.last_mut() {
            Some(Screen::Form(form)) => form.paste(exposed(pasted), &policy),
            Some(Screen::AppForm(form)) => form.paste(pasted),
            Some(Screen::Palette(palette)) if refusal(exposed(pasted)).is_none() => {
                palette.typed.insert(exposed(pasted).trim());
            }
            Some(Screen::Key(dialog)) => dialog.paste(pasted),
            Some(Screen::Typed(dialog)) if refusal(exposed(pasted)).is_none() => {
                dialog.typed.insert(exposed(pasted).trim());
            }
            Some(Screen::Setup(setup)) => {
                let wish = setup.paste(pasted);
                return self.grant_setup(wish);
            }
            None if self.dashboard.typing => {
                if refusal(exposed(pasted)).is_none() {
                    self.dashboard.typed.insert(exposed(pasted));
                    self.dashboard.filter_typed(self.now);
                }
            }
            None => {
                let length = exposed(pasted).chars().count();
                let remedy = if exposed(pasted).contains("code=") {
                    "press s on its row, then paste again"
                } else {
                    "n opens a form to paste into"
                };
                let text = format!("pasted text was not taken ({length} characters)");
                self.say(Tone::Plain, text, remedy);
            }
            Some(_) => {}
        }
        Vec::new()
    }

    /// Demo only: the simulated person's browser ended somewhere.
    pub(super) fn person(&mut self, answer: Result<Sensitive, String>) -> Vec<Effect> {
        match (answer, self.screens.last_mut()) {
            (Ok(pasted), Some(Screen::Setup(setup))) => {
                let wish = setup.paste(&pasted);
                self.grant_setup(wish)
            }
            (Ok(_), _) => Vec::new(),
            (Err(why), Some(Screen::Setup(setup))) => {
                setup.problem = Some((text::clean(&why), String::new()));
                Vec::new()
            }
            (Err(why), _) => {
                self.say(Tone::Bad, text::clean(&why), "");
                Vec::new()
            }
        }
    }

    /// What a credential is busy with, for its row.
    pub(crate) fn doing(&self, address: &crate::domain::name::Address) -> Option<&'static str> {
        self.jobs.of(address).map(jobs::doing)
    }
}
