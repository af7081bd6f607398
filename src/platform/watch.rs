//! Waiting until somebody writes to a file, without a look in between (inotify(7)).

use std::io;
use std::path::Path;

use rustix::fs::inotify;
use tokio::net::unix::pipe::Receiver;

/// A file that is waited for. What the system tells is read as from a pipe.
pub(crate) struct FileWatch(Receiver);

impl FileWatch {
    /// Watches the first of these files that is there.
    ///
    /// # Errors
    /// When none is there, or the system has no more watches to give.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for file in files {
            match inotify::add_watch(&watch, file, inotify::WatchFlags::MODIFY) {
                Ok(_) => return Receiver::from_owned_fd_unchecked(watch).map(Self),
                Err(error) => refused = error.into(),
            }
        }
        Err(refused)
    }

    /// Waits until it is written to. What was written since the last call counts.
    ///
    /// # Errors
    /// When the system can't tell any more.
    pub(crate) async fn written(&self) -> io::Result<()> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 4096]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|_| ()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_wakes_and_a_look_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, file) = (folder.path().join("missing"), folder.path().join("file"));
        std::fs::write(&file, "one").unwrap();
        let watch = FileWatch::of([missing.as_path(), file.as_path()]).unwrap();
        std::fs::read(&file).unwrap();
        let written = watch.written();
        tokio::pin!(written);
        assert!(futures_util::poll!(&mut written).is_pending());
        std::fs::write(&file, "two").unwrap();
        written.await.unwrap();
        assert!(FileWatch::of([missing.as_path()]).is_err());
    }
}
