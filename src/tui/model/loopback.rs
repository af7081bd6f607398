//! The ways to set tokens up, and the one whose answer comes back by itself.

use crate::domain::app::Flow;
use crate::domain::loopback::{LoopbackRedirect, SshSession};
use crate::domain::name::Address;
use crate::engine::operation::Selection;
use crate::engine::outcome::{AuthorizationStarted, Progress};
use crate::engine::{Failure, Operation};
use crate::tui::effect::Effect;
use crate::tui::input::Key;
use crate::tui::model::jobs::address_of;
use crate::tui::model::setup::{Setup, SetupView, SetupWish, Stage, begin_by};
use crate::tui::model::{Model, Screen};

/// The ways that the pane offers, each with what it asks of the person.
pub(crate) const WAYS: [(Flow, &str); 3] = [
    (Flow::Paste, "sign in anywhere, and paste the address that the browser ends at"),
    (Flow::Loopback, "sign in through a forwarded port: the answer comes back by itself"),
    (Flow::Device, "type a code into a page of Salesforce; the app has to allow it"),
];

/// What is known of a loopback redirect that is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    /// Where it is waited for.
    pub(crate) redirect: LoopbackRedirect,
    /// To be opened through the forward.
    pub(crate) short_link: String,
    /// How the person came here, once that was looked at.
    pub(crate) session: Option<SshSession>,
    /// Whether the port is open.
    pub(crate) listens: bool,
    /// Whether a browser came to it.
    pub(crate) tunnel_seen: bool,
}

impl Forward {
    /// Of a set-up that was begun so.
    pub(crate) fn of(started: &AuthorizationStarted) -> Option<Self> {
        let redirect = LoopbackRedirect::parse(&started.redirect_uri)
            .filter(|_| started.flow == Flow::Loopback)?;
        let short_link = redirect.short_link();
        Some(Self { redirect, short_link, session: None, listens: false, tunnel_seen: false })
    }
}

impl Setup {
    /// Begins anew in one way.
    pub(crate) fn begin_by(&mut self, flow: Flow) -> SetupWish {
        self.begin();
        SetupWish::Send(begin_by(&self.address, Some(flow), self.is_rotation))
    }

    /// The forward line: the port is opened, again where it was closed meanwhile.
    pub(crate) fn forward(&mut self) -> SetupWish {
        match &self.forward {
            Some(forward) if forward.listens => SetupWish::Nothing,
            Some(_) => SetupWish::Listen,
            None => self.begin_by(Flow::Loopback),
        }
    }

    /// Another way: the cursor stands on the present one.
    pub(crate) fn choose_way(&mut self) -> SetupWish {
        let present = self.started.as_ref().map(|started| started.flow);
        let at = WAYS.iter().position(|(flow, _)| Some(*flow) == present);
        self.view = SetupView::Ways(at.unwrap_or(0));
        SetupWish::Redraw
    }

    /// A key in the list of ways.
    pub(crate) fn key_on_ways(&mut self, key: Key, at: usize) -> SetupWish {
        let last = WAYS.len() - 1;
        let chosen = match key {
            Key::Up | Key::Char('k') => return self.move_on_ways(at.saturating_sub(1)),
            Key::Down | Key::Char('j') => return self.move_on_ways((at + 1).min(last)),
            Key::Enter => WAYS.get(at),
            Key::Char(digit @ '1'..='9') => {
                digit.to_digit(10).and_then(|digit| WAYS.get(usize::try_from(digit).ok()? - 1))
            }
            Key::Esc | Key::Char('w' | 'q') => {
                self.view = SetupView::Steps;
                return SetupWish::Redraw;
            }
            _ => None,
        };
        let Some((flow, _)) = chosen else { return SetupWish::Nothing };
        self.view = SetupView::Steps;
        let present = self.started.as_ref().map(|started| started.flow);
        if present == Some(*flow) { SetupWish::Redraw } else { self.begin_by(*flow) }
    }

    fn move_on_ways(&mut self, at: usize) -> SetupWish {
        self.view = SetupView::Ways(at);
        SetupWish::Nothing
    }

    /// The redirect came, and did not do: nothing listens any more.
    pub(crate) fn redirect_failed(&mut self, failure: &Failure) {
        if let Some(forward) = &mut self.forward {
            forward.listens = false;
        }
        self.fail(failure);
    }

