//! orgkey: the OAuth credential console for Salesforce orgs.
//!
//! This header is the map of the house. Each module's own header says what it is, what it is not
//! and who may use it.
//!
//! # What must always hold
//!
//! - A refresh token can be single-use. One exchange at a time per credential, across processes;
//!   the intent is durable before the request leaves, the answer is durable before anyone hears of
//!   it (`engine::refresh`, `engine::sign_in`).
//! - Never a token for another account or environment: a sign-in is pinned before it is stored
//!   (`engine::pin`), a token of anyone else is owed to be revoked before anything is asked with it
//!   (`engine::revoke`).
//! - Never an untrue word about a token: a state is derived from what is known and never stored
//!   (`domain::credential`); a lost answer is called lost.
//! - A token goes to a Salesforce host or nowhere; that is checked once more as the last thing
//!   before the socket (`net`).
//! - Secrets are `secrecy` types, sealed before they touch the disk (`engine::seal`, `vault`), and
//!   in no log, error, JSON, argument or environment of ours.
//!
//! # Layers
//!
//! A module names only those above it in this list; siblings never name each other. A test reads
//! the sources and keeps it so (`tests/architecture.rs`).
//!
//! | module | what it is | what it never does |
//! |---|---|---|
//! | `domain` | the rules: IDs, names, hosts, states, faults, the audit chain | I/O, clock, randomness, async |
//! | `platform` | what the operating system has: private files, locks, terminal, who we are | know a token |
//! | `config` | config.toml as checked values, and where files lie | read a file |
//! | `vault` | the sealing key and sealed values | know what it seals, or where it goes |
//! | `store` | SQLite: tables, transactions, the thread that owns them | see a secret unsealed |
//! | `oauth` | requests built and responses read, one file per specification | open a socket |
//! | `net` | the one HTTP client | know OAuth |
//! | `engine` | operations in, outcomes out: the order that is the safety argument | know a screen |
//! | `simulator` | a Salesforce of our own, for demo and tests; uses `domain` alone | know orgkey's other parts |
//! | `tui` | the dashboard: one model, a pure update, effects as data | touch store or network |
//! | `cli` | the commands: flags in, text or JSON out | touch store or network |
//!
//! # Where to find
//!
//! - what an error of Salesforce means, and what the admin does: `domain::fault`, one table
//! - what a `slow_down`, a 503 or a half answer leads to: `domain::fault::classify`, then
//!   `engine::refresh` for what may have been spent
//! - which copy of a store may refresh: `engine::copies`; what is restored, and how: `store::restore`
//! - an account that signs in before it is saved, and what it brings: `engine::discover`,
//!   `engine::found`
//! - which requests exist: `oauth`; what they look like on the wire: its tests
//! - the words of the command line: `cli::args`; its JSON: `cli::output`
//! - a key of the dashboard: `tui::keymap`; what it does: `tui::model`
//! - the tables: `assets/migrations`

mod agent;
mod cli;
mod config;
mod domain;
mod engine;
mod net;
mod oauth;
mod platform;
mod simulator;
mod store;
mod tui;
mod vault;

/// Runs the program with the arguments and environment of this process and answers its exit code.
pub fn run() -> u8 {
    // What the system refuses here, the program works without.
    let _ = platform::harden::harden();
    tui::terminal::restore_on_panic();
    cli::run()
}
