//! What stands inside the key files once age has opened them: plain text, a line each.
//!
//! `store.age`:
//! ```text
//! orgkey-data-key-1 KEY_ID KEY          (eight hexadecimal digits; 32 bytes in base64)
//! orgkey-tag-key-1 KEY                  (only once a key rotation was begun)
//! recipient age1... LABEL
//! ```
//! The first key seals; more stand there only while a key rotation runs. The recipients are kept
//! because an age file does not tell them, and without them none could be added or removed.
//!
//! `identity.age` and `identity.key`: comments, and one line `AGE-SECRET-KEY-1...`, as age-keygen
//! writes it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::data_key::{DataKey, KEY_LENGTH, Key, hex};
use super::error::Error;
use super::folder::STORE_KEY;
use crate::domain::text;

const KEY_LINE: &str = "orgkey-data-key-";
const TAG_KEY_LINE: &str = "orgkey-tag-key-1 ";
const FORM: &str = "1";

/// Whom `store.age` is encrypted to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Recipient {
    /// The public key, `age1...`.
    pub(crate) public_key: String,
    /// Whose it is, in the admin's words; one line.
    pub(crate) label: String,
}

impl Recipient {
    /// Checks an age X25519 recipient (`age1...`). The label is cleaned.
    pub(crate) fn parse(public_key: &str, label: &str) -> Result<Self, Error> {
        let recipient =
            Self { public_key: public_key.trim().to_owned(), label: text::clean(label) };
        recipient.to_age().map(|_| recipient)
    }

    pub(super) fn to_age(&self) -> Result<age::x25519::Recipient, Error> {
        self.public_key.parse().map_err(|_| {
            Error::Recipient("this is not an age X25519 recipient: one starts with age1")
        })
    }
}

/// The text of `store.age`.
pub(super) fn write_store_key(key: &DataKey, recipients: &[Recipient]) -> Zeroizing<String> {
    let lines = 2 + key.former.len() + recipients.len();
    // Room for all at once, so that growing leaves no copies of the key behind.
    let labels: usize = recipients.iter().map(|one| one.public_key.len() + one.label.len()).sum();
    let mut text = Zeroizing::new(String::with_capacity(lines * 128 + labels));
    for key in key.keys() {
        text.push_str(KEY_LINE);
        text.push_str(FORM);
        text.push(' ');
        text.push_str(&hex(key.id));
        text.push(' ');
        STANDARD.encode_string(key.bytes.as_slice(), &mut text);
        text.push('\n');
    }
    if let Some(tag_key) = &key.tag_key {
        text.push_str(TAG_KEY_LINE);
        STANDARD.encode_string(tag_key.as_slice(), &mut text);
        text.push('\n');
    }
    for recipient in recipients {
        text.push_str("recipient ");
        text.push_str(&recipient.public_key);
        text.push(' ');
        text.push_str(&recipient.label);
        text.push('\n');
    }
    text
}

/// Reads the text of `store.age`.
pub(super) fn read_store_key(plain: &[u8]) -> Result<(DataKey, Vec<Recipient>), Error> {
    let damaged = |what| Error::Damaged { file: STORE_KEY, what };
    let text = std::str::from_utf8(plain).map_err(|_| damaged("its content is not text"))?;
    let mut keys = Vec::new();
    let mut recipients = Vec::new();
    let mut tag_key = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix(KEY_LINE) {
            keys.push(read_key_line(rest)?);
        } else if let Some(encoded) = line.strip_prefix(TAG_KEY_LINE) {
            tag_key = Some(decode(encoded)?);
        } else if let Some(rest) = line.strip_prefix("recipient ") {
            let (public_key, label) = rest.split_once(' ').unwrap_or((rest, ""));
            recipients.push(Recipient::parse(public_key, label)?);
        } else {
            return Err(damaged("it holds a line that is neither key nor recipient"));
        }
    }
    let mut keys = keys.into_iter();
    let current = keys.next().ok_or_else(|| damaged("it holds no data key"))?;
    if recipients.is_empty() {
        return Err(damaged("it names no recipient"));
    }
    Ok((DataKey { current, former: keys.collect(), tag_key }, recipients))
}

fn read_key_line(rest: &str) -> Result<Key, Error> {
    let damaged = |what| Error::Damaged { file: STORE_KEY, what };
    let mut words = rest.split(' ');
    let form = words.next().unwrap_or_default();
    if form != FORM {
        let found = form.parse().map_err(|_| damaged("its data key has no form"))?;
        return Err(Error::UnknownForm { what: STORE_KEY, found });
    }
    let (Some(id), Some(encoded), None) = (words.next(), words.next(), words.next()) else {
        return Err(damaged("its data key is incomplete"));
    };
    let key = Key::new(decode(encoded)?);
    if hex(key.id) == id { Ok(key) } else { Err(damaged("its data key does not fit its ID")) }
}

