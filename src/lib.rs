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
