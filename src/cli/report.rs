//! `report`: what an auditor asks for of a span of time, from the audit chain, the history of checks
//! and the credentials as they stand.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::domain::audit::{AuditEvent, AuditFilter, AuditRow, HistoryEntry};
use crate::domain::credential::{CheckKind, Credential};
use crate::domain::time::UnixMillis;
use crate::engine::operation::AuditRequest;
use crate::engine::{Operation, Outcome, Selection, now};
use crate::platform::who::{UserNames, Who};

use super::args::{Format, Report};
use super::context::Context;
use super::output::{Done, Ended};
use super::{unexpected, usage_failure};
use table::Table;

/// The span of time.
#[derive(Clone, Copy)]
struct Span {
    from: UnixMillis,
    to: UnixMillis,
}

/// What is gathered from the rows of the span.
#[derive(Default)]
struct Tally {
    names: UserNames,
    /// Set-ups: the row, and the row that proves the end of the token it replaced.
    set_ups: Vec<(AuditRow, Option<AuditRow>)>,
    /// How often each event happened to each subject.
    events: BTreeMap<(String, String), u64>,
    /// Tokens handed out, by subject, program and user.
    hand_outs: BTreeMap<(String, String, String), u64>,
    exceptions: Vec<AuditRow>,
    /// Revocations that were owed and not confirmed since.
    unpaid: BTreeMap<String, AuditRow>,
    /// The newest debt of each subject.
    owed: BTreeMap<String, String>,
    /// The generation of the replaced token set that a debt is of.
    replaced: BTreeMap<String, u64>,
}

/// Writes the report.
pub(crate) async fn run(report: Report, context: &Context) -> Done {
    let now = now();
    let span =
        Span { from: report.from.resolve(now), to: report.to.map_or(now, |to| to.resolve(now)) };
    if span.from >= span.to {
        return Err(usage_failure("--from is not before --to", "give an earlier --from").into());
    }
    // Takes in what is counted, so that the end of the chain is the end.
    context.ask(Operation::AuditHead).await?;
    let heads = (head_at(span.from, context).await?, head_at(span.to, context).await?);
    let Outcome::Credentials(mut credentials) = context.ask(Operation::List).await? else {
        return Err(unexpected());
    };
    if let Some(tag) = &report.tag {
        credentials.retain(|credential| credential.tags.contains(tag));
    }
    let subjects: Option<BTreeSet<String>> = report
        .tag
        .as_ref()
        .map(|_| credentials.iter().map(|one| one.address.to_string()).collect());
    let tally = tally(span, subjects.as_ref(), context).await?;
    let tests = tests(span, &credentials, context).await?;
    let tables = tables(&credentials, tally, tests, now);
    let format = if context.output.json { Format::Json } else { report.format };
    write(format, span, report.tag.as_deref(), &heads, &tables, context)
}

/// The last row before a time, as `SEQUENCE:HASH`; `0` where there is none.
async fn head_at(at: UnixMillis, context: &Context) -> Result<String, Ended> {
    let filter = AuditFilter { until: Some(at), newest: Some(1), ..AuditFilter::default() };
    let request = AuditRequest { filter, after: None };
    let Outcome::AuditRows(rows) = context.ask(Operation::Audit(request)).await? else {
        return Err(unexpected());
    };
    Ok(rows.last().map_or_else(|| "0".to_owned(), |row| format!("{}:{}", row.sequence, row.hash)))
}

