//! The terminal's modes: taken at the start, given back at every end.

use std::io::{IsTerminal, stdin, stdout};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

use crate::tui::message::Size;
use crate::tui::writer::write_all;

/// Alternate screen, bracketed paste.
pub(crate) const ENTER: &[u8] = b"\x1b[?1049h\x1b[?2004h";
/// Everything cleared, so that no address stays behind where there is no alternate screen; then
/// plain style, no bracketed paste, the cursor, the former screen.
pub(crate) const LEAVE: &[u8] = b"\x1b[m\x1b[H\x1b[2J\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// Size where the terminal does not tell, e.g. a serial line.
const FALLBACK: Size = Size { width: 80, height: 24 };

/// The thread of the loop, while it holds the terminal.
static HOLDER: Mutex<Option<ThreadId>> = Mutex::new(None);

fn set_holder(thread: Option<ThreadId>) {
    *HOLDER.lock().unwrap_or_else(PoisonError::into_inner) = thread;
}

/// Whether both ends are a terminal.
pub(crate) fn is_there() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// The terminal's size, as the kernel knows it.
pub(crate) fn size() -> Size {
    match rustix::termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { width: size.ws_col.min(1_000), height: size.ws_row.min(500) }
        }
        _ => FALLBACK,
    }
}

/// Holds raw mode; gives the terminal back when dropped, also while a panic unwinds.
pub(crate) struct RawMode {
    /// Whether it still has to be given back.
    held: bool,
}

impl RawMode {
    /// Takes raw mode.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn take() -> std::io::Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        set_holder(Some(std::thread::current().id()));
        Ok(Self { held: true })
    }

    /// The bytes of [`LEAVE`] are written already: only the mode is given back.
    pub(crate) fn release(&mut self) {
        self.held = false;
        set_holder(None);
        // A terminal that is gone cannot be given back.
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if self.held {
            restore();
        }
    }
}

/// Gives the terminal back, wherever the program is. Does nothing when the dashboard does not
/// hold it.
fn restore() {
    if crossterm::terminal::is_raw_mode_enabled().unwrap_or(false) {
        write_all(&stdout(), LEAVE);
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// From now on a panic of the loop gives the terminal back before it is reported, so that the
/// report is not drawn over and not lost with the alternate screen. A panic elsewhere while the
/// dashboard goes on is not reported on its screen: the loop answers for the job, and the log has
/// the place.
pub(crate) fn restore_on_panic() {
    let former = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let holder = *HOLDER.lock().unwrap_or_else(PoisonError::into_inner);
        if holder.is_some_and(|thread| thread != std::thread::current().id()) {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "a part of the program panicked");
        } else {
            restore();
            former(panic);
        }
    }));
}

/// What stands between the program and the person's own terminal, and keeps sequences for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Multiplexer {
    /// Nothing.
    #[default]
    None,
    /// tmux(1).
    Tmux,
    /// GNU screen(1).
    Screen,
}

impl Multiplexer {
    /// Reads it out of the environment: each sets a variable of its own.
    pub(crate) fn of_this_process() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match (set("TMUX"), set("STY")) {
            (true, _) => Self::Tmux,
            (false, true) => Self::Screen,
            (false, false) => Self::None,
        }
    }
}

/// GNU screen passes on so many bytes at once.
const SCREEN_PIECE: usize = 76;

/// The sequence that puts a text on the clipboard of the person's own terminal (OSC 52). tmux takes
/// it where `set-clipboard` is on, and passes a wrapped one on where `allow-passthrough` is: it gets
/// both. screen passes on what is wrapped, piece by piece.
pub(crate) fn copy_sequence(text: &str, multiplexer: Multiplexer) -> Vec<u8> {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let plain = format!("\x1b]52;c;{encoded}\x07");
    match multiplexer {
        Multiplexer::None => plain.into_bytes(),
        Multiplexer::Tmux => format!("{plain}\x1bPtmux;\x1b{plain}\x1b\\").into_bytes(),
        Multiplexer::Screen => {
            let pieces = plain.as_bytes().chunks(SCREEN_PIECE);
            pieces.flat_map(|piece| [b"\x1bP", piece, b"\x1b\\"].concat()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_base64_and_cannot_break_out_of_its_sequence() {
        let plain = |text| copy_sequence(text, Multiplexer::None);
        assert_eq!(plain("acme"), b"\x1b]52;c;YWNtZQ==\x07");
        let hostile = plain("\x1b]52;c;\x07");
        assert!(!hostile[1..].contains(&0x1b));
    }

    #[test]
    fn a_copy_is_wrapped_for_what_stands_between() {
        let tmux = copy_sequence("acme", Multiplexer::Tmux);
        let wrapped = "\x1bPtmux;\x1b\x1b]52;c;YWNtZQ==\x07\x1b\\";
        assert_eq!(tmux, format!("\x1b]52;c;YWNtZQ==\x07{wrapped}").into_bytes());
        let long = "a".repeat(500);
        let screen = String::from_utf8(copy_sequence(&long, Multiplexer::Screen)).unwrap();
        let pieces: Vec<&str> = screen.split_terminator("\x1b\\").collect();
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= SCREEN_PIECE + 2));
        let joined: String =
            pieces.iter().map(|piece| piece.strip_prefix("\x1bP").unwrap()).collect();
        assert_eq!(joined.into_bytes(), copy_sequence(&long, Multiplexer::None));
    }
}
