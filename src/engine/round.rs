//! Rounds: a worklist for the sign-ins of many. The engine keeps it and says where it stands; each
//! sign-in and each refresh is an operation like any other, whoever asks for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::app::Rotation;
use crate::domain::audit::AuditEvent;
use crate::domain::credential::Credential;
use crate::domain::name::Address;
use crate::domain::rotation::RotationWay;
use crate::domain::round::{
    self, Round, RoundCounts, RoundFacts, RoundItem, RoundItemState, TokenTimes,
};
use crate::domain::text;
use crate::engine::error::{Error, Invalid, Refusal};
use crate::engine::operation::{Selection, SkipInRound, StartRound};
use crate::engine::select::PlainName;
use crate::engine::{Engine, Outcome, now};
use crate::store::{CredentialRow, RoundItemRow, RoundRow, new_record_id};

/// Subject of the audit rows that are about a round as a whole.
const SUBJECT: &str = "round";

/// How each app of a round is rotated.
type Rotations = BTreeMap<String, Rotation>;

impl Engine {
    /// Begins a round, in the order in which it is worked through. One whose last credential was
    /// settled is ended for it; one that has some left is not.
    pub(super) async fn start_round(&self, request: StartRound) -> Result<Outcome, Error> {
        let mut rows = self.chosen(&request.addresses).await?;
        if rows.is_empty() {
            return Err(Invalid::input(
                "no credential was chosen: a round has something to do",
                "choose others; orgkey list shows what is saved and in which state",
            )
            .into());
        }
        let rotations = self.rotations(rows.iter().map(|row| &row.credential)).await?;
        let is_unattended = |credential: &Credential| {
            round::is_unattended(request.purpose, credential, way_of(&rotations, credential))
        };
        rows.sort_by_cached_key(|row| {
            round::order_key(is_unattended(&row.credential), &row.credential)
        });
        let reason = request.reason.as_deref().or(self.reason.as_deref());
        let stored = RoundRow {
            id: new_record_id()?,
            facts: RoundFacts {
                purpose: request.purpose,
                chosen_by: text::clean_and_mask(&request.chosen_by),
                reason: reason.map(text::clean_and_mask).unwrap_or_default(),
                started_by: self.who_in_words(),
                started_at: now(),
                ended_at: None,
            },
            items: rows.iter().map(item_row).collect(),
        };
        let credentials: Vec<_> = rows.into_iter().map(Some).collect();
        let round = reported(&stored, &credentials, &rotations);
        if request.dry_run {
            return Ok(Outcome::Round(Some(Box::new(round))));
        }
        self.end_settled_round().await?;
        let detail = format!(
            "{}, {}: {}",
            round.facts.purpose.as_str(),
            text::counted(round.items.len() as u64, "credential"),
            round.facts.chosen_by
        );
        let entry = self.audit_of(AuditEvent::RoundStarted, SUBJECT.into(), detail, reason);
        let is_begun = self.store.call(move |store| store.insert_round(&stored, &entry)).await?;
        if !is_begun {
            return Err(self.round_is_open().await?);
        }
        Ok(Outcome::Round(Some(Box::new(round))))
    }

    /// The round that is open, else the one that ended last, as it stands now.
    pub(super) async fn round(&self) -> Result<Outcome, Error> {
        let round = self.newest_round().await?;
        Ok(Outcome::Round(round.map(|(_, round)| Box::new(round))))
    }

    /// Passes a credential over, or takes that back.
    pub(super) async fn skip_in_round(&self, request: SkipInRound) -> Result<Outcome, Error> {
        let (stored, round) = self.open_round().await?;
        let place = round.items.iter().position(|item| item.address == request.address);
        let Some(item) = place.and_then(|place| stored.items.get(place)) else {
            return Err(Error::Refused(Refusal::NotInRound(request.address)));
        };
        let note = request.note.map(|note| text::clean_and_mask(&note).trim().to_owned());
        if note.as_deref() == Some("") {
            return Err(Invalid::input(
                "a credential is passed over with a note: the receipt says why",
                "say why in a few words",
            )
            .into());
        }
        let is_noted = item.note.is_some();
        let changes = match round.items.get(place.unwrap_or_default()).map(|item| item.state) {
            Some(RoundItemState::Refreshed | RoundItemState::SignedIn) | None => false,
            Some(_) => note.is_some() || is_noted,
        };
        if !changes {
            return Ok(Outcome::Round(Some(Box::new(round))));
        }
        let detail = note.clone().unwrap_or_else(|| "taken back".into());
        let event = AuditEvent::RoundItemSkipped;
        let entry = self.audit_of(event, request.address.to_string(), detail, None);
        let (id, credential) = (stored.id, item.credential);
        let set = move |store: &mut crate::store::Store| {
            store.set_round_note(id, credential, note.as_deref(), &entry)
        };
        self.store.call(set).await?;
        self.round().await
    }

    /// Ends the open round; what is left of it stays as it is.
    pub(super) async fn end_round(&self) -> Result<Outcome, Error> {
        let (stored, round) = self.open_round().await?;
        let ended = self.end(&stored, round).await?;
        Ok(Outcome::Round(Some(Box::new(ended))))
    }

    async fn end(&self, stored: &RoundRow, mut round: Round) -> Result<Round, Error> {
        let ended: Vec<_> = round.items.iter().map(|item| (item.state, item.at)).collect();
        let entry =
            self.audit_of(AuditEvent::RoundEnded, SUBJECT.into(), counted(round.counts()), None);
        let (id, at) = (stored.id, now());
        self.store.call(move |store| store.end_round(id, at, &ended, &entry)).await?;
        round.facts.ended_at = Some(at);
        Ok(round)
    }

