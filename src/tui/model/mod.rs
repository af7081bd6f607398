//! The dashboard's whole state as plain data, and the one function that changes it.
//!
//! [`Model::update`] awaits nothing, locks nothing, reads no clock and touches no file: time and
//! answers come in as messages, wishes go out as [`Effect`]s. The sub-models keep to their own
//! screens and know neither each other nor the engine's handle.

pub(crate) mod apps;
pub(crate) mod check;
pub(crate) mod copied;
pub(crate) mod dashboard;
pub(crate) mod dialog;
mod failure;
pub(crate) mod field;
mod follow;
pub(crate) mod form;
pub(crate) mod geometry;
mod intents;
pub(crate) mod jobs;
pub(crate) mod loopback;
pub(crate) mod notice;
mod outcome;
pub(crate) mod palette;
#[cfg(test)]
mod property;
mod rotate;
pub(crate) mod round;
#[cfg(test)]
pub(crate) mod sample;
mod screens;
pub(crate) mod setup;
#[cfg(test)]
pub(crate) mod tests;

use jiff::tz::TimeZone;

use crate::config::settings::TerminalUse;
use crate::domain::app::App;
use crate::domain::audit::HistoryEntry;
use crate::domain::change::ChangeMark;
use crate::domain::copy::CopyStanding;
use crate::domain::host::{HostPolicy, LoginUrl};
use crate::domain::lifetime::Lifetime;
use crate::domain::name::Address;
use crate::domain::time::UnixMillis;
use crate::engine::outcome::{AppReport, KeyProtection, KeyReport, WrongAccount};
use crate::engine::{Event, Operation};
use crate::tui::DemoAccount;
use crate::tui::effect::Effect;
use crate::tui::keymap::{self, Intent};
use crate::tui::message::{JobId, Message, Signal, Size};
use crate::tui::model::apps::{AppForm, AppsScreen};
use crate::tui::model::copied::CopiedDialog;
use crate::tui::model::dashboard::Dashboard;
use crate::tui::model::dialog::{ConfirmDialog, KeyDialog, Question, TypedDialog};
use crate::tui::model::form::Form;
use crate::tui::model::geometry::Geometry;
use crate::tui::model::jobs::Jobs;
use crate::tui::model::notice::{Notice, Notices, Tone};
use crate::tui::model::palette::Palette;
use crate::tui::model::round::{RoundDesk, RoundStart};
use crate::tui::model::setup::Setup;
use crate::tui::terminal::Multiplexer;

/// What lies over the list; the last one has the keys.
#[derive(Clone, Debug)]
pub(crate) enum Screen {
    /// New credentials, or Reset.
    Form(Box<Form>),
    /// The set-up pane.
    Setup(Box<Setup>),
    /// Somebody else signed in.
    WrongAccount(Box<WrongAccount>),
    /// Delete by typing the address.
    Typed(Box<TypedDialog>),
    /// Yes or no.
    Confirm(Box<ConfirmDialog>),
    /// The sealing key.
    Key(Box<KeyDialog>),
    /// What can be copied.
    Copy(Address),
    /// Which copy of the store goes on.
    Copied(CopiedDialog),
    /// All there is to know of a credential.
    Details(Address, usize),
    /// What happened to a credential; `None` until the engine answered.
    History(Address, Option<Vec<HistoryEntry>>, usize),
    /// The apps.
    Apps(AppsScreen),
    /// The form of an app.
    AppForm(Box<AppForm>),
    /// What was found out about an app.
    AppReport(Box<AppReport>, usize),
    /// How an app is made in Salesforce, for an org that signs in there, from this line on.
    Guide(LoginUrl, usize),
    /// What a round can be begun with.
    RoundStart(Box<RoundStart>),
    /// The worklist of the open round, or the receipt of the last.
    Round,
    /// The commands by name.
    Palette(Palette),
    /// The keys, from this line on.
    Help(usize),
    /// What was said so far, from this line on.
    Messages(usize),
}

