//! Many at once from a file: JSON lines, or CSV with a header. Every wrong line is named.

use serde::Deserialize;

use crate::domain::name::Environment;
use crate::engine::operation::{AppRequest, InlineApp, SaveRequest};
use crate::engine::{Error, Failure, Invalid};
use crate::platform;

use super::app::read_secret;
use super::context::read_stdin;
use super::edit::invalid;
use super::output::Ended;

/// Largest file of credentials, in bytes: some 50,000 of them.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// The fields of a kind of line.
trait Line: for<'de> Deserialize<'de> {
    /// Those that may be there, in the order of product.md.
    const FIELDS: &'static [&'static str];
    /// Those that must be there.
    const REQUIRED: &'static [&'static str];
}

impl Line for CredentialLine {
    const FIELDS: &'static [&'static str] = &[
        "name",
        "environment",
        "org_id",
        "user_id",
        "username",
        "login_url",
        "app",
        "tags",
        "client_id",
        "secret_file",
    ];
    const REQUIRED: &'static [&'static str] = &["name", "environment", "org_id", "user_id"];
}

impl Line for AppLine {
    const FIELDS: &'static [&'static str] =
        &["name", "client_id", "secret_file", "redirect_uris", "scopes"];
    const REQUIRED: &'static [&'static str] = &["name", "client_id"];
}

/// A line of `save --from`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialLine {
    name: String,
    environment: String,
    org_id: String,
    user_id: String,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    login_url: Option<String>,
    #[serde(default)]
    app: Option<String>,
    #[serde(default)]
    tags: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    secret_file: Option<String>,
}

/// A line of `app add --from`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppLine {
    name: String,
    client_id: String,
    #[serde(default)]
    secret_file: Option<String>,
    #[serde(default)]
    redirect_uris: Option<String>,
    #[serde(default)]
    scopes: Option<String>,
}

/// Reads credentials to save.
pub(crate) fn save_requests(file: &str, reason: Option<&str>) -> Result<Vec<SaveRequest>, Ended> {
    let lines: Vec<(u64, CredentialLine)> = read_lines(file)?;
    collect(lines, |number, line| save_request(number, line, reason))
}

/// Reads apps to add.
pub(crate) fn app_requests(file: &str) -> Result<Vec<AppRequest>, Ended> {
    let lines: Vec<(u64, AppLine)> = read_lines(file)?;
    collect(lines, |number, line| {
        let client_secret = secret_of(line.secret_file.as_deref(), number)?;
        Ok(AppRequest {
            name: line.name,
            client_id: Some(line.client_id),
            client_secret,
            redirect_uris: line
                .redirect_uris
                .map(|uris| uris.split_whitespace().map(str::to_owned).collect()),
            scopes: filled(line.scopes).map(|scopes| vec![scopes]),
            line: Some(number),
            ..AppRequest::default()
        })
    })
}

fn save_request(
    number: u64,
    line: CredentialLine,
    reason: Option<&str>,
) -> Result<SaveRequest, String> {
    let Some(environment) = Environment::parse(&line.environment) else {
        let shown = crate::domain::text::clean_and_mask(&line.environment);
        return Err(format!("line {number}: '{shown}' is neither production nor sandbox"));
    };
    let inline_app = match (filled(line.client_id), filled(line.app.clone())) {
        (Some(_), Some(_)) => {
            return Err(format!("line {number}: give either app or client_id, not both"));
        }
        (Some(client_id), None) => {
            let client_secret = secret_of(line.secret_file.as_deref(), number)?;
            Some(InlineApp { client_id, client_secret })
        }
        (None, _) => None,
    };
    Ok(SaveRequest {
        name: line.name,
        sandbox: environment == Environment::Sandbox,
        org_id: line.org_id,
        user_id: line.user_id,
        username: line.username,
        login_url: line.login_url,
        app: filled(line.app),
        inline_app,
        tags: line.tags.into_iter().collect(),
        reason: reason.map(str::to_owned),
        line: Some(number),
    })
}

