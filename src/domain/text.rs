//! Text from outside: cleaned before it is shown, and looked at for secrets before it is used.

/// Stands where a control, bidirectional or invisible character was taken out.
pub(crate) const REPLACEMENT: char = '\u{fffd}';

/// Longest text from a server that is shown, in characters.
const SHOWN_TEXT_LIMIT: usize = 300;

/// Whether a character could change what a terminal does or what a reader believes they see:
/// C0, DEL, C1, bidirectional controls, zero-width and other format characters, tags, and line
/// and paragraph separators.
pub(crate) fn is_unprintable(character: char) -> bool {
    matches!(character,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'
        | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Makes text from a server, a file or a paste fit to be shown on one line: line breaks and tabs
/// become blanks, what [`is_unprintable`] becomes [`REPLACEMENT`], and the end of what is longer
/// than 300 characters is cut.
pub(crate) fn clean(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_TEXT_LIMIT)
        .map(|character| match character {
            '\n' | '\r' | '\t' => ' ',
            other if is_unprintable(other) => REPLACEMENT,
            other => other,
        })
        .collect();
    if text.chars().nth(SHOWN_TEXT_LIMIT).is_some() {
        shown.push_str("...");
    }
    shown.trim().to_owned()
}

/// Like [`clean`], and whatever looks like a token, a code or a key is masked as well.
///
/// For server descriptions and pasted text that end up in an error, a log or the history.
pub(crate) fn clean_and_mask(text: &str) -> String {
    mask(&clean(text))
}

/// Replaces every word that looks like a token, a code or a key; the rest stays as it is.
pub(crate) fn mask(text: &str) -> String {
    text.split(' ')
        .map(|word| if secret_kind(word).is_some() { "[redacted]" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// A number with its word, in the plural where it is not one.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What kind of secret a text is, as far as its shape tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretKind {
    /// An access token: `00D...!...`, or a JWT.
    AccessToken,
    /// A refresh token: `5Aep...`.
    RefreshToken,
    /// An authorization code: `aPrx...`.
    AuthorizationCode,
    /// An sfdx auth URL: `force://...`, which holds a refresh token.
    SfdxAuthUrl,
    /// A private key in PEM.
    PrivateKey,
    /// A bare age identity.
    AgeIdentity,
}

/// Recognizes a secret by its shape (Salesforce OAuth facts 3.1, 3.2 and 7), anywhere in `text`.
pub(crate) fn secret_kind(text: &str) -> Option<SecretKind> {
    if text.contains("PRIVATE KEY") {
        return Some(SecretKind::PrivateKey);
    }
    if text.contains("AGE-SECRET-KEY-") {
        return Some(SecretKind::AgeIdentity);
    }
    if text.contains("force://") {
        return Some(SecretKind::SfdxAuthUrl);
    }
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '!' | '%')))
        .find_map(secret_word)
}

fn secret_word(word: &str) -> Option<SecretKind> {
    let is_access_token = word.starts_with("00D")
        && word
            .split_once('!')
            .is_some_and(|(org, rest)| (15..=18).contains(&org.len()) && rest.len() >= 8);
    let is_jwt = word.starts_with("eyJ") && word.len() >= 30 && word.matches('.').count() >= 2;
    if is_access_token || is_jwt {
        Some(SecretKind::AccessToken)
    } else if word.starts_with("5Aep") && word.len() >= 20 {
        Some(SecretKind::RefreshToken)
    } else if word.starts_with("aPrx") && word.len() >= 16 {
        Some(SecretKind::AuthorizationCode)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_or_deceives_a_reader_survives() {
        let hostile = "a\u{1b}]52;c;QQ==\u{7}b\u{9b}31mc\u{202e}d\u{200b}e\u{0}f\r\ng\th\u{e0041}";
        let shown = clean(hostile);
        assert!(!shown.chars().any(is_unprintable), "{shown:?}");
        assert_eq!(shown.matches(REPLACEMENT).count(), 7, "{shown:?}");
        assert!(shown.contains("g h"), "{shown:?}");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let shown = clean(&"x".repeat(10_000));
        assert_eq!(shown.len(), 303);
        assert!(shown.ends_with("..."));
    }

    #[test]
    fn secrets_are_known_by_their_shape() {
        let table = [
            ("00D5g00000Abc1X!AQEAQInvented.ab_CD", Some(SecretKind::AccessToken)),
            ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", Some(SecretKind::AccessToken)),
            ("token=5Aep861InventedInvented.x", Some(SecretKind::RefreshToken)),
            ("code=aPrxInventedInvented%3D%3D", Some(SecretKind::AuthorizationCode)),
            ("force://PlatformCLI::5Aep861x@acme.my.salesforce.com", Some(SecretKind::SfdxAuthUrl)),
            ("-----BEGIN PRIVATE KEY-----", Some(SecretKind::PrivateKey)),
            ("AGE-SECRET-KEY-1ABC", Some(SecretKind::AgeIdentity)),
            ("00D5g00000Abc1XEAR", None),
            ("expired access/refresh token", None),
        ];
        for (text, kind) in table {
            assert_eq!(secret_kind(text), kind, "{text}");
        }
        assert_eq!(
            clean_and_mask("bad token 5Aep861InventedInvented.x here"),
            "bad token [redacted] here"
        );
    }

    proptest::proptest! {
        #[test]
        fn cleaning_is_total_and_leaves_only_printable_text(text in proptest::prelude::any::<String>()) {
            let shown = clean(&text);
            proptest::prop_assert!(!shown.chars().any(is_unprintable));
            proptest::prop_assert_eq!(clean(&shown), shown);
        }
    }
}
