//! The authorization code grant with PKCE: RFC 6749 section 4.1, RFC 7636, RFC 8252, and
//! Salesforce OAuth facts 3.2.
//!
//! Reading what the browser brings back is the work of [`redirect`](super::redirect).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::Serializer;

use super::Client;
use crate::domain::host::LoginUrl;
use crate::domain::http::Request;

/// Path of the authorization endpoint.
const AUTHORIZATION_ENDPOINT: &str = "/services/oauth2/authorize";
/// Random bytes of a code verifier; they make 86 characters (RFC 7636 section 4.1 allows 43 to 128).
pub(crate) const VERIFIER_BYTES: usize = 64;
/// Random bytes of a `state`: 128 bits.
pub(crate) const STATE_BYTES: usize = 16;

/// A code verifier and its challenge (RFC 7636). Its `Debug` shows the challenge alone.
pub(crate) struct PkcePair {
    /// Kept until the code is exchanged.
    pub(crate) verifier: SecretString,
    /// Goes into the authorization request; method `S256`.
    pub(crate) challenge: String,
}

impl PkcePair {
    /// Makes a pair from random bytes of the caller.
    pub(crate) fn from_random(bytes: &[u8; VERIFIER_BYTES]) -> Self {
        Self::from_verifier(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn from_verifier(text: String) -> Self {
        let verifier = PkceCodeVerifier::new(text);
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str().to_owned();
        Self { verifier: verifier.into_secret().into(), challenge }
    }
}

impl std::fmt::Debug for PkcePair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PkcePair")
            .field("challenge", &self.challenge)
            .finish_non_exhaustive()
    }
}

/// The `state` parameter of one authorization, from random bytes of the caller (RFC 6749
/// section 10.12).
pub(crate) fn state_from_random(bytes: &[u8; STATE_BYTES]) -> SecretString {
    URL_SAFE_NO_PAD.encode(bytes).into()
}

/// What goes into an authorization request.
pub(crate) struct AuthorizationRequest<'a> {
    /// Where the user signs in.
    pub(crate) login_url: &'a LoginUrl,
    /// Salesforce calls it Consumer Key.
    pub(crate) client_id: &'a str,
    /// Exactly as registered.
    pub(crate) redirect_uri: &'a str,
    /// Asked for; with none, Salesforce grants all scopes of the app.
    pub(crate) scopes: &'a [String],
    /// Comes back unchanged.
    pub(crate) state: &'a SecretString,
    /// Of the [`PkcePair`].
    pub(crate) code_challenge: &'a str,
    /// The username, where it is known; it fills the login page's field.
    pub(crate) login_hint: Option<&'a str>,
}

impl AuthorizationRequest<'_> {
    /// The URL for the browser. `prompt=login` asks for the sign-in even where a session is open,
    /// so that the admin chooses the account.
    pub(crate) fn url(&self) -> String {
        let mut query = Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", self.redirect_uri);
        if !self.scopes.is_empty() {
            query.append_pair("scope", &self.scopes.join(" "));
        }
        query
            .append_pair("state", exposed(self.state))
            .append_pair("code_challenge", self.code_challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("prompt", "login");
        if let Some(username) = self.login_hint {
            query.append_pair("login_hint", username);
        }
        format!("{}?{}", self.login_url.endpoint(AUTHORIZATION_ENDPOINT), query.finish())
    }
}

#[expect(clippy::disallowed_methods, reason = "RFC 6749 section 4.1.1: the state is in the URL")]
fn exposed(state: &SecretString) -> &str {
    state.expose_secret()
}

/// The exchange of a code for tokens (RFC 6749 section 4.1.3, RFC 7636 section 4.5). It goes to
/// the login URL of the authorization, never to a host that was pasted.
pub(crate) fn exchange_request(
    login_url: &LoginUrl,
    client: &Client<'_>,
    code: &SecretString,
    redirect_uri: &str,
    verifier: &SecretString,
) -> Request {
    let form = vec![
        ("grant_type", "authorization_code".into()),
        ("code", code.clone()),
        ("redirect_uri", redirect_uri.into()),
        ("code_verifier", verifier.clone()),
    ];
    client.spend(login_url, form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::http::{Method, Purpose};
    use crate::oauth::testing::{form, shown};

    fn login() -> LoginUrl {
        LoginUrl::from_stored("https://acme.my.salesforce.com".into())
    }

    #[test]
    fn the_challenge_agrees_with_the_vector_of_rfc_7636() {
        let pair = PkcePair::from_verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(pair.challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_verifier_has_86_characters_and_stays_out_of_debug() {
        let pair = PkcePair::from_random(&[7; VERIFIER_BYTES]);
        assert_eq!(shown(&pair.verifier).len(), 86);
        assert!(!format!("{pair:?}").contains(shown(&pair.verifier)));
        assert_eq!(shown(&state_from_random(&[255; STATE_BYTES])).len(), 22);
    }

    #[test]
    fn the_authorization_url_asks_for_a_code_with_pkce_and_a_fresh_login() {
        let state = SecretString::from("st-ate");
        let scopes = ["api".to_owned(), "refresh_token".to_owned()];
        let mut request = AuthorizationRequest {
            login_url: &login(),
            client_id: "3MVG9.x",
            redirect_uri: "http://localhost:1717/OauthRedirect",
            scopes: &scopes,
            state: &state,
            code_challenge: "E9Mel",
            login_hint: Some("svc+sync@acme.com"),
        };
        assert_eq!(
            request.url(),
            "https://acme.my.salesforce.com/services/oauth2/authorize?response_type=code&client_id=3MVG9.x&redirect_uri=http%3A%2F%2Flocalhost%3A1717%2FOauthRedirect&scope=api+refresh_token&state=st-ate&code_challenge=E9Mel&code_challenge_method=S256&prompt=login&login_hint=svc%2Bsync%40acme.com"
        );
        request.scopes = &[];
        request.login_hint = None;
        assert!(!request.url().contains("scope=") && !request.url().contains("login_hint"));
    }

    #[test]
    fn the_exchange_sends_the_code_once_with_the_same_redirect_uri() {
        let secret = SecretString::from("8472910365021987345");
        let client = Client { client_id: "3MVG9", client_secret: Some(&secret) };
        let request = exchange_request(
            &login(),
            &client,
            &"aPrx1==".into(),
            "http://localhost:1717/x",
            &"v".into(),
        );
        assert_eq!(request.url, "https://acme.my.salesforce.com/services/oauth2/token");
        assert_eq!((request.method, request.purpose), (Method::Post, Purpose::Exchange));
        assert_eq!(
            form(&request),
            [
                "grant_type=authorization_code",
                "code=aPrx1==",
                "redirect_uri=http://localhost:1717/x",
                "code_verifier=v",
                "client_id=3MVG9",
                "client_secret=8472910365021987345"
            ]
        );
    }
}
