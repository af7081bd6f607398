//! What the engine was asked and has not answered yet. One change at a time for each credential:
//! a second press says so instead of asking twice.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::name::Address;
use crate::engine::Operation;
use crate::engine::operation::Selection;
use crate::engine::outcome::Progress;
use crate::tui::message::JobId;
use crate::tui::model::rotate;

/// Most access tests that are with the engine at once; the rest waits here (performance: 1,000
/// hosts with 128 at once).
const TESTS_AT_ONCE: usize = 128;
/// Most rotations of a round that are with the engine at once.
const ROTATIONS_AT_ONCE: usize = 64;

/// One operation under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// What was asked.
    pub(crate) operation: Operation,
    /// What the engine said last.
    pub(crate) progress: Option<Progress>,
}

/// All operations under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jobs {
    /// The next number.
    next: u64,
    /// Those with the engine.
    running: BTreeMap<JobId, Job>,
    /// Which job changes which credential.
    busy: BTreeMap<Address, JobId>,
    /// Access tests that wait for their turn.
    waiting: VecDeque<Address>,
    /// Access tests with the engine.
    testing: usize,
    /// Rotations that wait for their turn.
    waiting_rotations: VecDeque<Address>,
}

impl Jobs {
    /// Takes an operation on; `None` when its credential has one under way.
    pub(crate) fn start(&mut self, operation: Operation) -> Option<JobId> {
        let changes = changed_address(&operation);
        if changes.as_ref().is_some_and(|address| self.busy.contains_key(address)) {
            return None;
        }
        let job = JobId(self.next);
        self.next += 1;
        self.testing += usize::from(matches!(operation, Operation::Test(_)));
        self.busy.extend(changes.map(|address| (address, job)));
        self.running.insert(job, Job { operation, progress: None });
        Some(job)
    }

    /// Notes what the engine said of a job.
    pub(crate) fn note(&mut self, job: JobId, progress: Progress) -> Option<&Job> {
        let job = self.running.get_mut(&job)?;
        job.progress = Some(progress);
        Some(job)
    }

    /// Ends a job; `None` when it was ended before.
    pub(crate) fn end(&mut self, job: JobId) -> Option<Job> {
        let ended = self.running.remove(&job)?;
        self.busy.retain(|_, busy| *busy != job);
        self.testing -= usize::from(matches!(ended.operation, Operation::Test(_)));
        Some(ended)
    }

    /// Lines access tests up.
    pub(crate) fn line_up(&mut self, addresses: Vec<Address>) {
        self.waiting.extend(addresses);
    }

    /// The next access test whose turn has come. Credentials that are busy are left out: what
    /// they are busy with ends in a test, or takes them away.
    pub(crate) fn next_test(&mut self) -> Option<Operation> {
        while self.testing < TESTS_AT_ONCE {
            let address = self.waiting.pop_front()?;
            if !self.busy.contains_key(&address) {
                return Some(Operation::Test(Selection::exactly(&address)));
            }
        }
        None
    }

    /// Lines rotations up.
    pub(crate) fn line_up_rotations(&mut self, addresses: Vec<Address>) {
        self.waiting_rotations.extend(addresses);
    }

    /// The next rotation whose turn has come; what is busy is left out.
    pub(crate) fn next_rotation(&mut self) -> Option<Operation> {
        while !self.waiting_rotations.is_empty() && self.rotating() < ROTATIONS_AT_ONCE {
            let address = self.waiting_rotations.pop_front()?;
            if !self.busy.contains_key(&address) {
                return Some(rotate::by_itself(&address));
            }
        }
        None
    }

    fn rotating(&self) -> usize {
        let rotates = |job: &&Job| matches!(job.operation, Operation::Rotate(_));
        self.running.values().filter(rotates).count()
    }

    /// Whether a rotation is still to end.
    pub(crate) fn rotations_left(&self) -> bool {
        !self.waiting_rotations.is_empty() || self.rotating() > 0
    }

    /// Access tests that are still to end.
    pub(crate) fn tests_left(&self) -> usize {
        self.testing + self.waiting.len()
    }

    /// What a credential is busy with.
    pub(crate) fn of(&self, address: &Address) -> Option<&Job> {
        self.busy.get(address).and_then(|job| self.running.get(job))
    }

    /// Whether such an operation is under way.
    pub(crate) fn any(&self, wanted: impl Fn(&Operation) -> bool) -> bool {
        self.running.values().any(|job| wanted(&job.operation))
    }

    /// Whether many tests or rotations are under way.
    pub(crate) fn is_at_many(&self) -> bool {
        self.tests_left() > 1 || self.rotations_left()
    }

    /// Every job under way.
    #[cfg(test)]
    pub(crate) fn running(&self) -> impl ExactSizeIterator<Item = (&JobId, &Job)> {
        self.running.iter()
    }

