//! The form of new OAuth credentials, and of Reset: live checks, hints, and what Save sends.
//!
//! It parses with the domain's own parsers, so it says what the engine would say, only sooner.
//! In a Reset the box chooses which of the connection's two sets is edited; both are kept while
//! the form is open, and Save sends those that changed.

use crate::domain::app::DEFAULT_APP;
use crate::domain::credential::Credential;
use crate::domain::host::{HostPolicy, LoginUrl, read_address};
use crate::domain::name::{Address, ConnectionName, Environment};
use crate::engine::operation::{ResetRequest, SaveRequest, Selection};
use crate::engine::outcome::{FailureDetail, Field, WrongAccount};
use crate::engine::{Failure, Operation};
use crate::tui::input::Key;
use crate::tui::keymap::FormIntent;
use crate::tui::model::check::{Finding, check, first_wrong};
use crate::tui::model::field::{LineField, refusal};

/// What the Tab key goes through, in the order of product.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    /// A field to type into, or the box.
    Field(Field),
    /// The button that saves.
    Save,
    /// The button that leaves.
    Cancel,
}

/// Tab order.
pub(crate) const ORDER: [Focus; 10] = [
    Focus::Field(Field::Name),
    Focus::Field(Field::OrgId),
    Focus::Field(Field::UserId),
    Focus::Field(Field::Username),
    Focus::Field(Field::Environment),
    Focus::Field(Field::LoginUrl),
    Focus::Field(Field::App),
    Focus::Field(Field::Tags),
    Focus::Save,
    Focus::Cancel,
];

/// What was typed for one environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    /// Salesforce Org ID.
    pub(crate) org_id: LineField,
    /// Salesforce User ID.
    pub(crate) user_id: LineField,
    /// Optional.
    pub(crate) username: LineField,
    /// My Domain URL; empty means the generic login host.
    pub(crate) login_url: LineField,
    /// Name of the app.
    pub(crate) app: LineField,
    /// Separated by blanks.
    pub(crate) tags: LineField,
    /// As it is saved; `None` when this environment has no credential yet.
    pub(crate) saved: Option<Box<Credential>>,
}

/// The form.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// What is edited; `None` for new credentials.
    pub(crate) editing: Option<Address>,
    /// Name of the connection.
    pub(crate) name: LineField,
    /// The box.
    pub(crate) sandbox: bool,
    /// The values shown.
    pub(crate) values: Values,
    /// The other environment's, in a Reset.
    other: Option<Values>,
    /// Where the keys go.
    pub(crate) focus: Focus,
    /// Whether Save was pressed: from then on empty fields are wrong as well.
    pub(crate) pressed: bool,
    /// What the engine refused, and for which field.
    refused: Option<(Field, String)>,
    /// What a paste brought or why it was not taken.
    pub(crate) remark: Option<String>,
    /// How many answers of the engine are still to come.
    pub(crate) saving: usize,
    /// Whether something was typed.
    pub(crate) changed: bool,
}

/// What the form wants after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing but to be drawn.
    Nothing,
    /// Leave, asking first when something was typed.
    Leave,
    /// Send these.
    Send(Vec<Operation>),
}

impl Values {
    fn of(credential: &Credential) -> Self {
        let login_url =
            if credential.login_url.is_generic() { "" } else { credential.login_url.as_str() };
        // A staged edit is what the admin typed last: the form goes on from there.
        let (org_id, user_id, username, login_url, app) = match &credential.pending {
            Some(edit) => (
                edit.org_id.as_str(),
                edit.user_id.as_str(),
                edit.username.as_deref(),
                if edit.login_url.is_generic() { "" } else { edit.login_url.as_str() },
                edit.app.as_str(),
            ),
            None => (
                credential.org_id.as_str(),
                credential.user_id.as_str(),
                credential.username.as_deref(),
                login_url,
                credential.app.as_str(),
            ),
        };
        Self {
            org_id: LineField::new(org_id),
            user_id: LineField::new(user_id),
            username: LineField::new(username.unwrap_or_default()),
            login_url: LineField::new(login_url),
            app: LineField::new(app),
            tags: LineField::new(&credential.tags.join(" ")),
            saved: Some(Box::new(credential.clone())),
        }
    }

