//! One command, stopped at each of its system calls in turn: strace does it, so that the program
//! has no part in it.

use std::collections::BTreeMap;
use std::process::Command;

use crate::common::{Home, Run, run};

/// More occurrences of one call than any command here has in one thread.
const LIMIT: usize = 2000;

/// Calls to the file that the answer goes through.
const FILE_CALLS: [&str; 3] = ["fdatasync@inbox", "pread64@inbox", "pwrite64@inbox"];

/// A command with what it reads.
pub struct Subject<'a> {
    /// Arguments.
    pub arguments: &'a [&'a str],
    /// Standard input.
    pub stdin: &'a str,
}

/// What is done to a call.
#[derive(Clone, Copy)]
pub enum Blow {
    /// The process is killed where it would enter the call.
    Kill,
    /// The call fails with this error, and nothing else happens.
    Error(&'static str),
}

/// How a command ended that was meant to be hit.
pub struct Hit {
    /// The end.
    pub run: Run,
    /// Whether the call was met; where not, the command has fewer of them.
    pub met: bool,
}

impl Subject<'_> {
    fn traced(&self, home: &Home, options: &[String]) -> Run {
        let command = home.command(self.arguments);
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq"]).args(options);
        traced.arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            traced.env(name, value.unwrap_or_default());
        }
        run(traced, self.stdin)
    }

    /// Runs it once, unharmed, and answers which calls it makes.
    pub fn calls(&self, home: &Home) -> Vec<String> {
        let trace = home.outside().join("trace");
        self.traced(home, &["-o".into(), trace.display().to_string()]).ok();
        let lines = std::fs::read_to_string(trace).unwrap();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines.lines() {
            let rest = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
            let name: String =
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !name.is_empty() && rest[name.len()..].starts_with('(') {
                *counts.entry(name).or_default() += 1;
            }
        }
        // What starts it is not the program yet; what ends it has nothing after it.
        counts.remove("execve");
        assert!(counts.len() > 20, "a trace of something else: {counts:?}");
        let of_files = FILE_CALLS.map(str::to_owned);
        counts.into_keys().chain(of_files).collect()
    }

    /// Runs it with a blow at the `n`-th such call of any of its threads. `call` may be one to a
    /// file of the home alone, as in `pwrite64@inbox`: each thread counts for itself, so that a
    /// thread's first call would hide behind another's.
    pub fn hit(&self, home: &Home, blow: Blow, call: &str, n: usize) -> Hit {
        let (call, file) = match call.split_once('@') {
            Some((call, file)) => (call, Some(home.path().join(file))),
            None => (call, None),
        };
        let trace = home.outside().join("trace");
        let what = match blow {
            Blow::Kill => "signal=KILL".to_owned(),
            Blow::Error(error) => format!("error={error}"),
        };
        let options = [
            "-o".into(),
            trace.display().to_string(),
            "-e".into(),
            format!("trace={call}"),
            "-e".into(),
            format!("inject={call}:{what}:when={n}"),
        ]
        .into_iter()
        .chain(file.into_iter().flat_map(|file| ["-P".into(), file.display().to_string()]))
        .collect::<Vec<_>>();
        let run = self.traced(home, &options);
        let met = match blow {
            Blow::Kill => run.status == 137,
            Blow::Error(_) => std::fs::read_to_string(trace).unwrap().contains("(INJECTED)"),
        };
        Hit { run, met }
    }
}

/// Goes through all places of these calls: `point` is hit with each until it is not met any more.
pub fn each_point(calls: &[String], mut point: impl FnMut(&str, usize) -> bool) {
    for call in calls {
        for n in 1..=LIMIT {
            if !point(call, n) {
                break;
            }
            assert!(n < LIMIT, "{call} has no end");
        }
    }
}

/// What can be lost is an answer on its way from the wire to the inbox: the wait for it, where
/// Salesforce was faster than the kill, its read and the write after it. Each of these calls may come
/// first, second or third in the thread that makes it.
pub fn assert_only_answers_lost(lost: &[String]) {
    let is_about_the_answer = |point: &String| {
        ["epoll_wait ", "recvfrom ", "pwrite64@inbox "].iter().any(|call| point.starts_with(call))
    };
    assert!(lost.len() <= 5 && lost.iter().all(is_about_the_answer), "{lost:?}");
}
