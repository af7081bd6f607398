//! `app`: the registration of an org's app with orgkey.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::domain::app::{App as Registration, AppOrigin, Rotation};
use crate::domain::guide;
use crate::domain::host::LoginUrl;
use crate::domain::name::Environment;
use crate::domain::time::span_in_words;
use crate::engine::operation::AppRequest;
use crate::engine::outcome::AppReport;
use crate::engine::sensitive::Sensitive;
use crate::engine::{Error, Failure, Invalid, Operation, Outcome, exit};
use crate::platform;

use super::args::{App, AppAdd, AppFields};
use super::context::{Context, read_stdin};
use super::edit::{confirm, invalid};
use super::output::{Done, Ended, app_json};
use super::{bulk, unexpected};

/// Longest client secret that is read, in bytes.
const SECRET_LIMIT: u64 = 1024;

/// Adds, lists, shows, edits, tests or deletes an app.
pub(crate) async fn run(app: App, context: &Context) -> Done {
    match app {
        App::Add(add) => add_apps(add, context).await,
        App::List => {
            let apps = apps(Operation::Apps, context).await?;
            print_list(&apps, context)
        }
        App::Show { name } => {
            let app = one(&name, context).await?;
            print_one(&app, context)
        }
        App::Edit(edit) => {
            let request = request(edit.name, edit.fields)?;
            let changed = apps(Operation::EditApp(request), context).await?;
            changed.iter().try_for_each(|app| print_one(app, context))
        }
        App::Guide { my_domain, sandbox } => guide(my_domain.as_deref(), sandbox, context),
        App::Test { name, wait } => test(name, wait, context).await,
        App::Delete { name, confirm: confirmed, reason } => {
            let app = one(&name, context).await?;
            let name = &app.name;
            let what =
                format!("This deletes {name} for good: its client ID and secret are removed here.");
            let names = [name.clone()];
            confirm(&names, &what, "delete", confirmed.as_deref(), context).await?;
            context.ask(Operation::DeleteApp(app.name.clone()).because(reason)).await?;
            if context.output.json {
                return context.output.object(&json!({ "schema": 1, "deleted": [app.name] }));
            }
            context.output.text(&format!("the app {} deleted", app.name))
        }
    }
}

async fn add_apps(add: AppAdd, context: &Context) -> Done {
    let reason = add.flags.fields.reason.clone();
    let requests = match add.from {
        Some(file) => bulk::app_requests(&file)?,
        None => vec![request(add.flags.name.unwrap_or_default(), add.flags.fields)?],
    };
    let added = apps(Operation::AddApps(requests).because(reason), context).await?;
    if let [app] = added.as_slice() {
        print_one(app, context)?;
        context.output.say(
            "the redirect URI must be a Callback URL of the app, byte for byte; orgkey app test asks Salesforce",
        );
        return Ok(());
    }
    print_list(&added, context)
}

async fn apps(operation: Operation, context: &Context) -> Result<Vec<Registration>, Ended> {
    match context.ask(operation).await? {
        Outcome::Apps(apps) => Ok(apps),
        _ => Err(unexpected()),
    }
}

async fn one(name: &str, context: &Context) -> Result<Registration, Ended> {
    let all = apps(Operation::Apps, context).await?;
    all.into_iter().find(|app| app.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        Failure::from(Error::NoSuchApp(crate::domain::text::clean_and_mask(name))).into()
    })
}

/// The flags as a request; a secret comes from a file or standard input.
fn request(name: String, fields: AppFields) -> Result<AppRequest, Ended> {
    let client_secret = fields.secret_from.as_deref().map(read_secret).transpose()?;
    let some = |words: Vec<String>| (!words.is_empty()).then_some(words);
    Ok(AppRequest {
        name,
        client_id: fields.client_id,
        client_secret,
        redirect_uris: some(fields.redirect_uris),
        scopes: fields.scopes.map(|scopes| vec![scopes]),
        flows: None,
        rotation: fields.rotation,
        session_timeout: fields.session_timeout.map(|span| span.as_secs()),
        idle_limit: fields.idle_limit.map(|span| span.as_secs()),
        rotate_every: fields.rotate_every.map(|span| span.as_secs()),
        reason: fields.reason,
        line: None,
    })
}

/// Reads a secret from a private file, or from standard input.
pub(crate) fn read_secret(source: &str) -> Result<Sensitive, Ended> {
    if source == "-" {
        return read_stdin(SECRET_LIMIT);
    }
    platform::secret_file::read_secret_file(std::path::Path::new(source))
        .map(Sensitive)
        .map_err(|error| Failure::from(Error::SecretFile(error)).into())
}

fn print_list(apps: &[Registration], context: &Context) -> Done {
    if context.output.json {
        let all: Vec<_> = apps.iter().map(app_json).collect();
        return context.output.object(&json!({ "schema": 1, "apps": all }));
    }
    if apps.is_empty() {
        context.output.say("no app is known yet: orgkey app add default --client-id ID");
        return Ok(());
    }
    let width = apps.iter().map(|app| app.name.len()).max().unwrap_or(0).max(4);
    let mut table = format!("{:width$}  {:8}  {:6}  CLIENT ID\n", "NAME", "KEPT IN", "SECRET");
    for app in apps {
        let place = match app.origin {
            AppOrigin::Config => "config",
            AppOrigin::Store => "store",
        };
        let secret = if app.has_secret { "yes" } else { "no" };
        let _ = writeln!(table, "{:width$}  {place:8}  {secret:6}  {}", app.name, app.client_id);
    }
    context.output.text(&table)
}

