//! The set-up pane: an address out of the terminal, a pasted one back in.

use std::time::Duration;

use crate::domain::app::Flow;
use crate::domain::name::Address;
use crate::domain::text;
use crate::domain::time::UnixMillis;
use crate::engine::operation::{BeginSetup, CompleteSetup, Selection};
use crate::engine::outcome::{AuthorizationStarted, Progress};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Failure, Operation};
use crate::tui::input::Key;
use crate::tui::keymap::{self, FormIntent, SetupIntent};
use crate::tui::model::field::{SecretField, exposed};
use crate::tui::model::loopback::Forward;

/// After so long without an answer to a device flow a hint is shown.
const HINT_AFTER: Duration = Duration::from_secs(60);

/// How far the set-up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The engine makes the address.
    Starting,
    /// The person signs in.
    Waiting,
    /// What was pasted is being exchanged and checked.
    Completing(Option<Progress>),
    /// It could not be begun.
    Failed,
}

/// How the pane is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SetupView {
    /// Step by step.
    #[default]
    Steps,
    /// The address alone, to select by hand.
    Plain,
    /// The address as a QR code.
    QrCode,
    /// The ways to set tokens up, and the one that the cursor is on.
    Ways(usize),
}

/// The pane.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Of which credential.
    pub(crate) address: Address,
    /// How far it is.
    pub(crate) stage: Stage,
    /// What the engine began.
    pub(crate) started: Option<AuthorizationStarted>,
    /// What was typed by hand. Never drawn.
    pub(crate) typed: SecretField,
    /// Whether the keys go into the field.
    pub(crate) typing: bool,
    /// How it is shown.
    pub(crate) view: SetupView,
    /// What is said of the last paste, without its secret part.
    pub(crate) received: Option<String>,
    /// Why the last paste did not do, and what to do next.
    pub(crate) problem: Option<(String, String)>,
    /// Whether the address was sent to the clipboard.
    pub(crate) copied: bool,
    /// Whether it rotates the token that lives.
    pub(crate) is_rotation: bool,
    /// Where the answer comes back by itself.
    pub(crate) forward: Option<Forward>,
}

/// What the pane wants after a key or a paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetupWish {
    /// Nothing but to be drawn.
    Nothing,
    /// Leave it pending.
    Leave,
    /// Ask whether to give it up.
    GiveUp,
    /// In a round: ask why it is passed over.
    Skip,
    /// Send this.
    Send(Operation),
    /// Wait for the redirect.
    Listen,
    /// Put the address on the clipboard.
    Copy(String),
    /// Show it as a QR code.
    Image,
    /// Demo only: let the simulated person sign in.
    Person(AuthorizationStarted),
    /// Every cell anew: the plain view leaves no blank between the rows of an address.
    Redraw,
}

impl Setup {
    /// A pane that waits for the engine.
    pub(crate) fn new(address: Address) -> Self {
        Self {
            address,
            stage: Stage::Starting,
            started: None,
            typed: SecretField::default(),
            typing: false,
            view: SetupView::Steps,
            received: None,
            problem: None,
            copied: false,
            is_rotation: false,
            forward: None,
        }
    }

    /// Whether the address is worth nothing any more.
    pub(crate) fn is_expired(&self, now: UnixMillis) -> bool {
        self.started.as_ref().is_some_and(|started| started.expires_at <= now)
    }

    /// The engine began, or showed again.
    pub(crate) fn begun(&mut self, started: AuthorizationStarted) {
        self.stage = Stage::Waiting;
        self.forward = Forward::of(&started);
        self.started = Some(started);
        self.problem = None;
    }

    /// Whether the person types a code elsewhere, and nothing is pasted here.
    pub(crate) fn is_device(&self) -> bool {
        self.started.as_ref().is_some_and(|started| started.device.is_some())
    }

    /// When the browser may have shown an error that nobody here hears of.
    pub(crate) fn hint_at(&self) -> Option<UnixMillis> {
        let started = self.started.as_ref().filter(|started| started.device.is_some())?;
        Some(started.started_at.plus(HINT_AFTER))
    }

    /// Whether it is time to say so.
    pub(crate) fn wants_hint(&self, now: UnixMillis) -> bool {
        self.hint_at().is_some_and(|at| at <= now)
    }

    /// The address that the screen shows.
    pub(crate) fn address_shown(&self) -> Option<&str> {
        match (&self.forward, self.view) {
            (Some(forward), SetupView::Steps) => Some(&forward.short_link),
            _ => self.started.as_ref().map(|started| started.url.as_str()),
        }
    }

