//! The agent: a process of its own session that holds the opened key for a set time and does every
//! exchange, so that neither a hang-up nor a killed dashboard touches one (design: engine and
//! agent).
//!
//! It gives out outcomes, never a key. Its socket lies in the state folder; who may ask is decided
//! by the uid that the kernel tells of the other side. The commands and the dashboard know it
//! through [`client`]; without it the same engine runs in their own process.

pub(crate) mod client;
pub(crate) mod frame;
mod grants;
#[cfg(test)]
mod mutated;
mod protocol;
pub(crate) mod route;
pub(crate) mod server;
pub(crate) mod start;

use protocol::is_for_agent;
