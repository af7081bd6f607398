//! The thread that reads the terminal. It waits in the kernel until a key comes; the end of the
//! terminal (end of file, or an error once the line is cut) is reported like a hang-up.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

use crate::tui::input::{Decoder, Input, PASTE_LIMIT};

/// What the thread reports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A key or a paste.
    Input(Input),
    /// There is no terminal any more.
    Ended,
}

/// Starts the thread that reads `terminal`. It ends with the terminal or with the receiver.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start(
    terminal: impl AsFd + Send + 'static,
    reports: Sender<Read>,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        read_keys(&terminal, &reports);
        // Nobody may be listening any more, which is as good.
        let _ = reports.blocking_send(Read::Ended);
    })?;
    Ok(())
}

fn read_keys(terminal: &impl AsFd, reports: &Sender<Read>) {
    let mut decoder = Decoder::default();
    let mut buffer = Zeroizing::new(vec![0_u8; PASTE_LIMIT]);
    loop {
        let Some(count) = read(terminal, &mut buffer) else { return };
        decoder.feed(&buffer[..count]);
        let mut quiet = false;
        let mut more = 0;
        while let Some(patience) = decoder.patience() {
            if more > 2 * PASTE_LIMIT {
                break;
            }
            let limit = Timespec {
                tv_sec: i64::try_from(patience.as_secs()).unwrap_or(1),
                tv_nsec: patience.subsec_nanos().into(),
            };
            let mut waiting = [PollFd::new(terminal, PollFlags::IN)];
            match rustix::event::poll(&mut waiting, Some(&limit)) {
                Ok(0) => {
                    quiet = true;
                    break;
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
                Ok(_) => {
                    let Some(count) = read(terminal, &mut buffer) else { return };
                    more += count;
                    decoder.feed(&buffer[..count]);
                }
            }
        }
        for input in decoder.decode(quiet) {
            if reports.blocking_send(Read::Input(input)).is_err() {
                return;
            }
        }
    }
}

/// Reads once; `None` at the end of the terminal.
fn read(terminal: &impl AsFd, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match rustix::io::read(terminal, &mut *buffer) {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::tui::input::Key;

    #[tokio::test]
    async fn an_unbracketed_paste_in_many_pieces_is_one_paste_and_the_end_is_reported() {
        let (terminal, mut line) = std::io::pipe().unwrap();
        let (reports, mut reads) = tokio::sync::mpsc::channel(8);
        start(terminal, reports).unwrap();
        line.write_all(b"j").unwrap();
        assert_eq!(reads.recv().await, Some(Read::Input(Input::Key(Key::Char('j')))));
        for piece in [b"https://acme".as_slice(), b"/?code=\r\n", b"D", b"qX"] {
            line.write_all(piece).unwrap();
        }
        let wanted = crate::tui::input::clean_paste(b"https://acme/?code=DqX");
        assert_eq!(reads.recv().await, Some(Read::Input(Input::Paste(wanted))));
        drop(line);
        assert_eq!(reads.recv().await, Some(Read::Ended));
    }
}
