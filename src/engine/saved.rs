//! What is saved already, looked up by what a new credential must not contradict. Made for tens of
//! thousands at once.

use std::collections::HashMap;

use crate::domain::credential::Credential;
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::{Address, Environment};
use crate::domain::policy::Account;
use crate::engine::error::Invalid;
use crate::engine::outcome::Field;

/// The saved credentials, by name, by org and by account.
#[derive(Debug, Default)]
pub(super) struct SavedAccounts {
    /// By the folded name and the environment.
    names: HashMap<(String, Environment), Address>,
    /// One address for each environment that an org is saved in.
    orgs: HashMap<(OrgId, Environment), Address>,
    /// One address for each account.
    accounts: HashMap<(OrgId, UserId), Address>,
}

impl SavedAccounts {
    /// What there is in the store.
    pub(super) fn of<'a>(credentials: impl Iterator<Item = &'a Credential>) -> Self {
        let mut saved = Self::default();
        for credential in credentials {
            let (org_id, user_id) = (credential.org_id.clone(), credential.user_id.clone());
            saved.add(&credential.address, &Account { org_id, user_id });
        }
        saved
    }

    /// One more, for the checks of those after it.
    pub(super) fn add(&mut self, address: &Address, account: &Account) {
        let Account { org_id, user_id } = account.clone();
        let environment = address.environment;
        self.names.insert((address.name.folded(), environment), address.clone());
        self.orgs.entry((org_id.clone(), environment)).or_insert_with(|| address.clone());
        self.accounts.entry((org_id, user_id)).or_insert_with(|| address.clone());
    }

    /// Refuses a name that is taken, and an org of the other environment: an org is either
    /// production or a sandbox, the same Org ID in both can't be right.
    pub(super) fn check(&self, address: &Address, account: &Account) -> Result<(), Invalid> {
        let environment = address.environment;
        if let Some(other) = self.names.get(&(address.name.folded(), environment)) {
            return Err(Invalid::new(
                Field::Name,
                format!("{other} is saved already"),
                format!("change it with orgkey reset {other}, or choose another name"),
            ));
        }
        match self.orgs.get(&(account.org_id.clone(), environment.other())) {
            None => Ok(()),
            Some(other) => Err(Invalid::new(
                Field::OrgId,
                format!(
                    "Org ID {} is saved as {} in {other}; a sandbox has an Org ID of its own",
                    account.org_id, other.environment
                ),
                format!("take the Org ID of the {environment} org, or correct {other}"),
            )),
        }
    }

    /// What is worth knowing of an account that is saved under another name.
    pub(super) fn note(&self, account: &Account) -> Option<String> {
        let other = self.accounts.get(&(account.org_id.clone(), account.user_id.clone()))?;
        Some(format!(
            "{other} is the same account; Salesforce keeps five approvals per user and app"
        ))
    }
}
