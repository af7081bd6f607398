//! Questions on the way: type an address to delete, yes or no, the sealing key, what to copy.
//! Every one of them begins where Enter does no harm.

use crate::domain::credential::Credential;
use crate::domain::name::Address;
use crate::engine::Operation;
use crate::engine::operation::{CreateKey, DeleteRequest, Selection};
use crate::engine::outcome::KeyProtection;
use crate::engine::sensitive::Sensitive;
use crate::tui::input::Key;
use crate::tui::keymap::FormIntent;
use crate::tui::model::field::{LineField, SecretField};

/// Shortest passphrase that is taken, in characters.
const PASSPHRASE_LEAST: usize = 8;

/// Asks for the address to be typed before a credential is deleted.
#[derive(Clone, Debug)]
pub(crate) struct DeleteDialog {
    /// What is to be deleted.
    pub(crate) address: Address,
    /// What was typed so far.
    pub(crate) typed: LineField,
    /// Whether Cancel has the keys; otherwise the line has them.
    pub(crate) on_cancel: bool,
    /// Whether Enter was pressed on something else than the address.
    pub(crate) mistyped: bool,
}

/// What a dialog wants after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DialogWish {
    /// Nothing but to be drawn.
    Nothing,
    /// Close it.
    Close,
    /// Close it and do these.
    Do(Vec<Operation>),
}

impl DeleteDialog {
    /// Asks about one credential.
    pub(crate) fn new(address: Address) -> Self {
        Self { address, typed: LineField::default(), on_cancel: false, mistyped: false }
    }

    /// Answers a key. Enter on an empty line is Cancel.
    pub(crate) fn key(&mut self, intent: FormIntent) -> DialogWish {
        match intent {
            FormIntent::Cancel => return DialogWish::Close,
            FormIntent::Next | FormIntent::Previous => self.on_cancel = !self.on_cancel,
            FormIntent::Activate if self.on_cancel || self.typed.value().trim().is_empty() => {
                return DialogWish::Close;
            }
            FormIntent::Activate if self.typed.value().trim() == self.address.to_string() => {
                return DialogWish::Do(vec![Operation::Delete(DeleteRequest {
                    selection: Selection::exactly(&self.address),
                    both: false,
                    reason: None,
                })]);
            }
            FormIntent::Activate => self.mistyped = true,
            FormIntent::Type(key) if !self.on_cancel => {
                self.mistyped = false;
                self.typed.edit(key);
            }
            FormIntent::Type(_) => {}
        }
        DialogWish::Nothing
    }
}

/// What a yes means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Leave the program.
    Quit,
    /// Close a form in which something was typed.
    DiscardForm,
    /// Give this to the engine.
    Ask(Box<Operation>),
    /// Test access of all these.
    TestMany(Vec<Address>),
}

/// Yes or no; it begins on no.
#[derive(Clone, Debug)]
pub(crate) struct ConfirmDialog {
    /// What a yes means.
    pub(crate) question: Question,
    /// What is asked.
    pub(crate) title: String,
    /// What follows from a yes.
    pub(crate) text: String,
    /// The word on the button.
    pub(crate) yes: &'static str,
    /// Whether the yes has the keys.
    pub(crate) on_yes: bool,
}

impl ConfirmDialog {
    /// Asks; Cancel has the keys.
    pub(crate) fn new(question: Question, title: String, text: String, yes: &'static str) -> Self {
        Self { question, title, text, yes, on_yes: false }
    }

    /// Answers a key; `Some(true)` is a yes.
    pub(crate) fn key(&mut self, key: Key) -> Option<bool> {
        match key {
            Key::Esc | Key::Char('n' | 'q') => Some(false),
            Key::Enter | Key::Char(' ') => Some(self.on_yes),
            Key::Tab | Key::BackTab | Key::Left | Key::Right | Key::Up | Key::Down => {
                self.on_yes = !self.on_yes;
                None
            }
            _ => None,
        }
    }
}

/// What the key dialog has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyTask {
    /// There is no key yet: a passphrase typed twice, or a bare key file.
    Create,
    /// It is there and closed.
    Open,
}

/// Where the keys go in the key dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFocus {
    /// The passphrase.
    First,
    /// The passphrase again.
    Second,
    /// The button for a bare key file.
    Bare,
}

/// Makes or opens the sealing key, then goes on with what needed it.
#[derive(Clone, Debug)]
pub(crate) struct KeyDialog {
    /// What it has to do.
    pub(crate) task: KeyTask,
    /// The passphrase.
    pub(crate) first: SecretField,
    /// The passphrase again.
    pub(crate) second: SecretField,
    /// Where the keys go.
    pub(crate) focus: KeyFocus,
    /// Why it was not taken.
    pub(crate) problem: Option<String>,
    /// Whether the engine works on it: scrypt takes a second or two.
    pub(crate) working: bool,
    /// What needed the key.
    pub(crate) then: Vec<Operation>,
}

impl KeyDialog {
    /// A dialog for a key in this condition; `None` when there is nothing to ask.
    pub(crate) fn new(protection: KeyProtection, then: Vec<Operation>) -> Option<Self> {
        let task = match protection {
            KeyProtection::Missing => KeyTask::Create,
            KeyProtection::Passphrase => KeyTask::Open,
            KeyProtection::Bare => return None,
        };
        Some(Self {
            task,
            first: SecretField::default(),
            second: SecretField::default(),
            focus: KeyFocus::First,
            problem: None,
            working: false,
            then,
        })
    }

