//! From what the caller named to one credential, with the guards of product.md.

use crate::domain::name::Address;
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
    let target = &selection.target;
    let rows = store.credentials_of(&target.name)?;
    let not_found = || Error::NotFound(target.to_string());
    let saved: Vec<Address> = rows.iter().map(|row| row.credential.address.clone()).collect();
    let row = match target.environment {
        Some(wanted) => rows
            .into_iter()
            .find(|row| row.credential.address.environment == wanted)
            .ok_or_else(not_found)?,
        None if saved.len() > 1 && plain == PlainName::Refused && selection.expect.is_none() => {
            return Err(Error::Refused(Refusal::Ambiguous(saved)));
        }
        None => rows.into_iter().next().ok_or_else(not_found)?,
    };
    match selection.expect {
        Some(expected) if expected != row.credential.address.environment => {
            Err(Error::Refused(Refusal::Environment { address: row.credential.address, expected }))
        }
        _ => Ok(row),
    }
}
