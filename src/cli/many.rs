//! Which credentials a command of many means.

use crate::domain::name::Address;
use crate::domain::packed::Row;
use crate::engine::{Operation, Outcome, Selection, now};

use super::args::Many;
use super::context::Context;
use super::edit::settle_target;
use super::output::Ended;
use super::unexpected;

/// Those that are meant, by address, and how many of them the command has nothing to do with.
pub(crate) struct Chosen {
    /// What the command is to work on.
    pub(crate) addresses: Vec<Address>,
    /// Passed the filter, but not `fits`.
    pub(crate) left_out: usize,
    /// What one of which has to be typed, of a single NAME that is clear.
    pub(crate) names: Vec<String>,
}

/// What a plain NAME means where both environments are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// The one in use.
    InUse,
    /// Nothing: it is refused, unless `--expect` goes with it (product.md, Words).
    MustBeClear,
}

/// Finds them. Each NAME is found before anything is done with the first, so that a typing mistake
/// does nothing; of `--all` and `--filter` only what `fits` is taken.
pub(crate) async fn choose(
    many: &Many,
    meaning: Names,
    fits: impl Fn(&Row<'_>) -> bool,
    context: &Context,
) -> Result<Chosen, Ended> {
    if many.targets.is_empty() {
        return choose_by_filter(many, fits, context).await;
    }
    let (mut addresses, mut names) = (Vec::new(), Vec::new());
    for target in &many.targets {
        let mut selection = Selection { target: target.clone(), expect: many.expect };
        if meaning == Names::MustBeClear {
            names = settle_target(&mut selection, context).await?;
        }
        let Outcome::Credential(credential) = context.ask(Operation::Show(selection)).await? else {
            return Err(unexpected());
        };
        addresses.push(credential.address);
    }
    Ok(Chosen { addresses, left_out: 0, names })
}

async fn choose_by_filter(
    many: &Many,
    fits: impl Fn(&Row<'_>) -> bool,
    context: &Context,
) -> Result<Chosen, Ended> {
    let Outcome::Index(index) = context.ask(Operation::Index).await? else {
        return Err(unexpected());
    };
    let now = now();
    let is_meant = |row: &Row<'_>| {
        many.expect.is_none_or(|expected| expected == row.environment)
            && many.filter.as_ref().is_none_or(|filter| filter.passes(row, now))
    };
    let (fitting, left_out): (Vec<_>, Vec<_>) =
        index.rows().filter(|row| is_meant(row)).partition(|row| fits(row));
    let addresses = fitting.iter().filter_map(Row::address).collect();
    Ok(Chosen { addresses, left_out: left_out.len(), names: Vec::new() })
}
