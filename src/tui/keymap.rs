//! Which key means what, screen by screen (product.md, Keys). A key of an operation that does not
//! exist is in no table, so that nothing is shown or promised that does nothing.

use crate::tui::input::Key;

/// What a person wants on the list of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Move the cursor by so many rows.
    Move(i64),
    /// Move the cursor by so many screens.
    Page(i64),
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// All there is to know of the selected credential.
    Details,
    /// New OAuth credentials.
    New,
    /// Set up OAuth tokens.
    SetUp,
    /// Test access.
    Test,
    /// Rotate with no downtime.
    Rotate,
    /// Test access of all marked or shown.
    TestAll,
    /// Edit without clearing.
    Reset,
    /// Delete for good.
    Delete,
    /// Revoke the token at Salesforce, of the selected one or of all marked.
    Revoke,
    /// Put on hold, or release, the selected one or all marked.
    Hold,
    /// Put the other environment in use.
    UseOther,
    /// Drop a staged edit.
    Discard,
    /// What happened to the selected credential.
    History,
    /// The apps.
    Apps,
    /// What can be copied.
    Copy,
    /// Lock or unlock the sealing key.
    Lock,
    /// Sign-ins for many, one after another.
    Round,
    /// Say which copy of the store goes on.
    WhichCopy,
    /// Mark or unmark the row.
    Mark,
    /// Mark from the last mark to here.
    MarkRange,
    /// Mark all shown.
    MarkAll,
    /// Take all marks away.
    MarkNone,
    /// Only what needs somebody.
    Problems,
    /// The next order.
    Order,
    /// Type a filter.
    Filter,
    /// What was said so far.
    Messages,
    /// Show or hide the line of keys.
    Bar,
    /// The commands by name.
    Palette,
    /// The keys.
    Help,
    /// Take the filter away, or nothing.
    Back,
    /// Leave.
    Quit,
    /// Stop until continued.
    Suspend,
    /// Draw anew.
    Redraw,
}

/// The list's table.
pub(crate) fn dashboard(key: Key) -> Option<Intent> {
    Some(match key {
        Key::Up | Key::Char('k') => Intent::Move(-1),
        Key::Down | Key::Char('j') => Intent::Move(1),
        Key::PageUp => Intent::Page(-1),
        Key::PageDown => Intent::Page(1),
        Key::Home | Key::Char('g') => Intent::First,
        Key::End | Key::Char('G') => Intent::Last,
        Key::Enter | Key::Tab | Key::Char('z') => Intent::Details,
        Key::Char('n') => Intent::New,
        Key::Char('s') => Intent::SetUp,
        Key::Char('t') => Intent::Test,
        Key::Char('T') => Intent::TestAll,
        Key::Char('R') => Intent::Rotate,
        Key::Char('r' | 'e') => Intent::Reset,
        Key::Char('D') => Intent::Delete,
        Key::Char('V') => Intent::Revoke,
        Key::Char('H') => Intent::Hold,
        Key::Char('U') => Intent::UseOther,
        Key::Char('x') => Intent::Discard,
        Key::Char('h') => Intent::History,
        Key::Char('a') => Intent::Apps,
        Key::Char('y') => Intent::Copy,
        Key::Char('L') => Intent::Lock,
        Key::Char('Q') => Intent::Round,
        Key::Char('C') => Intent::WhichCopy,
        Key::Char(' ') => Intent::Mark,
        Key::Char('v') => Intent::MarkRange,
        Key::Char('*') => Intent::MarkAll,
        Key::Char('-') => Intent::MarkNone,
        Key::Char('!') => Intent::Problems,
        Key::Char('o') => Intent::Order,
        Key::Char('/') => Intent::Filter,
        Key::Char('m') => Intent::Messages,
        Key::Char('.') => Intent::Bar,
        Key::Char(':') => Intent::Palette,
        Key::Char('?') => Intent::Help,
        Key::Esc => Intent::Back,
        Key::Char('q') => Intent::Quit,
        other => return anywhere(other),
    })
}

/// What holds on every screen.
pub(crate) fn anywhere(key: Key) -> Option<Intent> {
    match key {
        Key::Ctrl('c') => Some(Intent::Quit),
        Key::Ctrl('z') => Some(Intent::Suspend),
        Key::Ctrl('l') => Some(Intent::Redraw),
        _ => None,
    }
}

