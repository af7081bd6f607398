//! The controlling terminal, for the one question that must not be echoed.
//!
//! Not the dashboard's terminal: screens and keys are the dashboard's own.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr,
};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// Longest answer that is taken, in bytes.
const ANSWER_LIMIT: usize = 8 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromptError {
    /// The process has no terminal, so nobody can be asked.
    #[error("there is no terminal to ask for the passphrase on")]
    NoTerminal,
    /// Ctrl-C, or the terminal was closed.
    #[error("the question was not answered")]
    Interrupted,
    /// Longer than 8192 bytes.
    #[error("the answer is longer than 8192 bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the answer is not UTF-8 text")]
    NotText,
    /// The system refused.
    #[error("can't ask on the terminal: {0}")]
    System(#[from] io::Error),
}

impl PromptError {
    /// What the admin does next.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::NoTerminal => {
                "name a file that holds it in ORGKEY_PASSPHRASE_FILE, or run in a terminal"
            }
            Self::Interrupted => "run the command again when the answer is at hand",
            Self::TooLong => "take a shorter passphrase, or put it into ORGKEY_PASSPHRASE_FILE",
            Self::NotText => "set the terminal to UTF-8, then type it again",
            Self::System(_) => "name a file that holds it in ORGKEY_PASSPHRASE_FILE",
        }
    }
}

/// Whether someone can type answers to prompts.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether what is printed lands on a screen.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns and rows of the screen that is printed on; `None` where it is none.
pub(crate) fn stdout_size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Asks on the controlling terminal, whatever standard input and output are, and reads the answer
/// without echo. The prompt is written as it is given, so it must be our own text.
pub(crate) fn prompt_hidden(prompt: &str) -> Result<SecretString, PromptError> {
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| PromptError::NoTerminal)?;
    prompt_on(&terminal, prompt)
}

/// How the controlling terminal was, for a program that a signal ends while a question waits: the
/// thread that asks can't give it back then.
pub(crate) struct FormerModes(Option<(File, Termios)>);

impl FormerModes {
    /// Looks at the terminal; without one there is nothing to give back.
    pub(crate) fn of_now() -> Self {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
        Self(terminal.and_then(|terminal| {
            let modes = tcgetattr(&terminal).ok()?;
            Some((terminal, modes))
        }))
    }

    /// Gives the terminal back as it was. In the background it belongs to another program, whose
    /// modes are left alone.
    pub(crate) fn give_back(self) {
        let Some((terminal, former)) = self.0 else { return };
        if tcgetpgrp(&terminal).is_ok_and(|foreground| foreground == rustix::process::getpgrp()) {
            // There is no one to tell, and no other way to mend it.
            let _ = tcsetattr(&terminal, OptionalActions::Now, &former);
        }
    }
}

fn prompt_on(mut terminal: &File, prompt: &str) -> Result<SecretString, PromptError> {
    let quiet = Quiet::begin(terminal)?;
    terminal.write_all(prompt.as_bytes())?;
    let answer = read_answer(&mut io::Read::by_ref(&mut terminal));
    drop(quiet);
    terminal.write_all(b"\r\n")?;
    answer
}

/// A terminal without echo; its former modes come back when this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    former: Termios,
}

impl<'a> Quiet<'a> {
    /// Turns off echo, and with it line editing and the keys that send signals: then Ctrl-C and
    /// Ctrl-Z arrive as bytes, and none of them can end or stop us while the echo is off.
    fn begin(terminal: &'a File) -> Result<Self, PromptError> {
        let former = tcgetattr(terminal).map_err(|_| PromptError::NoTerminal)?;
        let mut modes = former.clone();
        modes.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Flush, &modes).map_err(io::Error::from)?;
        Ok(Self { terminal, former })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // There is no one to tell, and no other way to mend it.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.former);
    }
}

