//! What only the operating system has: private files, locks, the terminal without echo, who runs
//! the program and where, and the hardening of the process.
//!
//! All that is bound to Linux sits here, so that another system can follow. No rule of the
//! subject is in it, and it knows nothing of stores, keys or tokens. The engine and the front
//! ends may use it; its siblings get what they need of it from the engine.

pub(crate) mod append;
pub(crate) mod ballast;
pub(crate) mod durable;
pub(crate) mod file_system;
pub(crate) mod files;
pub(crate) mod harden;
pub(crate) mod inbox;
pub(crate) mod lifetime;
pub(crate) mod lock;
pub(crate) mod memory;
pub(crate) mod port;
pub(crate) mod secret_file;
pub(crate) mod session;
pub(crate) mod ssh;
pub(crate) mod syslog;
pub(crate) mod terminal;
pub(crate) mod tmux;
pub(crate) mod watch;
pub(crate) mod who;

#[cfg(test)]
mod in_child;
