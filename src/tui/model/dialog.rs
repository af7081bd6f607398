//! Questions on the way: type an address or a reason, yes or no, the sealing key, what to copy.
//! Every one of them begins where Enter does no harm.

use crate::domain::credential::Credential;
use crate::domain::name::Address;
use crate::engine::Operation;
use crate::engine::operation::{
    CreateKey, DeleteRequest, HoldRequest, RevokeRequest, Selection, SkipInRound,
};
use crate::engine::outcome::KeyProtection;
use crate::engine::sensitive::Sensitive;
use crate::tui::input::Key;
use crate::tui::keymap::FormIntent;
use crate::tui::model::field::{LineField, SecretField};

/// Shortest passphrase that is taken, in characters.
const PASSPHRASE_LEAST: usize = 8;

/// What a dialog does once its line is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypedTask {
    /// Deletes one for good; its address is typed.
    Delete,
    /// Revokes tokens; the address is typed, or of several how many there are.
    Revoke,
    /// Puts on hold; the reason is typed.
    Hold,
    /// Passes one over in a round; the note is typed.
    Skip,
}

/// Asks for something to be typed before anything is destroyed or stopped.
#[derive(Clone, Debug)]
pub(crate) struct TypedDialog {
    /// What it does.
    pub(crate) task: TypedTask,
    /// To which credentials.
    pub(crate) addresses: Vec<Address>,
    /// Whether the plain name says it as well: only one environment is saved.
    pub(crate) plain_is_clear: bool,
    /// What was typed so far.
    pub(crate) typed: LineField,
    /// Whether Cancel has the keys; otherwise the line has them.
    pub(crate) on_cancel: bool,
    /// Whether Enter was pressed on something else than was asked for.
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

impl TypedDialog {
    /// Asks about these.
    pub(crate) fn new(task: TypedTask, addresses: Vec<Address>, plain_is_clear: bool) -> Self {
        Self {
            task,
            addresses,
            plain_is_clear,
            typed: LineField::default(),
            on_cancel: false,
            mistyped: false,
        }
    }

    /// What has to be typed; `None` where any words do.
    pub(crate) fn wanted(&self) -> Option<String> {
        match (self.task, self.addresses.as_slice()) {
            (TypedTask::Hold | TypedTask::Skip, _) => None,
            (_, [address]) => Some(address.to_string()),
            (_, all) => Some(all.len().to_string()),
        }
    }

    fn agrees(&self, typed: &str) -> bool {
        let plain = self.addresses.first().filter(|_| self.plain_is_clear);
        self.wanted().is_none_or(|wanted| typed == wanted)
            || plain.is_some_and(|address| typed == address.name.as_str())
    }

    /// Answers a key. Enter on an empty line is Cancel.
    pub(crate) fn key(&mut self, intent: FormIntent) -> DialogWish {
        match intent {
            FormIntent::Cancel => return DialogWish::Close,
            FormIntent::Next | FormIntent::Previous => self.on_cancel = !self.on_cancel,
            // What is typed next would act as keys.
            FormIntent::Activate
                if !self.on_cancel
                    && self.wanted().is_none()
                    && self.typed.value().trim().is_empty() =>
            {
                self.mistyped = true;
            }
            FormIntent::Activate if self.on_cancel || self.typed.value().trim().is_empty() => {
                return DialogWish::Close;
            }
            FormIntent::Activate if self.agrees(self.typed.value().trim()) => {
                return DialogWish::Do(self.operations());
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

    fn operations(&self) -> Vec<Operation> {
        let reason = self.typed.value().trim().to_owned();
        let each = |make: fn(Selection) -> Operation| {
            self.addresses.iter().map(|address| make(Selection::exactly(address))).collect()
        };
        match self.task {
            TypedTask::Delete => each(|selection| {
                Operation::Delete(DeleteRequest { selection, both: false, reason: None })
            }),
            TypedTask::Revoke => {
                each(|selection| Operation::Revoke(RevokeRequest { selection, reason: None }))
            }
            TypedTask::Hold => {
                let addresses = self.addresses.clone();
                vec![Operation::Hold(HoldRequest { addresses, reason })]
            }
            TypedTask::Skip => {
                let skip = |address: &Address| {
                    let (address, note) = (address.clone(), Some(reason.clone()));
                    Operation::SkipInRound(SkipInRound { address, note })
                };
                self.addresses.iter().map(skip).collect()
            }
        }
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

    fn does(task: TypedTask, count: usize, plain_is_clear: bool, typed: &str) -> bool {
        let addresses = vec![sample::address("acme", "production"); count];
        let mut dialog = TypedDialog::new(task, addresses, plain_is_clear);
        dialog.typed.insert(typed);
        matches!(dialog.key(FormIntent::Activate), DialogWish::Do(_))
    }

    #[test]
    fn nothing_but_the_address_destroys_and_of_several_their_number() {
        for task in [TypedTask::Delete, TypedTask::Revoke] {
            for typed in ["", "acme/sandbox", "ACME/production", "acme/production x", "1"] {
                assert!(!does(task, 1, true, typed), "{typed}");
            }
            assert!(does(task, 1, false, "acme/production"));
            assert!(does(task, 1, true, "acme/production") && does(task, 1, true, "acme"));
            assert!(!does(task, 1, false, "acme"), "it could mean the other one");
        }
        for typed in ["", "acme", "acme/production", "2", "33"] {
            assert!(!does(TypedTask::Revoke, 3, false, typed), "{typed}");
        }
        assert!(does(TypedTask::Revoke, 3, false, "3"));
        assert!(does(TypedTask::Hold, 3, false, "leaver") && !does(TypedTask::Hold, 3, false, " "));
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
