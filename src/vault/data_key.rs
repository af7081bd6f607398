//! The data key, and values sealed by it to their place in the store.
//!
//! A sealed value is `version (1) | key ID (4) | nonce (24) | XChaCha20-Poly1305 (n + 16)`. The
//! associated data is the value's [`Place`], so that a row copied over another, or an older
//! generation put back, does not open.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::Error;

/// Length of the key in bytes, fixed by XChaCha20-Poly1305.
pub(super) const KEY_LENGTH: usize = 32;
/// The only form of a sealed value so far.
const VERSION: u8 = 1;
/// Version and key ID.
const HEADER_LENGTH: usize = 5;
/// Long enough that random nonces never meet.
const NONCE_LENGTH: usize = 24;

/// Where a sealed value lives. It opens there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// Random ID of the store.
    pub(crate) store_id: &'a [u8; 16],
    /// Table that holds it.
    pub(crate) table: &'static str,
    /// Random ID of its row.
    pub(crate) row: &'a [u8; 16],
    /// Its column.
    pub(crate) column: &'static str,
    /// Generation of the row; 0 where rows have none.
    pub(crate) generation: u64,
}

impl Place<'_> {
    /// The associated data; parts of variable length carry their length, so no two places agree.
    fn associated_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(64 + self.table.len() + self.column.len());
        data.extend_from_slice(b"orgkey place 1\0");
        data.extend_from_slice(self.store_id);
        data.extend_from_slice(&(self.table.len() as u64).to_be_bytes());
        data.extend_from_slice(self.table.as_bytes());
        data.extend_from_slice(self.row);
        data.extend_from_slice(&(self.column.len() as u64).to_be_bytes());
        data.extend_from_slice(self.column.as_bytes());
        data.extend_from_slice(&self.generation.to_be_bytes());
        data
    }
}

/// Names a data key; not a secret.
pub(crate) type KeyId = [u8; 4];

/// One key with the ID by which sealed values name it.
pub(super) struct Key {
    /// First bytes of a keyed hash of the key, so a damaged key is noticed.
    pub(super) id: KeyId,
    /// On the heap, so that moving the owner leaves no copies.
    pub(super) bytes: Box<Zeroizing<[u8; KEY_LENGTH]>>,
}

impl Key {
    pub(super) fn new(bytes: Box<Zeroizing<[u8; KEY_LENGTH]>>) -> Self {
        let mut id = [0; 4];
        id.copy_from_slice(&keyed_hash(&bytes, &[b"orgkey key id 1"])[..4]);
        Self { id, bytes }
    }

    fn random() -> Result<Self, Error> {
        let mut bytes = Box::new(Zeroizing::new([0; KEY_LENGTH]));
        getrandom::fill(&mut **bytes).map_err(|error| Error::Sealing(error.to_string()))?;
        Ok(Self::new(bytes))
    }
}

/// What one seal needs of the system, had before there is anything to seal. Good for one seal.
pub(crate) struct SealPreparation(XNonce);

impl SealPreparation {
    /// Asks the system for its random numbers.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut nonce = XNonce::default();
        getrandom::fill(&mut nonce).map_err(|error| Error::Sealing(error.to_string()))?;
        Ok(Self(nonce))
    }
}

/// The open data key: what seals, and while a key rotation runs also what sealed before.
///
/// Wiped when it is dropped; its Debug shows the ID alone.
pub(crate) struct DataKey {
    /// Seals from now on.
    pub(super) current: Key,
    /// Opens what was sealed before the last rotation, until all is sealed anew.
    pub(super) former: Vec<Key>,
    /// The key of the tags, where it is not derived from `current`: it outlives rotations, so that
    /// a tag that was written down before one is still known after it. It opens nothing.
    pub(super) tag_key: Option<Box<Zeroizing<[u8; KEY_LENGTH]>>>,
}

