//! Where everything lives: one folder by `ORGKEY_HOME`, or the folders of the XDG base directory
//! specification (product.md, 'Files and environment').

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that puts everything in one folder.
pub(crate) const HOME_VARIABLE: &str = "ORGKEY_HOME";

/// There is no place to keep anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither ORGKEY_HOME nor HOME names a folder")]
pub(crate) struct NoHome;

impl NoHome {
    /// What the admin does next.
    #[expect(clippy::unused_self, reason = "every error answers this in the same way")]
    pub(crate) fn remedy(&self) -> &'static str {
        "set ORGKEY_HOME to a folder of your own, e.g. in the unit file of a service"
    }
}

/// The folders, all absolute. Nothing is made or looked at here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Locations {
    /// Holds config.toml.
    config: PathBuf,
    /// Holds the database and the keys.
    data: PathBuf,
    /// Holds locks, inbox, socket and log: what belongs to this host.
    state: PathBuf,
}

impl Locations {
    /// By the environment of this process. An empty variable counts as unset, and a relative
    /// `ORGKEY_HOME` is taken from the working folder.
    pub(crate) fn from_environment() -> Result<Self, NoHome> {
        match std::env::var_os(HOME_VARIABLE) {
            Some(home) if !home.is_empty() => Self::in_folder(&home),
            _ => Self::in_xdg_folders(),
        }
    }

    /// Everything in one folder.
    fn in_folder(home: &OsString) -> Result<Self, NoHome> {
        std::path::absolute(home).map(|home| Self::in_one_folder(&home)).map_err(|_| NoHome)
    }

    /// Everything in this folder, which is named by a full path.
    pub(crate) fn in_one_folder(home: &Path) -> Self {
        Self { config: home.to_owned(), data: home.to_owned(), state: home.to_owned() }
    }

    fn in_xdg_folders() -> Result<Self, NoHome> {
        let folders = directories::ProjectDirs::from("", "", "orgkey").ok_or(NoHome)?;
        Ok(Self {
            config: folders.config_dir().to_owned(),
            data: folders.data_dir().to_owned(),
            state: folders.state_dir().unwrap_or_else(|| folders.data_dir()).to_owned(),
        })
    }

    /// The folders that must be private before anything is put into them; each once.
    pub(crate) fn private_folders(&self) -> Vec<&Path> {
        let mut folders = vec![self.data.as_path()];
        if self.state != self.data {
            folders.push(&self.state);
        }
        folders
    }

    /// `config.toml`.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// `orgkey.db`; SQLite keeps `-wal` and `-shm` beside it.
    pub(crate) fn store_file(&self) -> PathBuf {
        self.data.join("orgkey.db")
    }

    /// The folder of `store.age`, `identity.age` and `identity.key`.
    pub(crate) fn key_folder(&self) -> &Path {
        &self.data
    }

    /// The folder of the locks between processes, a file for each credential.
    pub(crate) fn locks_folder(&self) -> PathBuf {
        self.state.join("locks")
    }

    /// The answers that are not taken over yet.
    pub(crate) fn inbox_file(&self) -> PathBuf {
        self.state.join("inbox")
    }

    /// Room that is held back on the disk of the store.
    pub(crate) fn ballast_file(&self) -> PathBuf {
        self.data.join("ballast")
    }

    /// The journal of spent refresh tokens; of this host, so never in a backup.
    pub(crate) fn spent_file(&self) -> PathBuf {
        self.state.join("spent")
    }

    /// The agent's socket. Not in the runtime folder, which is removed at the last logout.
    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.state.join("agent.sock")
    }

    /// The log.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.state.join("orgkey.log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the locations in a process of its own, as an environment is set only there.
    fn in_environment(environment: &[(&str, &str)]) -> String {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "config::locations::tests::child", "--nocapture"])
            .env_clear()
            .env("ORGKEY_TEST_CHILD", "1")
            .envs(environment.iter().copied())
            .current_dir("/")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split("<<").nth(1).unwrap().split(">>").next().unwrap().to_owned()
    }

    #[test]
    fn child() {
        if std::env::var_os("ORGKEY_TEST_CHILD").is_some() {
            let locations = Locations::from_environment().unwrap();
            let paths = [
                locations.config_file(),
                locations.store_file(),
                locations.key_folder().join("store.age"),
                locations.locks_folder(),
                locations.spent_file(),
                locations.log_file(),
            ];
            println!("<<{}>>", paths.map(|path| path.display().to_string()).join(" "));
        }
    }

    #[test]
    fn one_folder_or_those_of_xdg() {
        let one = "/srv/orgkey/config.toml /srv/orgkey/orgkey.db /srv/orgkey/store.age \
                   /srv/orgkey/locks /srv/orgkey/spent /srv/orgkey/orgkey.log";
        assert_eq!(in_environment(&[("ORGKEY_HOME", "/srv/orgkey"), ("HOME", "/h")]), one);
        assert_eq!(in_environment(&[("ORGKEY_HOME", "srv/orgkey")]), one);
        let plain = in_environment(&[("HOME", "/h"), ("ORGKEY_HOME", "")]);
        assert_eq!(
            plain,
            "/h/.config/orgkey/config.toml /h/.local/share/orgkey/orgkey.db \
             /h/.local/share/orgkey/store.age /h/.local/state/orgkey/locks \
             /h/.local/state/orgkey/spent /h/.local/state/orgkey/orgkey.log"
        );
        let named = in_environment(&[
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_DATA_HOME", "/d"),
            ("XDG_STATE_HOME", "/s"),
        ]);
        assert!(named.starts_with("/c/orgkey/config.toml /d/orgkey/orgkey.db"), "{named}");
        assert!(named.ends_with("/s/orgkey/orgkey.log"), "{named}");
    }

    #[test]
    fn each_private_folder_is_named_once() {
        let one = Locations::in_folder(&"/srv".into()).unwrap();
        assert_eq!(one.private_folders(), [Path::new("/srv")]);
        let apart = Locations { config: "/c".into(), data: "/d".into(), state: "/s".into() };
        assert_eq!(apart.private_folders(), [Path::new("/d"), Path::new("/s")]);
    }
}