async fn tally(
    span: Span,
    subjects: Option<&BTreeSet<String>>,
    context: &Context,
) -> Result<Tally, Ended> {
    let mut tally = Tally::default();
    let filter =
        AuditFilter { since: Some(span.from), until: Some(span.to), ..AuditFilter::default() };
    // Later rows are asked for by number: the first page is not to be found by its own.
    let mut after = Some(0);
    loop {
        let request = AuditRequest { filter: filter.clone(), after };
        let Outcome::AuditRows(page) = context.ask(Operation::Audit(request)).await? else {
            return Err(unexpected());
        };
        let Some(end) = page.last() else { return Ok(tally) };
        after = Some(end.sequence);
        for row in page {
            if subjects.is_none_or(|subjects| subjects.contains(&row.subject)) {
                tally.take(row);
            }
        }
    }
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
        if row.event == AuditEvent::RevocationOwed.as_str() {
            self.owed.insert(row.subject.clone(), row.detail.clone());
            self.unpaid.insert(row.detail.clone(), row.clone());
        } else if row.event == AuditEvent::CandidateDiscarded.as_str() {
            self.replaced(&row);
        } else if row.event == AuditEvent::Revoked.as_str() {
            self.prove(&row);
        }
        if row.event == AuditEvent::TokenPromoted.as_str() {
            self.set_ups.push((row, None));
        } else if row.event == AuditEvent::Rotated.as_str() {
            // Salesforce's answer is the proof: it ends a refresh token by giving another.
            self.set_ups.push((row.clone(), Some(row)));
        } else if is_exception(&row) {
            self.exceptions.push(row);
        }
    }

    /// A token set that was replaced is taken out right after it became a debt.
    fn replaced(&mut self, row: &AuditRow) {
        if row.detail.ends_with(TAKEN_OUT)
            && let Some(debt) = self.owed.remove(&row.subject)
            && let Some(generation) = generation_of(row)
        {
            self.replaced.insert(debt, generation);
        }
    }

    /// A debt is paid: it was of the token set that the first set-up after it replaced.
    fn prove(&mut self, row: &AuditRow) {
        self.unpaid.remove(&row.detail);
        let Some(generation) = self.replaced.remove(&row.detail) else { return };
        let set_up = self.set_ups.iter_mut().find(|(set_up, _)| {
            set_up.subject == row.subject && generation_of(set_up) > Some(generation)
        });
        if let Some((_, proof)) = set_up {
            *proof = Some(row.clone());
        }
    }
}

/// The end of the row that takes a replaced token set out.
const TAKEN_OUT: &str = "(draining)";

