//! `report`: what an auditor asks for of a span of time, from the audit chain, the history of checks
//! and the credentials as they stand.

mod table;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::domain::audit::{AuditEvent, AuditFilter, HistoryEntry};
use crate::domain::credential::{CheckKind, Credential};
use crate::domain::time::UnixMillis;
use crate::engine::operation::AuditRequest;
use crate::engine::outcome::FailureDetail;
use crate::engine::{Failure, Operation, Outcome, Selection, exit, now};

use super::args::{Format, Report};
use super::context::Context;
use super::output::{Done, Ended};
use super::{unexpected, usage_failure};
use table::Table;
use tally::Tally;

/// The span of time.
#[derive(Clone, Copy)]
struct Span {
    from: UnixMillis,
    to: UnixMillis,
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
    let subjects = match &report.tag {
        Some(tag) => Some(subjects(tag, span, &credentials, context).await?),
        None => None,
    };
    if let (Some(tag), Some(subjects)) = (&report.tag, &subjects)
        && subjects.is_empty()
    {
        let tag = crate::domain::text::clean(tag);
        return Err(Failure {
            code: "no_such_tag".into(),
            message: format!(
                "no credential has the tag {tag}, nor had one that was deleted in this span"
            ),
            remedy: "correct it; orgkey show NAME tells the tags of one".into(),
            exit_code: exit::NOT_FOUND,
            detail: FailureDetail::None,
        }
        .into());
    }
    let tally = tally::of(span, subjects.as_ref(), context).await?;
    let tests = tests(span, &credentials, context).await?;
    let tables = tables(&credentials, tally, tests, now);
    let format = if context.output.json { Format::Json } else { report.format };
    let tag = report.tag.as_deref().map(crate::domain::text::clean);
    write(format, span, tag.as_deref(), &heads, &tables, context)
}

/// The credentials of a tag: those that are there, and those that had it when they were deleted.
async fn subjects(
    tag: &str,
    span: Span,
    credentials: &[Credential],
    context: &Context,
) -> Result<BTreeSet<String>, Ended> {
    let mut subjects: BTreeSet<_> = credentials.iter().map(|one| one.address.to_string()).collect();
    let filter = AuditFilter {
        since: Some(span.from),
        event: Some(AuditEvent::CredentialDeleted.as_str().into()),
        ..AuditFilter::default()
    };
    tally::each(filter, context, |row| {
        let (_, tags) = row.detail.split_once("tags: ").unwrap_or_default();
        if tags.split_whitespace().any(|one| one == tag) {
            subjects.insert(row.subject);
        }
    })
    .await?;
    Ok(subjects)
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