fn filled(field: Option<String>) -> Option<String> {
    field.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn secret_of(
    file: Option<&str>,
    number: u64,
) -> Result<Option<crate::engine::sensitive::Sensitive>, String> {
    let Some(file) = file.map(str::trim).filter(|file| !file.is_empty()) else { return Ok(None) };
    match read_secret(file) {
        Ok(secret) => Ok(Some(secret)),
        Err(Ended::Failure(failure)) => {
            Err(format!("line {number}: {} ({})", failure.message, failure.remedy))
        }
        Err(Ended::Code(_)) => Err(format!("line {number}: the secret file can't be read")),
    }
}

/// Makes a request of every line, or one error that names all wrong lines.
fn collect<L, T>(
    lines: Vec<(u64, L)>,
    mut make: impl FnMut(u64, L) -> Result<T, String>,
) -> Result<Vec<T>, Ended> {
    let (good, wrong): (Vec<_>, Vec<_>) =
        lines.into_iter().map(|(number, line)| make(number, line)).partition(Result::is_ok);
    if !wrong.is_empty() {
        return Err(wrong_lines(&wrong.into_iter().filter_map(Result::err).collect::<Vec<_>>()));
    }
    Ok(good.into_iter().filter_map(Result::ok).collect())
}

fn wrong_lines(wrong: &[String]) -> Ended {
    invalid(Invalid::input(wrong.join("; "), "correct the file; nothing was saved"))
}

/// Reads a file of JSON lines or CSV, each line with its number.
fn read_lines<T: Line>(file: &str) -> Result<Vec<(u64, T)>, Ended> {
    let text = read_text(file)?;
    // Spreadsheets and Windows editors begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let is_json = text.trim_start().starts_with('{');
    if text.trim_start().starts_with('[') {
        let message = "line 1: this is a list in brackets, and JSON lines are one object a line";
        return Err(invalid(Invalid::input(
            message,
            "put each object on a line of its own, without brackets and commas around them",
        )));
    }
    let (good, wrong): (Vec<_>, Vec<_>) = if text.trim().is_empty() {
        (Vec::new(), Vec::new())
    } else if is_json {
        json_lines(text).into_iter().partition(Result::is_ok)
    } else {
        csv_lines(text).into_iter().partition(Result::is_ok)
    };
    if !wrong.is_empty() {
        return Err(wrong_lines(&wrong.into_iter().filter_map(Result::err).collect::<Vec<_>>()));
    }
    let lines: Vec<(u64, T)> = good.into_iter().filter_map(Result::ok).collect();
    if lines.is_empty() {
        return Err(invalid(Invalid::input(
            "the file has no lines to read",
            "give JSON lines, or CSV with a header",
        )));
    }
    Ok(lines)
}

#[expect(clippy::disallowed_methods, reason = "standard input holds a table of IDs here")]
fn read_text(file: &str) -> Result<String, Ended> {
    use secrecy::ExposeSecret;
    if file == "-" {
        return Ok(read_stdin(FILE_LIMIT)?.0.expose_secret().to_owned());
    }
    let path = std::path::Path::new(file);
    let shown = platform::files::shown(path);
    let length = std::fs::metadata(path).map(|metadata| metadata.len());
    let readable = match length {
        Ok(length) if length > FILE_LIMIT => Err(format!("{shown} is larger than 16 MiB")),
        Ok(_) => {
            std::fs::read_to_string(path).map_err(|error| format!("can't read {shown}: {error}"))
        }
        Err(error) => Err(format!("can't read {shown}: {error}")),
    };
    readable.map_err(|message| {
        Failure::from(Error::from(Invalid::input(message, "name a text file of JSON lines or CSV")))
            .into()
    })
}

fn json_lines<T: Line>(text: &str) -> Vec<Result<(u64, T), String>> {
    text.lines()
        .zip(1_u64..)
        .filter(|(line, _)| !line.trim().is_empty())
        .map(|(line, number)| {
            json_line(line).map(|value| (number, value)).map_err(|error| {
                // Each line is a document of its own: its line 1 is not the file's.
                let column = error.column();
                let said = error.to_string().replace(&format!(" at line 1 column {column}"), "");
                let said = crate::domain::text::clean_and_mask(&said);
                format!("line {number}, column {column}: {said}")
            })
        })
        .collect()
}

fn csv_lines<T: Line>(text: &str) -> Vec<Result<(u64, T), String>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = match reader.headers() {
        Ok(headers) => headers.clone(),
        Err(error) => return vec![Err(csv_error(&error))],
    };
    if let Some(wrong) = wrong_header::<T>(&headers) {
        return vec![Err(wrong)];
    }
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|error| csv_error(&error))?;
            let number = record.position().map_or(0, csv::Position::line);
            let value = record.deserialize(Some(&headers)).map_err(|error| csv_error(&error))?;
            Ok((number, value))
        })
        .collect()
}

/// Reads one object. Its tags may be a list, as orgkey's own JSON has them, or a text as in CSV.
fn json_line<T: Line>(line: &str) -> serde_json::Result<T> {
    let mut object: serde_json::Value = serde_json::from_str(line)?;
    let tags = object.get("tags").and_then(serde_json::Value::as_array);
    let tags: Option<Vec<&str>> =
        tags.and_then(|tags| tags.iter().map(serde_json::Value::as_str).collect());
    match tags.map(|tags| tags.join(" ")) {
        // Read from the text, an error knows its column.
        None => serde_json::from_str(line),
        Some(tags) => {
            object["tags"] = tags.into();
            serde_json::from_value(object)
        }
    }
}

/// What is wrong with a header: said once, not for every line below it.
fn wrong_header<T: Line>(headers: &csv::StringRecord) -> Option<String> {
    let unknown = headers.iter().find(|name| !T::FIELDS.contains(name));
    // What a spreadsheet writes where the comma is the decimal sign.
    if let Some(separator) = unknown.and_then(|name| name.chars().find(|c| matches!(c, ';' | '\t')))
    {
        let separator = if separator == ';' { "';'" } else { "tabs" };
        return Some(format!("line 1: the fields are separated by {separator}, not by ','"));
    }
    if let Some(unknown) = unknown {
        let unknown = crate::domain::text::clean_and_mask(unknown);
        let known = T::FIELDS.join(", ");
        return Some(format!("line 1: there is no column '{unknown}'; the columns are {known}"));
    }
    let missing = T::REQUIRED.iter().find(|name| !headers.iter().any(|header| header == **name))?;
    Some(format!("line 1: the column {missing} is missing"))
}

fn csv_error(error: &csv::Error) -> String {
    let line = error.position().map_or(1, csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields, the header has {expected_len}")
        }
        _ => error.to_string(),
    };
    format!("line {line}: {}", crate::domain::text::clean_and_mask(&what))
}