    /// Answers a key.
    pub(crate) fn key(&mut self, intent: FormIntent) -> DialogWish {
        if self.working && intent != FormIntent::Cancel {
            return DialogWish::Nothing;
        }
        match (intent, self.focus) {
            (FormIntent::Cancel, _) => return DialogWish::Close,
            (FormIntent::Next, _) => self.go(true),
            (FormIntent::Previous, _) => self.go(false),
            (FormIntent::Activate, KeyFocus::Bare) => return self.create(None),
            (FormIntent::Activate, KeyFocus::First) if self.task == KeyTask::Create => {
                self.go(true);
            }
            (FormIntent::Activate, _) => return self.submit(),
            (FormIntent::Type(key), KeyFocus::First) => self.first.edit(key),
            (FormIntent::Type(key), KeyFocus::Second) => self.second.edit(key),
            (FormIntent::Type(_), KeyFocus::Bare) => {}
        }
        DialogWish::Nothing
    }

    /// Takes a pasted passphrase.
    pub(crate) fn paste(&mut self, pasted: &Sensitive) {
        match self.focus {
            KeyFocus::First if !self.working => self.first.insert(pasted),
            KeyFocus::Second if !self.working => self.second.insert(pasted),
            _ => {}
        }
    }

    fn go(&mut self, forward: bool) {
        if self.task == KeyTask::Create {
            self.focus = match (self.focus, forward) {
                (KeyFocus::First, true) | (KeyFocus::Bare, false) => KeyFocus::Second,
                (KeyFocus::Second, true) | (KeyFocus::First, false) => KeyFocus::Bare,
                (KeyFocus::Bare, true) | (KeyFocus::Second, false) => KeyFocus::First,
            };
        }
    }

    fn submit(&mut self) -> DialogWish {
        self.problem = match self.task {
            KeyTask::Open if self.first.is_empty() => Some("the passphrase is empty".to_owned()),
            KeyTask::Create if self.first.length() < PASSPHRASE_LEAST => Some(format!(
                "the passphrase has {} characters; {PASSPHRASE_LEAST} are the least",
                self.first.length()
            )),
            KeyTask::Create if !self.first.same_as(&self.second) => {
                Some("the two do not agree: type both again".to_owned())
            }
            KeyTask::Open | KeyTask::Create => None,
        };
        if self.problem.is_some() {
            self.focus = KeyFocus::First;
            self.first = SecretField::default();
            self.second = SecretField::default();
            return DialogWish::Nothing;
        }
        self.second = SecretField::default();
        let passphrase = self.first.take();
        if self.task == KeyTask::Create {
            return self.create(Some(passphrase));
        }
        self.working = true;
        DialogWish::Do(vec![Operation::OpenKey(passphrase)])
    }

    fn create(&mut self, passphrase: Option<Sensitive>) -> DialogWish {
        self.working = true;
        DialogWish::Do(vec![Operation::CreateKey(CreateKey { passphrase, recovery: false })])
    }

    /// The engine refused.
    pub(crate) fn fail(&mut self, message: String) {
        self.working = false;
        self.focus = KeyFocus::First;
        self.problem = Some(message);
    }
}

/// What can be copied of a credential: a key, what it is, and its text. Never a token.
pub(crate) fn copies(credential: &Credential) -> Vec<(char, &'static str, String)> {
    let mut copies = vec![
        ('o', "Org ID", credential.org_id.to_string()),
        ('u', "User ID", credential.user_id.to_string()),
    ];
    copies.extend(credential.username.clone().map(|username| ('n', "Username", username)));
    copies.push(('l', "Login URL", credential.login_url.to_string()));
    copies.extend(
        credential
            .token
            .as_ref()
            .map(|token| ('i', "Instance URL", token.instance_url.to_string())),
    );
    copies.push(('a', "Address", credential.address.to_string()));
    copies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::model::sample;

    #[test]
    fn nothing_but_the_full_address_deletes() {
        let address = sample::address("acme", "production");
        for typed in ["", "acme", "acme/sandbox", "ACME/production", "acme/production x"] {
            let mut dialog = DeleteDialog::new(address.clone());
            dialog.typed.insert(typed);
            let wish = dialog.key(FormIntent::Activate);
            assert!(!matches!(wish, DialogWish::Do(_)), "{typed}");
        }
        let mut dialog = DeleteDialog::new(address);
        dialog.typed.insert("acme/production");
        assert!(matches!(dialog.key(FormIntent::Activate), DialogWish::Do(_)));
    }

    #[test]
    fn a_question_begins_on_no() {
        let mut dialog = ConfirmDialog::new(Question::Quit, "Quit?".into(), String::new(), "Quit");
        assert_eq!(dialog.key(Key::Enter), Some(false));
        assert_eq!(dialog.key(Key::Tab), None);
        assert_eq!(dialog.key(Key::Enter), Some(true));
    }

    #[test]
    fn two_passphrases_have_to_agree_and_to_be_long_enough() {
        for (first, second, taken) in [
            ("correct horse", "correct horse", true),
            ("correct horse", "x", false),
            ("a", "a", false),
        ] {
            let mut dialog = KeyDialog::new(KeyProtection::Missing, vec![]).unwrap();
            dialog.paste(&Sensitive::new(first.into()));
            assert_eq!(dialog.key(FormIntent::Activate), DialogWish::Nothing);
            dialog.paste(&Sensitive::new(second.into()));
            let wish = dialog.key(FormIntent::Activate);
            assert_eq!(matches!(wish, DialogWish::Do(_)), taken, "{first} {second}");
            assert_eq!(dialog.problem.is_none(), taken);
            assert!(dialog.first.is_empty() && dialog.second.is_empty());
        }
    }
}