    /// Forgets the lined-up tests; answers how many.
    pub(crate) fn forget_waiting(&mut self) -> u64 {
        let waiting = std::mem::take(&mut self.waiting);
        u64::try_from(waiting.len()).unwrap_or(u64::MAX)
    }

    /// The job that completes the set-up of a credential.
    pub(crate) fn completing(&self, address: &Address) -> Option<JobId> {
        let completes = |job: &&JobId| {
            matches!(
                self.running.get(job),
                Some(Job { operation: Operation::CompleteSetup(_), .. })
            )
        };
        self.busy.get(address).filter(completes).copied()
    }

    /// The job that asks exactly this.
    pub(crate) fn asking(&self, operation: &Operation) -> Option<JobId> {
        self.running.iter().find(|(_, job)| job.operation == *operation).map(|(job, _)| *job)
    }
}

/// The credential that an operation names.
pub(crate) fn address_of(operation: &Operation) -> Option<Address> {
    let selection = match operation {
        Operation::Show(selection)
        | Operation::History(selection)
        | Operation::DiscardPending(selection)
        | Operation::ShowSetup(selection)
        | Operation::AwaitApproval(selection)
        | Operation::AbandonSetup(selection)
        | Operation::AwaitRedirect(selection)
        | Operation::Test(selection) => selection,
        Operation::Reset(request) => &request.selection,
        Operation::Delete(request) => &request.selection,
        Operation::Revoke(request) => &request.selection,
        Operation::BeginSetup(request) => &request.selection,
        Operation::CompleteSetup(request) => &request.selection,
        Operation::Token(request) => &request.selection,
        Operation::Rotate(request) => &request.selection,
        Operation::Use(address) => return Some(address.clone()),
        _ => return None,
    };
    let Selection { target, .. } = selection;
    let environment = target.environment?;
    Some(Address { name: target.name.clone(), environment })
}

/// The credential that an operation may change.
fn changed_address(operation: &Operation) -> Option<Address> {
    match operation {
        // Who waits for a person changes nothing until the person answers, and may paste meanwhile.
        Operation::Show(_)
        | Operation::History(_)
        | Operation::ShowSetup(_)
        | Operation::AwaitApproval(_)
        | Operation::AwaitRedirect(_) => None,
        other => address_of(other),
    }
}

/// What an operation does, as a notice says it.
pub(crate) fn doing(job: &Job) -> &'static str {
    match job.progress {
        Some(Progress::Waiting) => return "waiting for another orgkey",
        Some(Progress::Exchanging) => return "exchanging",
        Some(Progress::CheckingIdentity) => return "checking the account",
        Some(Progress::TestingAccess) => return "testing access",
        Some(Progress::Revoking) => return "revoking",
        Some(Progress::Listening | Progress::TunnelSeen) => return "waiting for the sign-in",
        Some(Progress::RedirectCame) => return "setting up",
        None => {}
    }
    match &job.operation {
        Operation::Test(_) => "testing access",
        Operation::Rotate(_) => "rotating",
        Operation::BeginSetup(_) => "beginning the set-up",
        Operation::CompleteSetup(_) | Operation::AwaitApproval(_) => "setting up",
        Operation::AbandonSetup(_) => "giving the set-up up",
        Operation::Delete(_) => "deleting",
        Operation::Revoke(_) => "revoking",
        Operation::Reset(_) | Operation::Save(_) => "saving",
        _ => "working",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::model::{sample, setup};

    #[test]
    fn one_change_at_a_time_for_each_credential() {
        let mut jobs = Jobs::default();
        let acme = sample::address("acme", "production");
        let first = jobs.start(setup::begin(&acme, false, false)).unwrap();
        assert_eq!(jobs.start(Operation::Test(Selection::exactly(&acme))), None);
        assert!(jobs.start(Operation::History(Selection::exactly(&acme))).is_some());
        let other = sample::address("acme", "sandbox");
        assert!(jobs.start(Operation::Test(Selection::exactly(&other))).is_some());
        assert!(jobs.end(first).is_some() && jobs.end(first).is_none());
        assert!(jobs.start(Operation::Test(Selection::exactly(&acme))).is_some());
    }

    #[test]
    fn no_more_tests_run_at_once_than_the_limit_and_all_get_their_turn() {
        let mut jobs = Jobs::default();
        let all: Vec<Address> =
            sample::numbered(300).into_iter().map(|credential| credential.address).collect();
        jobs.line_up(all);
        let mut ended = 0;
        loop {
            while let Some(operation) = jobs.next_test() {
                jobs.start(operation).unwrap();
            }
            assert!(jobs.running().len() <= TESTS_AT_ONCE);
            let Some(job) = jobs.running().next().map(|(job, _)| *job) else { break };
            jobs.end(job);
            ended += 1;
        }
        assert_eq!((ended, jobs.tests_left()), (300, 0));
    }
}
