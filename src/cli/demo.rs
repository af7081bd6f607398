//! `demo`: everything on a simulated Salesforce, in a home that is thrown away.
//!
//! The steps are the program's own commands on the real store and real HTTP; the simulated
//! Salesforce is in this process, and the one thing it is asked for is to play the person at the
//! browser.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;

use crate::agent::route::{Route, Which};
use crate::config::locations::Locations;
use crate::config::settings::Config;
use crate::domain::id::UserId;
use crate::engine::operation::{BeginSetup, CompleteSetup, CreateKey};
use crate::engine::outcome::{AuthorizationStarted, FailureDetail};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Engine, Failure, Operation, Outcome, Selection, Settings, exit};
use crate::platform;
use crate::platform::terminal;
use crate::simulator::{Facts, Options, Person, Simulator};
use crate::tui;

use super::args::Arguments;
use super::context::{Context, hidden, visible};
use super::output::{Done, Ended, Output};
use super::{dashboard, perform, signals, simulate, unexpected, usage_failure};

/// The app of the simulated orgs that needs no secret.
const DEMO_APP: &str = "3MVG9simulated.orgkey_public";

/// Runs the demo: the dashboard, or with `linear` the seven steps as plain prompts.
pub(crate) fn run(linear: bool, output: Output) -> Done {
    if !terminal::stdin_is_terminal() || output.json {
        return Err(usage_failure(
            "the demo is a conversation on a terminal",
            "run it on one; for scripts there is orgkey simulate",
        )
        .into());
    }
    let home = ThrowAwayHome::make()?;
    let runtime = simulate::runtime()?;
    let result = runtime.block_on(async {
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let simulator = simulate::start(Options { listen }).await?;
        let engine = open_engine(&home.path, simulator.facts())?;
        if !linear {
            let facts = simulator.facts().clone();
            let person = Box::new(SimulatedPerson { person: simulator.person(), facts });
            let accounts = demo_accounts(simulator.facts())?;
            return dashboard::show(
                Route::new(engine, Which::None, None),
                Some(tui::Demo { person, accounts }),
            )
            .await;
        }
        let walk = Walk { context: Context::alone(Arc::clone(&engine), output), simulator };
        let done = tokio::select! {
            done = walk.all() => done,
            code = signals::ended_by_signal() => Err(Ended::Code(code)),
        };
        signals::close(&engine).await;
        done
    });
    runtime.shutdown_background();
    result
}

/// An engine on the throw-away home, with the simulated orgs' app.
pub(crate) fn open_engine(home: &Path, facts: &Facts) -> Result<Arc<Engine>, Ended> {
    let locations = Locations::in_one_folder(home);
    let text = format!(
        "[network]\nallow_loopback = true\n\n[apps.default]\nclient_id = \"{DEMO_APP}\"\nredirect_uris = [\"{}/services/oauth2/success\"]\n",
        facts.login_url
    );
    let config = Config::parse(&text, &locations.config_file())
        .map_err(|error| Failure::from(crate::engine::Error::from(error)))?;
    let settings = Settings { locations, config, passphrase_file: None, identity_file: None };
    Ok(Engine::open(settings).map_err(Failure::from)?)
}

/// One account of production and its copy in the sandbox: enough for the whole job.
fn demo_accounts(facts: &Facts) -> Result<Vec<tui::DemoAccount>, Ended> {
    let account = |name: &str| {
        let org = org(facts, name)?;
        let user = first_user(org)?;
        Ok(tui::DemoAccount {
            username: user.username.clone(),
            password: user.password.clone(),
            environment: org.environment,
            org_id: org.org_id.clone(),
            user_id: user.user_id.clone(),
            my_domain: org.my_domain.clone(),
        })
    };
    ["acme", "acme--uat"].into_iter().map(account).collect()
}

/// The simulated person at the browser, as the dashboard sees it.
struct SimulatedPerson {
    person: Person,
    facts: Facts,
}

