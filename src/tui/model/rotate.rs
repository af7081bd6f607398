//! Rotation from the dashboard: a refresh is done at once, a sign-in opens the set-up pane.

use crate::domain::credential::{CheckOutcome, Credential};
use crate::engine::Operation;
use crate::engine::operation::{BeginSetup, RotateRequest, Selection};
use crate::engine::outcome::{OldToken, RotationHow, RotationReport};
use crate::tui::effect::Effect;
use crate::tui::model::notice::Tone;
use crate::tui::model::setup::Setup;
use crate::tui::model::{Model, Screen};
use crate::tui::view::words;

impl Model {
    /// Rotates the selected credential.
    pub(super) fn rotate(&mut self, selected: &Credential) -> Vec<Effect> {
        if selected.token.is_none() && !selected.has_candidate {
            let text = format!("{} has no token to rotate yet", selected.address);
            self.say(Tone::Plain, text, "s sets up the OAuth token");
            return Vec::new();
        }
        self.ask_with_key(Operation::Rotate(RotateRequest {
            selection: Selection::exactly(&selected.address),
            dry_run: false,
            reason: None,
        }))
    }

    /// How a rotation went, or that a person is needed: the sign-in is begun where the list still
    /// has the keys.
    pub(super) fn rotated(
        &mut self,
        operation: &Operation,
        report: &RotationReport,
    ) -> Vec<Effect> {
        let mut effects = self.reload(operation);
        let address = &report.address;
        let needs_person =
            report.how == RotationHow::SignIn && report.outcome == CheckOutcome::NeedsSetup;
        if needs_person && self.screens.is_empty() {
            self.say(Tone::Plain, format!("{address}: {}", report.message), "");
            self.screens.push(Screen::Setup(Box::new(Setup::new(address.clone()))));
            effects.extend(self.ask_with_key(Operation::BeginSetup(BeginSetup {
                is_rotation: true,
                ..BeginSetup::plain(Selection::exactly(address))
            })));
            return effects;
        }
        if report.outcome != CheckOutcome::Ok {
            let remedy = if needs_person { "R begins the sign-in" } else { &report.remedy };
            self.say(Tone::Bad, format!("{address}: {}", report.message), remedy);
            return effects;
        }
        let generation = report.generation.map_or(0, |generation| generation.0);
        let text = format!("{address} is rotated, generation {generation}. {}", report.message);
        let old = match &report.old {
            OldToken::Draining(draining) => words::draining(draining, self.now, &self.zone),
            OldToken::Revoked => "the token it replaces is revoked".into(),
            OldToken::Owed => "the revocation of the token it replaces is owed".into(),
            OldToken::Kept | OldToken::Spent => String::new(),
        };
        self.say(Tone::Good, text, &old);
        effects
    }
}
