//! Makes tokens, codes and page keys. Each carries the marker, and none can be guessed: they are
//! read off an HMAC over a counter, keyed by a seed that is drawn once at the start.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// What every secret of the simulator contains.
pub(crate) const MARKER: &str = "SIMCANARY";

/// The characters of a token; 64 of them, so that each takes six bits.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";

/// Characters after the marker of an access token: with the org and `!` it has 120 in all, above
/// the 112 of the shortest real ones (Salesforce OAuth facts 3.1).
const ACCESS_TAIL: usize = 95;
/// Characters after the marker of a refresh token.
const REFRESH_TAIL: usize = 70;
/// Characters after the marker of an authorization code.
const CODE_TAIL: usize = 44;
/// Characters after the marker of a device code.
const DEVICE_CODE_TAIL: usize = 60;
/// Characters of a user code.
const USER_CODE_LENGTH: usize = 8;
/// Characters of a key in a form or cookie.
const KEY_LENGTH: usize = 32;

/// The source of tokens.
pub(crate) struct Mint {
    seed: [u8; 32],
    counter: u64,
}

impl Mint {
    /// A source that repeats itself for the same seed, so that rules can be tested.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// `00D<15>!SIMCANARY...`; `org_id` in its 18-character form.
    pub(crate) fn access_token(&mut self, org_id: &str) -> String {
        let org: String = org_id.chars().take(15).collect();
        format!("{org}!{MARKER}{}", self.characters(ACCESS_TAIL))
    }

    /// `5Aep861SIMCANARY...`.
    pub(crate) fn refresh_token(&mut self) -> String {
        format!("5Aep861{MARKER}{}", self.characters(REFRESH_TAIL))
    }

    /// `aPrxSIMCANARY...==`.
    pub(crate) fn code(&mut self) -> String {
        format!("aPrx{MARKER}{}==", self.characters(CODE_TAIL))
    }

    /// `UGxhdGZvcm1SIMCANARY...`.
    pub(crate) fn device_code(&mut self) -> String {
        format!("UGxhdGZvcm1{MARKER}{}", self.characters(DEVICE_CODE_TAIL))
    }

    /// Eight capital letters and digits. It is shown to people, so it has no marker.
    pub(crate) fn user_code(&mut self) -> String {
        let letters = self.characters(KEY_LENGTH).to_ascii_uppercase();
        letters.chars().filter(char::is_ascii_alphanumeric).take(USER_CODE_LENGTH).collect()
    }

    /// A key that ties the pages of one sign-in together, or a browser to its session.
    pub(crate) fn key(&mut self) -> String {
        self.characters(KEY_LENGTH)
    }

    fn characters(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length);
        let mut block = 0_u32;
        self.counter += 1;
        while text.len() < length {
            // Two keyed fields of fixed width: no two blocks of any two calls are alike.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.seed) else { break };
            mac.update(&self.counter.to_be_bytes());
            mac.update(&block.to_be_bytes());
            let bytes = mac.finalize().into_bytes();
            let letters = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)]));
            text.extend(letters.take(length - text.len()));
            block += 1;
        }
        text
    }
}

/// What the journal keeps of a token: the first 12 hexadecimal digits of its SHA-256.
pub(crate) fn tag(token: &str) -> String {
    let digits: Vec<String> =
        Sha256::digest(token.as_bytes())[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_salesforce_shapes_and_the_marker() {
        let mut mint = Mint::new([7; 32]);
        let access = mint.access_token("00D5g000004XyZTEA0");
        assert!(access.starts_with("00D5g000004XyZT!SIMCANARY") && access.len() == 120, "{access}");
        let refresh = mint.refresh_token();
        assert!(refresh.starts_with("5Aep861SIMCANARY") && refresh.len() == 86, "{refresh}");
        let code = mint.code();
        assert!(code.starts_with("aPrxSIMCANARY") && code.ends_with("=="), "{code}");
        assert_ne!(mint.code(), code);
        assert_eq!(tag("x").len(), 12);
    }
}
