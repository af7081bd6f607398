//! What the admin has set: where files live, and config.toml as typed values.
//!
//! It reads no file. The engine hands over the text of config.toml, read by the rules for files
//! that must be trusted, and gets values that need no further check, or an error with line and
//! column. No secret is in a [`settings::Config`]: it names the files that hold them. The engine and
//! the front ends may use it.

pub(crate) mod locations;
pub(crate) mod settings;

mod values;
