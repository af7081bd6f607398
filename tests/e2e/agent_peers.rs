//! Another user at the agent's socket, and a socket that is another user's.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::agent::{Agent, frame, hello, socket};
use crate::common::{DEADLINE, Home, Simulator, run, set_mode, until};
use crate::left_out;

/// A user who has nothing here.
const OTHER: u32 = 65_534;
/// Names the socket that the test's own program, run as somebody else, speaks to.
const SOCKET: &str = "ORGKEY_TEST_SOCKET";

/// Names the socket at which that program takes the agent's place.
const IN_ITS_PLACE: &str = "ORGKEY_TEST_IN_ITS_PLACE";

/// Ends it.
const END: &[u8] = b"(end)";

/// Whether the tests may run programs as other users; says so where not.
pub(crate) fn is_root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        left_out("this is not root", what);
    }
    is_root
}

/// Hands a folder and all in it over to a user.
pub(crate) fn own(folder: &Path, user: u32) {
    chown(folder, Some(user), Some(user)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            own(&path, user);
        } else {
            chown(&path, Some(user), Some(user)).unwrap();
        }
    }
}

/// A copy of a program where every user can run it; where it was built may be root's alone.
pub(crate) fn program_for_all(program: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("program");
    std::fs::copy(program, &copy).unwrap();
    set_mode(&copy, 0o755);
    copy
}

/// Says hello, asks how the key is, and tells what became of it.
pub(crate) fn ask(socket: &Path) -> String {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) => return format!("[{:?}]", error.kind()),
    };
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let ask = r#"{"Ask":{"number":1,"operation":"KeyStatus","open_for_ms":null}}"#;
    // Whoever is refused may find nobody there any more.
    let _ = stream.write_all(&[hello(1, env!("CARGO_PKG_VERSION")), frame(ask)].concat());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            format!("[{:?}]", error.kind())
        }
        _ => format!("[answered {} bytes]", answer.len()),
    }
}

#[test]
fn another_user_is_kept_out_by_the_folder_and_then_by_the_agent() {
    if let Some(socket) = std::env::var_os(SOCKET) {
        println!("{}", ask(Path::new(&socket)));
        return;
    }
    if !is_root("another user at the agent's socket") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", "ana@acme.example");
    let mut agent = Agent::start(&home);
    set_mode(home.outside(), 0o755);
    let program = program_for_all(&std::env::current_exe().unwrap(), home.outside());
    let name = "agent_peers::another_user_is_kept_out_by_the_folder_and_then_by_the_agent";
    let said = |user: Option<u32>| {
        let mut command = Command::new(&program);
        command.args(["--exact", name, "--nocapture"]).current_dir(home.outside());
        command.env(SOCKET, socket(&home));
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        run(command, "").ok().stdout
    };
    let refused = said(Some(OTHER));
    assert!(refused.contains("[PermissionDenied]"), "{refused}");

    // Opened up after the agent began, against all advice.
    set_mode(&home.path(), 0o755);
    set_mode(&socket(&home), 0o666);
    let refused = said(Some(OTHER));
    assert!(refused.contains("[answered 0 bytes]"), "{refused}");
    // The control: the same words of its own user are answered.
    let answered = said(None);
    assert!(answered.contains("[answered ") && !answered.contains("answered 0"), "{answered}");

    set_mode(&home.path(), 0o700);
    assert!(home.orgkey(&["token", "acme"]).ok().stdout.starts_with("00D"));
    assert!(agent.0.try_wait().unwrap().is_none());
}

#[test]
fn whoever_took_the_agents_place_is_told_nothing_by_a_client() {
    if let Some(socket) = std::env::var_os(IN_ITS_PLACE) {
        let listener = UnixListener::bind(&socket).unwrap();
        set_mode(Path::new(&socket), 0o666);
        let mut heard = Vec::new();
        while !heard.ends_with(END) {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read_to_end(&mut heard);
        }
        println!("[heard {} bytes]", heard.len() - END.len());
        return;
    }
    if !is_root("a socket in the agent's place") {
        return;
    }
    let home = Home::new();
    set_mode(home.outside(), 0o755);
    let program = program_for_all(&std::env::current_exe().unwrap(), home.outside());
    let name = "agent_peers::whoever_took_the_agents_place_is_told_nothing_by_a_client";
    let heard = |user: u32, arguments: &[&str]| {
        let _ = std::fs::remove_file(socket(&home));
        set_mode(&home.path(), 0o777);
        let mut command = Command::new(&program);
        command.args(["--exact", name, "--nocapture"]).env(IN_ITS_PLACE, socket(&home));
        let fake = command.uid(user).gid(user).stdout(Stdio::piped()).spawn().unwrap();
        until("its socket", || {
            std::fs::metadata(socket(&home)).is_ok_and(|found| found.mode() & 0o777 == 0o666)
        });
        let client = home.orgkey_with(arguments, "a rejected token");
        assert_ne!(client.status, 0, "{client}");
        UnixStream::connect(socket(&home)).unwrap().write_all(END).unwrap();
        String::from_utf8(fake.wait_with_output().unwrap().stdout).unwrap()
    };
    for arguments in [&["token", "acme", "--not", "-"][..], &["test", "acme"]] {
        let told = heard(OTHER, arguments);
        assert!(told.contains("[heard 0 bytes]"), "{arguments:?}: {told}");
    }
    // The control: who is taken for the agent hears who asks.
    let told = heard(0, &["token", "acme", "--not", "-"]);
    assert!(told.contains("[heard ") && !told.contains("heard 0"), "{told}");
    std::fs::remove_file(socket(&home)).unwrap();
}
