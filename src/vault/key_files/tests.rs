//! Creation, crashes, races, wrong and lost keys; on a folder in memory that can fail.

use std::collections::BTreeMap;
use std::sync::Mutex;

use zeroize::Zeroizing;

use super::*;
use crate::vault::data_key::Place;
use crate::vault::folder::FolderError;

/// A folder whose n-th change fails, as a crash would have it: before or after it took effect.
#[derive(Debug, Default)]
struct Memory {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// How many changes still work, and whether the failing one takes effect.
    crash: Mutex<Option<(u32, bool)>>,
}

impl Memory {
    fn change<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T,
    ) -> Result<T, FolderError> {
        let refusal = FolderError { message: "crashed".to_owned(), remedy: String::new() };
        let mut crash = self.crash.lock().unwrap();
        match &mut *crash {
            Some((0, takes_effect)) => {
                if *takes_effect {
                    change(&mut self.files.lock().unwrap());
                    *takes_effect = false;
                }
                return Err(refusal);
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        Ok(change(&mut self.files.lock().unwrap()))
    }

    fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }
}

impl KeyFolder for &Memory {
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, FolderError> {
        Ok(self.files.lock().unwrap().get(name).cloned().map(Zeroizing::new))
    }
    fn create(&self, name: &str, content: &[u8]) -> Result<bool, FolderError> {
        self.change(|files| {
            let is_new = !files.contains_key(name);
            files.entry(name.to_owned()).or_insert_with(|| content.to_vec());
            is_new
        })
    }
    fn replace(&self, name: &str, content: &[u8]) -> Result<(), FolderError> {
        self.change(|files| files.insert(name.to_owned(), content.to_vec())).map(|_| ())
    }
    fn remove(&self, name: &str) -> Result<(), FolderError> {
        self.change(|files| files.remove(name)).map(|_| ())
    }
}

fn passphrase(text: &str) -> SecretString {
    SecretString::from(text)
}

/// Whether two open keys are the same.
fn agree(one: &DataKey, other: &DataKey) -> bool {
    let id = [1; 16];
    let place = Place { store_id: &id, table: "t", row: &id, column: "c", generation: 0 };
    other.open(&one.seal(b"value", &place).unwrap(), &place).is_ok()
}

#[test]
fn a_passphrase_opens_the_key_and_a_wrong_one_says_so() {
    let memory = Memory::default();
    let keys = KeyFiles::new(&memory);
    assert_eq!(keys.state().unwrap(), KeyState::Missing);
    let protection = Protection::Passphrase(passphrase("correct horse"));
    let created = keys.create(&protection, true).unwrap();
    assert!(created.is_new);
    assert_eq!(keys.open(&created.identity).unwrap().recipients.len(), 2);
    assert_eq!(keys.state().unwrap(), KeyState::Passphrase);
    let before = memory.files.lock().unwrap().clone();

    let opened = keys.open_with_passphrase(&passphrase("correct horse")).unwrap();
    assert!(agree(&created.key, &opened));
    let wrong = keys.open_with_passphrase(&passphrase("wrong horse")).unwrap_err();
    assert!(matches!(wrong, Error::WrongPassphrase));
    assert!(matches!(keys.open_bare(), Err(Error::PassphraseNeeded)));
    let recovered = keys.open_with_identity(&created.recovery_identity.unwrap()).unwrap();
    assert!(agree(&created.key, &recovered));

    // Once more: the same key, and nothing is overwritten, whoever asks.
    assert!(!keys.create(&protection, true).unwrap().is_new);
    let other = Protection::Passphrase(passphrase("wrong horse"));
    assert!(matches!(keys.create(&other, false), Err(Error::WrongPassphrase)));
    assert!(matches!(keys.create(&Protection::Bare, false), Err(Error::AlreadyThere(_))));
    assert_eq!(*memory.files.lock().unwrap(), before);
}

