//! The two shapes of age files (age-encryption.org/v1) that keys live in: encrypted to X25519
//! recipients, and encrypted with a passphrase.

use std::io::{Read, Write};

use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::error::Error;
use super::folder::{SEALED_IDENTITY, STORE_KEY};

/// Work factor for new passphrase files, log2 N. Fixed, because age's own choice measures the
/// machine in that moment, and a busy one would seal weaker. 2^17 takes 128 MiB and about 0.3 s.
const WORK_FACTOR: u8 = 17;
/// Highest work factor that is accepted: eight times the work and the memory.
const MOST_WORK: u8 = 20;

/// Encrypts to every one of the recipients.
pub(super) fn seal_to(
    recipients: &[age::x25519::Recipient],
    plain: &[u8],
) -> Result<Vec<u8>, Error> {
    seal(Encryptor::with_recipients(recipients.iter().map(|one| one as &dyn age::Recipient)), plain)
}

/// Encrypts with a passphrase.
pub(super) fn seal_with_passphrase(
    passphrase: &SecretString,
    plain: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
    recipient.set_work_factor(WORK_FACTOR);
    seal(Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)), plain)
}

fn seal(encryptor: Result<Encryptor, EncryptError>, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let encryptor = encryptor.map_err(|error| Error::Sealing(error.to_string()))?;
    let mut sealed = Vec::new();
    encryptor
        .wrap_output(&mut sealed)
        .and_then(|mut writer| {
            writer.write_all(plain)?;
            writer.finish()
        })
        .map_err(|error| Error::Sealing(error.to_string()))?;
    Ok(sealed)
}

/// Decrypts `store.age` with an identity.
pub(super) fn open_with(
    identity: &age::x25519::Identity,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    open(STORE_KEY, sealed, identity, |error| match error {
        DecryptError::NoMatchingKeys => Some(Error::IdentityDoesNotFit),
        _ => None,
    })
}

/// The X25519 recipient stanzas in the head of an age file (age-encryption.org/v1).
pub(super) fn x25519_stanzas(sealed: &[u8]) -> u64 {
    let head = sealed.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
    head.filter(|line| line.starts_with(b"-> X25519 ")).count() as u64
}

/// Decrypts `identity.age` with its passphrase.
pub(super) fn open_with_passphrase(
    passphrase: &SecretString,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut identity = age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MOST_WORK);
    open(SEALED_IDENTITY, sealed, &identity, |error| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Some(Error::WrongPassphrase)
        }
        DecryptError::ExcessiveWork { required, .. } => {
            Some(Error::TooMuchWork { required: *required })
        }
        DecryptError::NoMatchingKeys => Some(Error::Damaged {
            file: SEALED_IDENTITY,
            what: "it is not encrypted with a passphrase",
        }),
        _ => None,
    })
}

/// Decrypts; `known` names what an error of age means for this file, all else is damage.
fn open(
    file: &'static str,
    sealed: &[u8],
    identity: &dyn age::Identity,
    known: impl Fn(&DecryptError) -> Option<Error>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let damaged = |what| Error::Damaged { file, what };
    let decryptor = Decryptor::new_buffered(sealed).map_err(|error| match error {
        DecryptError::UnknownFormat => damaged("it is of a newer kind of age file"),
        _ => damaged("it is not an age file, or its head is broken"),
    })?;
    let mut reader = decryptor
        .decrypt(std::iter::once(identity))
        .map_err(|error| known(&error).unwrap_or_else(|| damaged("its head was changed")))?;
    // No plain text is longer than what it was sealed as, so this never grows and leaves copies.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plain).map_err(|_| damaged("its end is broken or cut off"))?;
    Ok(plain)
}
