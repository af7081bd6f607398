//! What `orgkey doctor` looks at: the home as it lies there, and what is in it. Nothing is mended
//! here, and nothing is made where nothing is.

mod certificates;
mod hosts;
mod ports;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::locations::Locations;
use crate::domain::copy::{CopyStanding, is_other_host};
use crate::domain::text;
use crate::engine::error::Error;
use crate::engine::open::{beside, has_key, refuse_lost_store};
use crate::engine::outcome::{Finding, KeyProtection, Subject, Verdict};
use crate::engine::save::account_to_sign_in;
use crate::engine::{Engine, Outcome};
use crate::platform;
use crate::platform::file_system;
use crate::platform::files::{FileError, check_private, shown};
use crate::store;
use crate::vault::folder::{BARE_IDENTITY, SEALED_IDENTITY, STORE_KEY};
use crate::vault::key_files::KeyState;

/// Less room than this, and the next exchange or commit may find none: a slot of the inbox, the
/// ballast, and the log of the store.
const LEAST_ROOM: u64 = 1 << 20;
/// From here on there is time to look at it.
const LITTLE_ROOM: u64 = 64 << 20;

/// A finding that nothing has to be done about.
pub(crate) fn ok(subject: Subject, message: impl Into<String>) -> Finding {
    finding(subject, Verdict::Ok, message, "")
}

/// A finding of this kind. What is told can hold names that somebody gave.
pub(crate) fn finding(
    subject: Subject,
    verdict: Verdict,
    message: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    let (message, remedy) = (text::mask(&message.into()), text::mask(&remedy.into()));
    Finding { subject, verdict, message, remedy }
}

/// What the program refuses to work with.
fn refused(subject: Subject, error: &Error) -> Finding {
    finding(subject, Verdict::Wrong, error.message(), error.remedy())
}

/// Looks at folders and files, at what holds them, and at the room there is.
pub(crate) fn inspect_home(locations: &Locations) -> Vec<Finding> {
    let folders: Vec<&Path> =
        locations.private_folders().into_iter().filter(|folder| folder.is_dir()).collect();
    let mut findings = inspect_files(locations);
    for folder in &folders {
        findings.push(inspect_file_system(folder));
    }
    let free = folders.iter().filter_map(|folder| file_system::free_room(folder)).min();
    if let Some(free) = free {
        let gave_up = locations.store_file().exists() && !locations.ballast_file().exists();
        findings.push(room(free, gave_up));
    }
    findings
}

/// Every folder and file that has to be the user's alone.
fn inspect_files(locations: &Locations) -> Vec<Finding> {
    let (mut findings, mut seen) = (Vec::new(), 0_u64);
    for path in private_paths(locations) {
        match check_private(&path) {
            Ok(()) => seen += 1,
            Err(error) if error.is_missing() => {}
            Err(error) => findings.push(refused(Subject::Home, &error.into())),
        }
    }
    for path in locations.private_folders() {
        if fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
            let error = FileError::WrongKind { path: path.to_owned(), expected: "a folder" };
            findings.push(refused(Subject::Home, &error.into()));
        }
    }
    if findings.is_empty() {
        let home = shown(locations.key_folder());
        findings.push(match seen {
            0 => ok(Subject::Home, format!("{home} is not there yet; the first save makes it")),
            _ => ok(Subject::Home, format!("{home}: folders and files are yours alone")),
        });
    }
    findings
}

fn private_paths(locations: &Locations) -> Vec<PathBuf> {
    let (store, locks) = (locations.store_file(), locations.locks_folder());
    let inbox = locations.inbox_file();
    let mut paths: Vec<PathBuf> =
        locations.private_folders().into_iter().map(Path::to_owned).collect();
    paths.extend([beside(&store, "-wal"), beside(&store, "-shm"), store]);
    let keys = [STORE_KEY, SEALED_IDENTITY, BARE_IDENTITY];
    paths.extend(keys.map(|name| locations.key_folder().join(name)));
    paths.extend([locations.ballast_file(), locations.spent_file(), inbox.clone()]);
    // Answers that found no room in the inbox lie beside it.
    let is_emergency = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("inbox-")
    };
    paths.extend(entries(inbox.parent().unwrap_or(&inbox)).into_iter().filter(is_emergency));
    paths.extend(entries(&locks));
    paths.push(locks);
    paths
}