    fn field(&mut self, field: Field) -> Option<&mut LineField> {
        match field {
            Field::OrgId => Some(&mut self.org_id),
            Field::UserId => Some(&mut self.user_id),
            Field::Username => Some(&mut self.username),
            Field::LoginUrl => Some(&mut self.login_url),
            Field::App => Some(&mut self.app),
            Field::Tags => Some(&mut self.tags),
            _ => None,
        }
    }

    fn tag_list(&self) -> Vec<String> {
        self.tags.value().split([' ', ',']).filter(|t| !t.is_empty()).map(str::to_owned).collect()
    }
}

impl Form {
    /// A form for new credentials; `my_domain` is filled in where it is known beforehand.
    pub(crate) fn for_new(my_domain: &str) -> Self {
        let values = Values {
            app: LineField::new(DEFAULT_APP),
            login_url: LineField::new(my_domain),
            ..Values::default()
        };
        Self::with(None, "", false, values, None)
    }

    /// A form for saved ones; `other` is the connection's other set, where there is one.
    pub(crate) fn for_reset(credential: &Credential, other: Option<&Credential>) -> Self {
        let sandbox = credential.address.environment == Environment::Sandbox;
        let other = match other {
            Some(other) => Values::of(other),
            None => Values {
                app: LineField::new(&credential.app),
                tags: LineField::new(&credential.tags.join(" ")),
                ..Values::default()
            },
        };
        let name = credential.address.name.as_str();
        let values = Values::of(credential);
        Self::with(Some(credential.address.clone()), name, sandbox, values, Some(other))
    }

    /// Fills in the user that signed in, for the admin to look at and to save or not. Only where
    /// the org and its environment are the saved ones: what differs more is another credential.
    pub(crate) fn propose_user(&mut self, found: &WrongAccount) {
        let same_org = found.signed_in.org_id.as_str() == self.values.org_id.value();
        if !found.differs_in_user_alone() || !same_org {
            return;
        }
        self.values.user_id.set(found.signed_in.user_id.as_str());
        self.values.username.set(found.signed_in_username.as_deref().unwrap_or_default());
        self.focus = Focus::Field(Field::UserId);
        self.changed = true;
        self.remark = Some("the user that signed in is filled in; Save makes it the one".into());
    }

    fn with(
        editing: Option<Address>,
        name: &str,
        sandbox: bool,
        values: Values,
        other: Option<Values>,
    ) -> Self {
        Self {
            editing,
            name: LineField::new(name),
            sandbox,
            values,
            other,
            focus: ORDER[0],
            pressed: false,
            refused: None,
            remark: None,
            saving: 0,
            changed: false,
        }
    }

    /// The environment that is being edited.
    pub(crate) fn environment(&self) -> Environment {
        if self.sandbox { Environment::Sandbox } else { Environment::Production }
    }

    /// Answers a key.
    pub(crate) fn key(&mut self, intent: FormIntent, policy: &HostPolicy) -> Wish {
        if self.saving > 0 && intent != FormIntent::Cancel {
            return Wish::Nothing;
        }
        match (intent, self.focus) {
            (FormIntent::Next, _) => self.go(1),
            (FormIntent::Previous, _) => self.go(ORDER.len() - 1),
            (FormIntent::Cancel, _) | (FormIntent::Activate, Focus::Cancel) => return Wish::Leave,
            (FormIntent::Activate, Focus::Save) => return self.save(policy),
            (FormIntent::Activate, Focus::Field(_)) => self.go(1),
            (FormIntent::Type(key), Focus::Field(field)) => self.edit(field, key),
            (FormIntent::Type(Key::Char(' ')), Focus::Save) => return self.save(policy),
            (FormIntent::Type(_), _) => {}
        }
        Wish::Nothing
    }

