//! The engine between the stores and both front ends: dashboard and commands send the same
//! [`Operation`] and get the same [`Event`]s; neither reaches around it.
//!
//! It brings store, vault, oauth and net together in an order that is the safety argument
//! (design: an exchange). It knows no terminal and no screen.

pub(crate) mod operation;
pub(crate) mod outcome;
pub(crate) mod sensitive;

pub(crate) use operation::Operation;
pub(crate) use outcome::{Event, Failure, Outcome, Progress};
