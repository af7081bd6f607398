//! The key files of one store: made once and never overwritten, opened, and protected anew.

use secrecy::SecretString;

use super::age_file;
use super::data_key::{DataKey, KeyId};
use super::error::Error;
use super::folder::{BARE_IDENTITY, KeyFolder, SEALED_IDENTITY, STORE_KEY};
use super::key_text;
pub(crate) use super::key_text::Recipient;

/// How the identity of this admin is kept.
#[derive(Debug)]
pub(crate) enum Protection {
    /// In `identity.age`, under a passphrase.
    Passphrase(SecretString),
    /// In `identity.key`, guarded by the file's mode alone; for hosts that nobody attends.
    Bare,
}

impl Protection {
    fn file(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => SEALED_IDENTITY,
            Self::Bare => BARE_IDENTITY,
        }
    }

    fn other_file(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => BARE_IDENTITY,
            Self::Bare => SEALED_IDENTITY,
        }
    }
}

/// Which key files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// None: no key was made yet.
    Missing,
    /// A key, opened with a passphrase.
    Passphrase,
    /// A key, opened without a question (also while a passphrase is being set or removed).
    Bare,
    /// An identity without `store.age`: a creation was cut off, and [`KeyFiles::create`] with the
    /// same protection ends it; or `store.age` was lost.
    IdentityAlone,
    /// `store.age` without an identity: it opens with one that comes from elsewhere, such as
    /// systemd's credential or the recovery identity.
    StoreKeyAlone,
}

/// The private half of an age X25519 key pair; opens `store.age`. Not shown by Debug.
#[derive(Clone)]
pub(crate) struct Identity(age::x25519::Identity);

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Identity({})", self.public_key())
    }
}

impl Identity {
    /// Reads `AGE-SECRET-KEY-1...`, with or without the comments of an identity file.
    pub(crate) fn parse(text: &SecretString) -> Result<Self, Error> {
        key_text::read_identity_text(text).map(Self)
    }

    /// Its public half, `age1...`.
    pub(crate) fn public_key(&self) -> String {
        self.0.to_public().to_string()
    }
}

/// What [`KeyFiles::create`] did.
#[derive(Debug)]
pub(crate) struct Created {
    /// The open key.
    pub(crate) key: DataKey,
    /// `store.age` with it.
    pub(crate) sealed: zeroize::Zeroizing<Vec<u8>>,
    /// `false` when the key was there, made by another process or earlier.
    pub(crate) is_new: bool,
    /// To be shown once, printed and put away; it is kept nowhere. Only with a new key.
    pub(crate) recovery_identity: Option<SecretString>,
    /// What opens it from now on.
    pub(crate) identity: Identity,
}

/// What an opened `store.age` holds.
#[derive(Debug)]
pub(crate) struct StoreKey {
    /// The open key.
    pub(crate) key: DataKey,
    /// Whom it is encrypted to.
    pub(crate) recipients: Vec<Recipient>,
    /// The file as it was read: it is another one as soon as anything in it changes.
    pub(crate) sealed: zeroize::Zeroizing<Vec<u8>>,
}

impl StoreKey {
    /// Opens the content of a `store.age`, wherever that comes from.
    pub(crate) fn open(
        identity: &Identity,
        sealed: zeroize::Zeroizing<Vec<u8>>,
    ) -> Result<Self, Error> {
        let plain = age_file::open_with(&identity.0, &sealed)?;
        let (key, recipients) = key_text::read_store_key(&plain)?;
        Ok(Self { key, recipients, sealed })
    }

    /// The same with a new data key that seals from now on; the former ones open until
    /// [`Self::forget_former_but`].
    pub(crate) fn with_new_key(self) -> Result<Self, Error> {
        Ok(Self { key: self.key.successor()?, ..self })
    }

    /// Lets what another `store.age` of the same store opens be opened by this one, too.
    pub(crate) fn learn(&mut self, other: Self) {
        self.key.learn(other.key);
    }

    /// Forgets the former keys but those.
    pub(crate) fn forget_former_but(&mut self, needed: &[KeyId]) {
        self.key.forget_former_but(needed);
    }
}

/// The key files of one store, in a folder.
#[derive(Clone, Debug)]
pub(crate) struct KeyFiles<F> {
    folder: F,
}

impl<F: KeyFolder> KeyFiles<F> {
    /// The key files in this folder; nothing is read yet.
    pub(crate) fn new(folder: F) -> Self {
        Self { folder }
    }

