//! Handing out access tokens.
//!
//! [`serve`] is synchronous over one connection: a script's `orgkey token` of a token that is
//! still good starts no runtime, no thread and no TLS.

use std::sync::Arc;
use std::time::Duration;

use crate::config::settings::{Config, OnWriteFailure};
use crate::domain::app::DEFAULT_SESSION_TIMEOUT;
use crate::domain::credential::Cause;
use crate::domain::hold::Hold;
use crate::domain::name::Address;
use crate::domain::policy::must_refresh;
use crate::domain::record::RecordId;
use crate::domain::time::{UnixMillis, limit_in_words};
use crate::domain::token::{Expiry, Generation};
use crate::engine::error::{Error, Invalid, Refusal, SetupNeed};
use crate::engine::key_folder::PrivateFolder;
use crate::engine::open::{name_holder, open_store};
use crate::engine::operation::TokenRequest;
use crate::engine::outcome::TokenAnswer;
use crate::engine::seal::Sealer;
use crate::engine::select::{PlainName, choose};
use crate::engine::sensitive::Sensitive;
use crate::engine::{Engine, Failure, Outcome, Reporter, Settings, now};
use crate::platform::who::Who;
use crate::store::{self, CredentialRow, Durability, HandOut, HandOutRow, Store, TokenRow};
use crate::vault::error::Error as Vault;
use crate::vault::key_files::KeyFiles;

/// Most rounds of refreshing and looking again: one refresh, one taken over from another process.
const ROUNDS: usize = 3;

/// What looking into the store gave.
pub(crate) enum Served {
    /// A token, its hand-out counted.
    Answer(TokenAnswer),
    /// The stored token is not good enough: refresh this generation.
    MustRefresh(RecordId, Generation),
    /// There is a signed-in token that was not tested and promoted yet.
    MustPromote(RecordId),
}

/// Finds what is asked for, and that there is a token or a candidate for one. Needs no key.
fn find(store: &Store, request: &TokenRequest) -> Result<HandOutRow, Error> {
    let rows = store.hand_out_rows(&request.selection.target.name)?;
    let row = choose(rows, |row| &row.address, &request.selection, PlainName::Refused)?;
    refuse_held(&row.address, row.held.as_ref())?;
    if row.token.is_none() && !row.has_candidate {
        return Err(Error::Setup(SetupNeed::NoToken(row.address)));
    }
    Ok(row)
}

