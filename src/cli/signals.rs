//! The runtime of a command, and what a signal does to it: nothing before an exchange that was
//! sent is durable.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal as Stop, getpid, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::engine::{Engine, Failure, Settings};
use crate::platform;
use crate::platform::terminal::FormerModes;

use super::output::{Done, Ended};

/// So many steps of the engine's tasks at most before the screen has its turn again.
const STEPS: u32 = 8;
/// Longest wait for an exchange after a signal: its own deadline and the commit.
const LAST_EXCHANGE: Duration = Duration::from_secs(25);

/// Exit code of what Ctrl-C ended, as a signal or as a key at a hidden prompt.
pub(crate) const INTERRUPTED: u8 = 130;

/// Exit code after a hang-up.
pub(crate) const HUNG_UP: u8 = 129;

/// Runs a command on an engine of its own. A signal that would end it is acted on when no exchange
/// is under way any more; the exit code says which one it was.
pub(crate) fn block_on<F: Future<Output = Done>>(
    settings: Settings,
    command: impl FnOnce(Arc<Engine>) -> F,
) -> Done {
    let runtime = runtime()?;
    let modes = FormerModes::of_now();
    let result = runtime.block_on(async {
        let ended = ended_by_signal();
        let engine = Engine::open(settings).map_err(Failure::from)?;
        let stops = stop_between_exchanges(Arc::clone(&engine));
        let work = command(Arc::clone(&engine));
        let done = tokio::select! {
            done = work => done,
            code = ended => {
                modes.give_back();
                if code == HUNG_UP {
                    platform::session::let_go_of_terminal();
                }
                Err(Ended::Code(code))
            }
            never = stops => match never {},
        };
        close(&engine).await;
        done
    });
    // A thread that waits for a key press must not keep the process.
    runtime.shutdown_background();
    result
}

/// Waits for what was sent to Salesforce to become durable, and closes the store.
pub(crate) async fn close(engine: &Engine) {
    // What takes longer than an exchange may is not worth the wait: the store heals at the next
    // start. Only an answer that is nowhere but here is waited for until there is room for it.
    let closed = tokio::time::timeout(LAST_EXCHANGE, engine.close()).await;
    if closed.is_err() && engine.is_only_in_memory() {
        engine.close().await;
    }
}

/// The runtime of an engine: the thread that calls, and no other. What could hold it up (the disk,
/// the opening of the key, the system's certificates, the look-up of a name) has threads of its
/// own. From here on a file that may not grow any more (`ulimit -f`) is an error of the write and
/// not the end of the process.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Ended> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().event_interval(STEPS).build()?;
    {
        let _within = runtime.enter();
        // The handler stays when the stream of its signals is dropped.
        drop(signal(SignalKind::from_raw(platform::harden::FILE_TOO_LARGE)));
    }
    Ok(runtime)
}

/// Ctrl-Z stops the process, but not between what was sent and its commit.
fn stop_between_exchanges(engine: Arc<Engine>) -> impl Future<Output = Infallible> {
    let stops = signal(SignalKind::from_raw(Stop::TSTP.as_raw()));
    async move {
        let Ok(mut stops) = stops else { return std::future::pending().await };
        while stops.recv().await.is_some() {
            engine.settled().await;
            // SIGSTOP can't be held back; what continues us afterwards goes on here.
            let _ = kill_process(getpid(), Stop::STOP);
        }
        std::future::pending().await
    }
}

/// Waits for SIGHUP, SIGINT or SIGTERM and answers the exit code for it. From the call on, not
/// only from the first poll, such a signal is noted and does not end the process by itself.
/// Within a runtime only.
pub(crate) fn ended_by_signal() -> impl Future<Output = u8> {
    let hang_up = signal(SignalKind::hangup());
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    async move {
        tokio::select! {
            () = received(hang_up) => HUNG_UP,
            () = received(interrupt) => INTERRUPTED,
            () = received(terminate) => 143,
        }
    }
}

async fn received(signal: std::io::Result<Signal>) {
    match signal {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // The system would not tell us: its own way of ending the process stays.
        Err(_) => std::future::pending().await,
    }
}