#[test]
fn the_passphrase_can_change_and_go_and_the_key_stays() {
    let memory = Memory::default();
    let keys = KeyFiles::new(&memory);
    let created = keys.create(&Protection::Bare, false).unwrap();
    let identity = keys.bare_identity().unwrap();
    for (protection, state) in [
        (Protection::Passphrase(passphrase("one")), KeyState::Passphrase),
        (Protection::Passphrase(passphrase("two")), KeyState::Passphrase),
        (Protection::Bare, KeyState::Bare),
    ] {
        keys.protect(&identity, &protection).unwrap();
        assert_eq!(keys.state().unwrap(), state);
        assert_eq!(memory.names(), [protection.file(), STORE_KEY]);
        let opened = match &protection {
            Protection::Passphrase(passphrase) => keys.open_with_passphrase(passphrase),
            Protection::Bare => keys.open_bare(),
        };
        assert!(agree(&opened.unwrap(), &created.key));
    }
    let empty = Protection::Passphrase(passphrase(" "));
    assert!(matches!(keys.protect(&identity, &empty), Err(Error::EmptyPassphrase)));
    let stranger = Identity(age::x25519::Identity::generate());
    assert!(matches!(keys.protect(&stranger, &Protection::Bare), Err(Error::IdentityDoesNotFit)));
}

#[test]
fn a_creation_cut_off_anywhere_is_ended_by_the_next() {
    for takes_effect in [false, true] {
        for changes in 0..2 {
            let memory = Memory::default();
            let keys = KeyFiles::new(&memory);
            *memory.crash.lock().unwrap() = Some((changes, takes_effect));
            assert!(keys.create(&Protection::Bare, true).is_err());
            *memory.crash.lock().unwrap() = None;
            let left = memory.files.lock().unwrap().clone();
            let created = keys.create(&Protection::Bare, true).unwrap();
            assert!(agree(&created.key, &keys.open_bare().unwrap()));
            assert_eq!(created.is_new, created.recovery_identity.is_some());
            for (name, content) in left {
                assert_eq!(memory.files.lock().unwrap()[&name], content, "{name} was overwritten");
            }
        }
    }
}

#[test]
fn a_change_of_protection_cut_off_anywhere_still_opens() {
    for takes_effect in [false, true] {
        for changes in 0..2 {
            let memory = Memory::default();
            let keys = KeyFiles::new(&memory);
            let created = keys.create(&Protection::Bare, false).unwrap();
            let identity = keys.bare_identity().unwrap();
            *memory.crash.lock().unwrap() = Some((changes, takes_effect));
            let protection = Protection::Passphrase(passphrase("new"));
            assert!(keys.protect(&identity, &protection).is_err());
            let opened = match keys.state().unwrap() {
                KeyState::Bare => keys.open_bare(),
                _ => keys.open_with_passphrase(&passphrase("new")),
            };
            assert!(agree(&opened.unwrap(), &created.key), "{changes} {takes_effect}");
        }
    }
}

#[test]
fn of_many_creations_at_once_one_makes_the_key_and_the_others_open_it() {
    let memory = Memory::default();
    let keys: Vec<Created> = std::thread::scope(|scope| {
        let memory = &memory;
        let racers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || KeyFiles::new(memory).create(&Protection::Bare, false).unwrap())
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(keys.iter().filter(|created| created.is_new).count(), 1);
    assert!(keys.iter().all(|created| agree(&created.key, &keys[0].key)));
}

#[test]
fn lost_swapped_and_damaged_files_are_told_apart() {
    let (mine, theirs) = (Memory::default(), Memory::default());
    let keys = KeyFiles::new(&mine);
    keys.create(&Protection::Bare, false).unwrap();
    KeyFiles::new(&theirs).create(&Protection::Bare, false).unwrap();
    let whole = mine.files.lock().unwrap().clone();
    let put = |name: &str, content: Option<Vec<u8>>| {
        let mut files = mine.files.lock().unwrap();
        files.clone_from(&whole);
        match content {
            Some(content) => files.insert(name.to_owned(), content),
            None => files.remove(name),
        };
    };
    let message = || keys.open_bare().unwrap_err().to_string();

    put(BARE_IDENTITY, None);
    assert_eq!(
        (message().as_str(), keys.state().unwrap()),
        ("identity.key is missing", KeyState::StoreKeyAlone)
    );
    assert!(matches!(keys.create(&Protection::Bare, false), Err(Error::AlreadyThere(STORE_KEY))));
    put(STORE_KEY, None);
    assert_eq!(
        (message().as_str(), keys.state().unwrap()),
        ("store.age is missing", KeyState::IdentityAlone)
    );
    put(BARE_IDENTITY, Some(theirs.files.lock().unwrap()[BARE_IDENTITY].clone()));
    assert_eq!(message(), "the identity does not fit store.age");
    put(BARE_IDENTITY, Some(b"rubbish".to_vec()));
    assert_eq!(message(), "identity.key is damaged: it holds no age identity");
    put(STORE_KEY, Some(b"rubbish".to_vec()));
    assert_eq!(message(), "store.age is damaged: it is not an age file, or its head is broken");
    let cut = whole[STORE_KEY].len() - 1;
    put(STORE_KEY, Some(whole[STORE_KEY][..cut].to_vec()));
    assert_eq!(message(), "store.age is damaged: its end is broken or cut off");
}

#[test]
fn no_changed_byte_of_store_age_goes_unnoticed() {
    let memory = Memory::default();
    let keys = KeyFiles::new(&memory);
    keys.create(&Protection::Bare, true).unwrap();
    let whole = memory.files.lock().unwrap()[STORE_KEY].clone();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        memory.files.lock().unwrap().insert(STORE_KEY.to_owned(), changed);
        assert!(keys.open_bare().is_err(), "byte {at}");
    }
}