    /// The engine refused.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        if self.is_device() {
            // No paste can mend it: the code is spent, or nobody polls for it.
            (self.started, self.view) = (None, SetupView::Steps);
        }
        self.stage = if self.started.is_some() { Stage::Waiting } else { Stage::Failed };
        self.problem = Some((failure.message.clone(), failure.remedy.clone()));
    }

    /// Answers a key; `demo` is whether there is a simulated person.
    pub(crate) fn key(&mut self, key: Key, demo: bool) -> SetupWish {
        if let SetupView::Ways(at) = self.view {
            return self.key_on_ways(key, at);
        }
        if self.view != SetupView::Steps {
            return self.key_over_the_steps(key);
        }
        if self.typing {
            return self.key_in_field(key);
        }
        let waiting = self.stage == Stage::Waiting;
        let started = self.started.clone().filter(|_| waiting);
        match (keymap::setup(key), started) {
            (Some(SetupIntent::Leave), _) => SetupWish::Leave,
            (Some(SetupIntent::GiveUp), Some(_)) => SetupWish::GiveUp,
            (Some(SetupIntent::Skip), _) if !self.is_busy() => SetupWish::Skip,
            (Some(SetupIntent::Again), _) if !self.is_busy() => {
                match self.started.as_ref().map(|started| started.flow) {
                    Some(flow) => self.begin_by(flow),
                    None => SetupWish::Send(self.begin()),
                }
            }
            (Some(SetupIntent::Forward), _) if !self.is_busy() => self.forward(),
            (Some(SetupIntent::Ways), _) if !self.is_busy() => self.choose_way(),
            (Some(SetupIntent::Type), Some(started)) if started.device.is_none() => {
                self.typing = true;
                SetupWish::Nothing
            }
            (Some(SetupIntent::Copy), Some(started)) => SetupWish::Copy(started.url),
            (Some(SetupIntent::Plain), Some(_)) => {
                self.view = SetupView::Plain;
                SetupWish::Redraw
            }
            (Some(SetupIntent::Image), Some(_)) => SetupWish::Image,
            (Some(SetupIntent::Person), Some(started)) if demo => SetupWish::Person(started),
            _ => SetupWish::Nothing,
        }
    }

    fn key_over_the_steps(&mut self, key: Key) -> SetupWish {
        let back = match self.view {
            SetupView::QrCode => Key::Char('i'),
            SetupView::Plain | SetupView::Steps | SetupView::Ways(_) => Key::Char('v'),
        };
        match key {
            Key::Char('y') => self
                .started
                .clone()
                .map_or(SetupWish::Nothing, |started| SetupWish::Copy(started.url)),
            Key::Char('i') if key != back => SetupWish::Image,
            Key::Char('v') if key != back => {
                self.view = SetupView::Plain;
                SetupWish::Redraw
            }
            Key::Esc | Key::Enter | Key::Char('v' | 'i' | 'q') => {
                self.view = SetupView::Steps;
                SetupWish::Redraw
            }
            _ => SetupWish::Nothing,
        }
    }

    fn key_in_field(&mut self, key: Key) -> SetupWish {
        match keymap::form(key) {
            FormIntent::Cancel | FormIntent::Next | FormIntent::Previous => {
                self.typing = false;
                SetupWish::Nothing
            }
            FormIntent::Activate if self.typed.is_empty() => {
                self.typing = false;
                SetupWish::Nothing
            }
            FormIntent::Activate => {
                let typed = self.typed.take();
                self.complete(&typed)
            }
            FormIntent::Type(key) => {
                self.typed.edit(key);
                SetupWish::Nothing
            }
        }
    }

    /// Takes what was pasted: it is sent at once, whatever has the keys.
    pub(crate) fn paste(&mut self, pasted: &Sensitive) -> SetupWish {
        let usable =
            self.stage == Stage::Waiting && !self.is_device() && !exposed(pasted).trim().is_empty();
        if usable { self.complete(pasted) } else { SetupWish::Nothing }
    }

    fn complete(&mut self, pasted: &Sensitive) -> SetupWish {
        self.typing = false;
        self.view = SetupView::Steps;
        self.received = Some(describe(exposed(pasted)));
        self.problem = None;
        self.stage = Stage::Completing(None);
        SetupWish::Send(Operation::CompleteSetup(CompleteSetup {
            selection: Selection::exactly(&self.address),
            pasted: pasted.clone(),
        }))
    }

    fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Completing(_))
    }

    /// A fresh address, or a fresh code.
    pub(crate) fn begin(&mut self) -> Operation {
        let flow = self.is_device().then_some(Flow::Device);
        let is_rotation = self.is_rotation;
        self.stage = Stage::Starting;
        self.started = None;
        self.problem = None;
        self.received = None;
        self.copied = false;
        self.forward = None;
        begin_by(&self.address, flow, is_rotation)
    }
}