    /// Ends a round that nobody has anything to do for any more.
    async fn end_settled_round(&self) -> Result<(), Error> {
        let Some((stored, round)) = self.newest_round().await? else { return Ok(()) };
        if !round.is_open() || round.counts().waiting > 0 {
            return Ok(());
        }
        match self.end(&stored, round).await {
            // Somebody else was faster.
            Err(Error::Store(crate::store::Error::Stale)) => Ok(()),
            ended => ended.map(|_| ()),
        }
    }

    async fn open_round(&self) -> Result<(RoundRow, Round), Error> {
        let newest = self.newest_round().await?;
        newest.filter(|(_, round)| round.is_open()).ok_or(Error::Refused(Refusal::NoRound))
    }

    async fn round_is_open(&self) -> Result<Error, Error> {
        let (_, round) = self.open_round().await?;
        let (settled, of) = (round.counts().settled(), round.items.len());
        Ok(Error::Refused(Refusal::RoundOpen { since: round.facts.started_at, settled, of }))
    }

    async fn newest_round(&self) -> Result<Option<(RoundRow, Round)>, Error> {
        let newest = self.store.call(|store| store.newest_round()).await?;
        let Some((stored, credentials)) = newest else { return Ok(None) };
        let known = credentials.iter().flatten().map(|row| &row.credential);
        let rotations = self.rotations(known).await?;
        let round = reported(&stored, &credentials, &rotations);
        Ok(Some((stored, round)))
    }

    /// Each of the credentials once.
    async fn chosen(&self, addresses: &[Address]) -> Result<Vec<CredentialRow>, Error> {
        let once: BTreeSet<_> = addresses.iter().cloned().collect();
        let mut rows = Vec::with_capacity(once.len());
        for address in &once {
            rows.push(self.select(&Selection::exactly(address), PlainName::InUse).await?);
        }
        Ok(rows)
    }

    /// How the apps of credentials rotate.
    async fn rotations(
        &self,
        credentials: impl Iterator<Item = &Credential>,
    ) -> Result<Rotations, Error> {
        let names: BTreeSet<_> = credentials.map(|credential| credential.app.clone()).collect();
        let mut rotations = Rotations::new();
        for name in names {
            let rotation = self.app(&name).await?.map_or(Rotation::Unknown, |app| app.rotation);
            rotations.insert(name, rotation);
        }
        Ok(rotations)
    }
}

fn way_of(rotations: &Rotations, credential: &Credential) -> RotationWay {
    let rotation = rotations.get(&credential.app).copied().unwrap_or(Rotation::Unknown);
    RotationWay::of(rotation, credential.token.as_ref())
}

fn item_row(row: &CredentialRow) -> RoundItemRow {
    let credential = &row.credential;
    RoundItemRow {
        credential: row.id,
        address: credential.address.clone(),
        user: round::who_signs_in(credential).to_owned(),
        before: TokenTimes::of(credential.token.as_ref()),
        note: None,
        ended: None,
    }
}

/// How a round stands, by what there is of its credentials.
fn reported(
    stored: &RoundRow,
    credentials: &[Option<CredentialRow>],
    rotations: &Rotations,
) -> Round {
    let items = stored.items.iter().zip(credentials).map(|(item, row)| {
        let credential = row.as_ref().map(|row| &row.credential);
        reported_item(stored, item, credential, rotations)
    });
    Round { facts: stored.facts.clone(), items: items.collect() }
}

fn reported_item(
    stored: &RoundRow,
    item: &RoundItemRow,
    credential: Option<&Credential>,
    rotations: &Rotations,
) -> RoundItem {
    let (state, at) = match (item.ended, credential) {
        (Some(ended), _) => ended,
        (None, None) => (RoundItemState::Deleted, None),
        (None, Some(credential)) => {
            match RoundItemState::of(stored.facts.purpose, credential.token.as_ref(), item.before) {
                (RoundItemState::Waiting, _) if item.note.is_some() => {
                    (RoundItemState::Skipped, None)
                }
                (RoundItemState::Waiting, _) if credential.held.is_some() => {
                    (RoundItemState::OnHold, None)
                }
                found => found,
            }
        }
    };
    let is_unattended = credential.is_some_and(|credential| {
        round::is_unattended(stored.facts.purpose, credential, way_of(rotations, credential))
    });
    RoundItem {
        address: credential.map_or(&item.address, |credential| &credential.address).clone(),
        user: credential.map_or(item.user.as_str(), round::who_signs_in).to_owned(),
        state,
        at,
        note: item.note.clone().filter(|_| state == RoundItemState::Skipped).unwrap_or_default(),
        is_unattended,
        drains_until: credential
            .and_then(|credential| credential.draining.as_ref())
            .map(|draining| draining.until),
        owes_revocation: credential.is_some_and(|credential| credential.revocation_owed),
    }
}

/// The counts for the audit.
fn counted(counts: RoundCounts) -> String {
    let RoundCounts { refreshed, signed_in, skipped, on_hold, deleted, waiting, .. } = counts;
    let held = if on_hold > 0 { format!("{on_hold} on hold, ") } else { String::new() };
    format!(
        "{refreshed} refreshed, {signed_in} signed in, {skipped} skipped, {held}{deleted} deleted, {waiting} left"
    )
}