    /// Which key files there are. Their content is not looked at.
    pub(crate) fn state(&self) -> Result<KeyState, Error> {
        let has = |name| self.folder.read(name).map(|content| content.is_some());
        Ok(match (has(STORE_KEY)?, has(BARE_IDENTITY)?, has(SEALED_IDENTITY)?) {
            (false, false, false) => KeyState::Missing,
            (true, true, _) => KeyState::Bare,
            (true, false, true) => KeyState::Passphrase,
            (true, false, false) => KeyState::StoreKeyAlone,
            (false, _, _) => KeyState::IdentityAlone,
        })
    }

    /// Whether an identity lies beside `store.age`.
    pub(crate) fn has_identity(&self) -> Result<bool, Error> {
        let has = |name| self.folder.read(name).map(|content| content.is_some());
        Ok(has(BARE_IDENTITY)? || has(SEALED_IDENTITY)?)
    }

    /// Makes the key: the identity first, then `store.age`, each durable before the next, so that
    /// what a crash leaves is ended by calling this again. No file is overwritten. Of several
    /// processes at once one makes the key and the others open it, if their passphrase fits.
    ///
    /// With `recovery`, the key is also encrypted to a second identity that is only answered.
    /// Where `store.age` is missing but values are sealed already, the caller must not ask for
    /// this: a new key opens none of them.
    pub(crate) fn create(&self, protection: &Protection, recovery: bool) -> Result<Created, Error> {
        if self.folder.read(protection.other_file())?.is_some() {
            return Err(Error::AlreadyThere(protection.other_file()));
        }
        let has_store_key = self.folder.read(STORE_KEY)?.is_some();
        if has_store_key && self.folder.read(protection.file())?.is_none() {
            return Err(Error::AlreadyThere(STORE_KEY));
        }
        let (identity, made_identity) = self.make_identity(protection)?;
        let made = if has_store_key { None } else { self.make_store_key(&identity, recovery)? };
        if let Some((StoreKey { key, sealed, .. }, recovery_identity)) = made {
            return Ok(Created { key, sealed, is_new: true, recovery_identity, identity });
        }
        match self.open(&identity) {
            Ok(StoreKey { key, sealed, .. }) => {
                Ok(Created { key, sealed, is_new: false, recovery_identity: None, identity })
            }

            // Another process made a key under the other protection in this very moment.
            Err(Error::IdentityDoesNotFit) if made_identity => {
                self.folder.remove(protection.file())?;
                Err(Error::AlreadyThere(STORE_KEY))
            }
            Err(error) => Err(error),
        }
    }

    /// The identity in its file: made now, or the one that is there.
    fn make_identity(&self, protection: &Protection) -> Result<(Identity, bool), Error> {
        if self.folder.read(protection.file())?.is_none() {
            let identity = Identity(age::x25519::Identity::generate());
            let content = identity_file(&identity, protection)?;
            if self.folder.create(protection.file(), &content)? {
                return Ok((identity, true));
            }
        }
        let identity = match protection {
            Protection::Passphrase(passphrase) => self.identity_with_passphrase(passphrase)?,
            Protection::Bare => self.bare_identity()?,
        };
        Ok((identity, false))
    }

    /// A new data key in `store.age`; `None` when one came to be there in the meantime.
    fn make_store_key(
        &self,
        own: &Identity,
        recovery: bool,
    ) -> Result<Option<(StoreKey, Option<SecretString>)>, Error> {
        let spare = recovery.then(age::x25519::Identity::generate);
        let mut recipients = vec![Recipient::parse(&own.public_key(), "first admin")?];
        if let Some(spare) = &spare {
            recipients.push(Recipient::parse(&spare.to_public().to_string(), "recovery")?);
        }
        let key = DataKey::random()?;
        let sealed = zeroize::Zeroizing::new(store_file(&key, &recipients)?);
        if !self.folder.create(STORE_KEY, &sealed)? {
            return Ok(None);
        }
        let store_key = StoreKey { key, recipients, sealed };
        Ok(Some((store_key, spare.map(|spare| spare.to_string()))))
    }

    /// The identity out of `identity.key`.
    pub(crate) fn bare_identity(&self) -> Result<Identity, Error> {
        let Some(content) = self.folder.read(BARE_IDENTITY)? else {
            return Err(match self.folder.read(SEALED_IDENTITY)? {
                Some(_) => Error::PassphraseNeeded,
                None => Error::Missing(BARE_IDENTITY),
            });
        };
        let damaged = Error::Damaged { file: BARE_IDENTITY, what: "it holds no age identity" };
        key_text::read_identity(&content).map(Identity).ok_or(damaged)
    }

