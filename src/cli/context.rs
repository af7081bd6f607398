//! What every command works with: the engine, the output, and the key when it has to be opened.

use std::sync::Arc;

use secrecy::SecretString;

use crate::agent::route::{Route, Which};
use crate::engine::operation::CreateKey;
use crate::engine::outcome::{FailureDetail, KeyProtection};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Engine, Event, Failure, Operation, Outcome, Progress, exit};
use crate::platform::terminal::{self, PromptError};

use super::output::{Ended, Output};
use super::signals;

/// The engine and the output.
pub(crate) struct Context {
    /// Does the work that is not an agent's.
    pub(crate) engine: Arc<Engine>,
    /// Where each operation goes.
    pub(crate) route: Route,
    /// Says what came of it.
    pub(crate) output: Output,
}

impl Context {
    /// With the agent that is there, if one is.
    pub(crate) fn new(engine: Arc<Engine>, output: Output) -> Self {
        let route = Route::new(Arc::clone(&engine), Which::Present, None);
        Self { engine, route, output }
    }

    /// Without any agent.
    pub(crate) fn alone(engine: Arc<Engine>, output: Output) -> Self {
        let route = Route::new(Arc::clone(&engine), Which::None, None);
        Self { engine, route, output }
    }

    /// With an agent for the key, opened for so long; a new one where there is none.
    pub(crate) fn with_agent(
        engine: Arc<Engine>,
        output: Output,
        open_for: Option<std::time::Duration>,
    ) -> Self {
        let route = Route::new(Arc::clone(&engine), Which::Started, open_for);
        Self { engine, route, output }
    }

    /// Asks the engine, telling its notes. Where the key is missing or locked and someone is at
    /// the terminal, it is made or opened, and the operation is asked again.
    pub(crate) async fn ask(&self, operation: Operation) -> Result<Outcome, Ended> {
        loop {
            match self.ask_once(operation.clone()).await {
                Err(failure) if terminal::stdin_is_terminal() => match failure.detail {
                    FailureDetail::Key(KeyProtection::Missing) => self.make_key().await?,
                    FailureDetail::Key(_) => self.open_key().await?,
                    _ => return Err(failure.into()),
                },
                Err(failure) => return Err(failure.into()),
                Ok(outcome) => return Ok(outcome),
            }
        }
    }

    /// The file that opens the key without a question, where the environment names one.
    pub(crate) fn passphrase_file(&self) -> Option<std::path::PathBuf> {
        self.engine.settings().passphrase_file.clone()
    }

    /// Asks the engine once.
    pub(crate) async fn ask_once(&self, operation: Operation) -> Result<Outcome, Failure> {
        let mut events = self.route.submit(operation);
        while let Some(event) = events.recv().await {
            match event {
                Event::Note(note) => self.output.say(&format!("note: {note}")),
                Event::Alarm(alarm) => self.output.alarm(&alarm),
                Event::Progress(Progress::Waiting) => {
                    self.output.say("waiting for another process that works on it");
                }
                Event::Progress(_) | Event::FirstRows(_) => {}
                Event::Done(result) => return result,
            }
        }
        Err(Failure {
            code: "unexpected".into(),
            message: "the engine ended without an answer".into(),
            remedy: "run the command again; look at what changed with orgkey list".into(),
            exit_code: exit::UNEXPECTED,
            detail: FailureDetail::None,
        })
    }

    /// Makes the sealing key with a passphrase that is asked for twice.
    pub(crate) async fn make_key(&self) -> Result<(), Ended> {
        self.output.say(
            "Tokens are sealed with a key on this machine. Choose its passphrase; it can't be recovered.",
        );
        let passphrase = choose_passphrase().await?;
        let request = CreateKey { passphrase: Some(passphrase), recovery: false };
        self.ask_once(Operation::CreateKey(request)).await?;
        Ok(())
    }

    pub(crate) async fn open_key(&self) -> Result<(), Ended> {
        loop {
            let passphrase = hidden("Passphrase of the sealing key: ").await?;
            match self.ask_once(Operation::OpenKey(passphrase)).await {
                Ok(_) => return Ok(()),
                Err(failure) if failure.code == "wrong_passphrase" => {
                    self.output.say(&failure.message);
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }
}

/// Asks twice for a new passphrase, until both agree.
pub(crate) async fn choose_passphrase() -> Result<Sensitive, Ended> {
    loop {
        let first = hidden("New passphrase: ").await?;
        if first.is_empty() {
            return Err(refused(&PromptError::Interrupted));
        }
        if hidden("The same again: ").await? == first {
            return Ok(first);
        }
        let _ = hidden("They differ. Press Enter to begin again: ").await?;
    }
}

/// A question that waits on the terminal. Whoever asks another one meanwhile gets its answer here:
/// two readers of one terminal would take each other's keys.
pub(crate) type Asked = tokio::task::JoinHandle<Result<SecretString, PromptError>>;

/// Asks on the terminal without echo, beside the event loop.
pub(crate) async fn hidden(prompt: &'static str) -> Result<Sensitive, Ended> {
    answered(begin_hidden(prompt).await)
}

/// The same without waiting for the answer.
pub(crate) fn begin_hidden(prompt: &'static str) -> Asked {
    tokio::task::spawn_blocking(move || terminal::prompt_hidden(prompt))
}

/// What came of a question.
pub(crate) fn answered(
    answer: Result<Result<SecretString, PromptError>, tokio::task::JoinError>,
) -> Result<Sensitive, Ended> {
    match answer {
        Ok(Ok(secret)) => Ok(Sensitive(secret)),
        Ok(Err(error)) => Err(refused(&error)),
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

fn refused(error: &PromptError) -> Ended {
    let exit_code = match error {
        PromptError::Interrupted => signals::INTERRUPTED,
        PromptError::NoTerminal
        | PromptError::TooLong
        | PromptError::NotText
        | PromptError::System(_) => exit::USAGE,
    };
    Failure {
        code: "not_answered".into(),
        message: error.to_string(),
        remedy: error.remedy().into(),
        exit_code,
        detail: FailureDetail::None,
    }
    .into()
}

/// Asks on the terminal for a line that may be seen.
pub(crate) async fn visible(prompt: &str) -> Result<String, Ended> {
    use std::io::Write;
    let mut stderr = std::io::stderr();
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|count| (count, line))
    });
    match read.await {
        Ok(Ok((0, _))) => Err(refused(&PromptError::Interrupted)),
        Ok(Ok((_, line))) => Ok(line.trim().to_owned()),
        Ok(Err(error)) => Err(error.into()),
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

/// Reads standard input to its end, at most `limit` bytes.
pub(crate) fn read_stdin(limit: u64) -> Result<Sensitive, Ended> {
    use std::io::Read;
    let mut text = zeroize::Zeroizing::new(String::new());
    let read = std::io::stdin().lock().take(limit + 1).read_to_string(&mut text);
    match read {
        Ok(count) if count as u64 > limit => {
            Err(super::usage_failure("standard input is too long", "give only what is asked for")
                .into())
        }
        Ok(_) => Ok(Sensitive::new(text.trim().to_owned())),
        Err(_) => Err(super::usage_failure("standard input is no text", "give UTF-8 text").into()),
    }
}