/// What the environment asks of the looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Colours may be used (`NO_COLOR` is not set).
    pub(crate) color: bool,
    /// Nothing but ASCII may be drawn (`ORGKEY_ASCII`).
    pub(crate) ascii: bool,
    /// There is a simulated person (`orgkey demo`).
    pub(crate) demo: bool,
    /// It is inside a multiplexer, which by itself passes no clipboard sequence on.
    pub(crate) multiplexer: Multiplexer,
    /// Which ways out of the terminal are allowed.
    pub(crate) terminal: TerminalUse,
    /// Whether a browser can be opened beside it.
    pub(crate) beside_browser: bool,
}

/// The whole state.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// When the last message came.
    pub(crate) now: UnixMillis,
    /// Of the terminal.
    pub(crate) size: Size,
    /// What the environment asks of the looks.
    pub(crate) look: Look,
    /// In which times are shown.
    pub(crate) zone: TimeZone,
    /// Which hosts are accepted, for the live checks.
    pub(crate) policy: HostPolicy,
    /// The sealing key, once the engine told.
    pub(crate) key: Option<(KeyProtection, bool)>,
    /// Until when an agent holds the key open.
    pub(crate) key_until: Option<UnixMillis>,
    /// Whether the agent outlives the last session; `None` without one.
    pub(crate) agent: Option<Lifetime>,
    /// The apps, once the engine told.
    pub(crate) apps: Option<Vec<App>>,
    /// The list.
    pub(crate) dashboard: Dashboard,
    /// What lies over it.
    pub(crate) screens: Vec<Screen>,
    /// What the engine is asked.
    pub(crate) jobs: Jobs,
    /// What was said.
    pub(crate) notices: Notices,
    /// What must not be overlooked, and whose it is; it lies over everything.
    pub(crate) alarm: Option<(JobId, String)>,
    /// Whether the line of keys is shown.
    pub(crate) bar: bool,
    /// Whom one can sign in as in the demo; empty outside it.
    pub(crate) demo_accounts: Vec<DemoAccount>,
    /// Whether the store may be a copy, or was moved.
    pub(crate) standing: CopyStanding,
    /// Revocations that Salesforce could not be told of yet.
    pub(crate) owed: usize,
    /// The round, and whether somebody works through it.
    pub(crate) round: RoundDesk,
    /// Whether the question which copy goes on was put already.
    copy_asked: bool,
    /// Since when what others changed is still to be looked at, after work on many.
    changed_since: Option<ChangeMark>,
    /// Whether the list changed while it was being fetched.
    list_again: bool,
    /// Whether more than one test ended since the list was asked for.
    many_tests: bool,
    /// Whether to stop once no exchange is under way.
    stop_later: bool,
}

impl Model {
    /// An empty dashboard of this size; nothing is asked before [`Message::Start`].
    pub(crate) fn new(
        size: Size,
        look: Look,
        zone: TimeZone,
        policy: HostPolicy,
        now: UnixMillis,
    ) -> Self {
        let mut model = Self {
            now,
            size,
            look,
            zone,
            policy,
            key: None,
            key_until: None,
            agent: None,
            apps: None,
            dashboard: Dashboard::default(),
            screens: Vec::new(),
            jobs: Jobs::default(),
            notices: Notices::default(),
            alarm: None,
            bar: true,
            demo_accounts: Vec::new(),
            standing: CopyStanding::default(),
            owed: 0,
            round: RoundDesk::default(),
            copy_asked: false,
            changed_since: None,
            list_again: false,
            many_tests: false,
            stop_later: false,
        };
        model.fit();
        model
    }

