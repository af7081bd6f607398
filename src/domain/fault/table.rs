//! The table of faults: one row per error of Salesforce OAuth facts 3.10, 5.1 and 5.2, and one per
//! failure of the transport. A kind can't be added without its row.

use serde::{Deserialize, Serialize};

use crate::domain::credential::{Cause, CheckOutcome};

/// What is said of a kind of fault.
pub(super) struct Row {
    /// The stable word for JSON.
    pub(super) code: &'static str,
    /// The outcome of the check that met it.
    pub(super) outcome: CheckOutcome,
    /// The cause of `needs_setup`.
    pub(super) cause: Option<Cause>,
    /// Follows the host in the message; `{}` stands for the detail.
    pub(super) what: &'static str,
    /// What to do next.
    pub(super) remedy: &'static str,
}

/// Writes the enum and its table from the same rows.
macro_rules! faults {
    ($($(#[$doc:meta])* $kind:ident = $code:literal, $outcome:ident $(($cause:ident))?: $what:literal, $remedy:literal;)+) => {
        /// The kinds of fault, one per row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub(crate) enum FaultKind { $($(#[$doc])* #[serde(rename = $code)] $kind,)+ }

        impl FaultKind {
            /// Every kind, in the order of the table.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)+];

            /// Its row.
            pub(super) fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row {
                        code: $code,
                        outcome: CheckOutcome::$outcome,
                        cause: None$(.or(Some(Cause::$cause)))?,
                        what: $what,
                        remedy: $remedy,
                    },)+
                }
            }
        }
    };
}

