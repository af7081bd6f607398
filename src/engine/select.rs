//! From what the caller named to one credential, with the guards of product.md.

use crate::domain::name::Address;
use crate::domain::text;
use crate::engine::error::{Error, Refusal};
use crate::engine::operation::Selection;
use crate::store::{CredentialRow, Store};

/// What a plain name means where both environments are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainName {
    /// The one in use: for what reads or edits.
    InUse,
    /// Nothing, unless `--expect` goes with it: for what hands out, rotates or destroys.
    Refused,
}

/// Finds the credential that is meant.
pub(crate) fn select(
    store: &Store,
    selection: &Selection,
    plain: PlainName,
) -> Result<CredentialRow, Error> {
    let rows = store.credentials_of(&selection.target.name)?;
    choose(rows, |row| &row.credential.address, selection, plain)
}

/// Picks the one that is meant from the rows of a connection, the one in use first.
pub(crate) fn choose<T>(
    rows: Vec<T>,
    address_of: impl Fn(&T) -> &Address,
    selection: &Selection,
    plain: PlainName,
) -> Result<T, Error> {
    let target = &selection.target;
    let not_found = || Error::NotFound(text::clean_and_mask(&target.to_string()));
    let row = match target.environment {
        Some(wanted) => rows
            .into_iter()
            .find(|row| address_of(row).environment == wanted)
            .ok_or_else(not_found)?,
        None if rows.len() > 1 && plain == PlainName::Refused && selection.expect.is_none() => {
            let saved = rows.iter().map(|row| address_of(row).clone()).collect();
            return Err(Error::Refused(Refusal::Ambiguous(saved)));
        }
        None => rows.into_iter().next().ok_or_else(not_found)?,
    };
    match selection.expect {
        Some(expected) if expected != address_of(&row).environment => {
            let address = address_of(&row).clone();
            Err(Error::Refused(Refusal::Environment { address, expected }))
        }
        _ => Ok(row),
    }
}