/// What a person wants of a form: the rest is typed into the focused field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormIntent {
    /// To the next field.
    Next,
    /// To the field before.
    Previous,
    /// Press the focused button, or go to the next field.
    Activate,
    /// Leave.
    Cancel,
    /// Type.
    Type(Key),
}

/// The table of forms and dialogs.
pub(crate) fn form(key: Key) -> FormIntent {
    match key {
        Key::Tab | Key::Down => FormIntent::Next,
        Key::BackTab | Key::Up => FormIntent::Previous,
        Key::Enter => FormIntent::Activate,
        Key::Esc => FormIntent::Cancel,
        other => FormIntent::Type(other),
    }
}

/// What a person wants of the set-up pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetupIntent {
    /// Send the address to the person's own clipboard.
    Copy,
    /// The address alone, to select by hand.
    Plain,
    /// The address as a QR code.
    Image,
    /// Type into the field by hand.
    Type,
    /// The forward line and the tunnel check: the answer comes back by itself.
    Forward,
    /// Another way to set tokens up.
    Ways,
    /// Demo only: let the simulated person sign in.
    Person,
    /// In a round: pass it over.
    Skip,
    /// A fresh address.
    Again,
    /// Give the set-up up.
    GiveUp,
    /// Leave it pending.
    Leave,
}

/// The table of the set-up pane, while nothing is typed by hand.
pub(crate) fn setup(key: Key) -> Option<SetupIntent> {
    Some(match key {
        Key::Char('y') => SetupIntent::Copy,
        Key::Char('v') => SetupIntent::Plain,
        Key::Char('i') => SetupIntent::Image,
        Key::Enter | Key::Tab => SetupIntent::Type,
        Key::Char('f') => SetupIntent::Forward,
        Key::Char('w') => SetupIntent::Ways,
        Key::Char('p') => SetupIntent::Person,
        Key::Char('n') => SetupIntent::Skip,
        Key::Char('s') => SetupIntent::Again,
        Key::Char('X') => SetupIntent::GiveUp,
        Key::Esc | Key::Char('q') => SetupIntent::Leave,
        _ => return None,
    })
}

/// What a person wants of the list of apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppsIntent {
    /// Move the cursor by so many rows.
    Move(i64),
    /// Add one.
    Add,
    /// Change the selected one.
    Edit,
    /// What can be said of it without a sign-in.
    Test,
    /// Remove it.
    Delete,
    /// How one is made in Salesforce.
    Guide,
    /// Back to the list.
    Leave,
}

/// The table of the list of apps.
pub(crate) fn apps(key: Key) -> Option<AppsIntent> {
    Some(match key {
        Key::Up | Key::Char('k') => AppsIntent::Move(-1),
        Key::Down | Key::Char('j') => AppsIntent::Move(1),
        Key::Char('n' | 'a') => AppsIntent::Add,
        Key::Char('r' | 'e') | Key::Enter => AppsIntent::Edit,
        Key::Char('t') => AppsIntent::Test,
        Key::Char('D') => AppsIntent::Delete,
        Key::Char('g') => AppsIntent::Guide,
        Key::Esc | Key::Char('q') => AppsIntent::Leave,
        _ => return None,
    })
}

/// What a person wants of the worklist of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoundIntent {
    /// Move the cursor by so many rows.
    Move(i64),
    /// Sign in for it, then for the next.
    Work,
    /// Pass it over, or take that back.
    Skip,
    /// Refresh those that need nobody.
    RunUnattended,
    /// End the round.
    End,
    /// Back to the list.
    Leave,
}

/// The table of the worklist of a round.
pub(crate) fn round(key: Key) -> Option<RoundIntent> {
    Some(match key {
        Key::Up | Key::Char('k') => RoundIntent::Move(-1),
        Key::Down | Key::Char('j') => RoundIntent::Move(1),
        Key::PageUp => RoundIntent::Move(-10),
        Key::PageDown => RoundIntent::Move(10),
        Key::Home | Key::Char('g') => RoundIntent::Move(i64::MIN),
        Key::End | Key::Char('G') => RoundIntent::Move(i64::MAX),
        Key::Enter | Key::Char('s') => RoundIntent::Work,
        Key::Char('n') => RoundIntent::Skip,
        Key::Char('R') => RoundIntent::RunUnattended,
        Key::Char('E') => RoundIntent::End,
        Key::Esc | Key::Char('q' | 'Q') => RoundIntent::Leave,
        _ => return None,
    })
}