    fn go(&mut self, steps: usize) {
        let place = ORDER.iter().position(|focus| *focus == self.focus).unwrap_or(0);
        self.focus = ORDER[(place + steps) % ORDER.len()];
        self.remark = None;
    }

    fn edit(&mut self, field: Field, key: Key) {
        self.remark = None;
        if field == Field::Environment {
            if key == Key::Char(' ') {
                self.toggle_sandbox();
            }
            return;
        }
        let line = match field {
            Field::Name => Some(&mut self.name),
            other => self.values.field(other),
        };
        if line.is_some_and(|line| line.edit(key)) {
            self.touched(field);
        }
    }

    fn touched(&mut self, field: Field) {
        self.changed = true;
        self.refused = self.refused.take().filter(|(refused, _)| *refused != field);
    }

    fn toggle_sandbox(&mut self) {
        self.sandbox = !self.sandbox;
        self.refused = None;
        match &mut self.other {
            // In a Reset each environment has its own set: the other one is shown.
            Some(other) => std::mem::swap(&mut self.values, other),
            None => self.changed = true,
        }
    }

    /// Takes pasted text: a Salesforce address fills what it tells, anything else goes into the
    /// focused field, and a token goes nowhere.
    pub(crate) fn paste(&mut self, text: &str, policy: &HostPolicy) {
        if self.saving > 0 {
            return;
        }
        if let Some(why) = refusal(text) {
            self.remark = Some(why.to_owned());
            return;
        }
        let Focus::Field(field) = self.focus else { return };
        let facts = read_address(text, policy).filter(|_| field != Field::Username);
        match facts {
            Some(facts)
                if facts.org_id.is_some()
                    || facts.user_id.is_some()
                    || facts.my_domain.is_some() =>
            {
                let mut taken = Vec::new();
                if let Some(id) = facts.org_id {
                    self.values.org_id.set(id.as_str());
                    taken.push("Org ID");
                }
                if let Some(id) = facts.user_id {
                    self.values.user_id.set(id.as_str());
                    taken.push("User ID");
                }
                if let Some(url) = facts.my_domain {
                    self.values.login_url.set(url.as_str());
                    taken.push("My Domain");
                }
                self.changed = true;
                self.refused = None;
                self.remark = Some(format!("taken from the address: {}", taken.join(", ")));
            }
            _ => self.insert(field, text.trim()),
        }
    }

    fn insert(&mut self, field: Field, text: &str) {
        let line = match field {
            Field::Name => Some(&mut self.name),
            other => self.values.field(other),
        };
        if let Some(line) = line {
            // An ID or address that is pasted over another replaces it.
            match field {
                Field::OrgId | Field::UserId | Field::LoginUrl => line.set(text),
                _ => line.insert(text),
            }
            self.touched(field);
        }
    }

    /// What is known of a field's text.
    pub(crate) fn finding(&self, field: Field, policy: &HostPolicy) -> Finding {
        if let Some((refused, why)) = &self.refused
            && *refused == field
        {
            return Finding::Wrong(why.clone());
        }
        let finding = check(field, &self.name, &self.values, policy);
        match finding {
            Finding::Wrong(_) if !self.pressed && self.is_empty(field) => Finding::Nothing,
            other => other,
        }
    }

    fn is_empty(&self, field: Field) -> bool {
        let value = match field {
            Field::Name => self.name.value(),
            Field::OrgId => self.values.org_id.value(),
            Field::UserId => self.values.user_id.value(),
            _ => "",
        };
        value.trim().is_empty()
    }

