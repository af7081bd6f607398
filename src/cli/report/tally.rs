//! What is gathered from the audit rows of a span: set-ups with the end of the token before, counts,
//! and what an auditor wants to have explained.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::{AuditEvent, AuditFilter, AuditRow};
use crate::engine::operation::AuditRequest;
use crate::engine::{Operation, Outcome};
use crate::platform::who::{UserNames, Who};

use super::Span;
use crate::cli::context::Context;
use crate::cli::output::Ended;
use crate::cli::unexpected;

/// What is gathered from the rows of the span.
#[derive(Default)]
pub(super) struct Tally {
    names: UserNames,
    /// Set-ups and rotations, oldest first.
    set_ups: Vec<AuditRow>,
    /// How often each event happened to each subject.
    pub(super) events: BTreeMap<(String, String), u64>,
    /// Tokens handed out, by subject, program and user.
    pub(super) hand_outs: BTreeMap<(String, String, String), u64>,
    exceptions: Vec<AuditRow>,
    /// Revocations that were owed and not confirmed since, by their debt.
    unpaid: BTreeMap<String, AuditRow>,
    /// Revocations that were confirmed: of which token set, and the row that says so.
    dead: Vec<(String, u64, AuditRow)>,
}

/// Looks at each row that passes, oldest first.
pub(super) async fn each(
    filter: AuditFilter,
    context: &Context,
    mut look: impl FnMut(AuditRow),
) -> Result<(), Ended> {
    // Later rows are asked for by number: the first page is not to be found by its own.
    let mut after = Some(0);
    loop {
        let request = AuditRequest { filter: filter.clone(), after };
        let Outcome::AuditRows(page) = context.ask(Operation::Audit(request)).await? else {
            return Err(unexpected());
        };
        let Some(end) = page.last() else { return Ok(()) };
        after = Some(end.sequence);
        page.into_iter().for_each(&mut look);
    }
}

/// Gathers the rows of a span, of all subjects or of these.
pub(super) async fn of(
    span: Span,
    subjects: Option<&BTreeSet<String>>,
    context: &Context,
) -> Result<Tally, Ended> {
    let mut tally = Tally::default();
    let filter =
        AuditFilter { since: Some(span.from), until: Some(span.to), ..AuditFilter::default() };
    each(filter, context, |row| {
        if subjects.is_none_or(|subjects| subjects.contains(&row.subject)) {
            tally.take(row);
        }
    })
    .await?;
    Ok(tally)
}

impl Tally {
    fn take(&mut self, row: AuditRow) {
        if let Some(count) = row.hand_outs() {
            let who: Who = serde_json::from_str(&row.who).unwrap_or_default();
            let program = who.parent.unwrap_or_default();
            let user = self.names.who(&row.who, false);
            *self.hand_outs.entry((row.subject.clone(), program, user)).or_default() += count;
        } else {
            *self.events.entry((row.subject.clone(), row.event.clone())).or_default() += 1;
        }
        let is = |event: AuditEvent| row.event == event.as_str();
        if is(AuditEvent::RevocationOwed) {
            self.unpaid.insert(debt_of(&row).to_owned(), row);
        } else if is(AuditEvent::Revoked) {
            let owed = self.unpaid.remove(debt_of(&row));
            if let Some(generation) = owed.as_ref().and_then(generation_of) {
                self.dead.push((row.subject.clone(), generation, row));
            }
        } else if is(AuditEvent::TokenPromoted) || is(AuditEvent::Rotated) {
            self.set_ups.push(row);
        } else if is_exception(&row) {
            self.exceptions.push(row);
        }
    }

    /// A row for each set-up and rotation, with what became of the token before it.
    pub(super) fn set_up_rows(&mut self) -> Vec<Vec<String>> {
        let set_ups = std::mem::take(&mut self.set_ups);
        // The generation that each subject had by its set-up before.
        let mut before: BTreeMap<String, u64> = BTreeMap::new();
        let row = |row: AuditRow| {
            let generation = generation_of(&row).unwrap_or(0);
            let from = before.insert(row.subject.clone(), generation).unwrap_or(0);
            let end = self.end_of_former(&row, from, generation);
            let by = self.names.who(&row.who, false);
            let at = row.at.rfc3339();
            vec![at, row.subject, by, row.reason, row.detail, row.sequence.to_string(), end]
        };
        set_ups.into_iter().map(row).collect()
    }

    /// What became of the token that a set-up replaced: one of the generations `from` to `to`.
    fn end_of_former(&self, set_up: &AuditRow, from: u64, to: u64) -> String {
        if set_up.event == AuditEvent::Rotated.as_str() {
            // Salesforce's answer is the proof: it ends a refresh token by giving another.
            return "replaced by Salesforce in the answer to the refresh".into();
        }
        if to <= 1 {
            return "there was none".into();
        }
        let is_former = |(subject, generation, _): &&(String, u64, AuditRow)| {
            *subject == set_up.subject && (from..to).contains(generation)
        };
        match self.dead.iter().rfind(is_former) {
            Some((_, _, proof)) => {
                let at = proof.at.rfc3339();
                format!("revoked at Salesforce (confirmed) {at}, row {}", proof.sequence)
            }
            None => "no revocation in this span".into(),
        }
    }

    /// A row for each exception, and for each revocation that is owed.
    pub(super) fn exception_rows(&mut self) -> Vec<Vec<String>> {
        let mut exceptions = std::mem::take(&mut self.exceptions);
        exceptions.extend(std::mem::take(&mut self.unpaid).into_values());
        exceptions.sort_by_key(|row| row.sequence);
        let row = |row: AuditRow| {
            let by = self.names.who(&row.who, false);
            let (at, number) = (row.at.rfc3339(), row.sequence.to_string());
            vec![at, row.subject, row.event, by, row.reason, row.detail, number]
        };
        exceptions.into_iter().map(row).collect()
    }
}

/// The debt that a row is about.
fn debt_of(row: &AuditRow) -> &str {
    let (_, debt) = row.detail.split_once("debt ").unwrap_or_default();
    debt.split(',').next().unwrap_or_default()
}

/// The generation that a row is about.
fn generation_of(row: &AuditRow) -> Option<u64> {
    let (_, rest) = row.detail.rsplit_once("generation ")?;
    rest.split(' ').next()?.parse().ok()
}

/// What an auditor wants to have explained.
fn is_exception(row: &AuditRow) -> bool {
    use AuditEvent as Event;
    [
        Event::WrongAccount,
        Event::TokenRefused,
        Event::AnswerLost,
        Event::RefreshedForeign,
        Event::RefreshedLate,
        Event::StoreCopied,
        Event::StoreRestored,
        Event::HandOutAltered,
        Event::HeadMissing,
        Event::HandOutsLost,
        Event::Held,
        Event::Released,
    ]
    .iter()
    .any(|event| event.as_str() == row.event)
}
