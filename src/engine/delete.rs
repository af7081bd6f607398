//! Delete: what is revoked is owed in the same commit that removes the rows, so that no crash
//! leaves a live token that nobody remembers.

use crate::domain::audit::AuditEvent;
use crate::engine::error::Error;
use crate::engine::operation::DeleteRequest;
use crate::engine::outcome::DeleteReceipt;
use crate::engine::select::PlainName;
use crate::engine::{Engine, Outcome, Reporter};
use crate::store::CredentialRow;

impl Engine {
    /// Deletes a credential, or both of a connection, for good.
    pub(super) async fn delete(
        &self,
        request: DeleteRequest,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let plain = if request.both { PlainName::InUse } else { PlainName::Refused };
        let selected = self.select(&request.selection, plain).await?;
        let rows = if request.both {
            let name = selected.credential.address.name.clone();
            self.store.call(move |store| store.credentials_of(&name)).await?
        } else {
            vec![selected]
        };
        let mut receipts = Vec::new();
        for row in rows {
            let receipt = self.delete_one(row, request.reason.as_deref(), reporter).await?;
            receipts.push(receipt);
        }
        self.store.call(|store| store.truncate_log()).await?;
        Ok(Outcome::Deleted(receipts))
    }

    async fn delete_one(
        &self,
        row: CredentialRow,
        reason: Option<&str>,
        reporter: &Reporter,
    ) -> Result<DeleteReceipt, Error> {
        // No refresh may be under way: its answer would be a token that nobody owns.
        let _lock = self.lock(row.id, reporter).await?;
        let debts = self.debts(&row, |_| true).await?;
        let message = self.lost_answer(row.id).await?.to_owned();
        let address = row.credential.address.clone();
        let tags = row.credential.tags.join(" ");
        let detail = format!("{} token sets; tags: {tags}", debts.len());
        let entry =
            self.audit_of(AuditEvent::CredentialDeleted, address.to_string(), detail, reason);
        let (id, owed) = (row.id, self.recorded(&row.credential, &debts));
        self.call_with_room(move |store| store.delete_credential(id, &owed, &entry)).await?;
        let (revocation, proof) = self.pay_and_prove(&debts, reporter).await?;
        Ok(DeleteReceipt { address, revocation, proof, message })
    }
}
