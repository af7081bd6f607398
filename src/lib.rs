//! orgkey: the OAuth credential console for Salesforce orgs.

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
    cli::run()
}