    /// Answers one message; `now` is when it came.
    pub(crate) fn update(&mut self, message: Message, now: UnixMillis) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = match message {
            Message::Start => {
                // The store answers one after the other, and a long list takes it a while.
                let mut effects = self.begin_to_follow();
                effects.extend(self.ask(Operation::KeyStatus));
                effects.extend(self.ask(Operation::Apps));
                effects.extend(self.ask(Operation::CopyStanding));
                effects.extend(self.ask(Operation::Owed));
                effects.extend(self.ask(Operation::Round));
                effects.extend(self.ask(Operation::Index));
                effects
            }
            Message::Key(key) => match keymap::anywhere(key) {
                Some(Intent::Redraw) => vec![Effect::Redraw],
                // Whatever is pressed, the program must not end now.
                _ if self.alarm.is_some() => Vec::new(),
                Some(intent) => self.act(intent),
                None => self.key(key),
            },
            Message::Paste(_) if self.alarm.is_some() => Vec::new(),
            Message::Paste(pasted) => self.paste(&pasted),
            Message::Resize(size) => {
                self.size = size;
                self.fit();
                vec![Effect::Redraw]
            }
            Message::Engine { job, event } => self.hear(job, *event),
            Message::Deadline => {
                if self.dashboard.follow_at().is_some_and(|at| at <= self.now) {
                    self.dashboard.follow();
                }
                if self.dashboard.ages_at().is_some_and(|at| at <= self.now) {
                    self.dashboard.rearrange(self.now);
                }
                Vec::new()
            }
            Message::Signal(Signal::Suspend) => self.suspend(),
            Message::Signal(signal) => vec![answer_signal(signal)],
            Message::Person(answer) => self.person(answer),
            Message::Session(session) => {
                self.session(&session);
                Vec::new()
            }
        };
        effects.extend(self.start_waiting());
        effects.extend(self.follow_again());
        if self.stop_later && !self.exchanges() {
            self.stop_later = false;
            effects.push(Effect::Suspend);
        }
        effects
    }

    /// Stops, but not in the middle of an exchange: a rotated token has to become durable first.
    fn suspend(&mut self) -> Vec<Effect> {
        if !self.exchanges() {
            return vec![Effect::Suspend];
        }
        self.stop_later = true;
        self.say(Tone::Plain, "suspends as soon as Salesforce has answered".into(), "");
        Vec::new()
    }

    fn exchanges(&self) -> bool {
        self.jobs.any(|operation| {
            matches!(
                operation,
                Operation::BeginSetup(_) | Operation::CompleteSetup(_) | Operation::Test(_)
            )
        })
    }

    /// When time alone changes what is shown, so that the loop sleeps until then; `None` when
    /// nothing ages and the loop may sleep until something happens.
    pub(crate) fn next_deadline(&self) -> Option<UnixMillis> {
        let shown = self.screens.last();
        let follow = self.dashboard.follow_at();
        let ages = match shown {
            None | Some(Screen::Details(..)) => self.dashboard.ages_at(),
            Some(Screen::Setup(setup)) => setup
                .started
                .as_ref()
                .filter(|started| started.expires_at > self.now)
                .map(|started| dashboard::next_minute(started.expires_at, self.now))
                .into_iter()
                .chain(setup.hint_at().filter(|at| *at > self.now))
                .min(),
            Some(_) => None,
        };
        follow.into_iter().chain(ages).min()
    }

    /// The address on screen, where the terminal may open it by a click. screen(1) knows no links.
    pub(crate) fn link(&self) -> Option<&str> {
        let Look { terminal, multiplexer, .. } = self.look;
        match self.screens.last() {
            Some(Screen::Setup(setup)) if terminal.links && multiplexer != Multiplexer::Screen => {
                setup.address_shown()
            }
            _ => None,
        }
    }

    /// Where things are on the list screen.
    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::of(self.size, self.bar)
    }

    fn fit(&mut self) {
        let rows = usize::from(self.geometry().list.height);
        self.dashboard.set_rows(rows);
    }

    /// Gives an operation to the engine; says so when its credential is busy.
    fn ask(&mut self, operation: Operation) -> Vec<Effect> {
        if operation == Operation::Index && self.jobs.any(|other| *other == Operation::Index) {
            self.list_again = true;
            return Vec::new();
        }
        if let Some(job) = self.jobs.start(operation.clone()) {
            return vec![Effect::Submit { job, operation }];
        }
        self.say_busy(&operation);
        Vec::new()
    }

    fn say_busy(&mut self, operation: &Operation) {
        let Some(address) = jobs::address_of(operation) else { return };
        let doing = self.jobs.of(&address).map_or("working", jobs::doing);
        self.say(Tone::Plain, format!("{address}: {doing}"), "wait for it to end");
    }

    /// Asks for what needs the sealing key: first the key is made or opened, then it goes on.
    fn ask_with_key(&mut self, operation: Operation) -> Vec<Effect> {
        if let Some((protection, false)) = self.key
            && let Some(dialog) = KeyDialog::new(protection, vec![operation.clone()])
        {
            self.screens.push(Screen::Key(Box::new(dialog)));
            return Vec::new();
        }
        self.ask(operation)
    }

    /// Asks for what waits for its turn.
    fn start_waiting(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(operation) = self.jobs.next_test().or_else(|| self.jobs.next_rotation()) {
            effects.extend(self.ask(operation));
        }
        effects
    }

    fn say(&mut self, tone: Tone, text: String, remedy: &str) {
        let remedy = remedy.to_owned();
        self.notices.say(Notice { at: self.now, tone, text, remedy });
    }

    fn hear(&mut self, job: JobId, event: Event) -> Vec<Effect> {
        match event {
            Event::Progress(progress) => {
                let heard = self.jobs.note(job, progress).map(|job| job.operation.clone());
                if let Some(waits @ Operation::AwaitRedirect(_)) = &heard
                    && let Some(address) = jobs::address_of(waits)
                {
                    self.hear_redirect(&address, progress);
                }
                if let (Some(Operation::CompleteSetup(request)), Some(Screen::Setup(setup))) =
                    (heard, self.screens.last_mut())
                    && request.selection.target == setup.address.target()
                {
                    setup.stage = setup::Stage::Completing(Some(progress));
                }
                Vec::new()
            }
            Event::Note(note) => {
                self.say(Tone::Plain, note, "");
                Vec::new()
            }
            Event::Alarm(text) => {
                self.alarm = Some((job, text));
                Vec::new()
            }
            Event::FirstRows(rows) => {
                self.dashboard.begin(rows, self.now);
                Vec::new()
            }
            Event::Done(result) => {
                self.alarm.take_if(|(alarmed, _)| *alarmed == job);
                match self.jobs.end(job) {
                    Some(ended) => self.done(ended.operation, result),
                    None => Vec::new(),
                }
            }
        }
    }

    /// Leaves, after a question when something is under way that ends with the program.
    fn quit(&mut self) -> Vec<Effect> {
        let asked = matches!(
            self.screens.last(),
            Some(Screen::Confirm(dialog)) if dialog.question == Question::Quit
        );
        let under_way = self.jobs.any(|operation| {
            matches!(operation, Operation::CompleteSetup(_) | Operation::Delete(_))
        });
        let typed = self.screens.iter().any(|screen| match screen {
            Screen::Form(form) => form.changed,
            Screen::AppForm(form) => form.changed,
            _ => false,
        });
        if asked || !(under_way || typed) {
            return vec![Effect::Quit(0)];
        }
        let text = if under_way {
            "An exchange with Salesforce is under way. It ends by itself in a few seconds."
        } else {
            "What was typed into the form is not saved yet."
        };
        let dialog = ConfirmDialog::new(Question::Quit, "Quit?".into(), text.into(), "Quit");
        self.screens.push(Screen::Confirm(Box::new(dialog)));
        Vec::new()
    }

    fn act(&mut self, intent: Intent) -> Vec<Effect> {
        match intent {
            Intent::Quit => self.quit(),
            Intent::Suspend => self.suspend(),
            Intent::Redraw => vec![Effect::Redraw],
            other => self.act_on_list(other),
        }
    }

    fn note_key(&mut self, report: &KeyReport) {
        self.key = Some((report.protection, report.open));
        self.key_until = report.open_until.filter(|_| report.open);
        self.agent = report.agent;
    }
}

fn answer_signal(signal: Signal) -> Effect {
    match signal {
        Signal::Terminate => Effect::Quit(143),
        Signal::Interrupt => Effect::Quit(130),
        Signal::HangUp => Effect::LetGo(129),
        Signal::Suspend => Effect::Suspend,
        Signal::Continue => Effect::Retake,
    }
}