/// The ID of the key that a value was sealed by, as the value says; `None` where it is none.
pub(crate) fn sealed_by(sealed: &[u8]) -> Option<KeyId> {
    match sealed.split_first()? {
        (&VERSION, rest) => rest.first_chunk::<4>().copied(),
        _ => None,
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DataKey({})", self.id())
    }
}

impl DataKey {
    /// A new random key.
    pub(super) fn random() -> Result<Self, Error> {
        Ok(Self { current: Key::random()?, former: Vec::new(), tag_key: None })
    }

    /// A new random key that seals from now on; all of this one's keys still open.
    pub(super) fn successor(self) -> Result<Self, Error> {
        let tag_key = self.tag_key.unwrap_or_else(|| derived_tag_key(&self.current));
        let former = std::iter::once(self.current).chain(self.former).collect();
        Ok(Self { current: Key::random()?, former, tag_key: Some(tag_key) })
    }

    /// Lets the keys of another one of the same store open, too.
    pub(super) fn learn(&mut self, other: Self) {
        for key in std::iter::once(other.current).chain(other.former) {
            if !self.opens(key.id) {
                self.former.push(key);
            }
        }
    }

    /// Forgets the former keys but those.
    pub(super) fn forget_former_but(&mut self, needed: &[KeyId]) {
        self.former.retain(|key| needed.contains(&key.id));
    }

    /// Whether a value sealed by the key of this ID opens.
    pub(crate) fn opens(&self, id: KeyId) -> bool {
        self.keys().any(|key| key.id == id)
    }

    /// Whether a key rotation is unfinished: a former key still opens.
    pub(crate) fn has_former(&self) -> bool {
        !self.former.is_empty()
    }

    /// The ID of the key that seals.
    pub(crate) fn current_id(&self) -> KeyId {
        self.current.id
    }

    /// Shows the bytes of every key that this one holds, for whoever keeps them out of the swap.
    pub(crate) fn each_place(&self, mut see: impl FnMut(&[u8])) {
        self.keys().for_each(|key| see(&**key.bytes));
        self.tag_key.iter().for_each(|key| see(&***key));
    }

    /// The key's ID in hexadecimal, for people and for the audit. Not a secret.
    pub(crate) fn id(&self) -> String {
        hex(self.current.id)
    }

    /// Seals a value to its place. Fails only when the system has no randomness.
    pub(crate) fn seal(&self, plain: &[u8], place: &Place<'_>) -> Result<Vec<u8>, Error> {
        self.seal_prepared(SealPreparation::new()?, plain, place)
    }

    /// Seals a value with what was had of the system before.
    #[expect(clippy::needless_pass_by_value, reason = "it is good for one seal")]
    pub(crate) fn seal_prepared(
        &self,
        preparation: SealPreparation,
        plain: &[u8],
        place: &Place<'_>,
    ) -> Result<Vec<u8>, Error> {
        let nonce = preparation.0;
        let aad = place.associated_data();
        let sealed = cipher(&self.current)
            .encrypt(&nonce, Payload { msg: plain, aad: &aad })
            .map_err(|_| Error::Sealing("the value is too long".to_owned()))?;
        let mut value = Vec::with_capacity(HEADER_LENGTH + NONCE_LENGTH + sealed.len());
        value.push(VERSION);
        value.extend_from_slice(&self.current.id);
        value.extend_from_slice(&nonce);
        value.extend_from_slice(&sealed);
        Ok(value)
    }

