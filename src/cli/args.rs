//! The command line: names, flags and their help, in one declaration that completions and the man
//! page are made from. No flag takes a secret's value.

mod audit;
mod backup;
mod key;
mod many;
mod report;
mod revoke;
mod rotate;
mod round;
mod setup;
mod simulate;
mod status;
mod token;

use clap::{Args, Parser, Subcommand};

use crate::domain::app::Rotation;
use crate::domain::name::{Address, Environment, Target};
use crate::domain::time::parse_span;

pub(crate) use audit::{Audit, AuditCheck};
pub(crate) use backup::{Adopt, Backup, Move, Restore};
pub(crate) use key::{Key, Recipient};
pub(crate) use many::Many;
pub(crate) use report::{Format, Report};
pub(crate) use revoke::{Hold, Release, Revoke};
pub(crate) use rotate::Rotate;
pub(crate) use round::{Round, RoundNext, RoundSkip, RoundStart};
pub(crate) use setup::{Finish, Setup};
pub(crate) use simulate::Simulate;
pub(crate) use status::{Status, StatusFormat};
pub(crate) use token::Token;

/// OAuth credential console for Salesforce orgs
///
/// Save an org's Org ID and User ID, sign in with that account in any browser, test access, and
/// give scripts valid access tokens. Tokens only: no Salesforce password is asked for or stored.
#[derive(Debug, Parser)]
#[command(name = "orgkey", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Line<C: Subcommand> {
    /// What to do; without a command the dashboard opens
    #[command(subcommand)]
    pub(crate) command: Option<C>,
    /// Print one JSON object instead of text; errors as one JSON object on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A whole command line.
pub(crate) type Arguments = Line<Command>;

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 unexpected   2 usage   3 set up the OAuth token   4 unreachable, try again
  5 locked   6 refused   7 no such connection   8 invalid input or configuration
  9 storage   10 uncertain   129, 130, 143 ended by that signal

Files: ORGKEY_HOME puts everything in one folder, else the XDG folders.
The key opens without a question from the file named in ORGKEY_PASSPHRASE_FILE.";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Save the Org ID and User ID of an org under a name
    Save(Save),
    /// Set up OAuth tokens by signing in with the saved account in any browser
    ///
    /// With --discover nothing has to be saved before: sign in first, see the Org ID and the User ID
    /// that Salesforce answers, and a y saves them. Without a y nothing is saved, and the new token is
    /// revoked.
    Setup(Setup),
    /// Test access with one real call
    Test(Many),
    /// Rotate tokens with no downtime
    ///
    /// By a refresh, or by a new sign-in where the app does not rotate refresh tokens. The old token works until the new one has passed its test; then it drains and is revoked.
    /// Exit code 3 means that a person must sign in.
    Rotate(Rotate),
    /// Sign in for many, one after another: a worklist that any session goes on with
    #[command(subcommand)]
    Round(Round),
    /// Edit saved credentials without clearing them
    ///
    /// A change of the account while a token lives is staged: the token works until the new
    /// account has signed in and passed its test.
    Reset(Reset),
    /// Make one environment the one that the plain name means
    Use(Use),
    /// List all credentials
    List,
    /// Count the credentials by state; exit 0 when all is well
    Status(Status),
    /// Show one credential with its last test and its token's end
    Show(Named),
    /// Revoke the token at Salesforce, then remove credentials and token for good
    Delete(Delete),
    /// Revoke tokens at Salesforce, and keep what is saved
    ///
    /// Every token set of a credential: at Salesforce first out of use here, then told there, then
    /// looked at whether it is dead. What could not be delivered is owed, and tried again. A second
    /// run goes on with what is left.
    Revoke(Revoke),
    /// Stop credentials: nothing is handed out, refreshed or signed in until release
    ///
    /// It needs no open key. An access token that was handed out before lives on until its session
    /// ends; revoke ends it.
    Hold(Hold),
    /// End a hold
    Release(Release),
    /// Print a valid access token, refreshing it first if need be
    ///
    /// Writes only the token to standard output, and to a terminal only with --reveal. Exit code 3
    /// means that a person must set up the OAuth token.
    Token(Token),
    /// Register the app (External Client App or Connected App) of an org
    #[command(subcommand)]
    App(App),
    /// Make and inspect the key that seals tokens and secrets
    #[command(subcommand)]
    Key(Key),
    /// Write a consistent backup of the store, sealed as it is, to a new file
    ///
    /// The file has the key in it as store.age, sealed to its recipients, and no identity that opens
    /// it: keep identity.age, identity.key or the recovery identity elsewhere.
    Backup(Backup),
    /// Restore a backup; what is in its place is kept beside it
    ///
    /// Token sets that are newer here stay. Afterwards nothing single-use is refreshed until
    /// someone says which copy goes on (orgkey adopt, or orgkey move --elsewhere), unless no token
    /// can have been spent since.
    Restore(Restore),
    /// Move the store to another host, or let another copy go on: this one refreshes no more
    ///
    /// Access tokens are served while they live. orgkey adopt takes it back.
    Move(Move),
    /// Say that this copy of the store goes on, on this host
    ///
    /// With a FILE of orgkey move, that one is restored first. A store that was restored from a
    /// backup, or copied, refreshes no single-use token before someone says which copy goes on.
    /// Tokens that are known to be spent are marked: they need a sign-in.
    Adopt(Adopt),
    /// Print who did what and who got access tokens, or check that nobody changed it
    ///
    /// Each row has the hash of the row before it. Times are UTC.
    Audit(Audit),
    /// Write what an auditor asks for of a span of time
    ///
    /// Credentials, set-ups with the proof that the old token is dead, events, tests, hand-outs by
    /// program, exceptions, and the head of the audit chain at both ends.
    Report(Report),
    /// Hold the opened key and do every exchange, in a process that outlives the terminal
    ///
    /// The dashboard and unlock start one in the background; by itself this command runs it in the
    /// foreground, e.g. as a service, until it is told to end. What was sent to Salesforce is
    /// committed first.
    Agent(Agent),
    /// Open the sealing key in the agent, for 8 hours unless said otherwise
    Unlock(Unlock),
    /// Forget the opened key
    Lock,
    /// Look at home, store, key, agent and terminal, and say what mends what is wrong
    ///
    /// One line per check: ok, look, or wrong (exit 8). Beyond this machine it asks the hosts of
    /// the saved credentials alone, without any token.
    Doctor(Doctor),
    /// Run a simulated Salesforce on this machine, for trying things out
    Simulate(Simulate),
    /// Try everything on a simulated Salesforce, in a throw-away home
    Demo {
        /// Walk through the seven steps as plain prompts instead of the dashboard
        #[arg(long)]
        linear: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// The agent's process.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// End the agent that is there, after what it has under way
    #[arg(long)]
    pub(crate) stop: bool,
    /// In a session of its own, and only as long as there is something to do
    #[arg(long, hide = true, conflicts_with = "stop")]
    pub(crate) background: bool,
}

