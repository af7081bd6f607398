use jiff::tz::TimeZone;

use crate::domain::credential::Credential;
use crate::domain::host::HostPolicy;
use crate::engine::outcome::{KeyProtection, KeyReport};
use crate::engine::{Event, Operation, Outcome};
use crate::tui::effect::Effect;
use crate::tui::input::Key;
use crate::tui::message::{Message, Size};
use crate::tui::model::{Look, Model, sample};

/// A dashboard that has asked for everything and heard nothing yet.
pub(crate) fn started() -> (Model, Vec<Effect>) {
    let look = Look { color: true, ascii: false, demo: false };
    let size = Size { width: 80, height: 24 };
    let mut model = Model::new(size, look, TimeZone::UTC, HostPolicy::default(), sample::NOW);
    let effects = model.update(Message::Start, sample::NOW);
    (model, effects)
}

/// A dashboard with these credentials, an open key and one app.
pub(crate) fn loaded(credentials: Vec<Credential>) -> Model {
    let (mut model, effects) = started();
    for effect in effects {
        let Effect::Submit { job, operation } = effect else { panic!("{effect:?}") };
        let outcome = match operation {
            Operation::KeyStatus => Outcome::Key(KeyReport {
                protection: KeyProtection::Passphrase,
                open: true,
                recovery_identity: None,
            }),
            Operation::List => Outcome::Credentials(credentials.clone()),
            Operation::Apps => Outcome::Apps(vec![sample::app()]),
            other => panic!("{other:?}"),
        };
        let event = Event::Done(Ok(outcome));
        assert_eq!(model.update(Message::Engine { job, event }, sample::NOW), []);
    }
    model
}

/// A dashboard in the set-up pane of acme/production, its address shown.
pub(crate) fn in_setup() -> Model {
    let mut model = loaded(sample::many());
    let effects = model.update(Message::Key(Key::Char('s')), sample::NOW);
    let [Effect::Submit { job, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let event = Event::Done(Ok(Outcome::AuthorizationStarted(sample::authorization("acme"))));
    model.update(Message::Engine { job: *job, event }, sample::NOW);
    model
}

/// The same at another size.
pub(crate) fn sized(mut model: Model, width: u16, height: u16) -> Model {
    model.update(Message::Resize(Size { width, height }), sample::NOW);
    model
}
