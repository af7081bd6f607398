//! The thread that owns the store, so that a slow disk or another process's lock stalls no one
//! else.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use super::{Error, Store};

/// A piece of work for the owner thread.
type Work = Box<dyn FnOnce(&mut Store) + Send>;

/// A handle to the owner thread. The thread ends, and closes the store, when the last handle is
/// dropped and its work is done.
#[derive(Clone)]
pub(crate) struct StoreThread {
    work: mpsc::Sender<Work>,
}

impl StoreThread {
    /// Starts the thread.
    pub(crate) fn start(mut store: Store) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel::<Work>();
        thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                for work in receiver {
                    work(&mut store);
                }
            })
            .map_err(|error| Error::Unusable(format!("no thread for it: {error}")))?;
        Ok(Self { work: sender })
    }

    /// Runs `work` on the store thread. The work is done even if the caller is cancelled.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        let gone = || Error::Unusable("its thread has ended".into());
        let job: Work = Box::new(move |store| {
            // The asker may be gone; the work counts all the same.
            let _ = sender.send(work(store));
        });
        self.work.send(job).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }
}
