//! The audit chain: its rows, its end, its check, and who else is told of it.

use crate::config::settings::Config;
use crate::domain::audit::{AuditEvent, AuditRow, HistoryEntry};
use crate::domain::chain::Head;
use crate::domain::record::RecordId;
use crate::domain::text::is_unprintable;
use crate::engine::error::Error;
use crate::engine::operation::AuditRequest;
use crate::engine::{Engine, Outcome};
use crate::platform::syslog::{Severity, Syslog};
use crate::platform::who::UserNames;
use crate::store::owner::StoreThread;
use crate::store::{self, Listener, Store};

/// Tells each row to syslog once it is committed, where the configuration says so.
pub(super) fn listener(config: &Config) -> Option<Listener> {
    let syslog = Syslog::at(config.audit.syslog.as_deref()?);
    Some(Box::new(move |row| syslog.send(severity(row), row.at, &line(row))))
}

/// One line: the number and the hash let it be compared with the chain.
fn line(row: &AuditRow) -> String {
    let AuditRow { sequence, event, subject, detail, reason, who, hash, .. } = row;
    let line = format!(
        "audit {sequence} {event} {subject} hash={hash} detail={detail:?} reason={reason:?} who={who}"
    );
    line.chars().map(|c| if is_unprintable(c) { '\u{fffd}' } else { c }).collect()
}

fn severity(row: &AuditRow) -> Severity {
    use AuditEvent::{
        AnswerLost, HandOutAltered, HandOutsLost, HeadMissing, RefreshedForeign, StoreCopied,
        TokenRefused, WrongAccount,
    };
    let alarming = [
        AnswerLost,
        HandOutAltered,
        HandOutsLost,
        HeadMissing,
        RefreshedForeign,
        StoreCopied,
        TokenRefused,
        WrongAccount,
    ];
    if alarming.iter().any(|event| event.as_str() == row.event) {
        Severity::Warning
    } else if row.hand_outs().is_some() {
        Severity::Info
    } else {
        Severity::Notice
    }
}

/// Newest audit rows that a history shows.
const HISTORY_LIMIT: u64 = 500;

/// What happened to a credential: its checks and its audit rows, newest first.
pub(super) async fn history(
    store: &StoreThread,
    id: RecordId,
    address: String,
) -> Result<Outcome, Error> {
    let work = move |store: &mut Store| {
        fold(store)?;
        Ok((store.checks(id)?, store.audit_of(&address, HISTORY_LIMIT)?))
    };
    let (checks, rows) = store.call(work).await?;
    let mut names = UserNames::default();
    let rows = rows.into_iter().map(|row| {
        let who = names.who(&row.who, row.hand_outs().is_some());
        HistoryEntry::Audit { row, who }
    });
    let mut entries: Vec<HistoryEntry> = rows.collect();
    entries.extend(checks.into_iter().map(HistoryEntry::Check));
    // A row and the check of the same moment stay in that order.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
    Ok(Outcome::History(entries))
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

/// Takes what is counted into the chain. A store that can't be written, or not just now, is read as
/// it is.
fn fold(store: &mut Store) -> Result<(), store::Error> {
    match store.fold_hand_outs() {
        Err(
            store::Error::Full
            | store::Error::ReadOnly
            | store::Error::Busy { .. }
            | store::Error::Unusable(_),
        ) => Ok(()),
        folded => folded,
    }
}
