//! Whether a text that is sent to the clipboard of the person's own terminal (OSC 52) arrives there.
//! No terminal answers, so the best that can be said is that it is likely.

/// What stands between the program and the person's own terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Between {
    /// Nothing, as far as is known; SSH passes everything on.
    #[default]
    Nothing,
    /// tmux(1), with its options as it tells them; `None` where it does not know one.
    Tmux {
        /// `set-clipboard`: it takes the sequence for itself and passes it on where it is `on`.
        set_clipboard: Option<String>,
        /// `allow-passthrough`: it passes a wrapped one on where it is not `off`. Before version 3.3
        /// there is no such option, and it always does.
        allow_passthrough: Option<String>,
    },
    /// GNU screen(1), which passes on what is wrapped.
    Screen,
}

/// What is known of the way to the clipboard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClipboardWay {
    /// `TERM` of the person's own terminal: within tmux that of its client.
    pub(crate) term: String,
    /// What the terminal calls itself beside that (`TERM_PROGRAM`, `LC_TERMINAL`).
    pub(crate) program: String,
    /// What stands between.
    pub(crate) between: Between,
}

/// What can be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClipboardReach {
    /// It is likely to arrive.
    Likely,
    /// This terminal asks for permission first, or wants it given once.
    AfterPermission {
        /// Where the permission is given.
        place: &'static str,
    },
    /// tmux keeps it.
    KeptByTmux,
    /// There is no clipboard.
    Nowhere,
    /// It can't be told: many terminals go by that name.
    Unknown,
}

/// Beginnings of `TERM` of terminals that take it as they come.
const TAKING_TERMS: [&str; 6] =
    ["xterm-kitty", "xterm-ghostty", "alacritty", "foot", "wezterm", "contour"];
/// Names of such programs, in lower case.
const TAKING_PROGRAMS: [&str; 5] = ["wezterm", "ghostty", "kitty", "vscode", "warpterminal"];
/// Names of iTerm2, in lower case.
const ITERM: [&str; 2] = ["iterm.app", "iterm2"];

impl ClipboardWay {
    /// Judges it.
    pub(crate) fn reach(&self) -> ClipboardReach {
        if let Between::Tmux { set_clipboard, allow_passthrough } = &self.between
            && set_clipboard.as_deref() != Some("on")
            && allow_passthrough.as_deref() == Some("off")
        {
            return ClipboardReach::KeptByTmux;
        }
        let program = self.program.to_ascii_lowercase();
        if ITERM.contains(&program.as_str()) {
            let place = "iTerm2: Settings > General > Selection > Applications in terminal may access clipboard";
            return ClipboardReach::AfterPermission { place };
        }
        if TAKING_PROGRAMS.contains(&program.as_str())
            || TAKING_TERMS.iter().any(|known| self.term.starts_with(known))
        {
            return ClipboardReach::Likely;
        }
        match self.term.as_str() {
            "linux" | "dumb" | "" => ClipboardReach::Nowhere,
            _ => ClipboardReach::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tmux(set_clipboard: Option<&str>, allow_passthrough: Option<&str>) -> Between {
        Between::Tmux {
            set_clipboard: set_clipboard.map(str::to_owned),
            allow_passthrough: allow_passthrough.map(str::to_owned),
        }
    }

    #[test]
    fn nothing_is_more_than_likely_and_a_common_name_says_nothing() {
        use ClipboardReach::{Likely, Nowhere, Unknown};
        let table = [
            ("xterm-kitty", "", Likely),
            ("foot-extra", "", Likely),
            ("xterm-256color", "vscode", Likely),
            ("xterm-256color", "WezTerm", Likely),
            ("xterm-256color", "", Unknown),
            ("xterm-256color", "Apple_Terminal", Unknown),
            ("screen-256color", "", Unknown),
            ("linux", "", Nowhere),
            ("dumb", "", Nowhere),
            ("", "", Nowhere),
        ];
        for (term, program, expected) in table {
            let between = Between::Nothing;
            let way = ClipboardWay { term: term.into(), program: program.into(), between };
            assert_eq!(way.reach(), expected, "{way:?}");
        }
        let iterm = ClipboardWay { program: "iTerm2".into(), ..ClipboardWay::default() };
        assert!(matches!(iterm.reach(), ClipboardReach::AfterPermission { .. }));
    }

    #[test]
    fn tmux_keeps_it_unless_one_of_two_options_lets_it_through() {
        let table = [
            (Some("external"), Some("off"), true),
            (Some("off"), Some("off"), true),
            (None, Some("off"), true),
            (Some("on"), Some("off"), false),
            (Some("external"), Some("on"), false),
            (Some("external"), Some("all"), false),
            (Some("external"), None, false),
        ];
        for (set_clipboard, passthrough, kept) in table {
            let between = tmux(set_clipboard, passthrough);
            let way = ClipboardWay { term: "foot".into(), between, ..ClipboardWay::default() };
            assert_eq!(way.reach() == ClipboardReach::KeptByTmux, kept, "{way:?}");
            assert_eq!(way.reach() == ClipboardReach::Likely, !kept, "{way:?}");
        }
    }
}
