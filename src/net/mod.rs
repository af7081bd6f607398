//! The wire: the only place that opens a connection to Salesforce, and the only one that names
//! `reqwest` (for questions) and `rustls` (for exchanges).
//!
//! It carries [`Request`](crate::domain::http::Request)s and knows nothing of OAuth. The host
//! policy is asked here once more, as the last thing before the socket. The engine is its only
//! caller.

mod answer;
mod certificate;
mod client;
mod connection;
mod failure;
mod loopback;
mod proxy;
mod resolve;
mod tls;

pub(crate) use client::{ClientError, DEFAULT_CONNECT_TIMEOUT, HttpClient, Settings};
pub(crate) use loopback::{Attempt, Judgement, LoopbackListener};