/// Gives out the stored access token if it is good enough, counting the hand-out first.
pub(crate) fn serve(
    store: &mut Store,
    sealer: &Sealer<'_>,
    config: &Config,
    request: &TokenRequest,
    who: &Who,
) -> Result<Served, Error> {
    let row = find(store, request)?;
    let Some(stored) = &row.token else { return Ok(Served::MustPromote(row.id)) };
    if let Some(cause) = stored.refused {
        return Err(dead(&store.credential(row.id)?, cause));
    }
    let session = session_of(config, &row.app, row.session_timeout);
    if request.min_ttl > session {
        return Err(too_long(request.min_ttl, session).into());
    }
    let token = sealer.open_token_set(stored.id, stored.generation, &stored.sealed)?;
    let rejected = request
        .rejected
        .as_ref()
        .is_some_and(|rejected| *rejected == Sensitive(token.access_token.clone()));
    if rejected || must_refresh(stored.expiry, request.min_ttl, now()) {
        return Ok(Served::MustRefresh(row.id, stored.generation));
    }
    let unrecorded = match store.count_hand_out(&row, &hand_out(stored.generation, who)) {
        Ok(true) => None,
        // The hold came since we looked.
        Ok(false) => {
            find(store, request)?;
            return Err(store::Error::Stale.into());
        }
        Err(error) if config.audit.on_write_failure == OnWriteFailure::Serve => {
            Some(error.to_string())
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Served::Answer(TokenAnswer {
        unrecorded,
        access_token: Sensitive(token.access_token),
        instance_url: stored.instance_url.clone(),
        expiry: stored.expiry,
        address: row.address,
    }))
}

/// Answers `orgkey token` from the store alone, where that is possible without asking anyone.
/// `None` when it takes the whole engine: to refresh, to promote, to ask for a passphrase.
pub(crate) fn serve_stored(
    settings: &Settings,
    request: &TokenRequest,
) -> Result<Option<TokenAnswer>, Failure> {
    let attempt = || -> Result<Option<TokenAnswer>, Error> {
        let keys = KeyFiles::new(PrivateFolder(settings.locations.key_folder().to_owned()));
        let key = match keys.open_bare() {
            Ok(key) => key,
            Err(Vault::PassphraseNeeded | Vault::Missing(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut store = open_store(&settings.locations, Durability::HandOuts)?.store;
        store.listen(super::audit::listener(&settings.config));
        let sealer = Sealer { key: &key, store_id: store.store_id() };
        match serve(&mut store, &sealer, &settings.config, request, &Who::of_this_process()) {
            Ok(Served::Answer(answer)) => {
                // All is committed, and the process ends now, which closes the store in less time.
                std::mem::forget(store);
                Ok(Some(answer))
            }
            Ok(Served::MustRefresh(..) | Served::MustPromote(_)) => Ok(None),
            // The key was rotated between the two looks.
            Err(Error::Vault(Vault::OtherKey { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    };
    attempt().map_err(|error| name_holder(error, &settings.locations).into())
}

/// How long an unused session of an app lives: config.toml knows, else the store, else nobody.
fn session_of(config: &Config, app: &str, stored: Option<u64>) -> Duration {
    match (config.app(app), stored) {
        (Some(app), _) => app.session_timeout(),
        (None, Some(seconds)) => Duration::from_secs(seconds),
        (None, None) => DEFAULT_SESSION_TIMEOUT,
    }
}

/// Refuses what is on hold.
pub(super) fn refuse_held(address: &Address, held: Option<&Hold>) -> Result<(), Error> {
    match held {
        None => Ok(()),
        Some(by) => {
            Err(Error::Refused(Refusal::Held { address: address.clone(), hold: by.clone() }))
        }
    }
}

/// Refuses a token that Salesforce refused for good.
pub(super) fn refuse_dead(row: &CredentialRow, stored: &TokenRow) -> Result<(), Error> {
    stored.refused.map_or(Ok(()), |cause| Err(dead(row, cause)))
}

/// Why a token that Salesforce refused for good is not used: what it said then.
pub(super) fn dead(row: &CredentialRow, cause: Cause) -> Error {
    let address = row.credential.address.clone();
    let check = row.credential.last_check.as_ref().filter(|check| !check.remedy.is_empty());
    let (message, remedy) = check.map_or_else(
        || (format!("Salesforce refused the token ({cause})"), default_remedy(cause)),
        |check| (check.message.clone(), check.remedy.clone()),
    );
    Error::Setup(SetupNeed::Refused { address, message, remedy })
}

fn default_remedy(cause: Cause) -> String {
    match cause {
        Cause::UserInactive => {
            "reactivate the user in Setup > Users, then set up the OAuth token".into()
        }
        Cause::SandboxRefreshed => {
            "the sandbox has a new Org ID: reset it, then set up the OAuth token".into()
        }
        Cause::SupersededElsewhere => {
            "someone else may hold a copy: look at Login History, then set up the OAuth token"
                .into()
        }
        Cause::Never | Cause::Revoked | Cause::IdleExpired | Cause::Unknown => {
            "set up the OAuth token".into()
        }
    }
}

fn too_long(min_ttl: Duration, session: Duration) -> Invalid {
    Invalid::input(
        format!(
            "--min-ttl {} is longer than a session of this app lives ({})",
            limit_in_words(min_ttl),
            limit_in_words(session)
        ),
        "ask for less, or correct the app's session_timeout",
    )
}

fn hand_out(generation: Generation, who: &Who) -> HandOut {
    HandOut { at: now(), who: super::who_as_json(who), generation }
}

impl Engine {
    /// A valid access token, refreshed first if need be.
    pub(super) async fn token(
        self: &Arc<Self>,
        mut request: TokenRequest,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        for _ in 0..ROUNDS {
            match self.serve_once(&request).await? {
                Served::Answer(answer) => return Ok(Outcome::Token(answer)),
                Served::MustRefresh(id, generation) => {
                    self.refresh(id, generation, reporter).await?;
                    self.revoke_due(id, reporter).await?;
                    // What was rejected is spent; only its successor counts now.
                    request.rejected = None;
                }
                Served::MustPromote(id) => {
                    self.resume_candidate(id, reporter).await?;
                }
            }
        }
        Err(Invalid::input(
            format!(
                "Salesforce issues tokens that live shorter than --min-ttl {}",
                limit_in_words(request.min_ttl)
            ),
            "ask for less",
        )
        .into())
    }

    async fn serve_once(&self, request: &TokenRequest) -> Result<Served, Error> {
        let (config, request) = (self.settings.config.clone(), request.clone());
        let who = self.who.clone();
        let key = match self.key().await {
            Ok(key) => key,
            // A wrong name, or a credential without a token, is said before anyone looks for a key.
            Err(error) => {
                self.store.call(move |store| Ok(find(store, &request))).await??;
                return Err(error);
            }
        };
        self.store
            .call(move |store| Ok(serve(store, &key.sealer(), &config, &request, &who)))
            .await?
    }
}

/// The end of an access token that was issued or proven good at `at`.
pub(super) fn expiry_from(known: Option<UnixMillis>, at: UnixMillis, session: Duration) -> Expiry {
    known.map_or_else(|| Expiry::assumed(at, session), |end| Expiry { at: end, known: true })
}
