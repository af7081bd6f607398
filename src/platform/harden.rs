//! What the process gives up before it holds a secret.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

/// The signal that ends a process whose file grows beyond `ulimit -f`, unless it is handled.
pub(crate) const FILE_TOO_LARGE: i32 = Signal::XFSZ.as_raw();

/// Whether files of this process may only grow to a limit: then that signal can come.
pub(crate) fn has_file_size_limit() -> bool {
    rustix::process::getrlimit(Resource::Fsize).current.is_some()
}

/// Makes every file from here on private (umask 077), and keeps the memory from core dumps and
/// from other processes of the same user (`PR_SET_DUMPABLE` 0, `RLIMIT_CORE` 0).
///
/// To be called first in `main`, before any thread or file. Answers what the system refused, in
/// words for the log: the program works without it, only less guarded.
pub(crate) fn harden() -> Vec<&'static str> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let mut refused = Vec::new();
    if rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        refused.push("the system does not let the process become undumpable");
    }
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if rustix::process::setrlimit(Resource::Core, none).is_err() {
        refused.push("the system does not let the process do without core dumps");
    }
    refused
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::in_child;
    use super::*;

    #[test]
    fn a_hardened_process_makes_private_files_and_no_core() {
        if !in_child::is_child() {
            let name =
                "platform::harden::tests::a_hardened_process_makes_private_files_and_no_core";
            let output = in_child::run(name, &[]);
            assert!(output.status.success(), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
            return;
        }
        assert_eq!(harden(), Vec::<&str>::new());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plain");
        std::fs::write(&path, b"x").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(rustix::process::getrlimit(Resource::Core).maximum, Some(0));
    }
}
