//! The palette: the commands by the names that they have on the command line, for those who know
//! a name but not its key.

use crate::tui::keymap::{FormIntent, Intent};
use crate::tui::model::field::LineField;

/// A command that the palette offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// Its name on the command line, or the nearest to it.
    pub(crate) name: &'static str,
    /// Its key on the list.
    pub(crate) key: &'static str,
    /// What it does.
    pub(crate) intent: Intent,
}

/// All of them, those of the selected row first.
pub(crate) const COMMANDS: [Command; 24] = [
    command("setup", "s", Intent::SetUp),
    command("test", "t", Intent::Test),
    command("rotate", "R", Intent::Rotate),
    command("reset", "r", Intent::Reset),
    command("delete", "D", Intent::Delete),
    command("revoke", "V", Intent::Revoke),
    command("hold or release", "H", Intent::Hold),
    command("show", "Enter", Intent::Details),
    command("use the other environment", "U", Intent::UseOther),
    command("reset --discard", "x", Intent::Discard),
    command("history", "h", Intent::History),
    command("copy", "y", Intent::Copy),
    command("save", "n", Intent::New),
    command("test --all", "T", Intent::TestAll),
    command("round", "Q", Intent::Round),
    command("app list", "a", Intent::Apps),
    command("lock or unlock", "L", Intent::Lock),
    command("adopt", "C", Intent::WhichCopy),
    command("move --elsewhere", "C", Intent::WhichCopy),
    command("filter", "/", Intent::Filter),
    command("problems only", "!", Intent::Problems),
    command("messages", "m", Intent::Messages),
    command("help", "?", Intent::Help),
    command("quit", "q", Intent::Quit),
];

const fn command(name: &'static str, key: &'static str, intent: Intent) -> Command {
    Command { name, key, intent }
}

/// What was typed, and which of the commands that fit is selected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Palette {
    /// What was typed.
    pub(crate) typed: LineField,
    /// Which one, counted among those that fit.
    pub(crate) selected: usize,
}

/// What the palette wants after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaletteWish {
    /// Nothing but to be drawn.
    Nothing,
    /// Leave.
    Leave,
    /// Leave, and do this.
    Do(Intent),
}

impl Palette {
    /// The commands whose name has every word that was typed.
    pub(crate) fn fitting(&self) -> Vec<Command> {
        let typed = self.typed.value().to_lowercase();
        let fits = |command: &Command| typed.split_whitespace().all(|w| command.name.contains(w));
        COMMANDS.into_iter().filter(fits).collect()
    }

    /// Answers a key.
    pub(crate) fn key(&mut self, intent: FormIntent) -> PaletteWish {
        let fitting = self.fitting();
        match intent {
            FormIntent::Cancel => return PaletteWish::Leave,
            FormIntent::Next => {
                self.selected = (self.selected + 1).min(fitting.len().saturating_sub(1));
            }
            FormIntent::Previous => self.selected = self.selected.saturating_sub(1),
            FormIntent::Activate => {
                return fitting
                    .get(self.selected)
                    .map_or(PaletteWish::Nothing, |command| PaletteWish::Do(command.intent));
            }
            FormIntent::Type(key) => {
                self.typed.edit(key);
                self.selected = 0;
            }
        }
        PaletteWish::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::input::Key;
    use crate::tui::keymap;

    fn typed(text: &str) -> Palette {
        let mut palette = Palette::default();
        for letter in text.chars() {
            palette.key(FormIntent::Type(Key::Char(letter)));
        }
        palette
    }

    #[test]
    fn every_key_that_the_palette_names_does_the_same_on_the_list() {
        for command in COMMANDS {
            let key = match command.key {
                "Enter" => Key::Enter,
                key => Key::Char(key.chars().next().unwrap()),
            };
            assert_eq!(keymap::dashboard(key), Some(command.intent), "{}", command.name);
        }
    }

    #[test]
    fn words_narrow_the_choice_and_enter_takes_the_selected_one() {
        let mut palette = typed("test");
        let names: Vec<&str> = palette.fitting().iter().map(|command| command.name).collect();
        assert_eq!(names, ["test", "test --all"]);
        assert_eq!(palette.key(FormIntent::Activate), PaletteWish::Do(Intent::Test));
        palette.key(FormIntent::Next);
        palette.key(FormIntent::Next);
        assert_eq!(palette.key(FormIntent::Activate), PaletteWish::Do(Intent::TestAll));
        assert_eq!(typed("nonsense").key(FormIntent::Activate), PaletteWish::Nothing);
        assert_eq!(typed("ALL te").fitting().len(), 1);
    }
}
