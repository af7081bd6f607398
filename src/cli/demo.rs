//! `demo`: everything on a simulated Salesforce, in a home that is thrown away.
use super::output::{Done, Output};
/// Runs the demo.
pub(crate) fn run(output: Output) -> Done {
    output.text("demo")
}
