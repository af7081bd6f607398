//! Hold and release: the stop button. It needs no key, and takes nothing back that was handed out.

use crate::domain::audit::AuditEvent;
use crate::domain::hold::Hold;
use crate::domain::name::Address;
use crate::domain::text;
use crate::engine::error::{Error, Invalid};
use crate::engine::operation::{HoldRequest, Selection};
use crate::engine::select::PlainName;
use crate::engine::{Engine, Outcome, now};
use crate::platform::who::UserNames;
use crate::store::CredentialRow;

impl Engine {
    /// Puts all of them on hold, or releases all of them, in one commit. What is so already stays
    /// as it is, with its first reason.
    pub(super) async fn set_holds(
        &self,
        request: HoldRequest,
        hold: bool,
    ) -> Result<Outcome, Error> {
        let reason = text::clean_and_mask(&request.reason).trim().to_owned();
        if hold && reason.is_empty() {
            return Err(Invalid::input(
                "a hold needs its reason: whoever is stopped by it reads it",
                "add --reason TEXT; nothing was changed",
            )
            .into());
        }
        let rows = self.rows_of(&request.addresses).await?;
        let hold =
            hold.then(|| Hold { reason: reason.clone(), by: self.who_in_words(), since: now() });
        let event = if hold.is_some() { AuditEvent::Held } else { AuditEvent::Released };
        let changes: Vec<_> = rows
            .iter()
            .filter(|row| row.credential.held.is_some() != hold.is_some())
            .map(|row| {
                let subject = row.credential.address.to_string();
                let detail = row.credential.held.as_ref().map_or_else(String::new, Hold::to_string);
                (row.id, self.audit_of(event, subject, detail, Some(&reason)))
            })
            .collect();
        if !changes.is_empty() {
            self.store.call(move |store| store.set_hold(hold.as_ref(), &changes)).await?;
        }
        let now = self.rows_of(&request.addresses).await?;
        Ok(Outcome::Credentials(now.into_iter().map(|row| row.credential).collect()))
    }

    /// Who runs this process, for people.
    pub(super) fn who_in_words(&self) -> String {
        let record = serde_json::to_string(&self.who).unwrap_or_default();
        UserNames::default().who(&record, false)
    }

    async fn rows_of(&self, addresses: &[Address]) -> Result<Vec<CredentialRow>, Error> {
        let mut rows = Vec::with_capacity(addresses.len());
        for address in addresses {
            rows.push(self.select(&Selection::exactly(address), PlainName::InUse).await?);
        }
        Ok(rows)
    }
}
