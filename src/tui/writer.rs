//! The draw gate: one thread writes whole frames to the terminal, one at a time.
//!
//! A blocked line blocks that thread and nothing else. While it is busy no frame is drawn, so at
//! most one waits in memory, and no byte of a frame is ever dropped (the next one is a
//! difference to it).

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::Notify;

/// The thread waits for a frame.
const FREE: u8 = 0;
/// The thread writes.
const BUSY: u8 = 1;
/// The terminal took no more.
const GONE: u8 = 2;

/// The thread's handle.
pub(crate) struct Writer {
    /// Frames go in here, one at a time.
    frames: SyncSender<Vec<u8>>,
    /// What the thread does.
    state: Arc<AtomicU8>,
    /// Told at the end of each write.
    done: Arc<Notify>,
    /// What goes in front of the next frame.
    ahead: Vec<u8>,
}

impl Writer {
    /// Starts the thread that writes to `terminal`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(terminal: impl AsFd + Send + 'static) -> std::io::Result<Self> {
        let (frames, queue) = sync_channel(1);
        let state = Arc::new(AtomicU8::new(FREE));
        let done = Arc::new(Notify::new());
        let (its_state, its_done) = (Arc::clone(&state), Arc::clone(&done));
        std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || write_frames(&terminal, &queue, &its_state, &its_done))?;
        Ok(Self { frames, state, done, ahead: Vec::new() })
    }

    /// Whether a frame may be drawn.
    pub(crate) fn is_free(&self) -> bool {
        self.state.load(Ordering::Acquire) == FREE
    }

    /// Whether the terminal took no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.state.load(Ordering::Acquire) == GONE
    }

    /// Puts bytes in front of the next frame, e.g. a clipboard sequence.
    pub(crate) fn put_ahead(&mut self, bytes: &[u8]) {
        self.ahead.extend_from_slice(bytes);
    }

    /// Whether something waits to go in front of the next frame.
    pub(crate) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Gives a frame to the thread, which must be free; an empty one is skipped.
    pub(crate) fn write(&mut self, frame: &[u8]) {
        let mut bytes = std::mem::take(&mut self.ahead);
        bytes.extend_from_slice(frame);
        if bytes.is_empty() {
            return;
        }
        self.state.store(BUSY, Ordering::Release);
        if self.frames.try_send(bytes).is_err() {
            self.state.store(GONE, Ordering::Release);
        }
    }

    /// Waits for the end of a write.
    pub(crate) async fn written(&self) {
        self.done.notified().await;
    }

    /// Waits until nothing is being written, at most for `limit`; answers whether it is so.
    pub(crate) async fn settle(&self, limit: Duration) -> bool {
        let settled = async {
            while !self.is_free() && !self.is_gone() {
                self.written().await;
            }
        };
        tokio::time::timeout(limit, settled).await.is_ok() && self.is_free()
    }
}

fn write_frames(terminal: &impl AsFd, queue: &Receiver<Vec<u8>>, state: &AtomicU8, done: &Notify) {
    while let Ok(frame) = queue.recv() {
        let written = write_all(terminal, &frame);
        state.store(if written { FREE } else { GONE }, Ordering::Release);
        done.notify_one();
        if !written {
            return;
        }
    }
}

/// Writes all bytes to a terminal; `false` when it takes no more.
pub(crate) fn write_all(terminal: &impl AsFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(terminal, bytes) {
            Ok(0) => return false,
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Longest wait in these tests.
    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn while_nobody_reads_the_gate_is_closed_and_no_byte_is_lost() {
        let (mut reader, terminal) = std::io::pipe().unwrap();
        let mut writer = Writer::start(terminal).unwrap();
        let frame = vec![b'x'; 300_000];
        writer.put_ahead(b"ahead");
        writer.write(&frame);
        assert!(!writer.is_free());
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; 300_005];
            reader.read_exact(&mut bytes).unwrap();
            (bytes, reader)
        });
        assert!(writer.settle(LIMIT).await);
        let (bytes, reader) = read.await.unwrap();
        assert!(bytes.starts_with(b"aheadxxx"));
        drop(reader);
        writer.write(b"y");
        assert!(!writer.settle(LIMIT).await && writer.is_gone());
    }
}