/// `orgkey doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Ask no host: look at this machine alone
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print the hosts that a firewall has to let through, one a line, and look at nothing
    #[arg(long, conflicts_with = "offline")]
    pub(crate) hosts: bool,
}

/// How long the key stays open.
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// How long, e.g. 30m or 2h
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_span)]
    pub(crate) open_for: Option<std::time::Duration>,
}

/// A credential by its name.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// NAME of the connection, or NAME/production, NAME/sandbox
    #[arg(value_name = "NAME", value_parser = target)]
    pub(crate) target: Target,
    /// Refuse (exit 6) when the credential is of the other environment
    #[arg(long, value_name = "ENVIRONMENT", value_parser = environment)]
    pub(crate) expect: Option<Environment>,
}

/// `orgkey save`
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// NAME of the connection: letters, digits, '.', '_' and '-'
    #[arg(required_unless_present = "from")]
    pub(crate) name: Option<String>,
    /// Salesforce Org ID, 00D..., 15 or 18 characters; or an address that has it
    #[arg(long, value_name = "ID", required_unless_present = "from")]
    pub(crate) org_id: Option<String>,
    /// Salesforce User ID, 005..., 15 or 18 characters; or an address that has it
    #[arg(long, value_name = "ID", required_unless_present = "from")]
    pub(crate) user_id: Option<String>,
    /// Use salesforce.com Sandbox: save the sandbox's own IDs
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// The account's fields
    #[command(flatten)]
    pub(crate) account: AccountFlags,
    /// Save many at once from JSON lines, or CSV with a header ('-' reads standard input)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "org_id", "user_id", "sandbox"])]
    pub(crate) from: Option<String>,
}

/// Flags that save and reset share.
#[derive(Debug, Args)]
pub(crate) struct AccountFlags {
    /// Username of that user; learned at the first login when left out
    #[arg(long)]
    pub(crate) username: Option<String>,
    /// My Domain URL of the org, e.g. <https://acme.my.salesforce.com>
    #[arg(long, value_name = "URL")]
    pub(crate) login_url: Option<String>,
    /// Name of the app; 'default' when left out
    #[arg(long)]
    pub(crate) app: Option<String>,
    /// A tag; may be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `orgkey reset`
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// Which credential
    #[command(flatten)]
    pub(crate) named: Named,
    /// A new name for the connection
    #[arg(long = "name", value_name = "NEW")]
    pub(crate) rename: Option<String>,
    /// Salesforce Org ID
    #[arg(long, value_name = "ID")]
    pub(crate) org_id: Option<String>,
    /// Salesforce User ID
    #[arg(long, value_name = "ID")]
    pub(crate) user_id: Option<String>,
    /// Edit the sandbox's set of the connection
    #[arg(long)]
    pub(crate) sandbox: bool,
    /// The account's fields
    #[command(flatten)]
    pub(crate) account: AccountFlags,
    /// Remove all tags
    #[arg(long, conflicts_with = "tags")]
    pub(crate) no_tags: bool,
    /// Drop a staged change
    #[arg(long, conflicts_with_all = ["rename", "org_id", "user_id", "username", "login_url", "app", "tags", "no_tags"])]
    pub(crate) discard: bool,
}

