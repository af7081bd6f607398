//! How the program ends when it is told to, or when nobody listens any more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::common::{Home, until};

fn ended(child: &mut Child) -> i32 {
    let mut status = None;
    until("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code().unwrap()
}

#[test]
fn a_signal_ends_with_its_own_exit_code() {
    let home = Home::empty();
    for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let mut child =
            home.command(&["simulate", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let id = child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(sent.success(), "{signal}");
        assert_eq!(ended(&mut child), code, "{signal}");
    }
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let home = Home::new();
    for arguments in [["app", "list"].as_slice(), &["--help"], &["man"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child =
            home.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        assert_eq!((ended(&mut child), said.as_str()), (141, ""), "{arguments:?}");
    }
}

#[test]
fn a_full_output_is_told() {
    let home = Home::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child =
        home.command(&["app", "list"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(ended(&mut child), 9, "{said}");
    assert!(said.contains("could not be written"), "{said}");
}