    /// Save was pressed: the operations to send, or the cursor on what is wrong.
    fn save(&mut self, policy: &HostPolicy) -> Wish {
        self.pressed = true;
        self.refused = None;
        if let Some(field) = first_wrong(&self.name, &self.values, policy) {
            self.focus = Focus::Field(field);
            return Wish::Nothing;
        }
        let mut operations = Vec::new();
        if let Some(other) = self.other.take() {
            let wrong = first_wrong(&self.name, &other, policy);
            let edits = self.request(&other, self.environment().other());
            self.other = Some(other);
            if edits.is_some()
                && let Some(field) = wrong
            {
                // The other environment was edited too and is not right: show it.
                self.toggle_sandbox();
                self.focus = Focus::Field(field);
                return Wish::Nothing;
            }
            operations.extend(edits);
        }
        // The one on screen last: a rename in it must not pull the name away from the other.
        operations.extend(self.request(&self.values, self.environment()));
        if operations.is_empty() {
            return Wish::Leave;
        }
        self.saving = operations.len();
        Wish::Send(operations)
    }

    /// What to send for one environment; `None` when nothing changed there.
    fn request(&self, values: &Values, environment: Environment) -> Option<Operation> {
        let text = |line: &LineField| line.value().trim().to_owned();
        let Some(saved) = &values.saved else {
            let untouched = self.editing.is_some()
                && values.org_id.value().trim().is_empty()
                && values.user_id.value().trim().is_empty();
            return (!untouched).then(|| {
                let some = |line: &LineField| Some(text(line)).filter(|value| !value.is_empty());
                Operation::Save(vec![SaveRequest {
                    name: match &self.editing {
                        Some(address) => address.name.to_string(),
                        None => text(&self.name),
                    },
                    sandbox: environment == Environment::Sandbox,
                    org_id: text(&values.org_id),
                    user_id: text(&values.user_id),
                    username: some(&values.username),
                    login_url: some(&values.login_url),
                    app: some(&values.app),
                    inline_app: None,
                    tags: values.tag_list(),
                    reason: None,
                    line: None,
                }])
            });
        };
        let shown_before = Values::of(saved);
        let changed = |now: &LineField, before: &LineField| {
            (now.value().trim() != before.value()).then(|| text(now))
        };
        let is_shown = environment == self.environment();
        let name = ConnectionName::parse(self.name.value()).ok();
        let request = ResetRequest {
            selection: Selection::exactly(&saved.address),
            rename: name.filter(|name| is_shown && *name != saved.address.name),
            org_id: changed(&values.org_id, &shown_before.org_id),
            user_id: changed(&values.user_id, &shown_before.user_id),
            username: changed(&values.username, &shown_before.username),
            login_url: changed(&values.login_url, &shown_before.login_url).map(|typed| {
                let generic = LoginUrl::generic(environment);
                if typed.is_empty() { generic.as_str().to_owned() } else { typed }
            }),
            app: changed(&values.app, &shown_before.app),
            tags: Some(values.tag_list()).filter(|tags| *tags != saved.tags),
            reason: None,
        };
        let ResetRequest { rename, org_id, user_id, username, login_url, app, tags, .. } = &request;
        let nothing = rename.is_none()
            && tags.is_none()
            && [org_id, user_id, username, login_url, app].into_iter().all(Option::is_none);
        (!nothing).then_some(Operation::Reset(request))
    }

    /// The engine refused: the cursor goes to the field that is wrong, where it says which.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        self.saving = self.saving.saturating_sub(1);
        let FailureDetail::Field(field) = failure.detail else {
            self.remark = Some(failure.message.clone());
            return;
        };
        if ORDER.contains(&Focus::Field(field)) {
            self.focus = Focus::Field(field);
        }
        self.refused = Some((field, failure.message.clone()));
    }

    /// Whether a change of the account is typed over a live token.
    pub(crate) fn stages_an_edit(&self) -> bool {
        self.values.saved.as_ref().is_some_and(|saved| {
            saved.token.is_some()
                && (self.values.org_id.value().trim() != saved.org_id.as_str()
                    || self.values.user_id.value().trim() != saved.user_id.as_str())
        })
    }
}

#[cfg(test)]
mod tests;
