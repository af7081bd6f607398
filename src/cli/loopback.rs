//! `setup --flow loopback`: the answer comes back by itself, or is pasted; the first of both wins.

use crate::domain::loopback::{LoopbackRedirect, SshSession};
use crate::engine::outcome::Progress;
use crate::engine::{Event, Failure, Operation, Outcome, exit};
use crate::platform::ssh;
use crate::platform::terminal::FormerModes;

use super::context::{Asked, Context, answered, begin_hidden};
use super::output::{Done, Ended};
use super::setup::{Answer, Occasion, Talk, is_about_the_paste};
use super::usage_failure;

/// Whether a listener would outlive this command: only an agent's does.
pub(super) async fn refuse_without_agent(context: &Context) -> Done {
    if context.route.agent().await.is_some() {
        return Ok(());
    }
    Err(usage_failure(
        "with --start nothing of this program is left to listen, and no agent is here to do it",
        "run orgkey unlock first, which starts an agent; or use --flow paste, or setup without --start on a terminal",
    )
    .into())
}

/// Leaves the waiting to the agent.
pub(super) async fn leave_listening(waiting: Operation, context: &Context) -> Done {
    let mut events = context.route.submit(waiting);
    while let Some(event) = events.recv().await {
        match event {
            Event::Progress(Progress::Listening) => break,
            Event::Done(Err(failure)) => return Err(failure.into()),
            _ => {}
        }
    }
    if context.engine.is_listening() {
        // The agent could not begin it, so it was begun here, where it ends with us.
        context.output.say("note: nothing listens once this ends; paste the answer with --finish");
    }
    Ok(())
}

/// The ways through: the forward, the short link.
pub(super) fn introduce(redirect_uri: &str, context: &Context) {
    let Some(redirect) = LoopbackRedirect::parse(redirect_uri) else { return };
    for line in way_in_words(&redirect, &ssh::session()) {
        context.output.say(&line);
    }
}

fn way_in_words(redirect: &LoopbackRedirect, session: &SshSession) -> Vec<String> {
    let port = redirect.port;
    let whence = if session.is_remote() {
        "On the machine that your browser runs on (adjust it where you have an alias or a jump):"
    } else {
        "A browser on this machine needs nothing more. On another machine, with your own names:"
    };
    vec![
        whence.to_owned(),
        format!("  {}", session.forward_line(port)),
        "or in an SSH session that is open here: Enter, ~C, then".to_owned(),
        format!("  {}", SshSession::escape_line(port)),
        format!("Short link, through it:  {}", redirect.short_link()),
    ]
}

/// Shows the URL and the way back, and waits for the redirect and for a paste. Where the redirect
/// comes, the question for the paste still waits: the next line that is typed is its answer.
pub(super) async fn converse(
    talk: &Talk<'_>,
    context: &Context,
) -> Result<(Answer<Outcome>, Option<Asked>), Ended> {
    context.output.say(&talk.intro);
    context.output.say("");
    context.output.text(talk.url)?;
    context.output.say("");
    introduce(talk.redirect_uri, context);
    let modes = FormerModes::of_now();
    let waiting = wait(talk, context);
    tokio::pin!(waiting);
    let mut listens = true;
    loop {
        let mut asked = begin_hidden(prompt(talk.occasion));
        let pasted = loop {
            tokio::select! {
                biased;
                ended = &mut waiting, if listens => match ended {
                    // The port is closed; what is pasted is still good.
                    Err(failure) if is_about_listening(&failure) => {
                        listens = false;
                        context.output.say("");
                        context.output.failure(&failure);
                    }
                    ended => {
                        context.output.say("");
                        if talk.occasion == Occasion::Round {
                            return ended_in_round(ended, asked, context).await;
                        }
                        modes.give_back();
                        return Ok((Answer::Completed(ended?), Some(asked)));
                    }
                },
                pasted = &mut asked => break answered(pasted),
            }
        };
        let pasted = match pasted {
            Ok(pasted) => pasted,
            Err(ended) => {
                context.output.say(&format!("the sign-in stays pending: {}", talk.later));
                return Err(ended);
            }
        };
        if let Some(answer) = talk.occasion.word(&pasted) {
            return Ok((answer, None));
        }
        match context.ask((talk.complete)(pasted)).await {
            Err(Ended::Failure(failure)) if is_about_the_paste(&failure) => {
                context.output.failure(&failure);
            }
            // The redirect was faster.
            Err(Ended::Failure(failure)) if listens && failure.code == "nothing_pending" => {
                return Ok((Answer::Completed(waiting.await?), None));
            }
            done => return Ok((Answer::Completed(done?), None)),
        }
    }
}

/// The redirect came in a round: the question for the paste still has the terminal, and must not take
/// a line that is meant for the next one.
async fn ended_in_round(
    ended: Result<Outcome, Failure>,
    asked: Asked,
    context: &Context,
) -> Result<(Answer<Outcome>, Option<Asked>), Ended> {
    match ended {
        Ok(outcome) => Ok((Answer::Completed(outcome), Some(asked))),
        Err(failure) => {
            context.output.failure(&failure);
            context.output.say("Enter goes on: ");
            answered(asked.await)?;
            Err(Ended::Code(failure.exit_code))
        }
    }
}

fn prompt(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Alone => "Waiting. Or paste it here (it is not shown), then Enter: ",
        Occasion::Round => {
            "Waiting. Or paste it here (it is not shown); s passes over, q leaves; then Enter: "
        }
    }
}

async fn wait(talk: &Talk<'_>, context: &Context) -> Result<Outcome, Failure> {
    let mut events = context.route.submit(talk.waiting.clone());
    while let Some(event) = events.recv().await {
        match event {
            Event::Progress(Progress::Listening) => {
                context.output.say(&format!("Listening for {}", talk.redirect_uri));
            }
            Event::Progress(Progress::TunnelSeen) => {
                context.output.say("\r\n+ the tunnel works");
            }
            Event::Progress(Progress::RedirectCame) => {
                context.output.say("\r\nthe answer came back by itself");
            }
            Event::Note(note) => context.output.say(&format!("note: {note}")),
            Event::Alarm(alarm) => context.output.alarm(&alarm),
            Event::Progress(_) | Event::FirstRows(_) => {}
            Event::Done(result) => return result,
        }
    }
    Err(Failure {
        code: "listening_ended".into(),
        message: "the agent that listened has ended".into(),
        remedy: "paste the address that the browser ends at".into(),
        exit_code: exit::INVALID,
        detail: crate::engine::outcome::FailureDetail::None,
    })
}

fn is_about_listening(failure: &Failure) -> bool {
    matches!(
        failure.code.as_str(),
        "listening_over" | "listening_ended" | "port_taken" | "port_refused" | "not_loopback"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_told_for_a_session_through_ssh_and_for_one_on_the_spot() {
        let redirect = LoopbackRedirect::parse("http://localhost:1717/OauthRedirect").unwrap();
        let session =
            SshSession::new(Some("ana"), Some("192.0.2.7 5000 198.51.100.1 2222"), "jump1");
        let words = way_in_words(&redirect, &session).join("\n");
        assert!(
            words.contains("\n  ssh -L 1717:localhost:1717 -p 2222 ana@198.51.100.1\n"),
            "{words}"
        );
        assert!(words.contains("~C, then\n  -L 1717:localhost:1717\n"), "{words}");
        assert!(words.ends_with("http://localhost:1717/go"), "{words}");
        let here = SshSession::new(Some("ana"), None, "jump1");
        let words = way_in_words(&redirect, &here).join("\n");
        assert!(words.starts_with("A browser on this machine needs nothing more."), "{words}");
    }
}
