//! The thread that owns the store, so that a slow disk or another process's lock stalls no one
//! else.

use std::any::Any;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::{Error, Store};

/// What the owner thread is told.
enum Order {
    /// Do this.
    Work(Box<dyn FnOnce(&mut Store) + Send>),
    /// Close the store, and say when it is closed.
    Close(oneshot::Sender<()>),
}

/// A handle to the owner thread. The thread ends, and closes the store, when the last handle is
/// dropped and its work is done.
#[derive(Clone)]
pub(crate) struct StoreThread {
    orders: mpsc::Sender<Order>,
    /// Kept until the work that was asked through this handle is done.
    guard: Option<Arc<dyn Any + Send + Sync>>,
}

impl StoreThread {
    /// Starts the thread.
    pub(crate) fn start(mut store: Store) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel::<Order>();
        thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                for order in receiver {
                    match order {
                        Order::Work(work) => work(&mut store),
                        Order::Close(closed) => {
                            drop(store);
                            let _ = closed.send(());
                            return;
                        }
                    }
                }
            })
            .map_err(|error| Error::Unusable(format!("no thread for it: {error}")))?;
        Ok(Self { orders: sender, guard: None })
    }

    /// A handle that keeps `guard` as long as it lives, or work that was asked through it is not
    /// done, even where the asker was cancelled.
    pub(crate) fn holding(&self, guard: impl Any + Send + Sync) -> Self {
        Self { orders: self.orders.clone(), guard: Some(Arc::new(guard)) }
    }

    /// A handle that keeps no guard.
    pub(crate) fn released(&self) -> Self {
        Self { orders: self.orders.clone(), guard: None }
    }

    /// Runs `work` on the store thread. The work is done even if the caller is cancelled.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        let gone = || Error::Unusable("its thread has ended".into());
        let guard = self.guard.clone();
        let work = Box::new(move |store: &mut Store| {
            let done = work(store);
            // Before the asker hears of it, who may ask next for what is guarded.
            drop(guard);
            // The asker may be gone; the work counts all the same.
            let _ = sender.send(done);
        });
        self.orders.send(Order::Work(work)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Closes the store after all that was asked before, so that its log is moved into the file;
    /// whoever asks later is told that it is gone.
    pub(crate) async fn close(&self) {
        let (sender, closed) = oneshot::channel();
        if self.orders.send(Order::Close(sender)).is_ok() {
            let _ = closed.await;
        }
    }
}
