//! Tests over HTTP, against a simulator of their own on a free port.

mod client;
mod control;
mod entry;
mod fault;
mod flow;
mod leave;
mod pages;
mod rotation;
mod rules;