    /// What the engine says of the redirect.
    fn hear_redirect(&mut self, progress: Progress) {
        let Some(forward) = &mut self.forward else { return };
        match progress {
            Progress::Listening => forward.listens = true,
            Progress::TunnelSeen => forward.tunnel_seen = true,
            Progress::RedirectCame => {
                let port = forward.redirect.port;
                forward.tunnel_seen = true;
                self.typing = false;
                self.view = SetupView::Steps;
                self.problem = None;
                self.received = Some(format!("localhost:{port}: the answer came back by itself"));
                self.stage = Stage::Completing(None);
            }
            other if matches!(self.stage, Stage::Completing(_)) => {
                self.stage = Stage::Completing(Some(other));
            }
            _ => {}
        }
    }
}

/// Whether a failure is about the port alone: what is pending stays so.
fn is_about_the_port(failure: &Failure) -> bool {
    matches!(
        failure.code.as_str(),
        "listening_over" | "listening_ended" | "port_taken" | "port_refused" | "not_loopback"
    )
}

fn waiting_of(address: &Address) -> Operation {
    Operation::AwaitRedirect(Selection::exactly(address))
}

impl Model {
    /// The engine began a set-up, or showed it again.
    pub(super) fn begun(&mut self, started: AuthorizationStarted) -> Vec<Effect> {
        match self.screens.last_mut() {
            Some(Screen::Setup(setup)) if setup.address == started.address => {
                let url = started.url.clone();
                setup.begun(started);
                let mut effects = self.listen();
                if self.round.at_work && self.look.terminal.clipboard {
                    effects.extend(self.copy_address(url));
                }
                effects
            }
            _ => Vec::new(),
        }
    }

    /// Waits for the redirect of the set-up that is shown, and looks how the person came here.
    pub(super) fn listen(&mut self) -> Vec<Effect> {
        let Some(Screen::Setup(setup)) = self.screens.last() else { return Vec::new() };
        if setup.forward.is_none() {
            return Vec::new();
        }
        let wanted = waiting_of(&setup.address);
        let mut effects: Vec<_> = self.stop_waiting(&wanted).into_iter().collect();
        effects.extend(self.ask_with_key(wanted));
        effects.push(Effect::LookForSession);
        effects
    }

    /// Nobody waits for this answer any more.
    fn stop_waiting(&mut self, operation: &Operation) -> Option<Effect> {
        let job = self.jobs.asking(operation)?;
        self.jobs.end(job);
        Some(Effect::Cancel(job))
    }

    /// The first answer of a set-up counts: what else waits for one is told nothing more.
    pub(super) fn first_answer(&mut self, operation: &Operation) -> Vec<Effect> {
        let Some(address) = address_of(operation) else { return Vec::new() };
        let other = match operation {
            Operation::AwaitRedirect(_) => self.jobs.completing(&address),
            Operation::CompleteSetup(_) => self.jobs.asking(&waiting_of(&address)),
            _ => None,
        };
        let Some(job) = other else { return Vec::new() };
        self.jobs.end(job);
        vec![Effect::Cancel(job)]
    }

    /// Whether a failure says no more than that another answer of the same set-up was first, or
    /// that a port was closed which nobody looks at.
    pub(super) fn is_outrun(&mut self, operation: &Operation, failure: &Failure) -> bool {
        let Some(address) = address_of(operation) else { return false };
        match operation {
            Operation::CompleteSetup(_) => {
                failure.code == "nothing_pending"
                    && self.jobs.asking(&waiting_of(&address)).is_some()
            }
            Operation::AwaitRedirect(_) if is_about_the_port(failure) => {
                self.port_closed(&address, failure);
                true
            }
            Operation::AwaitRedirect(_) => failure.code == "nothing_pending",
            // It was given up here, or goes on elsewhere: who did it knows.
            Operation::AwaitApproval(_) => {
                matches!(failure.code.as_str(), "nothing_pending" | "still_pending")
            }
            _ => false,
        }
    }

    fn port_closed(&mut self, address: &Address, failure: &Failure) {
        for screen in &mut self.screens {
            if let Screen::Setup(setup) = screen
                && setup.address == *address
                && setup.stage == Stage::Waiting
                && let Some(forward) = &mut setup.forward
            {
                forward.listens = false;
                forward.tunnel_seen = false;
                setup.problem = Some((
                    failure.message.clone(),
                    "f listens again, w another way; what is pasted is still good".into(),
                ));
            }
        }
    }

    /// What is going on with a redirect.
    pub(super) fn hear_redirect(&mut self, address: &Address, progress: Progress) {
        for screen in &mut self.screens {
            if let Screen::Setup(setup) = screen
                && setup.address == *address
            {
                setup.hear_redirect(progress);
            }
        }
    }

    /// How the person came here.
    pub(super) fn session(&mut self, session: &SshSession) {
        for screen in &mut self.screens {
            if let Screen::Setup(setup) = screen
                && let Some(forward) = &mut setup.forward
            {
                forward.session = Some(session.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
