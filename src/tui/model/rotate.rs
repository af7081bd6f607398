//! Rotation from the dashboard: a refresh is done at once, a sign-in opens the set-up pane.

use crate::domain::credential::{CheckOutcome, Credential};
use crate::domain::name::Address;
use crate::engine::Operation;
use crate::engine::operation::{BeginSetup, RotateRequest, Selection};
use crate::engine::outcome::{OldToken, RotationHow, RotationReport};
use crate::tui::effect::Effect;
use crate::tui::model::notice::Tone;
use crate::tui::model::setup::Setup;
use crate::tui::model::{Model, Screen};
use crate::tui::view::words;

/// Rotates a credential, where it needs nobody.
pub(super) fn by_itself(address: &Address) -> Operation {
    let selection = Selection::exactly(address);
    Operation::Rotate(RotateRequest { selection, dry_run: false, reason: None })
}

impl Model {
    /// Rotates the selected credential.
    pub(super) fn rotate(&mut self, selected: &Credential) -> Vec<Effect> {
        if selected.token.is_none() && !selected.has_candidate {
            let text = format!("{} has no token to rotate yet", selected.address);
            self.say(Tone::Plain, text, "s sets up the OAuth token");
            return Vec::new();
        }
        self.ask_with_key(by_itself(&selected.address))
    }

    /// How a rotation went, or that a person is needed: the sign-in is begun where the list still
    /// has the keys.
    pub(super) fn rotated(
        &mut self,
        operation: &Operation,
        report: &RotationReport,
    ) -> Vec<Effect> {
        let mut effects = self.reload(operation);
        effects.extend(self.after_rotation());
        if self.is_left_to_round(report) {
            return effects;
        }
        let address = &report.address;
        let needs_person =
            report.how == RotationHow::SignIn && report.outcome == CheckOutcome::NeedsSetup;
        if needs_person && self.screens.is_empty() {
            self.say(Tone::Plain, format!("{address}: {}", report.message), "");
            let setup = Setup { is_rotation: true, ..Setup::new(address.clone()) };
            self.screens.push(Screen::Setup(Box::new(setup)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Outcome;
    use crate::tui::model::sample;
    use crate::tui::model::tests::{answer, keys, loaded, submitted};

    #[test]
    fn a_rotation_that_needs_a_person_opens_the_set_up_pane_and_is_marked_as_one() {
        let mut model = loaded(vec![sample::ready("acme", "production")]);
        let effects = keys(&mut model, "R");
        assert!(matches!(submitted(&effects)[..], [Operation::Rotate(_)]));
        let report = sample::rotation(&sample::address("acme", "production"));
        let effects = answer(&mut model, |_| Outcome::Rotated(Box::new(report)));
        assert!(matches!(model.screens.last(), Some(Screen::Setup(_))));
        let begun = submitted(&effects).into_iter().any(|operation| match operation {
            Operation::BeginSetup(request) => request.is_rotation,
            _ => false,
        });
        assert!(begun, "{effects:?}");
    }

    #[test]
    fn a_rotation_by_refresh_is_told_with_its_generation() {
        let mut model = loaded(vec![sample::ready("acme", "production")]);
        keys(&mut model, "R");
        let report = RotationReport {
            how: RotationHow::Refresh,
            outcome: CheckOutcome::Ok,
            old: OldToken::Spent,
            message: "Access test successful".into(),
            ..sample::rotation(&sample::address("acme", "production"))
        };
        answer(&mut model, |_| Outcome::Rotated(Box::new(report)));
        let told = model.notices.all().next().unwrap();
        assert_eq!(told.text, "acme/production is rotated, generation 40. Access test successful");
        let mut empty = loaded(vec![sample::saved("acme", "production")]);
        assert!(submitted(&keys(&mut empty, "R")).is_empty());
    }
}
