//! The commands: each reads its flags, asks the engine, and prints text or JSON.
//!
//! A front end like the dashboard: it knows neither store nor network. It prompts only where
//! standard input is a terminal, and ends with the exit codes of product.md.

mod agent;
mod app;
mod args;
mod audit;
mod backup;
mod bulk;
mod context;
mod dashboard;
mod demo;
mod device;
mod discover;
mod doctor;
mod edit;
mod hold;
mod key;
mod log;
mod loopback;
mod many;
mod output;
mod read;
mod recipient;
mod report;
mod revoke;
mod rotate;
mod round;
mod setup;
mod signals;
mod simulate;
mod status;
mod test;
mod token;
mod words;

use clap::CommandFactory;

use crate::config::locations::Locations;
use crate::config::settings::Config;
use crate::domain::text;
use crate::engine::outcome::FailureDetail;
use crate::engine::{Failure, Settings, exit};
use crate::platform;
use args::{Arguments, Command};
use context::Context;
use output::{Done, Ended, Output};

/// Environment variable that names the file with the passphrase.
const PASSPHRASE_FILE: &str = "ORGKEY_PASSPHRASE_FILE";
/// Name of systemd's credential with the passphrase.
const PASSPHRASE_CREDENTIAL: &str = "orgkey-passphrase";
/// Name of systemd's credential with an age identity that opens the key.
const IDENTITY_CREDENTIAL: &str = "orgkey-identity";

/// Runs the program and answers its exit code.
pub(crate) fn run() -> u8 {
    let line: Vec<_> = std::env::args_os().collect();
    let arguments = match Arguments::read(&line) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let output = Output { json: arguments.json };
    match dispatch(arguments, output) {
        Ok(()) => 0,
        Err(Ended::Code(code)) => code,
        Err(Ended::Failure(failure)) => {
            output.failure(&failure);
            failure.exit_code
        }
    }
}

/// Help and version are data; everything else that clap says is a usage error.
fn usage(error: &clap::Error) -> u8 {
    if error.use_stderr() {
        let json = std::env::args_os().any(|argument| argument == "--json");
        let (message, usage) = usage_in_words(&error.to_string());
        Output { json }.failure(&usage_failure(&message, &usage));
        return exit::USAGE;
    }
    match error.print() {
        Ok(()) => 0,
        Err(error) => match Ended::from(error) {
            Ended::Code(code) => code,
            Ended::Failure(failure) => failure.exit_code,
        },
    }
}

/// What clap says of a command line, as message and remedy. It quotes what was typed, which may be
/// a secret in the wrong place.
fn usage_in_words(said: &str) -> (String, String) {
    let said = said.trim_start_matches("error: ");
    let (message, rest) = said.split_once("\n\n").unwrap_or((said, ""));
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let message = lines.join(" ");
    let tip = rest.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let usage = rest.lines().find_map(|line| line.strip_prefix("Usage: "));
    let remedy = match (tip, usage) {
        (Some(tip), _) => text::clean_and_mask(tip),
        (None, Some(usage)) => format!("usage: {usage}; more with --help"),
        (None, None) => "see the command with --help".to_owned(),
    };
    (message, remedy)
}

/// A command line that can't be meant.
fn usage_failure(message: &str, remedy: &str) -> Failure {
    Failure {
        code: "usage".into(),
        message: crate::domain::text::clean_and_mask(message),
        remedy: remedy.into(),
        exit_code: exit::USAGE,
        detail: FailureDetail::None,
    }
}

fn dispatch(arguments: Arguments, output: Output) -> Done {
    match arguments.command {
        None if output.json || !has_terminal() => Err(usage_failure(
            "the dashboard needs a terminal, and no command was given",
            "see orgkey --help for the commands",
        )
        .into()),
        None => dashboard::run(settings()?),
        Some(Command::Completions { shell }) => completions(shell, output),
        Some(Command::Man) => man(output),
        Some(Command::Simulate(simulate)) => simulate::run(&simulate, output),
        Some(Command::Demo { linear }) => demo::run(linear, output),
        Some(Command::Token(token)) => token::run(token, settings()?, output),
        Some(Command::Restore(restore)) => backup::restore(restore, settings()?, output),
        Some(Command::Adopt(adopt)) => backup::adopt(adopt, settings()?, output),
        Some(Command::Doctor(doctor)) => doctor::run(&doctor, output),
        Some(Command::Agent(agent)) => agent::run(&agent, settings()?, output),
        Some(Command::Unlock(unlock)) => signals::block_on(settings()?, |engine| async move {
            agent::unlock(&Context::with_agent(engine, output, unlock.open_for)).await
        }),
        Some(command) => {
            let settings = settings()?;
            signals::block_on(settings, |engine| async move {
                perform(command, &Context::new(engine, output)).await
            })
        }
    }
}

