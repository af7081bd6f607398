//! All credentials at once: each whole for the commands, packed for the dashboard.

use crate::domain::packed::Packed;
use crate::domain::rotation::RotateEvery;
use crate::engine::outcome::{Event, Outcome};
use crate::engine::{Engine, Error, Reporter};
use crate::store::{self, CredentialRow, Store};

/// So many rows are told before the rest of a longer list is read; no screen has more.
const FIRST_ROWS: usize = 128;

impl Engine {
    /// Every credential, by name.
    pub(super) async fn list(&self) -> Result<Outcome, Error> {
        let rows = self.store.call(|store| store.credentials()).await?;
        let mut credentials = Vec::with_capacity(rows.len());
        for row in rows {
            credentials.push(self.with_dead_refresh_seen(row).await.credential);
        }
        Ok(Outcome::Credentials(credentials))
    }

    /// Every credential, packed. The first rows are told as the store has them.
    pub(super) async fn index(&self, reporter: &Reporter) -> Result<Outcome, Error> {
        let reporter = reporter.clone();
        let tell = move |rows| reporter.send(Event::FirstRows(rows));
        let every = self.rotate_every().await?;
        let rule = every.clone();
        let (mut packed, open) = self.store.call(move |store| read(store, &rule, tell)).await?;
        for row in open {
            let mut credential = self.with_dead_refresh_seen(row).await.credential;
            every.note(&mut credential);
            if let Err(place) = packed.find(&credential.address) {
                packed.insert(place, &credential);
            }
        }
        Ok(Outcome::Index(packed))
    }
}

/// Packs them one by one as the store reads them, so that there is never a list of them whole.
/// Answers those with an open refresh apart: somebody has to look whether it is still under way.
fn read(
    store: &Store,
    every: &RotateEvery,
    mut tell: impl FnMut(Packed),
) -> Result<(Packed, Vec<CredentialRow>), store::Error> {
    let (mut packed, mut open) = (Packed::default(), Vec::new());
    let mut first = Some(Packed::default());
    store.each_credential(|mut row| {
        every.note(&mut row.credential);
        let name = &row.credential.address.name;
        if let Some(rows) = first.take_if(|rows| rows.len() >= FIRST_ROWS && !rows.ends_with(name))
        {
            tell(rows);
        }
        if let Some(rows) = &mut first {
            rows.push(&row.credential);
        }
        match row.credential.intent {
            Some(_) => open.push(row),
            None => packed.push(&row.credential),
        }
    })?;
    store.release_memory()?;
    packed.sort();
    packed.shrink();
    Ok((packed, open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{AuditEntry, AuditEvent};
    use crate::domain::host::LoginUrl;
    use crate::domain::id::{OrgId, UserId};
    use crate::domain::name::{Address, ConnectionName, Environment};
    use crate::domain::time::UnixMillis;
    use crate::store::{Durability, NewCredential};

    /// A connection, in upper case where its number is even, with an environment.
    fn credential(number: usize, environment: Environment) -> (NewCredential, AuditEntry) {
        let name = if number.is_multiple_of(2) { "ORG" } else { "org" };
        let name = ConnectionName::parse(&format!("{name}-{number:03}")).unwrap();
        let address = Address { name, environment };
        let entry = AuditEntry {
            at: UnixMillis(1),
            event: AuditEvent::CredentialSaved,
            subject: address.to_string(),
            detail: String::new(),
            reason: String::new(),
            who: "{}".into(),
        };
        let new = NewCredential {
            address,
            org_id: OrgId::parse("00D5g00000Abc1X").unwrap(),
            user_id: UserId::parse("0055g00000FgHiJ").unwrap(),
            username: None,
            login_url: LoginUrl::generic(environment),
            app: "default".into(),
            tags: Vec::new(),
        };
        (new, entry)
    }

    /// What is told before the end, and the end, of a store with so many connections: the first
    /// has a production environment alone, the others have both.
    fn told(connections: usize) -> (Vec<Packed>, Packed) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orgkey.db");
        let mut store = Store::open(&path, Durability::Full, || "host".into()).unwrap();
        let mut new = vec![credential(0, Environment::Production)];
        for number in 1..connections {
            new.push(credential(number, Environment::Sandbox));
            new.push(credential(number, Environment::Production));
        }
        store.insert_credentials(&[], &new).unwrap();
        let mut told = Vec::new();
        let (packed, open) = read(&store, &RotateEvery::default(), |rows| told.push(rows)).unwrap();
        assert!(open.is_empty());
        (told, packed)
    }

    #[test]
    fn a_long_list_tells_its_first_rows_and_no_half_of_a_connection() {
        let (told, packed) = told(100);
        let [first] = told.as_slice() else { panic!("{} parts", told.len()) };
        assert_eq!((first.len(), packed.len()), (FIRST_ROWS + 1, 199));
        for index in 0..first.len() {
            assert_eq!(first.get(index), packed.get(index));
        }
        let last = first.get(FIRST_ROWS).unwrap().address;
        assert_eq!(last.to_string(), "ORG-064/sandbox");
    }

    #[test]
    fn a_list_that_fits_on_a_screen_is_told_at_once() {
        let (told, packed) = told(FIRST_ROWS / 2);
        assert!(told.is_empty());
        assert_eq!(packed.len(), FIRST_ROWS - 1);
    }
}
