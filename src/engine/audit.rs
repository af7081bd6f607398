//! The audit chain: its rows, its end, its check, and who else is told of it.

use crate::config::settings::Config;
use crate::domain::chain::Head;
use crate::engine::error::Error;
use crate::engine::operation::AuditRequest;
use crate::engine::{Engine, Outcome};
use crate::store::{self, Listener, Store};

/// Who is told each row once it is committed: nobody but by the configuration.
pub(super) fn listener(_config: &Config) -> Option<Listener> {
    None
}

impl Engine {
    /// A page of rows. Before the first one, what is counted is taken into the chain.
    pub(super) async fn audit_page(&self, request: AuditRequest) -> Result<Outcome, Error> {
        let work = move |store: &mut Store| {
            if request.after.is_none() {
                fold(store)?;
            }
            store.audit_page(&request.filter, request.after)
        };
        Ok(Outcome::AuditRows(self.store.call(work).await?))
    }

    /// The end of the chain, with what is counted.
    pub(super) async fn audit_head(&self) -> Result<Outcome, Error> {
        let work = |store: &mut Store| {
            fold(store)?;
            store.audit_head()
        };
        Ok(Outcome::AuditHead(self.store.call(work).await?))
    }

    /// Checks the whole chain. It writes nothing: what is wrong stays as it is found.
    pub(super) async fn verify_audit(&self, noted: Option<Head>) -> Result<Outcome, Error> {
        let verified = self.store.call(move |store| store.verify_audit(noted)).await?;
        Ok(Outcome::AuditVerified(verified))
    }
}

/// Takes what is counted into the chain. A store that can't be written is read as it is.
fn fold(store: &mut Store) -> Result<(), store::Error> {
    match store.fold_hand_outs() {
        Err(store::Error::Full | store::Error::ReadOnly | store::Error::Unusable(_)) => Ok(()),
        folded => folded,
    }
}
