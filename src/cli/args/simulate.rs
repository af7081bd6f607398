//! Flags of `simulate`.

use clap::Args;

/// What `orgkey simulate --help` says of faults.
const SIMULATE_HELP: &str = "\
It says when it is ready and which orgs, users, passwords and apps it has.

Its control plane, http://localhost:PORT/_control/, moves its clock (clock), changes apps, users and
orgs (apps, users, orgs, more_users), plays the person at the browser (sign_in), ends tokens
(revoke, expire_sessions), says where clients come from (address) and whom browsers remember
(browser), tells what happened (journal, counts, approvals, refresh_tokens), and takes
faults (faults). A fault says which requests it meets, and how the answer leaves: answer, reset,
stall, truncate@BYTES, cut_chunks@BYTES, drip@BYTES_PER_SECOND, drip_body@BYTES_PER_SECOND,
huge@BYTES, endless, redirect:URL. The rotation_policy of an app is strict, grace or
until_first_use. README.md has the tables.";

/// `orgkey simulate`
#[derive(Debug, Args)]
#[command(after_long_help = SIMULATE_HELP)]
pub(crate) struct Simulate {
    /// Address and port on this machine; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: std::net::SocketAddr,
}
