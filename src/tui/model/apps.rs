//! The apps: the OAuth clients of the orgs, with the form that adds or changes one.

use crate::domain::app::{
    App, AppOrigin, DEFAULT_APP, DEFAULT_SCOPES, check_client_id, check_redirect_uri, success_page,
};
use crate::domain::name::{ConnectionName, Environment};
use crate::engine::operation::AppRequest;
use crate::engine::outcome::{FailureDetail, Field};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Failure, Operation};
use crate::tui::input::Key;
use crate::tui::keymap::FormIntent;
use crate::tui::model::check::Finding;
use crate::tui::model::field::{LineField, SecretField, exposed, refusal};
use crate::tui::model::form::Wish;

/// The list of apps.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppsScreen {
    /// Index into the model's apps.
    pub(crate) cursor: usize,
}

/// What the Tab key goes through in the form of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppFocus {
    /// A field of plain text.
    Field(Field),
    /// The Consumer Secret.
    Secret,
    /// The button that saves.
    Save,
    /// The button that leaves.
    Cancel,
}

/// Tab order.
pub(crate) const APP_ORDER: [AppFocus; 7] = [
    AppFocus::Field(Field::Name),
    AppFocus::Field(Field::ClientId),
    AppFocus::Secret,
    AppFocus::Field(Field::RedirectUri),
    AppFocus::Field(Field::Scopes),
    AppFocus::Save,
    AppFocus::Cancel,
];

/// The form of an app.
#[derive(Clone, Debug)]
pub(crate) struct AppForm {
    /// The app as it is; `None` for a new one.
    pub(crate) editing: Option<App>,
    /// Its name.
    pub(crate) name: LineField,
    /// Consumer Key.
    pub(crate) client_id: LineField,
    /// Consumer Secret; empty leaves it as it is.
    pub(crate) secret: SecretField,
    /// Callback URLs, separated by blanks.
    pub(crate) redirect_uris: LineField,
    /// OAuth scopes, separated by blanks.
    pub(crate) scopes: LineField,
    /// Where the keys go.
    pub(crate) focus: AppFocus,
    /// Whether Save was pressed.
    pub(crate) pressed: bool,
    /// What the engine refused.
    refused: Option<(Field, String)>,
    /// What else is to be said.
    pub(crate) remark: Option<String>,
    /// Whether the engine works on it.
    pub(crate) saving: bool,
    /// Whether something was typed.
    pub(crate) changed: bool,
}

impl AppForm {
    /// A form for a new app of this name.
    pub(crate) fn for_new(name: &str) -> Self {
        let name = if name.is_empty() { DEFAULT_APP } else { name };
        Self {
            editing: None,
            name: LineField::new(name),
            client_id: LineField::default(),
            secret: SecretField::default(),
            redirect_uris: LineField::new(&success_page(Environment::Production)),
            scopes: LineField::new(&DEFAULT_SCOPES.join(" ")),
            focus: AppFocus::Field(Field::ClientId),
            pressed: false,
            refused: None,
            remark: None,
            saving: false,
            changed: false,
        }
    }

    /// A form for an app that is there; `None` for one that config.toml holds.
    pub(crate) fn for_edit(app: &App) -> Option<Self> {
        (app.origin == AppOrigin::Store).then(|| Self {
            editing: Some(app.clone()),
            client_id: LineField::new(&app.client_id),
            redirect_uris: LineField::new(&app.redirect_uris.join(" ")),
            scopes: LineField::new(&app.scopes.join(" ")),
            ..Self::for_new(&app.name)
        })
    }

    /// Answers a key.
    pub(crate) fn key(&mut self, intent: FormIntent) -> Wish {
        if self.saving && intent != FormIntent::Cancel {
            return Wish::Nothing;
        }
        match (intent, self.focus) {
            (FormIntent::Next, _) => self.go(1),
            (FormIntent::Previous, _) => self.go(APP_ORDER.len() - 1),
            (FormIntent::Cancel, _) | (FormIntent::Activate, AppFocus::Cancel) => {
                return Wish::Leave;
            }
            (FormIntent::Activate, AppFocus::Save) => return self.save(),
            (FormIntent::Activate, _) => self.go(1),
            (FormIntent::Type(key), focus) => self.edit(focus, key),
        }
        Wish::Nothing
    }

    fn go(&mut self, steps: usize) {
        let place = APP_ORDER.iter().position(|focus| *focus == self.focus).unwrap_or(0);
        self.focus = APP_ORDER[(place + steps) % APP_ORDER.len()];
        if self.focus == AppFocus::Field(Field::Name) && self.editing.is_some() {
            // The name of an app is what credentials refer to; it stays.
            self.go(steps);
        }
    }

    fn edit(&mut self, focus: AppFocus, key: Key) {
        if focus == AppFocus::Secret {
            self.secret.edit(key);
            self.changed = true;
        } else if let AppFocus::Field(field) = focus
            && self.line(field).is_some_and(|line| line.edit(key))
        {
            self.touched(field);
        }
    }