    /// Opens a value sealed to this very place.
    pub(crate) fn open(
        &self,
        sealed: &[u8],
        place: &Place<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let broken = || Error::BrokenSeal { table: place.table, column: place.column };
        let (version, rest) = sealed.split_first().ok_or_else(broken)?;
        if *version != VERSION {
            return Err(Error::UnknownForm { what: "a sealed value", found: (*version).into() });
        }
        let (id, rest) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LENGTH>().ok_or_else(broken)?;
        let key = self.keys().find(|key| key.id == *id).ok_or_else(|| Error::OtherKey {
            table: place.table,
            found: hex(*id),
            ours: self.id(),
        })?;
        let aad = place.associated_data();
        cipher(key)
            .decrypt(XNonce::from_slice(nonce), Payload { msg: body, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| broken())
    }

    /// A keyed tag (HMAC-SHA256 under a key derived for it) that tells whether two secrets are the
    /// same, and nothing else; e.g. which refresh token an intent has spent.
    pub(crate) fn tag(&self, purpose: &str, secret: &SecretString) -> [u8; 32] {
        match &self.tag_key {
            Some(key) => tag_by(key, purpose, secret),
            None => tag_by(&derived_tag_key(&self.current), purpose, secret),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.former)
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(chacha20poly1305::Key::from_slice(&**key.bytes))
}

#[expect(clippy::unnecessary_box_returns, reason = "moving what is on the heap leaves no copies")]
fn derived_tag_key(key: &Key) -> Box<Zeroizing<[u8; KEY_LENGTH]>> {
    Box::new(Zeroizing::new(keyed_hash(&key.bytes, &[b"orgkey tag key 1"])))
}

#[expect(clippy::disallowed_methods, reason = "the secret is hashed under a key, design 6 step 3")]
fn tag_by(tag_key: &[u8; KEY_LENGTH], purpose: &str, secret: &SecretString) -> [u8; 32] {
    let length = (purpose.len() as u64).to_be_bytes();
    keyed_hash(tag_key, &[&length, purpose.as_bytes(), secret.expose_secret().as_bytes()])
}

/// HMAC-SHA256 (RFC 2104) over the parts, one after another.
fn keyed_hash(key: &[u8; KEY_LENGTH], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..KEY_LENGTH].copy_from_slice(key);
    // HMAC pads a short key with zeros to the block, so this is the same key.
    let mut hash = <Hmac<Sha256> as KeyInit>::new(&block.into());
    zeroize::Zeroize::zeroize(&mut block);
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into_bytes().into()
}

/// Eight hexadecimal digits.
pub(crate) fn hex(id: KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STORE: [u8; 16] = [7; 16];
    const ROW: [u8; 16] = [9; 16];

    fn key(byte: u8) -> DataKey {
        let bytes = Box::new(Zeroizing::new([byte; KEY_LENGTH]));
        DataKey { current: Key::new(bytes), former: Vec::new(), tag_key: None }
    }

    fn place() -> Place<'static> {
        Place { store_id: &STORE, table: "token_set", row: &ROW, column: "sealed", generation: 3 }
    }

