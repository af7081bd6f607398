//! Keys and sealing: the data key that seals values at rest, and the files that keep it.
//!
//! Two levels. The data key (32 bytes) seals every secret value with XChaCha20-Poly1305, bound to
//! its place in the store ([`data_key`]). `store.age` keeps the data key, encrypted to one or more
//! age X25519 recipients; `identity.age` keeps this admin's age identity under a passphrase, or
//! `identity.key` keeps it bare ([`key_files`]). Stock `age -d` opens each of them.
//!
//! It is no store: it neither knows what it seals nor where that goes. It touches no file itself
//! either; the engine lays the real folder under [`folder::KeyFolder`]. The engine alone uses it.

pub(crate) mod data_key;
pub(crate) mod error;
pub(crate) mod folder;
pub(crate) mod key_files;

mod age_file;
mod key_text;

#[cfg(test)]
mod stock_age;
