//! True frames with a few bytes changed: each is a value or an error, and nothing else happens.

use std::cell::Cell;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::client::gone;
use super::frame::{self, FrameError, LIMIT};
use super::protocol::{Answer, Hello, PROGRAM, PROTOCOL, Request, Welcome};
use crate::domain::name::{Address, ConnectionName, Environment};
use crate::domain::time::UnixMillis;
use crate::domain::token::Expiry;
use crate::engine::operation::{CompleteSetup, Selection, TokenRequest};
use crate::engine::outcome::{KeyProtection, KeyReport, Progress, TokenAnswer};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Event, Operation, Outcome};
use crate::platform::who::Who;

/// One change of a frame.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
    /// What another frame has from there on.
    Join(Index, Index),
    /// Says another length.
    Length(u32),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let telling = prop::sample::select(vec![
        &b"{"[..],
        b"}",
        b"[",
        b"]",
        b"\"",
        b",",
        b":",
        b"\\u0000",
        b"\\ud800",
        b"null",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"\xff",
        b"\x00",
        b"\xf0\x9f",
    ]);
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        3 => (at(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        3 => (at(), telling).prop_map(|(at, bytes)| Change::Insert(at, bytes.to_vec())),
        2 => (at(), 1_usize..40).prop_map(|(at, count)| Change::Remove(at, count)),
        2 => (at(), 1_usize..200).prop_map(|(at, count)| Change::Repeat(at, count)),
        1 => at().prop_map(Change::Cut),
        2 => (at(), at()).prop_map(|(which, at)| Change::Join(which, at)),
        1 => any::<u32>().prop_map(Change::Length),
        1 => (0_u32..2_000).prop_map(Change::Length),
    ]
}

/// What is really said, one frame of each kind and of those that hold a secret.
fn true_frames() -> Vec<Vec<u8>> {
    let name = ConnectionName::parse("acme").unwrap();
    let address = Address { name, environment: Environment::Production };
    let selection = Selection::exactly(&address);
    let secret = || Sensitive::new("5Aep861SIMCANARY\u{e9}\n\"".into());
    let who = Who { uid: 1000, tty: Some("/dev/pts/3".into()), ..Who::default() };
    let ask = |operation| Request::Ask {
        number: 7,
        operation: Box::new(operation),
        open_for_ms: Some(3_600_000),
    };
    let tell = |event| Answer::Event { number: 7, event: Box::new(event) };
    let token = TokenRequest {
        selection: selection.clone(),
        min_ttl: Duration::from_secs(60),
        rejected: Some(secret()),
    };
    let answer = TokenAnswer {
        address,
        access_token: secret(),
        instance_url: serde_json::from_value(json!("https://acme.my.salesforce.com")).unwrap(),
        expiry: Expiry { at: UnixMillis(1_700_000_000_000), known: false },
        unrecorded: None,
    };
    let key = KeyReport {
        protection: KeyProtection::Passphrase,
        open: true,
        open_until: Some(UnixMillis(1_700_000_000_000)),
        agent: None,
        recovery_identity: None,
    };
    let welcome = Welcome {
        protocol: PROTOCOL,
        program: PROGRAM.into(),
        pid: 4711,
        key_open_until: Some(UnixMillis(1)),
    };
    let pasted = CompleteSetup { selection: selection.clone(), pasted: secret() };
    let frames = [
        frame::encode(&Hello { protocol: PROTOCOL, program: PROGRAM.into(), who }),
        frame::encode(&welcome),
        frame::encode(&ask(Operation::Token(token))),
        frame::encode(&ask(Operation::Test(selection))),
        frame::encode(&ask(Operation::CompleteSetup(pasted))),
        frame::encode(&ask(Operation::OpenKey(secret()))),
        frame::encode(&ask(Operation::KeyStatus)),
        frame::encode(&Request::Leave),
        frame::encode(&tell(Event::Progress(Progress::Waiting))),
        frame::encode(&tell(Event::Note("a note".into()))),
        frame::encode(&tell(Event::Done(Ok(Outcome::Token(answer))))),
        frame::encode(&tell(Event::Done(Ok(Outcome::Key(key))))),
        frame::encode(&tell(Event::Done(Err(gone())))),
        frame::encode(&Answer::Refused(gone())),
    ];
    frames.into_iter().map(|frame| frame.unwrap().to_vec()).collect()
}