fn print_one(app: &Registration, context: &Context) -> Done {
    if context.output.json {
        return context.output.object(&json!({ "schema": 1, "app": app_json(app) }));
    }
    let place = match app.origin {
        AppOrigin::Config => "config.toml",
        AppOrigin::Store => "the store",
    };
    let redirect_uris = if app.redirect_uris.is_empty() {
        crate::domain::app::DEFAULT_REDIRECT_URI.to_owned()
    } else {
        app.redirect_uris.join("\n                ")
    };
    context.output.text(&format!(
        "{}  kept in {place}\n  Client ID     {}\n  Secret        {}\n  Redirect URI  {redirect_uris}\n  Scopes        {}\n{}",
        app.name,
        app.client_id,
        if app.has_secret { "kept" } else { "none" },
        app.scopes.join(" "),
        policies_in_words(app)
    ))
}

/// The policies that were told, a line each.
fn policies_in_words(app: &Registration) -> String {
    let span = |seconds: Option<u64>| {
        seconds.map(|seconds| span_in_words(std::time::Duration::from_secs(seconds)))
    };
    let rotation = match app.rotation {
        Rotation::Yes => Some("yes, refresh tokens are single-use".to_owned()),
        Rotation::No => Some("no".to_owned()),
        Rotation::Unknown => None,
    };
    let policies = [
        ("Rotation", rotation),
        (
            "Session ends",
            span(app.session_timeout).map(|span| format!("{span} after its last use")),
        ),
        ("Dies unused", span(app.idle_limit).map(|span| format!("after {span}"))),
        ("Rotate every", span(app.rotate_every)),
    ];
    policies
        .into_iter()
        .filter_map(|(label, value)| Some(format!("  {label:13} {}\n", value?)))
        .collect()
}

/// How the app is made in Salesforce.
fn guide(my_domain: Option<&str>, sandbox: bool, context: &Context) -> Done {
    let login_url = match my_domain {
        Some(url) => {
            let policy = context.engine.settings().config.host_policy();
            LoginUrl::parse(url, &policy).map_err(|error| {
                let remedy = "give the org's My Domain URL, e.g. https://acme.my.salesforce.com";
                invalid(Invalid::input(error.to_string(), remedy))
            })?
        }
        None if sandbox => LoginUrl::generic(Environment::Sandbox),
        None => LoginUrl::generic(Environment::Production),
    };
    let steps = guide::steps(&login_url);
    if context.output.json {
        let steps: Vec<_> =
            steps.iter().map(|step| json!({ "title": step.title, "lines": step.lines })).collect();
        let urls = guide::callback_urls(&login_url);
        let guide = json!({ "schema": 1, "steps": steps, "callback_urls": urls });
        return context.output.object(&guide);
    }
    for (number, step) in (1..).zip(&steps) {
        context.output.text(&format!("{number}. {}", step.title))?;
        step.lines.iter().try_for_each(|line| context.output.text(&format!("   {line}")))?;
    }
    let [page, loopback] = guide::callback_urls(&login_url);
    context.output.text(&format!(
        "Then: orgkey app add default --client-id KEY --redirect-uri {page} --redirect-uri {loopback}\n      orgkey app test --wait"
    ))
}

/// How long a new app may take to be known everywhere (Salesforce OAuth facts 3.2).
const NEW_APP_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How often it is asked for meanwhile.
const NEW_APP_PAUSE: Duration = Duration::from_secs(10);

/// Asks until everything is as it should be, or can't become so by itself.
async fn test_patiently(name: &str, context: &Context) -> Result<AppReport, Ended> {
    let end = Instant::now() + NEW_APP_LIMIT;
    loop {
        let report = test_once(name, context).await?;
        let left = end.saturating_duration_since(Instant::now());
        let new = report.findings.iter().find(|finding| finding.may_be_new);
        let Some(finding) = new.filter(|_| left > NEW_APP_PAUSE) else { return Ok(report) };
        context.output.say(&format!(
            "{}; a new app takes up to 10 minutes: asked again in {} s, {} left",
            finding.message,
            NEW_APP_PAUSE.as_secs(),
            span_in_words(left)
        ));
        tokio::time::sleep(NEW_APP_PAUSE).await;
    }
}

async fn test_once(name: &str, context: &Context) -> Result<AppReport, Ended> {
    match context.ask(Operation::TestApp(name.to_owned())).await? {
        Outcome::AppTested(report) => Ok(report),
        _ => Err(unexpected()),
    }
}

async fn test(name: String, wait: bool, context: &Context) -> Done {
    let report = if wait {
        test_patiently(&name, context).await?
    } else {
        test_once(&name, context).await?
    };
    let good = report.findings.iter().all(|finding| finding.good);
    if context.output.json {
        context.output.object(&json!({
            "schema": 1, "app": report.app.name, "good": good, "findings": report.findings,
        }))?;
    } else {
        for finding in &report.findings {
            let mark = if finding.good { '+' } else { '#' };
            context.output.text(&format!("{mark} {}", finding.message))?;
            if !finding.remedy.is_empty() {
                context.output.text(&format!("  {}", finding.remedy))?;
            }
        }
    }
    if good { Ok(()) } else { Err(Ended::Code(exit::INVALID)) }
}