fn decode(encoded: &str) -> Result<Box<Zeroizing<[u8; KEY_LENGTH]>>, Error> {
    let mut bytes = Box::new(Zeroizing::new([0; KEY_LENGTH]));
    // Longer than the key, as the decoder wants room for the padding.
    let mut decoded = Zeroizing::new([0; KEY_LENGTH + 4]);
    if STANDARD.decode_slice(encoded, &mut *decoded) != Ok(KEY_LENGTH) {
        let what = "its data key is not 32 bytes in base64";
        return Err(Error::Damaged { file: STORE_KEY, what });
    }
    bytes.copy_from_slice(&decoded[..KEY_LENGTH]);
    Ok(bytes)
}

/// The text of an identity file.
#[expect(clippy::disallowed_methods, reason = "design 3: the identity is what the file keeps")]
pub(super) fn write_identity(identity: &age::x25519::Identity) -> Zeroizing<String> {
    let secret = identity.to_string();
    let mut text = Zeroizing::new(String::with_capacity(256));
    text.push_str("# orgkey: the identity that opens store.age. Keep it secret.\n# public key: ");
    text.push_str(&identity.to_public().to_string());
    text.push('\n');
    text.push_str(secret.expose_secret());
    text.push('\n');
    text
}

/// Reads an identity file, or a bare `AGE-SECRET-KEY-1...`. `None` when it is neither.
pub(super) fn read_identity(plain: &[u8]) -> Option<age::x25519::Identity> {
    let text = std::str::from_utf8(plain).ok()?;
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (first, second) = (lines.next()?, lines.next());
    if second.is_some() { None } else { first.parse().ok() }
}

/// Reads an identity that was handed over as text.
#[expect(clippy::disallowed_methods, reason = "design 3: systemd's credential holds the identity")]
pub(super) fn read_identity_text(text: &SecretString) -> Result<age::x25519::Identity, Error> {
    read_identity(text.expose_secret().as_bytes()).ok_or(Error::NotAnIdentity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(count: usize) -> Vec<Recipient> {
        (0..count)
            .map(|number| {
                let public_key = age::x25519::Identity::generate().to_public().to_string();
                Recipient::parse(&public_key, &format!("admin {number}\n")).unwrap()
            })
            .collect()
    }

    #[test]
    fn keys_and_recipients_come_back_as_written() {
        let recipients = recipients(3);
        let key = DataKey::random().unwrap().successor().unwrap();
        let text = write_store_key(&key, &recipients);
        let (read, named) = read_store_key(text.as_bytes()).unwrap();
        assert_eq!(
            read.keys().map(|key| key.id).collect::<Vec<_>>(),
            key.keys().map(|key| key.id).collect::<Vec<_>>()
        );
        assert_eq!(named, recipients);
        let secret = SecretString::from("token");
        assert_eq!(read.tag("spent", &secret), key.tag("spent", &secret));
    }

    #[test]
    fn each_damage_of_the_text_is_named() {
        let recipients = recipients(1);
        let text = write_store_key(&DataKey::random().unwrap(), &recipients);
        let message = |text: &str| read_store_key(text.as_bytes()).unwrap_err().to_string();
        let (key_line, recipient_line) = text.split_once('\n').unwrap();
        let id = &key_line[18..26];
        assert_eq!(message(recipient_line), "store.age is damaged: it holds no data key");
        assert_eq!(message(key_line), "store.age is damaged: it names no recipient");
        assert_eq!(
            message(&text.replace(id, "00000000")),
            "store.age is damaged: its data key does not fit its ID"
        );
        assert_eq!(
            message(&text.replace("key-1", "key-2")),
            "store.age has form 2, which this version does not know"
        );
        assert_eq!(
            message(&text.replace("= ", "").replace("=\n", "\n")),
            "store.age is damaged: its data key is not 32 bytes in base64"
        );
        assert_eq!(
            message(&format!("{}more\n", *text)),
            "store.age is damaged: it holds a line that is neither key nor recipient"
        );
    }

    #[test]
    fn an_identity_is_one_line_among_comments() {
        let identity = age::x25519::Identity::generate();
        let text = write_identity(&identity);
        let read = read_identity(text.as_bytes()).unwrap();
        assert_eq!(read.to_public(), identity.to_public());
        assert!(read_identity(format!("{}{}", *text, *text).as_bytes()).is_none());
        assert!(read_identity(b"# nothing\n").is_none());
        assert!(read_identity_text(&SecretString::from("AGE-SECRET-KEY-1WRONG")).is_err());
    }
}