fn mutated(frames: &[Vec<u8>], which: Index, changes: &[Change], keep_length: bool) -> Vec<u8> {
    let mut bytes = which.get(frames).clone();
    for change in changes {
        let length = bytes.len();
        if length == 0 {
            break;
        }
        match change {
            Change::Set(at, byte) => bytes[at.index(length)] = *byte,
            Change::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Change::Insert(at, new) => {
                let at = at.index(length);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Remove(at, count) => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + count));
            }
            Change::Repeat(at, count) => {
                let at = at.index(length);
                let piece = bytes[at..length.min(at + count)].to_vec();
                bytes.splice(at..at, piece);
            }
            Change::Cut(at) => bytes.truncate(at.index(length)),
            Change::Join(which, at) => {
                let other = which.get(frames);
                bytes.truncate(at.index(length));
                bytes.extend_from_slice(&other[at.index(other.len())..]);
            }
            Change::Length(said) if length >= 4 => {
                bytes[..4].copy_from_slice(&said.to_be_bytes());
            }
            Change::Length(_) => {}
        }
    }
    // Most changes are to be seen by the parser, not only by the count.
    if keep_length && bytes.len() >= 4 {
        let length = u32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// Reads what was sent as one kind of frame, both ways; whether it is one.
fn reads_as<T: DeserializeOwned + Serialize>(sent: &[u8]) -> Result<bool, TestCaseError> {
    let mut rest = sent;
    let blocking = frame::read_blocking::<T>(&mut rest);
    let said = sent.first_chunk().map(|prefix| u32::from_be_bytes(*prefix) as usize);
    let whole = said.map_or(4, |said| if said > LIMIT { 4 } else { 4 + said });
    prop_assert!(sent.len() - rest.len() <= whole, "it read into the next frame");

    let mut stream = sent;
    let reading = std::pin::pin!(frame::read::<T>(&mut stream));
    let mut reading = reading;
    let Poll::Ready(other) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        return Err(TestCaseError::fail("it waits for bytes that are there"));
    };
    match (blocking, other) {
        (Ok(value), Ok(other)) => {
            let text =
                frame::encode(&value).map_err(|error| TestCaseError::fail(error.to_string()));
            let text = text?;
            prop_assert_eq!(&*text, &*frame::encode(&other).unwrap());
            let again = frame::read_blocking::<T>(&mut &text[..]).unwrap();
            prop_assert_eq!(&*text, &*frame::encode(&again).unwrap());
            Ok(true)
        }
        (Err(FrameError::Io(error)), _) => Err(TestCaseError::fail(error.to_string())),
        (Err(one), Err(other)) => {
            prop_assert_eq!(one.to_string(), other.to_string());
            Ok(false)
        }
        _ => Err(TestCaseError::fail("a frame with a runtime and none without, or the reverse")),
    }
}

fn many(cases: u32) {
    let frames = true_frames();
    let (values, errors) = (Cell::new(0_u32), Cell::new(0_u32));
    let strategy =
        (any::<Index>(), prop::collection::vec(change(), 1..6), prop::bool::weighted(0.8));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let ended = TestRunner::new(config).run(&strategy, |(which, changes, keep_length)| {
        let sent = mutated(&frames, which, &changes, keep_length);
        let read = [
            reads_as::<Hello>(&sent)?,
            reads_as::<Welcome>(&sent)?,
            reads_as::<Request>(&sent)?,
            reads_as::<Answer>(&sent)?,
        ];
        let count = if read.contains(&true) { &values } else { &errors };
        count.set(count.get() + 1);
        Ok(())
    });
    ended.unwrap();
    println!("{cases} mutated frames: {} read, {} refused", values.get(), errors.get());
    // Both happen, so both were looked at.
    assert!(values.get() > cases / 100 && errors.get() > cases / 10, "{values:?} {errors:?}");
}

#[test]
fn true_frames_are_read() {
    for sent in true_frames() {
        let read = [
            reads_as::<Hello>(&sent).unwrap(),
            reads_as::<Welcome>(&sent).unwrap(),
            reads_as::<Request>(&sent).unwrap(),
            reads_as::<Answer>(&sent).unwrap(),
        ];
        assert!(read.contains(&true), "{}", String::from_utf8_lossy(&sent));
    }
}

#[test]
fn mutated_frames_are_values_or_errors() {
    many(3_000);
}

#[test]
#[ignore = "a million frames"]
fn a_million_mutated_frames_are_values_or_errors() {
    many(1_000_000);
}