#[test]
fn a_recipient_that_is_added_opens_the_key() {
    let memory = Memory::default();
    let keys = KeyFiles::new(&memory);
    let created = keys.create(&Protection::Bare, false).unwrap();
    let own = keys.bare_identity().unwrap();
    let second = Identity(age::x25519::Identity::generate());
    assert!(matches!(keys.open(&second), Err(Error::IdentityDoesNotFit)));
    let recipient = Recipient::parse(&second.public_key(), "cron").unwrap();
    keys.add_recipient(&own, recipient.clone()).unwrap();
    assert!(keys.add_recipient(&own, recipient).is_err());
    let opened = keys.open(&second).unwrap();
    assert!(agree(&opened.key, &created.key));
    assert_eq!(opened.recipients.len(), 2);
    assert_eq!(keys.recipient_count().unwrap(), Some(2));
    assert!(Recipient::parse("age1nonsense", "x").is_err());
    assert!(Recipient::parse("ssh-ed25519 AAAA", "x").is_err());
}

#[test]
fn who_is_no_recipient_any_more_opens_neither_the_file_nor_what_is_sealed_anew() {
    let memory = Memory::default();
    let keys = KeyFiles::new(&memory);
    keys.create(&Protection::Bare, false).unwrap();
    let own = keys.bare_identity().unwrap();
    let second = Identity(age::x25519::Identity::generate());
    keys.add_recipient(&own, Recipient::parse(&second.public_key(), "cron").unwrap()).unwrap();
    let kept_by_second = keys.open(&second).unwrap();

    let mut store_key = keys.open(&own).unwrap().with_new_key().unwrap();
    store_key.recipients.retain(|one| one.public_key != second.public_key());
    keys.write(&store_key).unwrap();
    assert!(matches!(keys.open(&second), Err(Error::IdentityDoesNotFit)));
    let both = keys.open(&own).unwrap();
    assert!(agree(&kept_by_second.key, &both.key) && !agree(&both.key, &kept_by_second.key));
    store_key.forget_former_but(&[]);
    keys.write(&store_key).unwrap();
    let one = keys.open(&own).unwrap();
    assert!(!agree(&kept_by_second.key, &one.key) && agree(&both.key, &one.key));
    assert_ne!(one.sealed.as_slice(), both.sealed.as_slice());
}

#[test]
fn a_passphrase_file_that_asks_for_too_much_work_is_refused_unopened() {
    let memory = Memory::default();
    let keys = KeyFiles::new(&memory);
    let head = "age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 21\n\
                ZV/AhotwSGqaPCU43cepl4WYUouAa17a3xpu4G2yi5k\n\
                --- fgMiVLJHMlg9fW7CVG/hPS5EAU4Zeg19LyCP7SoH5nA\n";
    let mut file = head.as_bytes().to_vec();
    file.extend_from_slice(&[0; 64]);
    memory.files.lock().unwrap().insert(SEALED_IDENTITY.to_owned(), file);
    let refused = keys.open_with_passphrase(&passphrase("x"));
    assert!(matches!(refused, Err(Error::TooMuchWork { required: 21 })), "{refused:?}");
}
