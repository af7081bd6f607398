//! What other processes change: whoever shows the store waits for it, without a look in between.

use std::time::Duration;

use crate::domain::change::{ChangeMark, Changes};
use crate::engine::error::Error;
use crate::engine::open::beside;
use crate::engine::outcome::Changed;
use crate::engine::{Engine, Outcome};
use crate::platform::watch::FileWatch;
use crate::store::Store;

/// Changes that come within this time are told together.
const GATHER: Duration = Duration::from_millis(200);

impl Engine {
    /// How far the store has come, at once; or waits for the next change after `seen`, by whomever.
    /// Where the system can't tell of changes, none is ever told.
    pub(super) async fn await_change(&self, seen: Option<ChangeMark>) -> Result<Outcome, Error> {
        let Some(seen) = seen else {
            let mark = self.store.call(|store| store.change_mark()).await?;
            return Ok(Outcome::Changed(Changed { mark, changes: Changes::Of(Vec::new()) }));
        };
        let file = self.settings.locations.store_file();
        let log = beside(&file, "-wal");
        // Before the first look, so that nothing comes in between.
        let watch = FileWatch::of([log.as_path(), file.as_path()]);
        loop {
            let since =
                move |store: &mut Store| Ok((store.change_mark()?, store.changes_since(seen)?));
            if let (mark, Some(changes)) = self.store.call(since).await? {
                return Ok(Outcome::Changed(Changed { mark, changes }));
            }
            let written = match &watch {
                Ok(watch) => watch.written().await,
                Err(error) => Err(error.kind().into()),
            };
            if let Err(error) = written {
                tracing::warn!(%error, "what others change is not told");
                return std::future::pending().await;
            }
            tokio::time::sleep(GATHER).await;
        }
    }
}