/// Begins a set-up in the way that its app was last set up, or that suits where it runs.
pub(crate) fn begin(address: &Address, is_rotation: bool, beside_browser: bool) -> Operation {
    let plain = BeginSetup::plain(Selection::exactly(address));
    Operation::BeginSetup(BeginSetup { beside_browser, is_rotation, ..plain })
}

/// Begins a set-up in the way that the person chose.
pub(crate) fn begin_by(address: &Address, flow: Option<Flow>, is_rotation: bool) -> Operation {
    let plain = BeginSetup::plain(Selection::exactly(address));
    Operation::BeginSetup(BeginSetup { flow, is_rotation, ..plain })
}

/// Waits for the approval of a device flow that is pending.
pub(crate) fn await_approval(address: &Address) -> Operation {
    Operation::AwaitApproval(Selection::exactly(address))
}

/// What can be said of a paste without showing what is secret in it: its host, whether a code is
/// in it, and its length.
pub(crate) fn describe(pasted: &str) -> String {
    let length = pasted.chars().count();
    let host = pasted
        .split_once("://")
        .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default())
        .filter(|host| !host.is_empty() && host.len() <= 253);
    match host {
        Some(host) if pasted.contains("code=") => {
            format!("{}: code received, {length} characters", text::clean_and_mask(host))
        }
        Some(host) if pasted.contains("error=") => {
            format!("{}: Salesforce refused, {length} characters", text::clean_and_mask(host))
        }
        Some(host) => {
            format!("{}: no code in it, {length} characters", text::clean_and_mask(host))
        }
        None => format!("{length} characters received"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::tui::effect::Effect;
    use crate::tui::model::tests::{answer, keys, loaded, paste, press};
    use crate::tui::model::{Model, Screen, sample};

    #[test]
    fn a_paste_is_told_by_its_host_and_length_alone() {
        let table = [
            (
                "https://login.salesforce.com/services/oauth2/success?code=aPrxInventedInvented&state=x",
                "login.salesforce.com: code received, 86 characters",
            ),
            (
                "http://localhost:1717/x?error=access_denied",
                "localhost:1717: Salesforce refused, 43 characters",
            ),
            (
                "https://acme.my.salesforce.com/",
                "acme.my.salesforce.com: no code in it, 31 characters",
            ),
            ("aPrxInventedInvented", "20 characters received"),
        ];
        for (pasted, words) in table {
            assert_eq!(describe(pasted), words);
        }
    }

    #[test]
    fn a_device_flow_is_awaited_once_and_can_be_given_up_meanwhile() {
        let mut model = loaded(sample::many());
        let address = sample::address("acme", "production");
        let awaiting = await_approval(&address);
        let count = |model: &Model| {
            model.jobs.running().filter(|(_, job)| job.operation == awaiting).count()
        };
        keys(&mut model, "s");
        answer(&mut model, |_| Outcome::AuthorizationStarted(sample::device("acme")));
        assert_eq!(count(&model), 1);
        // Nothing is pasted or typed there, and what is begun again is a device flow again.
        assert_eq!(paste(&mut model, "https://login.salesforce.com/x?code=aPrx&state=s"), []);
        press(&mut model, Key::Enter);
        let Some(Screen::Setup(setup)) = model.screens.last() else { panic!("no pane") };
        assert!(!setup.typing && setup.stage == Stage::Waiting);
        assert_eq!(setup.clone().begin(), begin_by(&address, Some(Flow::Device), false));
        keys(&mut model, "X");
        let asked = Operation::AbandonSetup(Selection::exactly(&address));
        press(&mut model, Key::Tab);
        let effects = press(&mut model, Key::Enter);
        let is_sent = |effect: &Effect| matches!(effect, Effect::Submit { operation, .. } if *operation == asked);
        assert!(effects.iter().any(is_sent), "{effects:?}");
    }

    #[test]
    fn a_paste_before_the_address_is_shown_is_not_sent() {
        let mut setup = Setup::new(sample::address("acme", "production"));
        assert_eq!(setup.paste(&Sensitive::new("aPrxInvented".into())), SetupWish::Nothing);
    }
}