impl SimulatedPerson {
    /// The username of a user of the org whose address is opened.
    fn username(&self, url: &str, user_id: &UserId) -> Option<String> {
        let org = self.facts.orgs.iter().find(|org| url.starts_with(&org.my_domain))?;
        let user = org.users.iter().find(|user| user.user_id == user_id.as_str())?;
        Some(user.username.clone())
    }
}

impl tui::Person for SimulatedPerson {
    fn sign_in(&self, url: String, user_id: UserId) -> tui::SignIn {
        let (person, username) = (self.person.clone(), self.username(&url, &user_id));
        Box::pin(async move {
            let ended_at = person.sign_in(&url, username.as_deref()).await;
            ended_at.map(Sensitive::new).map_err(|error| error.to_string())
        })
    }
}

/// A private folder that goes away with this value.
pub(crate) struct ThrowAwayHome {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl ThrowAwayHome {
    /// Makes it in the system's folder for temporary files, under a name that nobody can guess.
    pub(crate) fn make() -> Result<Self, Ended> {
        let path = platform::files::create_temporary_folder("orgkey-demo")
            .map_err(|error| Failure::from(crate::engine::Error::from(error)))?;
        Ok(Self { path })
    }
}

impl Drop for ThrowAwayHome {
    fn drop(&mut self) {
        // What can't be removed is in the folder that the system empties by itself.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The walk through the seven steps.
struct Walk {
    context: Context,
    simulator: Simulator,
}

impl Walk {
    async fn all(&self) -> Done {
        self.welcome();
        let request = CreateKey { passphrase: None, recovery: false };
        self.context.ask(Operation::CreateKey(request)).await?;
        let facts = self.simulator.facts();
        let (acme, uat) = (org(facts, "acme")?, org(facts, "acme--uat")?);
        let (ana, ana_uat) = (first_user(acme)?, first_user(uat)?);

        self.title("1  Save the Org ID and User ID of an org").await?;
        self.command(&[
            "save",
            "acme",
            "--org-id",
            &acme.org_id,
            "--user-id",
            &ana.user_id,
            "--login-url",
            &acme.my_domain,
        ])
        .await?;
        self.title("2  Set up OAuth tokens by signing in with that same account").await?;
        self.set_up("acme/production", ana).await?;
        self.title("3  Test access").await?;
        self.command(&["test", "acme"]).await?;
        self.title("4  Reset: edit without clearing").await?;
        self.command(&["reset", "acme", "--tag", "eu"]).await?;
        self.title("5  The sandbox has its own Org ID, User ID and token; switch to it").await?;
        self.command(&[
            "save",
            "acme",
            "--sandbox",
            "--org-id",
            &uat.org_id,
            "--user-id",
            &ana_uat.user_id,
            "--login-url",
            &uat.my_domain,
        ])
        .await?;
        self.set_up("acme/sandbox", ana_uat).await?;
        self.command(&["use", "acme/sandbox"]).await?;
        self.command(&["list"]).await?;
        self.title("6  Scripts get an access token; here only its length is shown").await?;
        self.show_token().await?;
        self.title("7  Delete credentials and token for good").await?;
        self.command(&["delete", "acme/production"]).await?;
        self.say("\nThat was all of it. The simulated Salesforce and this home are gone now.");
        self.say("On your own org: orgkey save NAME --org-id ID --user-id ID");
        Ok(())
    }

    fn welcome(&self) {
        self.say(
            "orgkey demo: the whole job on a simulated Salesforce, in a home that is thrown away.",
        );
        self.say("Enter takes the next step; Ctrl-C ends the demo.");
    }

    fn say(&self, words: &str) {
        self.context.output.say(words);
    }

    async fn title(&self, title: &str) -> Result<(), Ended> {
        self.say(&format!("\n{title}"));
        visible("[Enter] ").await?;
        Ok(())
    }

    /// Runs one of the program's commands as it would be typed.
    async fn command(&self, arguments: &[&str]) -> Done {
        self.say(&format!("$ orgkey {}", arguments.join(" ")));
        let line = std::iter::once("orgkey").chain(arguments.iter().copied());
        let parsed = Arguments::try_parse_from(line)
            .map_err(|error| usage_failure(&error.to_string(), "please report it"))?;
        let Some(command) = parsed.command else { return Err(unexpected()) };
        match Box::pin(perform(command, &self.context)).await {
            // The walk goes on after what a command refuses; it is told like on the shell.
            Err(Ended::Failure(failure)) if failure.exit_code != exit::UNEXPECTED => {
                self.context.output.failure(&failure);
                Ok(())
            }
            done => done,
        }
    }

    /// A set-up where an empty answer lets the demo play the person at the browser.
    async fn set_up(&self, address: &str, user: &crate::simulator::UserFacts) -> Done {
        self.say(&format!("$ orgkey setup {address}"));
        let target = crate::domain::name::Target::parse(address).map_err(|_| unexpected())?;
        let selection = Selection { target, expect: None };
        let begin = BeginSetup::plain(selection.clone());
        let outcome = self.context.ask(Operation::BeginSetup(begin)).await?;
        let Outcome::AuthorizationStarted(started) = outcome else { return Err(unexpected()) };
        self.say(&format!(
            "Open this address in a browser on this machine, sign in as {} with password {}:\n",
            user.username, user.password
        ));
        self.context.output.text(&started.url)?;
        self.say("\nThen paste the address that the browser ends at. Or press Enter at once, and the demo signs in for you.");
        loop {
            let pasted = hidden("Paste here (not shown), then Enter: ").await?;
            let pasted = if pasted.is_empty() { self.play(&started, user).await? } else { pasted };
            let complete = CompleteSetup { selection: selection.clone(), pasted };
            match self.context.ask(Operation::CompleteSetup(complete)).await {
                Ok(Outcome::SetupCompleted(receipt)) => {
                    self.say(&format!("{address}: signed in as {}", user.username));
                    return self.context.output.text(&receipt.test.message);
                }
                Ok(_) => return Err(unexpected()),
                Err(Ended::Failure(failure)) if failure.exit_code == exit::INVALID => {
                    self.context.output.failure(&failure);
                }
                Err(ended) => return Err(ended),
            }
        }
    }

    async fn play(
        &self,
        started: &AuthorizationStarted,
        user: &crate::simulator::UserFacts,
    ) -> Result<Sensitive, Ended> {
        let person: Person = self.simulator.person();
        let ended_at = person.sign_in(&started.url, Some(&user.username)).await;
        ended_at.map(Sensitive::new).map_err(|error| {
            Failure {
                code: "demo_sign_in".into(),
                message: format!("the demo could not sign in: {error}"),
                remedy: "sign in yourself at the address above".into(),
                exit_code: exit::UNEXPECTED,
                detail: FailureDetail::None,
            }
            .into()
        })
    }

    #[expect(clippy::disallowed_methods, reason = "only the length of the token is shown")]
    async fn show_token(&self) -> Done {
        use secrecy::ExposeSecret;
        self.say("$ orgkey token acme/sandbox | wc -c");
        let target =
            crate::domain::name::Target::parse("acme/sandbox").map_err(|_| unexpected())?;
        let request = crate::engine::operation::TokenRequest {
            selection: Selection { target, expect: None },
            min_ttl: crate::domain::policy::DEFAULT_MIN_TTL,
            rejected: None,
        };
        match self.context.ask(Operation::Token(request)).await? {
            Outcome::Token(answer) => {
                let length = answer.access_token.0.expose_secret().len() + 1;
                self.context.output.text(&length.to_string())
            }
            _ => Err(unexpected()),
        }
    }
}

fn org<'a>(facts: &'a Facts, name: &str) -> Result<&'a crate::simulator::OrgFacts, Ended> {
    facts.orgs.iter().find(|org| org.name == name).ok_or_else(unexpected)
}

fn first_user(org: &crate::simulator::OrgFacts) -> Result<&crate::simulator::UserFacts, Ended> {
    org.users.first().ok_or_else(unexpected)
}