    /// The identity out of `identity.age`; takes about 0.3 s and 128 MiB.
    pub(crate) fn identity_with_passphrase(
        &self,
        passphrase: &SecretString,
    ) -> Result<Identity, Error> {
        let sealed = self.folder.read(SEALED_IDENTITY)?.ok_or(Error::Missing(SEALED_IDENTITY))?;
        let content = age_file::open_with_passphrase(passphrase, &sealed)?;
        let damaged = Error::Damaged { file: SEALED_IDENTITY, what: "it holds no age identity" };
        key_text::read_identity(&content).map(Identity).ok_or(damaged)
    }

    /// Opens the key with `identity.key`.
    pub(crate) fn open_bare(&self) -> Result<DataKey, Error> {
        let opened = self.open(&self.bare_identity()?).map(|opened| opened.key);
        // Left over from a creation beside which another won: then the passphrase is what opens.
        if matches!(opened, Err(Error::IdentityDoesNotFit))
            && self.folder.read(SEALED_IDENTITY)?.is_some()
        {
            return Err(Error::PassphraseNeeded);
        }
        opened
    }

    /// Opens the key with `identity.age` and its passphrase.
    #[cfg(test)]
    pub(crate) fn open_with_passphrase(&self, passphrase: &SecretString) -> Result<DataKey, Error> {
        let identity = self.identity_with_passphrase(passphrase)?;
        self.open(&identity).map(|opened| opened.key)
    }

    /// Opens the key with an identity from elsewhere: systemd's credential, the recovery identity.
    #[cfg(test)]
    pub(crate) fn open_with_identity(&self, identity: &SecretString) -> Result<DataKey, Error> {
        self.open(&Identity::parse(identity)?).map(|opened| opened.key)
    }

    /// `store.age` as it is, sealed; `None` when there is none.
    pub(crate) fn sealed(&self) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, Error> {
        Ok(self.folder.read(STORE_KEY)?)
    }

    /// How many recipients `store.age` has, by its head: each has a line there, which does not
    /// tell who it is. `None` where there is no file.
    pub(crate) fn recipient_count(&self) -> Result<Option<u64>, Error> {
        Ok(self.sealed()?.map(|sealed| age_file::x25519_stanzas(&sealed)))
    }

    /// Opens the key, and tells whom it is encrypted to.
    pub(crate) fn open(&self, identity: &Identity) -> Result<StoreKey, Error> {
        StoreKey::open(identity, self.sealed()?.ok_or(Error::Missing(STORE_KEY))?)
    }

    /// Replaces `store.age` by this key for these recipients. The caller sees to it that nobody
    /// else changes it meanwhile, and that every value opens by what is written.
    pub(crate) fn write(&self, store_key: &StoreKey) -> Result<(), Error> {
        let content = store_file(&store_key.key, &store_key.recipients)?;
        Ok(self.folder.replace(STORE_KEY, &content)?)
    }

    /// Keeps the identity under another passphrase, or bare, from now on. The new file is durable
    /// before the old one goes. Refused for an identity that does not open `store.age`.
    pub(crate) fn protect(&self, identity: &Identity, with: &Protection) -> Result<(), Error> {
        self.open(identity)?;
        self.folder.replace(with.file(), &identity_file(identity, with)?)?;
        self.folder.remove(with.other_file())?;
        Ok(())
    }

    /// Lets one more identity open the key. One that may already is answered as an error.
    pub(crate) fn add_recipient(&self, by: &Identity, added: Recipient) -> Result<(), Error> {
        let mut store_key = self.open(by)?;
        if store_key.recipients.iter().any(|one| one.public_key == added.public_key) {
            return Err(Error::Recipient("this recipient is there already"));
        }
        store_key.recipients.push(added);
        self.write(&store_key)
    }
}

fn store_file(key: &DataKey, recipients: &[Recipient]) -> Result<Vec<u8>, Error> {
    let to: Vec<_> = recipients.iter().map(Recipient::to_age).collect::<Result<_, _>>()?;
    age_file::seal_to(&to, key_text::write_store_key(key, recipients).as_bytes())
}

#[expect(clippy::disallowed_methods, reason = "only its emptiness is looked at")]
fn is_empty(passphrase: &SecretString) -> bool {
    use secrecy::ExposeSecret;
    passphrase.expose_secret().trim().is_empty()
}

fn identity_file(
    identity: &Identity,
    protection: &Protection,
) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    let text = key_text::write_identity(&identity.0);
    match protection {
        Protection::Bare => Ok(zeroize::Zeroizing::new(text.as_bytes().to_vec())),
        Protection::Passphrase(passphrase) if is_empty(passphrase) => Err(Error::EmptyPassphrase),
        Protection::Passphrase(passphrase) => {
            age_file::seal_with_passphrase(passphrase, text.as_bytes()).map(Into::into)
        }
    }
}

#[cfg(test)]
mod tests;
