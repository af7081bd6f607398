//! The parts of a report as tables, and the three ways to write them.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::domain::text::clean;

/// One part of the report.
pub(super) struct Table {
    /// Its name as a field of JSON, and in the first column of CSV.
    pub(super) name: &'static str,
    /// Its title.
    pub(super) title: &'static str,
    /// Names of the columns.
    pub(super) columns: &'static [&'static str],
    /// The cells.
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// As rows of a Markdown table.
    pub(super) fn to_markdown(&self) -> String {
        let mut text = format!("\n## {}\n\n", self.title);
        if self.rows.is_empty() {
            text.push_str("none\n");
            return text;
        }
        let headings: Vec<String> =
            self.columns.iter().map(|column| column.replace('_', " ")).collect();
        let _ = writeln!(text, "| {} |", headings.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| markdown_cell(cell)).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    /// As lines of CSV (RFC 4180), a heading first.
    pub(super) fn to_csv(&self) -> String {
        let mut text = format!("part,{}\r\n", self.columns.join(","));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| csv_cell(cell)).collect();
            let _ = write!(text, "{},{}\r\n", self.name, cells.join(","));
        }
        text
    }

    /// As a list of objects.
    pub(super) fn to_json(&self) -> Value {
        let object = |row: &Vec<String>| -> Value {
            let fields = self.columns.iter().zip(row);
            let fields: Map<String, Value> = fields
                .map(|(column, cell)| ((*column).to_owned(), Value::String(cell.clone())))
                .collect();
            Value::Object(fields)
        };
        self.rows.iter().map(object).collect()
    }
}

fn markdown_cell(cell: &str) -> String {
    let mut text = String::new();
    for character in clean(cell).chars() {
        if matches!(character, '|' | '\\' | '`' | '<' | '*' | '[') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// Spreadsheets take what begins with one of these for a formula: it is shown as text.
fn csv_cell(cell: &str) -> String {
    let cell = clean(cell);
    let cell = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell };
    if cell.contains([',', '"', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            name: "changes",
            title: "Changes",
            columns: &["at", "reason_given"],
            rows: vec![vec!["=1+1".into(), "a|b, \"c\"\u{1b}".into()]],
        }
    }

    #[test]
    fn cells_stay_cells_in_each_form() {
        let markdown = table().to_markdown();
        assert_eq!(
            markdown,
            "\n## Changes\n\n| at | reason given |\n|---|---|\n| =1+1 | a\\|b, \"c\"\u{fffd} |\n"
        );
        let csv = table().to_csv();
        assert_eq!(csv, "part,at,reason_given\r\nchanges,'=1+1,\"a|b, \"\"c\"\"\u{fffd}\"\r\n");
        assert_eq!(table().to_json()[0]["at"], "=1+1");
        let empty = Table { rows: Vec::new(), ..table() };
        assert!(empty.to_markdown().ends_with("none\n"));
    }
}