/// What is in a folder; one that can't be read is found by itself.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn inspect_file_system(folder: &Path) -> Finding {
    let name = shown(folder);
    if file_system::is_read_only(folder) {
        let message = format!("{name} can't be written");
        let remedy = "mount its file system writable, or look at its mode";
        return finding(Subject::FileSystem, Verdict::Wrong, message, remedy);
    }
    match file_system::concern(folder) {
        Some(concern) => {
            let remedy = "a folder on a local disk is safer (ORGKEY_HOME)";
            finding(Subject::FileSystem, Verdict::Look, format!("{name} is on {concern}"), remedy)
        }
        None => ok(Subject::FileSystem, format!("{name} is on no network file system or overlay")),
    }
}

fn room(free: u64, gave_up: bool) -> Finding {
    let words = format!("{} MiB are free", free >> 20);
    if free < LEAST_ROOM {
        let remedy = "make room on the disk: nothing is refreshed where its answer finds none";
        return finding(Subject::Room, Verdict::Wrong, words, remedy);
    }
    if gave_up {
        let words = format!("{words}; what is held back was given up to a full disk");
        let remedy = "see that there is room: the next command holds some back again";
        return finding(Subject::Room, Verdict::Look, words, remedy);
    }
    if free < LITTLE_ROOM {
        return finding(Subject::Room, Verdict::Look, words, "make room on the disk");
    }
    ok(Subject::Room, words)
}

/// What can be told of a store that is not there; `None` where there is one to be opened.
pub(crate) fn inspect_absent_store(locations: &Locations) -> Option<Finding> {
    let path = locations.store_file();
    if path.symlink_metadata().is_ok() {
        return None;
    }
    Some(match refuse_lost_store(locations, &path) {
        Err(error) => refused(Subject::Store, &error),
        Ok(()) if has_key(locations) => finding(
            Subject::Store,
            Verdict::Look,
            "there is a sealing key but no orgkey.db",
            "if there was one, put it back before the next command makes an empty one",
        ),
        Ok(()) => ok(Subject::Store, "nothing is saved yet"),
    })
}

impl Engine {
    /// Looks at the store, its copies, the apps with the ports of their redirects, and the sealing key.
    pub(super) async fn examine(&self) -> Outcome {
        let mut findings = vec![
            self.examine_store().await.unwrap_or_else(|error| refused(Subject::Store, &error)),
            self.examine_copies().await.unwrap_or_else(|error| refused(Subject::Copies, &error)),
        ];
        match self.examine_apps().await {
            Ok(apps) => findings.extend(apps),
            Err(error) => findings.push(refused(Subject::Apps, &error)),
        }
        match self.apps().await {
            Ok(apps) => findings.extend(ports::examine(&apps).await),
            Err(error) => findings.push(refused(Subject::Port, &error)),
        }
        findings.push(self.examine_key().await);
        Outcome::Examined(findings)
    }

    async fn examine_store(&self) -> Result<Finding, Error> {
        let found = self.store.call(|store| store.examine()).await?;
        let noun = if found.credentials == 1 { "credential" } else { "credentials" };
        let words =
            format!("orgkey.db is sound: version {}, {} {noun}", found.version, found.credentials);
        Ok(ok(Subject::Store, words))
    }

    /// Opens no question: that is for whoever is about to spend a token.
    async fn examine_copies(&self) -> Result<Finding, Error> {
        let here = platform::who::host_mark();
        let (mark, standing) = self.store.call(|store| store.copy_standing()).await?;
        Ok(copies(&standing, is_other_host(&mark, &here)))
    }

