//! Who may ask the agent for what, by the uid that the kernel tells. Today one row: the user whose
//! agent it is, everything.

use crate::engine::Operation;

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Grants {
    /// The user as whom the agent runs.
    owner: u32,
}

impl Grants {
    /// The table of an agent that runs as this user.
    pub(super) fn of_owner(owner: u32) -> Self {
        Self { owner }
    }

    /// Whether a user may be heard at all.
    pub(super) fn admits(&self, uid: u32) -> bool {
        uid == self.owner
    }

    /// Whether a user may ask for this.
    pub(super) fn allows(&self, uid: u32, _operation: &Operation) -> bool {
        uid == self.owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_the_owner_is_heard_and_not_even_root() {
        let grants = Grants::of_owner(1000);
        for (uid, heard) in [(1000, true), (0, false), (1001, false), (u32::MAX, false)] {
            assert_eq!(grants.admits(uid), heard);
            assert_eq!(grants.allows(uid, &Operation::List), heard);
        }
    }
}