/// What a person wants of a page to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadIntent {
    /// Scroll by so many lines.
    Scroll(i64),
    /// Back.
    Leave,
}

/// The table of help, history, messages and findings.
pub(crate) fn reading(key: Key) -> Option<ReadIntent> {
    Some(match key {
        Key::Up | Key::Char('k') => ReadIntent::Scroll(-1),
        Key::Down | Key::Char('j') => ReadIntent::Scroll(1),
        Key::PageUp => ReadIntent::Scroll(-10),
        Key::PageDown | Key::Char(' ') => ReadIntent::Scroll(10),
        Key::Home | Key::Char('g') => ReadIntent::Scroll(i64::MIN),
        Key::Esc | Key::Enter | Key::Tab | Key::Char('q' | 'z' | '?') => ReadIntent::Leave,
        _ => return None,
    })
}

/// All keys of the list with their meaning, as the help shows them.
pub(crate) const HELP: [(&str, &str); 34] = [
    ("n", "new OAuth credentials"),
    ("s", "set up OAuth tokens, or see a pending set-up again"),
    ("in set-up", "f the answer comes back by itself (ssh -L); w another way in; or just paste"),
    ("t", "test access of the selected credential"),
    ("T", "test access of all marked, or of all shown"),
    ("R", "rotate: by a refresh, or by a sign-in; the old token works until then"),
    ("r, e", "reset: edit without clearing"),
    ("x", "drop a staged edit"),
    ("D", "delete the credential and its token for good (asks for its address)"),
    ("V", "revoke the token at Salesforce, of all marked too (asks)"),
    ("H", "hold: nothing is handed out, refreshed or signed in; or release; of all marked too"),
    ("U", "put the connection's other environment in use (asks)"),
    ("Enter, Tab, z", "the panel at full size, and back"),
    ("h", "history: checks, changes, and who got tokens"),
    ("a", "apps: the OAuth clients of your orgs"),
    ("y", "copy an ID, the user or the host; never a token"),
    ("L", "lock or unlock the sealing key"),
    ("Q", "round: the sign-ins of all marked, or of all shown, one after another"),
    ("C", "which copy of the store goes on, where it may be one (asks)"),
    (
        "/",
        "filter: words, env:prod state:needs_setup user:bob org:00D app:x tag:eu is:held due:7d overdue, !word",
    ),
    (":", "commands by name"),
    ("!", "problems only"),
    ("o", "order: by name, by state, by last test, by rotation due"),
    ("Space", "mark"),
    ("v", "mark from the last mark to here"),
    ("*  -", "mark all shown, none"),
    ("m", "messages so far"),
    (".", "show or hide the line of keys"),
    ("j k, arrows", "move"),
    ("g G, Home End", "first, last"),
    ("PgUp PgDn", "a screen up or down"),
    ("Esc", "back"),
    ("q, Ctrl-C", "quit"),
    ("Ctrl-Z  Ctrl-L", "suspend, draw anew"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_key_that_the_help_names_does_something() {
        for (keys, meaning) in HELP {
            for word in keys.split([' ', ',']).filter(|word| word.chars().count() == 1) {
                let key = Key::Char(word.chars().next().unwrap());
                assert!(dashboard(key).is_some(), "{word}: {meaning}");
            }
        }
    }

    #[test]
    fn what_destroys_or_acts_on_many_is_upper_case() {
        for lower in 'a'..='z' {
            let intent = dashboard(Key::Char(lower));
            assert!(
                !matches!(
                    intent,
                    Some(
                        Intent::Delete
                            | Intent::TestAll
                            | Intent::UseOther
                            | Intent::Revoke
                            | Intent::Hold
                            | Intent::Rotate
                    )
                ),
                "{lower}"
            );
        }
    }
}
