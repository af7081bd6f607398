//! What the host tells of its sessions: read from files alone, so that nobody has to be asked who
//! may not answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::lifetime::{Lifetime, LoginFacts};

/// Where logind.conf and its drop-ins may lie: the first one wins over those after it.
const FOLDERS: [&str; 4] =
    ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];

/// Whether a process of this user outlives the user's last session on this host.
pub(crate) fn of_process(pid: u32) -> Lifetime {
    of_process_in(Path::new("/"), pid, super::files::our_uid())
}

/// The same of a host whose files lie below `root`.
fn of_process_in(root: &Path, pid: u32, uid: u32) -> Lifetime {
    let user = user_name(root, uid);
    // Both have to be there: logind leaves its folder behind in containers.
    let has_logind =
        root.join("run/systemd/system").is_dir() && root.join("run/systemd/seats").is_dir();
    Lifetime::of(&LoginFacts {
        has_logind,
        cgroup: fs::read_to_string(root.join(format!("proc/{pid}/cgroup"))).ok(),
        lingers: user.as_deref().and_then(|user| lingers(root, user)),
        user,
        logind_conf: if has_logind { logind_conf(root) } else { Vec::new() },
        os_release: ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|file| fs::read_to_string(root.join(file)).ok())
            .unwrap_or_default(),
    })
}

/// The name of a user, where it can be told without asking a name service.
pub(crate) fn name_of_user(uid: u32) -> Option<String> {
    user_name(Path::new("/"), uid).map(|name| crate::domain::text::clean(&name))
}

/// logind knows the names of those who are there, also of those who are in no local file.
fn user_name(root: &Path, uid: u32) -> Option<String> {
    let state = fs::read_to_string(root.join(format!("run/systemd/users/{uid}")));
    let named = state.ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("NAME=")).map(str::to_owned)
    });
    named.or_else(|| {
        let users = fs::read_to_string(root.join("etc/passwd")).ok()?;
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
    })
}

/// Whether there is the file that `loginctl enable-linger` makes.
fn lingers(root: &Path, user: &str) -> Option<bool> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    // Other names are written with escapes there.
    if user.is_empty() || !user.chars().all(is_plain) {
        return None;
    }
    root.join("var/lib/systemd/linger").join(user).try_exists().ok()
}

/// logind.conf, empty where there is none, and its drop-ins in the order in which they count.
fn logind_conf(root: &Path) -> Vec<String> {
    let main = FOLDERS
        .iter()
        .find_map(|folder| fs::read_to_string(root.join(folder).join("logind.conf")).ok());
    let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(root.join(folder).join("logind.conf.d")) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "conf") {
                drop_ins.entry(entry.file_name()).or_insert(path);
            }
        }
    }
    let drop_ins = drop_ins.into_values().filter_map(|file| fs::read_to_string(file).ok());
    std::iter::once(main.unwrap_or_default()).chain(drop_ins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with logind, on which process 7 of user 1000 runs.
    struct Host(tempfile::TempDir);

    impl Host {
        fn new(cgroup: &str) -> Self {
            let host = Self(tempfile::tempdir().unwrap());
            host.put("run/systemd/system/unit", "");
            host.put("run/systemd/seats/seat0", "");
            host.put("proc/7/cgroup", cgroup);
            host.put("etc/passwd", "root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/:/bin/sh\n");
            host
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn lifetime(&self) -> Lifetime {
            of_process_in(self.0.path(), 7, 1000)
        }
    }

    const SESSION: &str = "0::/user.slice/user-1000.slice/session-3.scope\n";
    const MANAGER: &str = "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n";

    #[test]
    fn a_host_without_logind_ends_nothing() {
        let host = Host::new(SESSION);
        host.put("etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n");
        assert_eq!(host.lifetime(), Lifetime::EndsWithSession);
        fs::remove_dir_all(host.0.path().join("run/systemd/system")).unwrap();
        assert_eq!(host.lifetime(), Lifetime::NoLogind);
    }

    #[test]
    fn drop_ins_count_by_their_name_and_folder() {
        let host = Host::new(SESSION);
        assert_eq!(host.lifetime(), Lifetime::RuleUnknown);
        host.put("usr/lib/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n");
        assert_eq!(host.lifetime(), Lifetime::EndsWithSession);
        host.put("etc/systemd/logind.conf", "[Login]\nKillUserProcesses=no\n");
        assert_eq!(host.lifetime(), Lifetime::LeftAlone);
        host.put("usr/lib/systemd/logind.conf.d/50-a.conf", "[Login]\nKillUserProcesses=yes\n");
        assert_eq!(host.lifetime(), Lifetime::EndsWithSession);
        // The same name nearer by takes its place; a later name comes after it.
        host.put("etc/systemd/logind.conf.d/50-a.conf", "");
        assert_eq!(host.lifetime(), Lifetime::LeftAlone);
        host.put("run/systemd/logind.conf.d/60-b.conf", "[Login]\nKillUserProcesses=yes\n");
        host.put("etc/systemd/logind.conf.d/note.txt", "[Login]\nKillUserProcesses=no\n");
        assert_eq!(host.lifetime(), Lifetime::EndsWithSession);
        host.put("etc/systemd/logind.conf.d/70-c.conf", "[Login]\nKillExcludeUsers=ana\n");
        assert_eq!(host.lifetime(), Lifetime::LeftAlone);
    }

    #[test]
    fn lingering_is_a_file_of_the_users_name() {
        let host = Host::new(MANAGER);
        assert_eq!(host.lifetime(), Lifetime::EndsWithManager);
        host.put("var/lib/systemd/linger/ana", "");
        assert_eq!(host.lifetime(), Lifetime::Lingers);
        // logind's own word for the name counts first, e.g. where users are in no local file.
        host.put("run/systemd/users/1000", "# private\nNAME=ana.bee@acme\nSTATE=active\n");
        assert_eq!(host.lifetime(), Lifetime::EndsWithManager);
        host.put("var/lib/systemd/linger/ana.bee@acme", "");
        assert_eq!(host.lifetime(), Lifetime::Lingers);
        host.put("run/systemd/users/1000", "NAME=../ana\n");
        assert_eq!(host.lifetime(), Lifetime::LingerUnknown);
    }

    #[test]
    fn a_process_or_a_user_that_is_not_found_is_told_as_not_known() {
        let host = Host::new(MANAGER);
        assert_eq!(of_process_in(host.0.path(), 8, 1000), Lifetime::PlaceUnknown);
        assert_eq!(of_process_in(host.0.path(), 7, 1001), Lifetime::LingerUnknown);
        let service = Host::new("0::/system.slice/orgkey-agent.service\n");
        assert_eq!(service.lifetime(), Lifetime::Apart);
    }
}
