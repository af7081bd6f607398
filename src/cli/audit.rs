//! `audit`: the rows of the chain, its end, and its check.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::domain::audit::{AuditFilter, AuditRow};
use crate::domain::chain::{Break, Verified, hex};
use crate::domain::text::clean;
use crate::engine::operation::AuditRequest;
use crate::engine::outcome::FailureDetail;
use crate::engine::{Failure, Operation, Outcome, exit, now};
use crate::platform::terminal;
use crate::platform::who::UserNames;

use super::args::{Audit, AuditCheck};
use super::context::Context;
use super::output::Done;
use super::unexpected;

/// From this width on the particulars stand in the row's own line.
const WIDE: usize = 120;

/// Prints the rows, the end, or what a check found.
pub(crate) async fn run(audit: Audit, context: &Context) -> Done {
    match audit.check {
        None => rows(audit, context).await,
        Some(AuditCheck::Head) => head(context).await,
        Some(AuditCheck::Verify { head }) => {
            let Outcome::AuditVerified(verified) =
                context.ask(Operation::VerifyAudit(head)).await?
            else {
                return Err(unexpected());
            };
            show_verified(&verified, head.is_some(), context)
        }
    }
}

/// Prints rows page by page: there may be a million.
async fn rows(audit: Audit, context: &Context) -> Done {
    let filter = AuditFilter {
        since: audit.since.map(|since| since.resolve(now())),
        until: None,
        name: audit.name,
        event: audit.event,
        newest: audit.limit,
    };
    let width = terminal::stdout_is_terminal().then(terminal::stdout_size).flatten();
    let width = width.map(|(columns, _)| usize::from(columns));
    let mut list = context.output.json.then(|| context.output.begin_list("audit")).transpose()?;
    let (mut after, mut names) = (None, UserNames::default());
    loop {
        let request = AuditRequest { filter: filter.clone(), after };
        let Outcome::AuditRows(page) = context.ask(Operation::Audit(request)).await? else {
            return Err(unexpected());
        };
        let Some(end) = page.last() else { break };
        after = Some(end.sequence);
        if let Some(list) = &mut list {
            page.iter().try_for_each(|row| list.item(&row_json(row)))?;
        } else {
            let lines = page.iter().map(|row| row_lines(row, &mut names, width, audit.long));
            context.output.text(&lines.collect::<String>())?;
        }
    }
    if let Some(list) = list {
        return list.end();
    }
    if after.is_none() {
        context.output.say("no such row");
    }
    Ok(())
}

async fn head(context: &Context) -> Done {
    let Outcome::AuditHead(head) = context.ask(Operation::AuditHead).await? else {
        return Err(unexpected());
    };
    if context.output.json {
        let head = json!({ "sequence": head.sequence, "hash": hex(&head.hash) });
        return context.output.object(&json!({ "schema": 1, "head": head }));
    }
    context.output.text(&head.to_string())
}

/// A row as JSON.
fn row_json(row: &AuditRow) -> Value {
    json!({
        "sequence": row.sequence, "at": row.at.rfc3339(), "event": row.event,
        "subject": row.subject, "detail": row.detail, "reason": row.reason,
        "who": serde_json::from_str(&row.who).unwrap_or(Value::Null), "hash": row.hash,
    })
}

/// A row for people: time, event, subject, who, why; cut at the width of a terminal.
fn row_lines(row: &AuditRow, names: &mut UserNames, width: Option<usize>, long: bool) -> String {
    let mut words = row.words();
    if let Some(count) = row.hand_outs() {
        let _ = write!(words, ", {count}");
    }
    let at = row.at.rfc3339().replace('T', " ");
    let who = clean(&names.who(&row.who, row.hand_outs().is_some()));
    let mut line = format!("{at}  {:18}  {:16}  {who}", clean(&words), clean(&row.subject));
    if !row.reason.is_empty() {
        let _ = write!(line, "  {}", clean(&row.reason));
    }
    let is_wide = width.is_some_and(|width| width >= WIDE);
    if is_wide && !long && !row.detail.is_empty() {
        let _ = write!(line, "  {}", clean(&row.detail));
    }
    let mut lines = cut(&line, width);
    if long && !row.detail.is_empty() {
        lines.push_str(&cut(&format!("    {}", clean(&row.detail)), width));
    }
    lines
}

fn cut(line: &str, width: Option<usize>) -> String {
    let mut cut: String = line.trim_end().chars().take(width.unwrap_or(usize::MAX)).collect();
    cut.push('\n');
    cut
}

fn show_verified(verified: &Verified, noted: bool, context: &Context) -> Done {
    if context.output.json {
        let broken = verified.broken.as_ref();
        context.output.object(&json!({
            "schema": 1,
            "verified": {
                "whole": broken.is_none(),
                "rows": verified.rows,
                "segments": verified.segments,
                "restores": verified.restores,
                "crashes": verified.crashes,
                "open_hand_outs": verified.open,
                "head": { "sequence": verified.head.sequence, "hash": hex(&verified.head.hash) },
                "head_remembered": verified.remembered,
                "wrong": broken.map(|broken| json!({
                    "kind": broken.wrong, "sequence": broken.sequence, "message": broken.words,
                })),
            },
        }))?;
    }
    if let Some(broken) = &verified.broken {
        return Err(failure(broken).into());
    }
    if context.output.json {
        return Ok(());
    }
    let count = |number: u64, one: &str| match number {
        0 => String::new(),
        1 => format!(", 1 {one}"),
        more => format!(", {more} {one}s"),
    };
    context.output.text(&format!(
        "the audit chain is whole: {} rows{}{}{}",
        verified.rows,
        count(verified.segments, "sealed segment"),
        count(verified.restores, "restored backup"),
        count(verified.crashes, "crash that took hand-outs"),
    ))?;
    context.output.text(&format!("head {}", verified.head))?;
    if noted {
        context.output.text("the noted head is in it")?;
    }
    if !verified.remembered {
        context.output.say(
            "there is no audit.head of this store, so a cut of the end would not be seen;\n\
             compare with a head that was noted elsewhere: orgkey audit verify --head SEQUENCE:HASH",
        );
    }
    Ok(())
}

fn failure(broken: &Break) -> Failure {
    Failure {
        code: format!("audit_{}", broken.wrong.as_str()),
        message: format!("the audit chain is not as it was written: {}", broken.words),
        remedy: "keep orgkey.db, orgkey.db-wal and audit.head as they are and look who could write them; an older backup has the rows that it was made with".into(),
        exit_code: exit::STORAGE,
        detail: FailureDetail::None,
    }
}
