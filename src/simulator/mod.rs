//! A Salesforce of our own: the login, the OAuth endpoints, the identity service and the small
//! part of the REST API that orgkey asks, served over plain HTTP on loopback.
//!
//! `orgkey simulate`, `orgkey demo` and the end-to-end tests run against it. It is no mock of the
//! client's expectations: it keeps Salesforce's own rules (codes of one use, rotation, five
//! approvals, sliding sessions) on a clock that can be moved, keeps a journal of what reached it,
//! and spoils answers by script. What it simulates is Salesforce OAuth facts sections 1 to 5 and 10.
//!
//! Every secret in here is invented and carries the marker `SIMCANARY`, so that a leak can be
//! searched for. That is why secrets are plain strings in this module and nowhere else.
//!
//! It depends on `domain` alone; `cli` and tests may use it. Nothing in the client may know
//! whether it talks to it or to Salesforce.

mod answer;
mod authorize;
mod control;
mod device;
mod entry;
mod facts;
mod fault;
mod host;
mod identity;
mod journal;
mod leave;
mod mint;
mod oauth;
mod page;
mod request;
mod respond;
mod rest;
mod rotation;
mod seed;
mod server;
mod session;
mod sign_in;
mod soql;
#[cfg(test)]
mod tests;
mod token;
mod wire;
mod world;

pub(crate) use facts::{Facts, OrgFacts, UserFacts};
pub(crate) use server::{Options, Person, Simulator, start};
