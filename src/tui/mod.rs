//! The dashboard.

pub(crate) mod effect;
pub(crate) mod input;
pub(crate) mod keymap;
pub(crate) mod message;
pub(crate) mod model;