    #[test]
    fn hashes_agree_with_rfc_4231() {
        // RFC 4231 section 4.3 has a shorter key; zeros behind it do not change an HMAC.
        let mut short = [0; KEY_LENGTH];
        short[..4].copy_from_slice(b"Jefe");
        let hash = keyed_hash(&short, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hash[..6], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60]);
    }

    #[test]
    fn a_value_sealed_by_the_first_version_still_opens() {
        // Made once and kept: stores in the field hold values of this form.
        let kept = "01bd51c2f81759263733f912d02c6bba56eb2320f68559d3b83379cf985e4193\
                    bcbea653f78dcb3de34320c629598f2fc8";
        let bytes: Vec<u8> = (0..kept.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&kept[at..at + 2], 16).unwrap())
            .collect();
        assert_eq!(key(1).open(&bytes, &place()).unwrap().as_slice(), b"kept");
        let sealed = key(1).seal(b"kept", &place()).unwrap();
        assert_eq!((sealed.len(), &sealed[..5]), (bytes.len(), &bytes[..5]));
    }

    #[test]
    fn a_value_of_another_place_does_not_open() {
        let other = [8; 16];
        let sealed = key(1).seal(b"token", &place()).unwrap();
        for wrong in [
            Place { store_id: &other, ..place() },
            Place { table: "authorization", ..place() },
            Place { row: &other, ..place() },
            Place { column: "verifier", ..place() },
            Place { generation: 2, ..place() },
            Place { table: "token_setsealed", column: "", ..place() },
        ] {
            let opened = key(1).open(&sealed, &wrong);
            assert!(matches!(opened, Err(Error::BrokenSeal { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn unknown_forms_and_other_keys_are_told_apart_from_damage() {
        let mut sealed = key(1).seal(b"token", &place()).unwrap();
        assert!(matches!(key(2).open(&sealed, &place()), Err(Error::OtherKey { .. })));
        for length in 0..sealed.len() {
            let opened = key(1).open(&sealed[..length], &place());
            assert!(matches!(opened, Err(Error::BrokenSeal { .. })), "{length}");
        }
        sealed[0] = 2;
        let opened = key(1).open(&sealed, &place());
        assert!(matches!(opened, Err(Error::UnknownForm { found: 2, .. })));
    }

    #[test]
    fn a_tag_is_bound_to_key_purpose_and_secret() {
        let secret = |text: &str| SecretString::from(text);
        let tag = key(1).tag("ab", &secret("c"));
        assert_eq!(key(1).tag("ab", &secret("c")), tag);
        for (key, purpose, text) in [(key(2), "ab", "c"), (key(1), "a", "bc"), (key(1), "ab", "d")]
        {
            assert_ne!(key.tag(purpose, &secret(text)), tag, "{purpose} {text}");
        }
    }

    #[test]
    fn a_successor_opens_what_was_sealed_before_and_tags_alike() {
        let secret = SecretString::from("refresh token");
        let (sealed, tag) = (key(1).seal(b"x", &place()).unwrap(), key(1).tag("spent", &secret));
        let mut next = key(1).successor().unwrap().successor().unwrap();
        assert_eq!(next.open(&sealed, &place()).unwrap().as_slice(), b"x");
        assert_eq!(next.tag("spent", &secret), tag);
        let anew = next.seal(b"x", &place()).unwrap();
        assert_eq!(sealed_by(&anew), Some(next.current_id()));
        assert_eq!(sealed_by(&sealed), Some(key(1).current_id()));
        assert_eq!((sealed_by(&[]), sealed_by(&[1, 2, 3])), (None, None));
        // The former key does not open what is sealed from now on.
        assert!(matches!(key(1).open(&anew, &place()), Err(Error::OtherKey { .. })));
        next.forget_former_but(&[key(1).current_id()]);
        assert!(next.has_former() && next.open(&sealed, &place()).is_ok());
        next.forget_former_but(&[]);
        assert!(!next.has_former() && next.open(&sealed, &place()).is_err());
        assert_eq!(next.tag("spent", &secret), tag);
        next.learn(key(1));
        assert!(next.open(&sealed, &place()).is_ok());
        assert_ne!(next.current_id(), key(1).current_id());
    }

    #[test]
    fn the_key_is_not_in_its_debug_text() {
        assert_eq!(format!("{:?}", key(1)), "DataKey(bd51c2f8)");
    }

    proptest! {
        #[test]
        fn sealing_and_opening_give_the_value_back(plain in any::<Vec<u8>>(), generation: u64) {
            let place = Place { generation, ..place() };
            let sealed = key(1).seal(&plain, &place).unwrap();
            let opened = key(1).open(&sealed, &place).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
            prop_assert_ne!(key(1).seal(&plain, &place).unwrap(), sealed);
        }

        #[test]
        fn no_changed_bit_goes_unnoticed(plain in any::<Vec<u8>>(), at: prop::sample::Index, bit in 0..8_u8) {
            let mut sealed = key(1).seal(&plain, &place()).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(key(1).open(&sealed, &place()).is_err());
        }

        #[test]
        fn opening_anything_at_all_does_not_panic(sealed in any::<Vec<u8>>()) {
            prop_assert!(key(1).open(&sealed, &place()).is_err());
        }
    }
}