    /// Whether every app that a credential names is there, and its secret readable.
    async fn examine_apps(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let apps = self.apps().await?;
        for app in &apps {
            let Some(file) = self.settings.config.client_secret(&app.name) else { continue };
            if let Err(error) = platform::secret_file::read_secret_file(file) {
                findings.push(refused(Subject::Apps, &Error::SecretFile(error)));
            }
        }
        let named = self.store.call(apps_in_use).await?;
        let (used, mut missing) = (named.len(), named);
        missing.retain(|name, _| !apps.iter().any(|app| app.name.eq_ignore_ascii_case(name)));
        for (name, address) in missing {
            let message = format!("{address} names the app {name}, which is not there");
            let remedy = format!(
                "orgkey app add {name} --client-id ID, or orgkey reset {address} --app APP"
            );
            findings.push(finding(Subject::Apps, Verdict::Wrong, message, remedy));
        }
        if findings.is_empty() {
            let words = match used {
                0 => "no credential names an app yet",
                _ => "every app that a credential names is there",
            };
            findings.push(ok(Subject::Apps, words));
        }
        Ok(findings)
    }

    /// Opens the key where that needs nobody.
    async fn examine_key(&self) -> Finding {
        let state = self.keys.state();
        match self.key().await {
            Ok(_) => ok(
                Subject::Key,
                match state {
                    Ok(KeyState::Bare) => "the sealing key is a bare file, and opens",
                    _ => {
                        "the sealing key opens without a question: the environment names a file for it"
                    }
                },
            ),
            Err(Error::Key(KeyProtection::Missing)) => finding(
                Subject::Key,
                Verdict::Look,
                "there is no sealing key yet",
                "the first set-up makes it, or orgkey key init",
            ),
            Err(Error::Key(_)) => {
                ok(Subject::Key, "the sealing key is protected by a passphrase, which is asked for")
            }
            Err(error) => refused(Subject::Key, &error),
        }
    }
}

/// Every app that is named, with the first credential that names it.
fn apps_in_use(store: &mut store::Store) -> Result<BTreeMap<String, String>, store::Error> {
    let mut named = BTreeMap::new();
    store.each_credential(|row| {
        let address = row.credential.address.to_string();
        for app in [row.credential.app.clone(), account_to_sign_in(&row.credential).app] {
            named.entry(app).or_insert_with(|| address.clone());
        }
    })?;
    Ok(named)
}

fn copies(standing: &CopyStanding, is_other_host: bool) -> Finding {
    if standing.moved.is_some() {
        return finding(
            Subject::Copies,
            Verdict::Look,
            "this store was left to another copy: nothing is refreshed here",
            "use the one that goes on; orgkey adopt only where no other was used since",
        );
    }
    let why = match standing.question {
        Some(question) => question.sign.words(),
        None if is_other_host => crate::domain::copy::CopySign::OtherHost.words(),
        None => return ok(Subject::Copies, "nothing shows that this store is a copy"),
    };
    finding(
        Subject::Copies,
        Verdict::Look,
        format!("this store may be a copy: {why}"),
        "orgkey adopt if this one goes on; orgkey move --elsewhere if another does",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::copy::{CopyQuestion, CopySign, Moved};
    use crate::domain::time::UnixMillis;

    #[test]
    fn little_room_is_looked_at_and_none_is_wrong() {
        for (free, gave_up, verdict) in [
            (0, false, Verdict::Wrong),
            (LEAST_ROOM - 1, true, Verdict::Wrong),
            (LEAST_ROOM, false, Verdict::Look),
            (LITTLE_ROOM - 1, false, Verdict::Look),
            (LITTLE_ROOM, false, Verdict::Ok),
            (LITTLE_ROOM, true, Verdict::Look),
        ] {
            assert_eq!(room(free, gave_up).verdict, verdict, "{free} {gave_up}");
        }
    }

    #[test]
    fn a_copy_is_looked_at_with_its_reason() {
        let none = CopyStanding::default();
        assert_eq!(copies(&none, false).verdict, Verdict::Ok);
        let other = copies(&none, true);
        assert_eq!(other.verdict, Verdict::Look);
        assert!(other.message.contains("another host"), "{other:?}");
        let question = CopyQuestion { since: UnixMillis(1), sign: CopySign::Restored };
        let asked = copies(&CopyStanding { question: Some(question), moved: None }, true);
        assert!(asked.message.contains("restored from a backup"), "{asked:?}");
        let moved = Some(Moved { at: UnixMillis(1), to: String::new() });
        let left = copies(&CopyStanding { question: None, moved }, false);
        assert!(left.message.contains("nothing is refreshed"), "{left:?}");
    }
}