/// `orgkey use`
#[derive(Debug, Args)]
pub(crate) struct Use {
    /// NAME/production or NAME/sandbox
    #[arg(value_name = "NAME/ENVIRONMENT", value_parser = address)]
    pub(crate) address: Address,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `orgkey delete`
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Which credential
    #[command(flatten)]
    pub(crate) named: Named,
    /// Delete the whole connection, production and sandbox
    #[arg(long)]
    pub(crate) both: bool,
    /// The NAME once more; without a terminal there is no other way to confirm
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `orgkey app`
#[derive(Debug, Subcommand)]
pub(crate) enum App {
    /// Add an app by its client ID (Consumer Key)
    Add(AppAdd),
    /// List the apps of config.toml and of the store
    List,
    /// Show one app
    Show {
        /// Name of the app
        name: String,
    },
    /// Change an app; what is left out stays
    Edit(AppFlags),
    /// Say step by step how the app is made in Salesforce
    Guide {
        /// My Domain URL of the org, e.g. <https://acme.my.salesforce.com>
        #[arg(long, value_name = "URL")]
        my_domain: Option<String>,
        /// For a sandbox, where the My Domain is not known
        #[arg(long, conflicts_with = "my_domain")]
        sandbox: bool,
    },
    /// Ask each login host whether it knows the client ID and the redirect URI
    Test {
        /// Name of the app
        #[arg(default_value = crate::domain::app::DEFAULT_APP)]
        name: String,
        /// Ask again until a new app is known everywhere, for 10 minutes at most
        #[arg(long)]
        wait: bool,
    },
    /// Remove an app that no credential uses
    Delete {
        /// Name of the app
        name: String,
        /// The name once more; without a terminal there is no other way to confirm
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// `orgkey app add`
#[derive(Debug, Args)]
pub(crate) struct AppAdd {
    /// The app's fields
    #[command(flatten)]
    pub(crate) flags: AppFlagsOptionalName,
    /// Add many at once from JSON lines, or CSV with a header ('-' reads standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub(crate) from: Option<String>,
}

/// The app's fields where the name may be missing.
#[derive(Debug, Args)]
pub(crate) struct AppFlagsOptionalName {
    /// Name of the app; 'default' serves where no app is named
    #[arg(required_unless_present = "from")]
    pub(crate) name: Option<String>,
    /// The fields
    #[command(flatten)]
    pub(crate) fields: AppFields,
}

/// `orgkey app edit`
#[derive(Debug, Args)]
pub(crate) struct AppFlags {
    /// Name of the app
    pub(crate) name: String,
    /// The fields
    #[command(flatten)]
    pub(crate) fields: AppFields,
}

/// Fields of an app.
#[derive(Debug, Args)]
pub(crate) struct AppFields {
    /// Consumer Key of the app
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// Read the Consumer Secret from a file ('-' reads standard input); it is sealed
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_from: Option<String>,
    /// Callback URL of the app, exactly as registered; may be given more than once
    #[arg(long = "redirect-uri", value_name = "URI")]
    pub(crate) redirect_uris: Vec<String>,
    /// Scopes to ask for, with blanks between
    #[arg(long, value_name = "SCOPES")]
    pub(crate) scopes: Option<String>,
    /// Whether refresh tokens are single-use: yes, no or unknown
    #[arg(long, value_name = "WORD", value_parser = rotation)]
    pub(crate) rotation: Option<Rotation>,
    /// How long an unused session lives, e.g. 2h
    #[arg(long, value_name = "SPAN", value_parser = some_span)]
    pub(crate) session_timeout: Option<std::time::Duration>,
    /// How long an unused refresh token lives, e.g. 30d
    #[arg(long, value_name = "SPAN", value_parser = some_span)]
    pub(crate) idle_limit: Option<std::time::Duration>,
    /// How often tokens of this app are to be rotated, e.g. 90d
    #[arg(long, value_name = "SPAN", value_parser = some_span)]
    pub(crate) rotate_every: Option<std::time::Duration>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

fn target(text: &str) -> Result<Target, String> {
    Target::parse(text).map_err(|error| error.to_string())
}

fn address(text: &str) -> Result<Address, String> {
    let target = target(text)?;
    let environment =
        target.environment.ok_or("write NAME/production or NAME/sandbox".to_owned())?;
    Ok(Address { name: target.name, environment })
}

fn environment(text: &str) -> Result<Environment, String> {
    Environment::parse(text).ok_or_else(|| "write production or sandbox".to_owned())
}

/// A span that is not zero.
fn some_span(text: &str) -> Result<std::time::Duration, String> {
    let span = parse_span(text).map_err(|error| error.to_string())?;
    if span.is_zero() { Err("the span is zero".to_owned()) } else { Ok(span) }
}

fn rotation(text: &str) -> Result<Rotation, String> {
    match text {
        "yes" => Ok(Rotation::Yes),
        "no" => Ok(Rotation::No),
        "unknown" => Ok(Rotation::Unknown),
        _ => Err("write yes, no or unknown".to_owned()),
    }
}