/// The generation that a row is about.
fn generation_of(row: &AuditRow) -> Option<u64> {
    row.detail.strip_prefix("generation ")?.split(' ').next()?.parse().ok()
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

/// How the checks of the span went, by credential, kind and outcome. A credential keeps its newest
/// 200.
async fn tests(
    span: Span,
    credentials: &[Credential],
    context: &Context,
) -> Result<Vec<Vec<String>>, Ended> {
    let mut counts: BTreeMap<(String, &'static str, &'static str), u64> = BTreeMap::new();
    for credential in credentials {
        let address = &credential.address;
        let operation = Operation::History(Selection::exactly(address));
        let Outcome::History(entries) = context.ask(operation).await? else {
            return Err(unexpected());
        };
        for entry in entries {
            let HistoryEntry::Check(check) = entry else { continue };
            if check.at < span.from || check.at >= span.to {
                continue;
            }
            let kind = match check.kind {
                CheckKind::Test => "test",
                CheckKind::Refresh => "refresh",
                CheckKind::SignIn => "sign-in",
            };
            *counts.entry((address.to_string(), kind, check.outcome.as_str())).or_default() += 1;
        }
    }
    let row = |((subject, kind, outcome), count): ((String, &str, &str), u64)| {
        vec![subject, kind.to_owned(), outcome.to_owned(), count.to_string()]
    };
    Ok(counts.into_iter().map(row).collect())
}

fn tables(
    credentials: &[Credential],
    mut tally: Tally,
    tests: Vec<Vec<String>>,
    now: UnixMillis,
) -> Vec<Table> {
    let events = std::mem::take(&mut tally.events);
    let hand_outs = std::mem::take(&mut tally.hand_outs);
    let counted = |((subject, event), count): ((String, String), u64)| {
        vec![subject, event, count.to_string()]
    };
    let handed_out = |((subject, program, user), count): ((String, String, String), u64)| {
        vec![subject, program, user, count.to_string()]
    };
    vec![
        Table {
            name: "inventory",
            title: "Credentials as they stand now",
            columns: &[
                "credential",
                "org_id",
                "user_id",
                "username",
                "app",
                "tags",
                "state",
                "set_up_at",
                "last_test_at",
                "exceptions",
            ],
            rows: credentials.iter().map(|one| inventory_row(one, now)).collect(),
        },
        Table {
            name: "set_ups",
            title: "Tokens set up or rotated, and the end of the token before",
            columns: &["at", "credential", "by", "reason", "detail", "row", "old_token"],
            rows: tally.set_up_rows(),
        },
        Table {
            name: "events",
            title: "Events",
            columns: &["subject", "event", "count"],
            rows: events.into_iter().map(counted).collect(),
        },
        Table {
            name: "tests",
            title: "Access tests, refreshes and sign-ins (the newest 200 of a credential are kept)",
            columns: &["credential", "kind", "outcome", "count"],
            rows: tests,
        },
        Table {
            name: "hand_outs",
            title: "Access tokens handed out, by program",
            columns: &["credential", "program", "user", "count"],
            rows: hand_outs.into_iter().map(handed_out).collect(),
        },
        Table {
            name: "exceptions",
            title: "Exceptions",
            columns: &["at", "subject", "event", "by", "reason", "detail", "row"],
            rows: tally.exception_rows(),
        },
    ]
}

fn inventory_row(one: &Credential, now: UnixMillis) -> Vec<String> {
    let at = |at: Option<UnixMillis>| at.map(UnixMillis::rfc3339).unwrap_or_default();
    let held = one.held.as_ref().map(|reason| format!("held: {reason}"));
    let owed = one.revocation_owed.then(|| "revocation owed".to_owned());
    let exceptions: Vec<String> = held.into_iter().chain(owed).collect();
    vec![
        one.address.to_string(),
        one.org_id.to_string(),
        one.user_id.to_string(),
        one.username.clone().unwrap_or_default(),
        one.app.clone(),
        one.tags.join(" "),
        one.state(now).as_str().to_owned(),
        at(one.token.as_ref().map(|token| token.signed_in_at)),
        at(one.last_test.as_ref().map(|test| test.at)),
        exceptions.join("; "),
    ]
}

impl Tally {
    fn set_up_rows(&mut self) -> Vec<Vec<String>> {
        let set_ups = std::mem::take(&mut self.set_ups);
        let row = |(row, proof): (AuditRow, Option<AuditRow>)| {
            let end = match proof {
                Some(proof) if proof.event == AuditEvent::Rotated.as_str() => {
                    "replaced by Salesforce in the answer to the refresh".to_owned()
                }
                Some(proof) => {
                    let at = proof.at.rfc3339();
                    format!("revoked at Salesforce (confirmed) {at}, row {}", proof.sequence)
                }
                None if row.detail == "generation 1" => "there was none".to_owned(),
                None => "no revocation in this span".to_owned(),
            };
            let by = self.names.who(&row.who, false);
            let at = row.at.rfc3339();
            vec![at, row.subject, by, row.reason, row.detail, row.sequence.to_string(), end]
        };
        set_ups.into_iter().map(row).collect()
    }

    fn exception_rows(&mut self) -> Vec<Vec<String>> {
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

fn write(
    format: Format,
    span: Span,
    tag: Option<&str>,
    (before, after): &(String, String),
    tables: &[Table],
    context: &Context,
) -> Done {
    let (from, to) = (span.from.rfc3339(), span.to.rfc3339());
    match format {
        Format::Json => {
            let mut report = Map::new();
            report.insert("from".into(), from.into());
            report.insert("to".into(), to.into());
            report.insert("tag".into(), tag.map_or(Value::Null, Into::into));
            report.insert("heads".into(), json!({ "from": before, "to": after }));
            for table in tables {
                report.insert(table.name.into(), table.to_json());
            }
            context.output.object(&json!({ "schema": 1, "report": report }))
        }
        Format::Csv => {
            let heads = Table {
                name: "heads",
                title: "",
                columns: &["at", "head"],
                rows: vec![vec![from, before.clone()], vec![to, after.clone()]],
            };
            let all = std::iter::once(&heads).chain(tables);
            context.output.text(&all.map(Table::to_csv).collect::<String>())
        }
        Format::Md => {
            let of = tag.map_or_else(|| "all credentials".to_owned(), |tag| format!("tag {tag}"));
            let title = format!("# orgkey report, {of}\n\n{from} to {to}\n\n");
            let heads = format!(
                "Audit chain at the beginning: {before}\nAudit chain at the end: {after}\n"
            );
            let parts: String = tables.iter().map(Table::to_markdown).collect();
            context.output.text(&format!("{title}{heads}{parts}"))
        }
    }
}