/// Reads one line with the editing keys that people use blindly: Backspace, Ctrl-U, Ctrl-C,
/// Ctrl-D. Keys that send a sequence (arrows) and other control characters are dropped.
fn read_answer(source: &mut impl Read) -> Result<SecretString, PromptError> {
    // The room is taken at once, so that growing leaves no copies behind.
    let mut answer: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(ANSWER_LIMIT));
    let mut sequence = Sequence::None;
    loop {
        let mut byte = Zeroizing::new([0_u8]);
        if source.read(&mut *byte)? == 0 {
            return Err(PromptError::Interrupted);
        }
        sequence = match (sequence, byte[0]) {
            (Sequence::Escape, b'[' | b'O') => Sequence::Parameters,
            (Sequence::Parameters, 0x20..=0x3f) => Sequence::Parameters,
            (Sequence::Parameters, 0x40..=0x7e) => Sequence::None,
            (_, 0x1b) => Sequence::Escape,
            (_, b'\r' | b'\n') => break,
            (_, 0x03 | 0x1c) => return Err(PromptError::Interrupted),
            (_, 0x04) if answer.is_empty() => return Err(PromptError::Interrupted),
            (_, 0x7f | 0x08) => {
                remove_last_character(&mut answer);
                Sequence::None
            }
            (_, 0x15) => {
                answer.clear();
                Sequence::None
            }
            (_, 0..=0x1f) => Sequence::None,
            (_, byte) => {
                if answer.len() == ANSWER_LIMIT {
                    return Err(PromptError::TooLong);
                }
                answer.push(byte);
                Sequence::None
            }
        };
    }
    let text = std::str::from_utf8(&answer).map_err(|_| PromptError::NotText)?;
    Ok(SecretString::from(text))
}

/// Where in a key's escape sequence the reader is.
#[derive(Clone, Copy)]
enum Sequence {
    None,
    Escape,
    Parameters,
}

/// Takes off one UTF-8 character, not one byte.
fn remove_last_character(answer: &mut Vec<u8>) {
    while let Some(byte) = answer.pop() {
        if byte & 0xc0 != 0x80 {
            break;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "invented answers are compared")]
mod tests {
    use portable_pty::{PtySize, native_pty_system};
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn answers_are_edited_as_people_do_blindly() {
        for (typed, answer) in [
            (b"correct horse\n".as_slice(), "correct horse"),
            (b"\r", ""),
            (b"wrong\x15right\r", "right"),
            ("öx\u{7f}\u{7f}y\n".as_bytes(), "y"),
            (b"\x7f\x08a\n", "a"),
            (b"a\x1b[Db\x1bOAc\x1b[1;5Cd\n", "abcd"),
            (b"a\x1a\x01b\x04\n", "ab"),
        ] {
            let read = read_answer(&mut &*typed).unwrap();
            assert_eq!(read.expose_secret(), answer, "{typed:?}");
        }
        for typed in [b"a\x03".as_slice(), b"\x04", b"no end", b""] {
            assert!(matches!(read_answer(&mut &*typed), Err(PromptError::Interrupted)));
        }
        assert!(matches!(read_answer(&mut &b"\xff\n"[..]), Err(PromptError::NotText)));
        let long = [b'x'; ANSWER_LIMIT + 1];
        assert!(matches!(read_answer(&mut &long[..]), Err(PromptError::TooLong)));
    }

    #[test]
    fn the_answer_is_not_echoed_and_the_terminal_is_as_before() {
        for (typed, answered) in [("hidden-answer\r", true), ("hidden-answer\u{3}", false)] {
            let pair = native_pty_system().openpty(PtySize::default()).unwrap();
            let terminal =
                OpenOptions::new().read(true).write(true).open(pair.master.tty_name().unwrap());
            let terminal = terminal.unwrap();
            let before = tcgetattr(&terminal).unwrap().local_modes;
            let mut keyboard = pair.master.take_writer().unwrap();
            let mut screen = pair.master.try_clone_reader().unwrap();
            let seen = std::thread::scope(|scope| {
                let asked = scope.spawn(|| prompt_on(&terminal, "Passphrase: "));
                let mut seen = Vec::new();
                let mut typed = Some(typed);
                while !seen.ends_with(b"\r\n") {
                    let mut byte = [0];
                    screen.read_exact(&mut byte).unwrap();
                    seen.push(byte[0]);
                    if seen.ends_with(b"Passphrase: ")
                        && let Some(typed) = typed.take()
                    {
                        keyboard.write_all(typed.as_bytes()).unwrap();
                    }
                }
                let answer = asked.join().unwrap();
                assert_eq!(answer.is_ok(), answered);
                assert!(answer.is_err() || answer.unwrap().expose_secret() == "hidden-answer");
                seen
            });
            assert!(!String::from_utf8_lossy(&seen).contains("hidden"), "{seen:?}");
            assert_eq!(tcgetattr(&terminal).unwrap().local_modes, before);
        }
    }
}