async fn perform(command: Command, context: &Context) -> Done {
    match command {
        Command::Save(save) => edit::save(save, context).await,
        Command::Setup(setup) if setup.discover => discover::run(setup, context).await,
        Command::Setup(setup) => setup::run(setup, context).await,
        Command::Test(test) => test::run(test, context).await,
        Command::Rotate(rotate) => rotate::run(rotate, context).await,
        Command::Round(command) => round::run(command, context).await,
        Command::Reset(reset) => edit::reset(reset, context).await,
        Command::Use(place) => edit::put_in_use(place, context).await,
        Command::List => read::list(context).await,
        Command::Status(status) => status::run(&status, context).await,
        Command::Show(named) => read::show(named, context).await,
        Command::Delete(delete) => edit::delete(delete, context).await,
        Command::App(app) => app::run(app, context).await,
        Command::Key(key) => key::run(key, context).await,
        Command::Revoke(request) => revoke::run(request, context).await,
        Command::Hold(request) => hold::hold(request, context).await,
        Command::Release(request) => hold::release(request, context).await,
        Command::Lock => agent::lock(context).await,
        Command::Move(request) => backup::move_away(request, context).await,
        Command::Backup(request) => backup::backup(request, context).await,
        Command::Audit(audit) => audit::run(audit, context).await,
        Command::Report(report) => report::run(report, context).await,
        // These need no engine, or bring their own.
        Command::Token(_)
        | Command::Agent(_)
        | Command::Doctor(_)
        | Command::Unlock(_)
        | Command::Restore(_)
        | Command::Adopt(_)
        | Command::Simulate(_)
        | Command::Demo { .. }
        | Command::Completions { .. }
        | Command::Man => Ok(()),
    }
}

/// Whether keys can be read and screens be shown.
fn has_terminal() -> bool {
    platform::terminal::stdin_is_terminal() && platform::terminal::stdout_is_terminal()
}

/// Reads where everything lies, config.toml, and which file opens the key.
fn settings() -> Result<Settings, Ended> {
    let locations = locations()?;
    let config = crate::engine::read_config(&locations.config_file()).map_err(Failure::from)?;
    Ok(settings_of(locations, config))
}

/// Where everything lies.
fn locations() -> Result<Locations, Ended> {
    Locations::from_environment().map_err(|error| {
        Ended::from(Failure {
            code: "no_home".into(),
            message: error.to_string(),
            remedy: error.remedy().into(),
            exit_code: exit::INVALID,
            detail: FailureDetail::None,
        })
    })
}

/// The settings of this process, with the file that opens the key; begins the log.
fn settings_of(locations: Locations, config: Config) -> Settings {
    log::start(&locations);
    let passphrase_file = std::env::var_os(PASSPHRASE_FILE)
        .filter(|path| !path.is_empty())
        .map(std::path::PathBuf::from)
        .or_else(|| platform::secret_file::systemd_credential(PASSPHRASE_CREDENTIAL));
    let identity_file = platform::secret_file::systemd_credential(IDENTITY_CREDENTIAL);
    Settings { locations, config, passphrase_file, identity_file }
}

fn completions(shell: clap_complete::Shell, output: Output) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "orgkey", &mut script);
    output.text(&String::from_utf8_lossy(&script))
}

fn man(output: Output) -> Done {
    let mut page = Vec::new();
    clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
    output.text(&String::from_utf8_lossy(&page))
}

/// An answer of another kind than the operation has: a fault of this program.
fn unexpected() -> Ended {
    Failure {
        code: "unexpected".into(),
        message: "the engine answered something else than was asked".into(),
        remedy: "please report it".into(),
        exit_code: exit::UNEXPECTED,
        detail: FailureDetail::None,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_the_value_of_a_secret() {
        let mut commands = vec![Arguments::command()];
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let is_secret =
                    ["password", "passphrase", "secret", "refresh", "code", "access_token"]
                        .iter()
                        .any(|word| id.contains(word));
                let allowed = matches!(id, "secret_from" | "no_passphrase");
                assert!(!is_secret || allowed, "{id} of {}", command.get_name());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
