//! The rules of the subject: IDs, names, hosts, environments, tokens, states, faults.
//!
//! Pure: no I/O, no clock, no randomness, no async, and no serialization of secrets. Time comes
//! in as [`time::UnixMillis`], secrets come in as `secrecy::SecretString`. Everything above may
//! depend on this module; this module depends on nothing in the crate.

pub(crate) mod app;
pub(crate) mod audit;
pub(crate) mod chain;
pub(crate) mod change;
pub(crate) mod clipboard;
pub(crate) mod copy;
pub(crate) mod credential;
pub(crate) mod fault;
pub(crate) mod filter;
pub(crate) mod guide;
pub(crate) mod hold;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod http_time;
pub(crate) mod id;
pub(crate) mod lifetime;
pub(crate) mod loopback;
pub(crate) mod name;
pub(crate) mod packed;
pub(crate) mod policy;
pub(crate) mod record;
pub(crate) mod refused;
pub(crate) mod rotation;
pub(crate) mod round;
pub(crate) mod spent;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod token;