faults!(
    // Facts 5.1: the token endpoint.
    /// The code was used, is over 15 minutes old, or is another client's.
    CodeExpired = "code_expired", NeedsSetup(Unknown):
        "refused the authorization code: it was used before, is older than 15 minutes, or was made for another app or redirect URI",
        "start the set-up of the OAuth token again and paste the new address at once";
    /// Another request spends the same token at this moment.
    AlreadyProcessing = "already_being_processed", Unreachable:
        "is already processing a request with this token",
        "wait a moment and try again; if it comes back, look for another program that refreshes the same token";
    /// The refresh token is dead; the answer does not say why.
    TokenRefused = "token_refused", NeedsSetup(Unknown):
        "refused the refresh token for good: it was revoked, replaced, unused for too long, or pushed out by a newer approval",
        "set up the OAuth token again; what ended it: Setup > External Client App Manager > the app > Policies, Setup > Connected Apps OAuth Usage, and Login History of the user";
    /// The user is deactivated or frozen.
    UserInactive = "user_inactive", NeedsSetup(UserInactive):
        "says that the user is deactivated or frozen",
        "Setup > Users: activate or unfreeze the user and set up the OAuth token again, or save another User ID";
    /// The org is locked, closed, suspended, or its trial is over.
    OrgInactive = "org_inactive", Misconfigured:
        "says that the org is locked, suspended or closed, or that its trial is over",
        "ask Salesforce support or the owner of the contract about the org; nothing can be changed from here";
    /// Login IP ranges, login hours or an IP allowlist.
    IpRestricted = "ip_restricted", Misconfigured:
        "does not accept this machine's IP address, or not at this hour",
        "add this machine's outgoing IP address: Setup > External Client App Manager (or App Manager) > the app > Policies, IP relaxation and refresh token allowlist; and Setup > Profiles > Login IP Ranges and Login Hours";
    /// JWT or token exchange without prior approval.
    ConsumerNotApproved = "consumer_not_approved", Misconfigured:
        "says that the user has not approved this app",
        "Setup > External Client App Manager > the app > Policies: let admin approved users be pre-authorized and add the user's permission set or profile; check that the username is of this environment (a sandbox adds .SANDBOX)";
    /// Wrong `aud` of an assertion.
    AudienceInvalid = "audience_invalid", Misconfigured:
        "does not accept the audience of the assertion",
        "save the org's My Domain as login URL (Setup > My Domain shows it): an External Client App accepts no other audience";
    /// The assertion's signature, certificate or time is wrong.
    AssertionInvalid = "assertion_invalid", Misconfigured:
        "does not accept the signed assertion: the key does not match the certificate, the certificate ended, or a clock is off by more than 3 minutes",
        "Setup > External Client App Manager > the app > Settings > OAuth: upload the certificate of this private key; check this machine's clock";
    /// Client credentials without a Run As user.
    NoRunAsUser = "no_run_as_user", Misconfigured:
        "knows no user to run the client credentials flow as",
        "Setup > External Client App Manager > the app > Policies > OAuth Flows: enable Client Credentials Flow and enter the username in Run As";
    /// No scope is left to grant.
    NoValidScopes = "no_valid_scopes", Misconfigured:
        "has no scope that the app may grant",
        "Setup > External Client App Manager > the app > Settings > OAuth Scopes: add 'Manage user data via APIs (api)'";
    /// The generic login host does not serve this grant.
    DomainNotSupported = "domain_not_supported", Misconfigured:
        "does not serve this flow",
        "save the org's My Domain as login URL, not login.salesforce.com or test.salesforce.com (Setup > My Domain shows it)";
    /// Password flow only; we never send it.
    AuthenticationFailure = "authentication_failure", Misconfigured:
        "refused the user's credentials",
        "look at Login History of the user in Setup > Users; then set up the OAuth token again";
    /// Unknown client ID.
    ClientIdInvalid = "client_id_invalid", Misconfigured:
        "does not know this Consumer Key (client ID)",
        "compare the Consumer Key with Setup > External Client App Manager > the app > Settings > Consumer Key and Secret; use the org's My Domain as login URL; a new app takes up to 10 minutes";
    /// Wrong client secret.
    ClientSecretInvalid = "client_secret_invalid", Misconfigured:
        "refused the Consumer Secret (client secret) of the app",
        "Setup > External Client App Manager > the app > Settings > Consumer Key and Secret: copy the secret again; it may have been rotated";
    /// A Connected App that nobody installed.
    AppNotInstalled = "app_not_installed", Misconfigured:
        "does not accept the app because it is not installed in the org",
        "Setup > External Client App Manager: create an app of the org's own and use its Consumer Key; or, for a Connected App, Setup > Connected Apps OAuth Usage > the app > Install, or give the user 'Approve Uninstalled Connected Apps'";
    /// An External Client App that is not in this org, or not on this host.
    ExternalClientAppNotFound = "app_not_found", Misconfigured:
        "says that the External Client App is not installed in this org",
        "save the org's My Domain as login URL; Setup > External Client App Manager must list the app in this org or sandbox";
    /// The user is not among those whom the admin approved.
    UserNotApproved = "user_not_approved", Misconfigured:
        "says that the user is not admin approved to access this app",
        "Setup > External Client App Manager > the app > Policies > App Policies: add a permission set or profile of the user";
    /// The redirect URI differs from the registered one.
    RedirectUriMismatch = "redirect_uri_mismatch", Misconfigured:
        "has another Callback URL registered for the app",
        "Setup > External Client App Manager > the app > Settings > Callback URL: enter exactly the redirect URI that orgkey uses, port and path too (localhost, not 127.0.0.1); then wait 10 minutes";
    /// No redirect URI at all.
    RedirectUriMissing = "redirect_uri_missing", Misconfigured:
        "got no redirect URI",
        "give the app its redirect URI (orgkey app edit) as Setup > External Client App Manager > the app > Settings > Callback URL shows it";
    /// PKCE: the verifier does not fit the challenge.
    CodeVerifierInvalid = "code_verifier_invalid", Misconfigured:
        "says that the code verifier does not belong to this authorization",
        "start the set-up of the OAuth token again: the pasted address is of another attempt";
    /// PKCE is required, or was not understood.
    CodeChallengeRequired = "code_challenge_required", Misconfigured:
        "asks for a code challenge (PKCE) in a way that orgkey's request did not meet",
        "Setup > External Client App Manager > the app > Settings > OAuth Security: require PKCE with S256; then set up the OAuth token again";
    /// A malformed request.
    InvalidRequest = "invalid_request", Misconfigured:
        "calls the request invalid",
        "check the login URL and the app's settings; if both are right, report it with this text";
    /// A scope that the app does not have.
    InvalidScope = "invalid_scope", Misconfigured:
        "does not allow a requested scope",
        "Setup > External Client App Manager > the app > Settings > OAuth Scopes: add the scope, or take it out of the app here (orgkey app edit)";
    /// The user pressed Deny.
    AccessDenied = "access_denied", NeedsSetup(Unknown):
        "reports that access was denied on the approval page",
        "start the set-up again and press Allow; nothing was changed";
    /// A sign-in without a page was asked for, and a page is needed.
    InteractionRequired = "interaction_required", NeedsSetup(Unknown):
        "needs the user to sign in on its page",
        "set up the OAuth token again in a browser";
    /// Grant or response type switched off.
    FlowNotSupported = "flow_not_supported", Misconfigured:
        "does not support this flow for the app or the org",
        "Setup > External Client App Manager > the app > Settings > OAuth Flows: enable the flow; and Setup > OAuth and OpenID Connect Settings must allow it";
    /// The client may not use this grant.
    UnauthorizedClient = "unauthorized_client", Misconfigured:
        "does not allow the app to use this flow",
        "Setup > External Client App Manager > the app > Settings > OAuth Flows: enable the flow";
    /// More than 3,600 logins an hour.
    LoginRateExceeded = "login_rate_exceeded", Unreachable:
        "has seen too many logins of this user: 3,600 an hour are the most",
        "wait an hour; find the program that signs in again and again in Login History of the user";
    /// The server's own error.
    ServerError = "server_error", Unreachable:
        "reports an error of its own",
        "try again later; status.salesforce.com shows the state of the instance";
    /// Frozen, or without API permission.
    UserAuthenticationFailed = "user_authentication_failed", Misconfigured:
        "could not authenticate the user: frozen, or without the API Enabled permission",
        "Setup > Users: check that the user is active and not frozen, and that profile or permission set has API Enabled";
    /// The browser's page gave a general error.
    ApprovalError = "approval_error", Misconfigured:
        "showed OAUTH_APPROVAL_ERROR_GENERIC: mostly the app is not installed in the org",
        "paste the whole address of that page, it may say more; Setup > External Client App Manager must list the app in this org, or create one there and use its Consumer Key; a Connected App: Setup > Connected Apps OAuth Usage > the app > Install";
    /// The admin blocked the app.
    AppBlocked = "app_blocked", Misconfigured:
        "says that the app is blocked by an admin",
        "look which app it is in Setup > External Client App Manager (or App Manager), then Setup > Connected Apps OAuth Usage > the app > Unblock; and set up the OAuth token again, for a block ends it";
    /// The user is not approved on the browser's page.
    AppAccessDenied = "app_access_denied", Misconfigured:
        "says that the user has no access to the app",
        "Setup > External Client App Manager > the app > Policies > App Policies: add a permission set or profile of the user";
    /// Revocation of a token that is no more, or a token that is none.
    TokenGone = "token_gone", NeedsSetup(Revoked):
        "does not know the token any more",
        "set up the OAuth token again";
    /// Device flow: the user has not answered yet.
    AuthorizationPending = "authorization_pending", Unreachable:
        "is waiting for the user to approve",
        "enter the code on the page and approve; if the page shows OAUTH_APPROVAL_ERROR_GENERIC, an admin must install the app";
    /// Device flow: asked too often.
    SlowDown = "slow_down", Unreachable:
        "asks to be polled less often",
        "wait; polling goes on with a longer interval";
    /// Device flow: the code is no more, or two device flows of the same user run at once.
    DeviceCodeRefused = "device_code_refused", NeedsSetup(Unknown):
        "does not know the device code any more: it lives 10 minutes, and another device sign-in of the same user and app ends it",
        "start the set-up again, and enter the new code at once";
    /// Device flow: nobody approved in time.
    UserCodeExpired = "user_code_expired", NeedsSetup(Unknown):
        "got no approval in the time that the code lives",
        "start the set-up again, and enter the new code at once; if the page showed OAUTH_APPROVAL_ERROR_GENERIC, an admin must install the app";
    /// `invalid_grant` with a text that is not known.
    GrantRefused = "grant_refused", NeedsSetup(Unknown):
        "refused the grant",
        "try once more in a minute; then set up the OAuth token again; Login History of the user in Setup > Users shows the refusal";
    /// An error code that is not known.
    UnknownOAuthError = "unknown_oauth_error", Misconfigured:
        "refused the request",
        "look the text up in Salesforce Help, 'OAuth Authorization Errors'; check Setup > External Client App Manager > the app";
    // Facts 5.2 and 3.10: the API, the identity URL and userinfo.
    /// 401 `INVALID_SESSION_ID`, or the identity service's `Bad_OAuth_Token`.
    SessionExpired = "session_expired", NeedsSetup(Unknown):
        "says that the access token expired or is invalid",
        "refresh the access token; if it is refused again, set up the OAuth token";
    /// 401 that no refresh heals.
    SessionNotValidForApi = "session_not_valid_for_api", Misconfigured:
        "accepts the access token, but not for the REST API",
        "Setup > External Client App Manager > the app: 'api' must be among its OAuth Scopes; Setup > API Access Control must allow it, Setup > Connected Apps OAuth Usage not block it; Setup > Session Settings and Profiles > Login IP Ranges must let this machine's outgoing IP address in; a new token does not help";
    /// A malformed or missing `Authorization` header.
    AuthHeaderInvalid = "auth_header_invalid", Misconfigured:
        "got no readable Authorization header",
        "check whether a proxy on the way takes headers out; if there is none, report it with this text";
    /// The token belongs to another org.
    WrongOrg = "wrong_org", WrongAccount:
        "says that the token belongs to another org",
        "compare Org ID and login URL (orgkey show), correct them with Reset, then set up the OAuth token again";
    /// A token that was granted no scope for the API.
    NoApiScope = "no_api_scope", Limited:
        "knows the token, but it has no scope for the API",
        "add the scope 'Manage user data via APIs (api)' to the app and to orgkey app edit --scopes, then set up the OAuth token again";
    /// A refresh that brought another account's token.
    ForeignRefresh = "foreign_refresh", WrongAccount:
        "answered the refresh with another account's token; it is kept, not served",
        "tell the org's admin, then set up the OAuth token again";
    /// No API for this edition or user.
    ApiDisabled = "api_disabled", Limited:
        "does not let this user or org use the API",
        "Setup > Profiles or Permission Sets: tick API Enabled for the user; Professional Edition and below need API access bought";
    /// Daily or concurrent request limit.
    RequestLimitExceeded = "request_limit_exceeded", Limited:
        "counts more API requests than the org may make in 24 hours or at once",
        "wait, or see Setup > Company Information > API Requests for who uses them; the token itself is fine";
    /// Permissions below the API.
    InsufficientAccess = "insufficient_access", Limited:
        "accepts the token, but the user lacks a permission for this call",
        "Setup > Permission Sets: give the user the permission that the text names; the token itself is fine";
    /// Locked after too many wrong passwords.
    UserLockedOut = "user_locked_out", Misconfigured:
        "says that the user is locked out",
        "Setup > Users > the user > Unlock; then test access again";
    /// 404.
    NotFound = "not_found", Misconfigured:
        "has no such resource: wrong host, API version, Org ID or User ID",
        "compare the login URL with Setup > My Domain, and the Org ID and User ID with the org";
    /// 410, a retired API version.
    ApiVersionUnsupported = "api_version_unsupported", Misconfigured:
        "no longer serves this version of the API",
        "test access again: orgkey asks for the newest version that the instance lists; if it comes back, report it with this text";
    /// The instance redirects: the org moved or was renamed.
    InstanceMoved = "instance_moved", Misconfigured:
        "points to another host: the org moved or its My Domain was renamed",
        "refresh the access token to learn the new host; if that fails, correct the login URL by Setup > My Domain";
    /// The login host redirects.
    LoginHostMoved = "login_host_moved", Misconfigured:
        "answers the token request with a redirect; it was not followed",
        "save the org's present My Domain as login URL (Setup > My Domain shows it)";
    /// The call went to the login host.
    UrlNotReset = "url_not_reset", Misconfigured:
        "is a login host and serves no API",
        "set up the OAuth token again so that its instance URL is learned anew";
    /// Down for maintenance.
    Maintenance = "maintenance", Unreachable:
        "is down for maintenance",
        "try again later; status.salesforce.com tells until when";
    /// 5xx.
    ServerUnavailable = "server_unavailable", Unreachable:
        "is out of order at the moment",
        "try again later; status.salesforce.com shows the state of the instance";
    /// 429.
    TooManyRequests = "too_many_requests", Unreachable:
        "wants fewer requests",
        "wait and try again";
    /// HTML where data was due: an outage page, a captive portal, an intercepting proxy.
    HtmlAnswer = "html_answer", Unreachable:
        "answered with a web page instead of data",
        "try again later; check that no proxy or captive portal answers in Salesforce's place";
    /// Neither JSON nor a form.
    NotAnOAuthAnswer = "not_an_oauth_answer", Unreachable:
        "gave an answer that is not of OAuth",
        "check the login URL, and that no proxy answers in Salesforce's place; then try again";
    /// A token response that can't be used.
    TokenResponseInvalid = "token_response_invalid", Misconfigured:
        "answered the token request with what can't be used",
        "check the login URL, and that no proxy answers in Salesforce's place; then set up the OAuth token again";
    /// A token response whose HMAC does not fit.
    SignatureMismatch = "signature_mismatch", Misconfigured:
        "signed its answer with another client secret than the app's",
        "Setup > External Client App Manager > the app > Settings > Consumer Key and Secret: copy the secret again; if it is right, someone on the way changed the answer";
    /// An API refusal that is not known.
    UnknownApiError = "unknown_api_error", Limited:
        "refused the API call",
        "look the error code up in the REST API Developer Guide, 'Status Codes and Error Responses'";
    // The transport.
    /// Our own host policy.
    HostRefused = "host_refused", Misconfigured:
        "is no host to which tokens are sent: {}",
        "correct the login URL by Setup > My Domain, or name the domain as trusted in [network] of config.toml";
    /// DNS.
    HostUnknown = "host_unknown", Unreachable:
        "is not known to DNS",
        "check the spelling of the login URL (Setup > My Domain shows it), and this machine's DNS (getent hosts HOST)";
    /// TCP.
    ConnectFailed = "connect_failed", Unreachable:
        "could not be connected: {}",
        "check this machine's network, DNS and firewall, and HTTPS_PROXY if you need a proxy";
    /// The connection ended while it was made.
    ConnectionCut = "connection_cut", Unreachable:
        "closed the connection twice before anything was sent",
        "try again; if it stays so, check that a firewall or proxy on the way lets this host pass";
    /// TLS: the certificate's time is over.
    TlsCertificateExpired = "tls_certificate_expired", Unreachable:
        "showed a TLS certificate that has expired: {}",
        "check this machine's clock (date -u); if it is right, the host, or a proxy on the way, needs a new certificate";
    /// TLS: the certificate's time has not come.
    TlsCertificateNotYetValid = "tls_certificate_not_yet_valid", Unreachable:
        "showed a TLS certificate that is not valid yet: {}",
        "check this machine's clock (date -u): it may be behind";
    /// TLS: nobody that this machine trusts issued the certificate.
    TlsIssuerUnknown = "tls_issuer_unknown", Unreachable:
        "showed a TLS certificate from an issuer that this machine does not trust: {}",
        "if your company's proxy looks into TLS, set SSL_CERT_FILE to a file with its CA; if not, someone else answers in Salesforce's place: send nothing there";
    /// TLS: the certificate is another host's.
    TlsNameMismatch = "tls_name_mismatch", Unreachable:
        "showed a TLS certificate of another host: {}",
        "check the spelling of the login URL (Setup > My Domain shows it), this machine's DNS, and that no proxy answers in Salesforce's place";
    /// TLS: no version in common.
    TlsVersionRefused = "tls_version_refused", Unreachable:
        "speaks no TLS 1.2 or newer: {}",
        "Salesforce speaks TLS 1.2 and 1.3: check which proxy on the way speaks an older version";
    /// TLS: something else answers.
    TlsMissing = "tls_missing", Unreachable:
        "does not speak TLS on this port: {}",
        "check the login URL and HTTPS_PROXY: a captive portal, a proxy or another service answers in Salesforce's place";
    /// TLS.
    TlsFailed = "tls_failed", Unreachable:
        "could not be connected over TLS: {}",
        "check this machine's clock; behind an intercepting proxy set SSL_CERT_FILE to its CA";
    /// The proxy.
    ProxyFailed = "proxy_failed", Unreachable:
        "could not be reached through the proxy {}",
        "check HTTPS_PROXY and NO_PROXY, and that the proxy lets this host pass";
    /// The deadline.
    Timeout = "timeout", Unreachable:
        "did not answer within {}",
        "try again; check the network when it comes back";
    /// The connection ended early.
    Interrupted = "interrupted", Unreachable:
        "closed the connection before its answer was complete",
        "try again; check the network when it comes back";
    /// The cap.
    AnswerTooLarge = "answer_too_large", Unreachable:
        "answered more than {} bytes",
        "check that no proxy answers in Salesforce's place; then try again";
);

impl FaultKind {
    /// Whether it passes by itself where the app was made, or changed, within the last 10 minutes
    /// (Salesforce OAuth facts 3.2).
    pub(crate) fn may_be_new_app(self) -> bool {
        matches!(
            self,
            Self::ClientIdInvalid | Self::ExternalClientAppNotFound | Self::RedirectUriMismatch
        )
    }
}