    fn touched(&mut self, field: Field) {
        self.changed = true;
        self.remark = None;
        self.refused = self.refused.take().filter(|(refused, _)| *refused != field);
    }

    fn line(&mut self, field: Field) -> Option<&mut LineField> {
        match field {
            Field::Name => Some(&mut self.name),
            Field::ClientId => Some(&mut self.client_id),
            Field::RedirectUri => Some(&mut self.redirect_uris),
            Field::Scopes => Some(&mut self.scopes),
            _ => None,
        }
    }

    /// Takes pasted text into the focused field.
    pub(crate) fn paste(&mut self, pasted: &Sensitive) {
        let text = exposed(pasted).trim();
        let refused = refusal(text).filter(|_| self.focus != AppFocus::Secret);
        if let Some(why) = refused {
            self.remark = Some(why.to_owned());
            return;
        }
        match self.focus {
            _ if self.saving => {}
            AppFocus::Secret => {
                self.secret.insert(pasted);
                self.changed = true;
            }
            AppFocus::Field(Field::ClientId) => {
                self.client_id.set(text);
                self.touched(Field::ClientId);
            }
            AppFocus::Field(field) => {
                if let Some(line) = self.line(field) {
                    line.insert(text);
                }
                self.touched(field);
            }
            AppFocus::Save | AppFocus::Cancel => {}
        }
    }

    /// What is known of a field's text.
    pub(crate) fn finding(&self, field: Field) -> Finding {
        if let Some((refused, why)) = &self.refused
            && *refused == field
        {
            return Finding::Wrong(why.clone());
        }
        match self.wrong(field) {
            Some(_) if !self.pressed && self.client_id.value().is_empty() => Finding::Nothing,
            Some(why) => Finding::Wrong(why),
            None => Finding::Nothing,
        }
    }

    fn wrong(&self, field: Field) -> Option<String> {
        match field {
            Field::Name => {
                ConnectionName::parse(self.name.value()).err().map(|error| error.to_string())
            }
            Field::ClientId => {
                check_client_id(self.client_id.value().trim()).err().map(|error| error.to_string())
            }
            Field::RedirectUri => words(&self.redirect_uris)
                .iter()
                .find_map(|uri| check_redirect_uri(uri).err())
                .map(|error| error.to_string()),
            _ => None,
        }
    }

    fn save(&mut self) -> Wish {
        self.pressed = true;
        let wrong = [Field::Name, Field::ClientId, Field::RedirectUri]
            .into_iter()
            .find(|field| self.wrong(*field).is_some());
        if let Some(field) = wrong {
            self.focus = AppFocus::Field(field);
            return Wish::Nothing;
        }
        let request = AppRequest {
            name: self.name.value().trim().to_owned(),
            client_id: Some(self.client_id.value().trim().to_owned()),
            client_secret: (!self.secret.is_empty()).then(|| self.secret.to_sensitive()),
            redirect_uris: Some(words(&self.redirect_uris)),
            scopes: Some(words(&self.scopes)),
            ..AppRequest::default()
        };
        self.saving = true;
        Wish::Send(vec![if self.editing.is_some() {
            Operation::EditApp(request)
        } else {
            Operation::AddApps(vec![request])
        }])
    }

    /// The engine refused: the cursor goes to what is wrong.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        self.saving = false;
        match failure.detail {
            FailureDetail::Field(field) if APP_ORDER.contains(&AppFocus::Field(field)) => {
                self.focus = AppFocus::Field(field);
                self.refused = Some((field, failure.message.clone()));
            }
            _ => self.remark = Some(failure.message.clone()),
        }
    }
}

fn words(line: &LineField) -> Vec<String> {
    line.value().split([' ', ',']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::model::sample;

    #[test]
    fn a_new_app_needs_its_consumer_key_and_sends_its_secret_sealed() {
        let mut form = AppForm::for_new("");
        form.focus = AppFocus::Save;
        assert_eq!(form.key(FormIntent::Activate), Wish::Nothing);
        assert_eq!(form.focus, AppFocus::Field(Field::ClientId));
        form.paste(&Sensitive::new("3MVG9invented.ClientId_01".into()));
        form.focus = AppFocus::Secret;
        form.paste(&Sensitive::new("ABCDEF0123".into()));
        form.focus = AppFocus::Save;
        let Wish::Send(operations) = form.key(FormIntent::Activate) else { panic!("refused") };
        let [Operation::AddApps(requests)] = operations.as_slice() else {
            panic!("{operations:?}")
        };
        let [request] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!(request.client_secret, Some(Sensitive::new("ABCDEF0123".into())));
        assert!(!format!("{operations:?}").contains("ABCDEF"));
    }

    #[test]
    fn an_app_of_the_config_is_not_edited_here() {
        assert!(AppForm::for_edit(&sample::app()).is_some());
        let app = App { origin: AppOrigin::Config, ..sample::app() };
        assert!(AppForm::for_edit(&app).is_none());
    }
}
