//! Colours: the sixteen that every terminal has, and none with `NO_COLOR`. A colour repeats what
//! a word or a mark already says.

use ratatui::style::{Color, Modifier, Style};

use crate::domain::credential::State;
use crate::domain::name::Environment;
use crate::tui::model::notice::Tone;
use crate::tui::screen::LINK;

/// The styles of one screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    /// Whether colours may be used.
    pub(crate) color: bool,
}

impl Theme {
    fn colored(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Plain text.
    #[expect(clippy::unused_self, reason = "called like the other styles")]
    pub(crate) fn plain(self) -> Style {
        Style::new()
    }

    /// The important word.
    #[expect(clippy::unused_self, reason = "called like the other styles")]
    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is not in use, or only helps.
    pub(crate) fn dim(self) -> Style {
        if self.color { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    /// An address that the terminal may open.
    #[expect(clippy::unused_self, reason = "called like the other styles")]
    pub(crate) fn link(self) -> Style {
        Style::new().add_modifier(LINK)
    }

    /// The light and the dark half of a picture; without colours the terminal's own two.
    pub(crate) fn picture(self) -> Style {
        if self.color {
            Style::new().fg(Color::Black).bg(Color::Gray)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// What is wrong.
    pub(crate) fn wrong(self) -> Style {
        self.colored(Color::Red)
    }

    /// A state's mark and word.
    pub(crate) fn state(self, state: State) -> Style {
        match state {
            State::NeedsSetup | State::Misconfigured => self.colored(Color::Red),
            State::Limited | State::Unreachable | State::Uncertain => self.colored(Color::Yellow),
            State::Ready => self.colored(Color::Green),
            State::NoToken | State::Authorizing | State::Untested => Style::new(),
        }
    }

    /// The environment's word.
    pub(crate) fn environment(self, environment: Environment) -> Style {
        match environment {
            Environment::Production => self.colored(Color::Magenta),
            Environment::Sandbox => Style::new(),
        }
    }

    /// What was said.
    pub(crate) fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Good => self.colored(Color::Green),
            Tone::Plain => Style::new(),
            Tone::Bad => self.colored(Color::Red),
        }
    }
}
