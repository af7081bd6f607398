//! Whether a process outlives its user's last session: logind ends some of them then, by where they
//! run, by who the user is, and by logind.conf(5).

use serde::{Deserialize, Serialize};

/// What is known of a process and of the host that it runs on, as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoginFacts {
    /// Whether systemd runs the host and logind its sessions.
    pub(crate) has_logind: bool,
    /// `/proc/PID/cgroup`; `None` where it can't be read.
    pub(crate) cgroup: Option<String>,
    /// The name of the user; `None` where nobody knows it.
    pub(crate) user: Option<String>,
    /// Whether the user lingers; `None` where that can't be looked up.
    pub(crate) lingers: Option<bool>,
    /// logind.conf first, empty where there is none, then its drop-ins in the order in which logind
    /// reads them.
    pub(crate) logind_conf: Vec<String>,
    /// `os-release`; it tells who built logind where logind.conf does not tell its defaults.
    pub(crate) os_release: String,
}

/// Whether a process outlives the last session, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lifetime {
    /// Nobody on this host ends processes with sessions.
    NoLogind,
    /// It is no session's: a service of the system, or a container's.
    Apart,
    /// It is a session's, and logind leaves those of this user alone.
    LeftAlone,
    /// It is the user manager's, and the user lingers.
    Lingers,
    /// It is a session's, and logind ends those.
    EndsWithSession,
    /// It is the user manager's, which ends with the last session.
    EndsWithManager,
    /// It can't be told where the process runs.
    PlaceUnknown,
    /// It is a session's, and no file says what logind does with those.
    RuleUnknown,
    /// It is the user manager's, and it can't be told whether the user lingers.
    LingerUnknown,
}

impl Lifetime {
    /// Reads the verdict out of the facts.
    pub(crate) fn of(facts: &LoginFacts) -> Self {
        if !facts.has_logind {
            return Self::NoLogind;
        }
        let Some(path) = facts.cgroup.as_deref().and_then(unit_path) else {
            return Self::PlaceUnknown;
        };
        let mut units = path.split('/').filter(|unit| !unit.is_empty());
        match units.find_map(Place::of) {
            None => Self::Apart,
            Some(Place::Manager) => match facts.lingers {
                Some(true) => Self::Lingers,
                Some(false) => Self::EndsWithManager,
                None => Self::LingerUnknown,
            },
            Some(Place::Session) => match ends_sessions_of(facts) {
                Some(true) => Self::EndsWithSession,
                Some(false) => Self::LeftAlone,
                None => Self::RuleUnknown,
            },
        }
    }

    /// Whether it does; `None` where that is not known.
    pub(crate) fn outlives_sessions(self) -> Option<bool> {
        match self {
            Self::NoLogind | Self::Apart | Self::LeftAlone | Self::Lingers => Some(true),
            Self::EndsWithSession | Self::EndsWithManager => Some(false),
            Self::PlaceUnknown | Self::RuleUnknown | Self::LingerUnknown => None,
        }
    }

    /// What becomes of the process after the last session, and why.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NoLogind => "goes on after your last session: no logind ends processes here",
            Self::Apart => "goes on after your last session: it belongs to none",
            Self::LeftAlone => {
                "goes on after your last session: logind leaves your processes alone here"
            }
            Self::Lingers => "goes on after your last session: you linger",
            Self::EndsWithSession => "ends with your last session: logind ends its processes here",
            Self::EndsWithManager => "ends with your last session: you do not linger",
            Self::PlaceUnknown => {
                "may end with your last session: /proc does not tell where it runs"
            }
            Self::RuleUnknown => {
                "may end with your last session: no logind.conf says what KillUserProcesses is"
            }
            Self::LingerUnknown => {
                "may end with your last session: it can't be told whether you linger"
            }
        }
    }

    /// What makes it go on; empty where it does.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::NoLogind | Self::Apart | Self::LeftAlone | Self::Lingers => "",
            Self::EndsWithManager => "run: loginctl enable-linger",
            Self::EndsWithSession => {
                "run the agent by assets/systemd/orgkey-agent.service, and: loginctl enable-linger"
            }
            Self::RuleUnknown => {
                "see KillUserProcesses in: loginctl show-session; where it is yes, run the agent by assets/systemd/orgkey-agent.service, and: loginctl enable-linger"
            }
            Self::PlaceUnknown | Self::LingerUnknown => {
                "see Linger in: loginctl show-user; where it is no, run: loginctl enable-linger"
            }
        }
    }
}

/// Whose a process is, by the units that it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Session,
    Manager,
}

impl Place {
    fn of(unit: &str) -> Option<Self> {
        let (name, kind) = unit.rsplit_once('.')?;
        match kind {
            "scope" if name.starts_with("session-") => Some(Self::Session),
            "service" if name.starts_with("user@") => Some(Self::Manager),
            _ => None,
        }
    }
}

/// Where systemd has put a process: in a hierarchy of its own beside others (cgroup v1), or in the
/// one that there is (cgroups(7)).
fn unit_path(cgroup: &str) -> Option<&str> {
    let path = |controller: &str| {
        cgroup.lines().find_map(|line| {
            let (named, path) = line.split_once(':')?.1.split_once(':')?;
            (named == controller).then_some(path)
        })
    };
    path("name=systemd").or_else(|| path(""))
}

/// Whether logind ends what is left of a session of this user, as logind.conf(5) has it.
fn ends_sessions_of(facts: &LoginFacts) -> Option<bool> {
    let conf = LogindConf::read(&facts.logind_conf);
    let named = |users: &[String]| {
        let user = facts.user.as_deref()?;
        Some(users.iter().any(|one| one == user))
    };
    let root = ["root".to_owned()];
    let excluded = if conf.exclude_users.is_empty() { &root[..] } else { &conf.exclude_users[..] };
    let by_rule = || conf.kill_user_processes.or_else(|| built_default(facts));
    match (named(excluded), conf.only_users.is_empty()) {
        (Some(true), _) => Some(false),
        (Some(false), false) => named(&conf.only_users),
        (Some(false), true) => by_rule(),
        // Nobody is excluded where nothing is ended anyway.
        (None, true) => by_rule().filter(|ends| !ends),
        (None, false) => None,
    }
}

/// What logind does where no file says it: the comment that its build left in logind.conf, else
/// what is known of the builder. systemd itself ends sessions, Debian leaves them alone.
fn built_default(facts: &LoginFacts) -> Option<bool> {
    let commented =
        facts.logind_conf.iter().take(1).flat_map(|text| text.lines()).find_map(|line| {
            let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
            (key.trim() == "KillUserProcesses").then(|| truth(value.trim()))?
        });
    let is_debian = facts.os_release.lines().any(|line| {
        let Some((key, value)) = line.split_once('=') else { return false };
        let value = value.trim().trim_matches(['"', '\'']);
        matches!(key, "ID" | "ID_LIKE") && value.split_whitespace().any(|id| id == "debian")
    });
    commented.or(is_debian.then_some(false))
}

/// The lines of logind.conf that matter here.
#[derive(Debug, Default)]
struct LogindConf {
    kill_user_processes: Option<bool>,
    only_users: Vec<String>,
    exclude_users: Vec<String>,
}

impl LogindConf {
    fn read(texts: &[String]) -> Self {
        let mut conf = Self::default();
        for text in texts {
            let mut section = "";
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                    section = name;
                } else if section == "Login" && !line.starts_with(['#', ';']) {
                    conf.take(line);
                }
            }
        }
        conf
    }

    fn take(&mut self, line: &str) {
        let Some((key, value)) = line.split_once('=') else { return };
        let value = value.trim();
        match key.trim() {
            // What is no truth value is passed over, as systemd does.
            "KillUserProcesses" => {
                self.kill_user_processes = truth(value).or(self.kill_user_processes);
            }
            "KillOnlyUsers" => add(&mut self.only_users, value),
            "KillExcludeUsers" => add(&mut self.exclude_users, value),
            _ => {}
        }
    }
}

/// Lists add up; an empty value begins anew.
fn add(users: &mut Vec<String>, value: &str) {
    if value.is_empty() {
        users.clear();
    }
    users.extend(value.split_whitespace().map(|user| user.trim_matches('"').to_owned()));
}

/// A truth value of systemd.
fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "0::/user.slice/user-1000.slice/session-3.scope\n";
    const MANAGER: &str =
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/orgkey-agent.service\n";
    const DEBIAN: &str = "ID=debian\n";

    fn facts(cgroup: &str, conf: &[&str]) -> LoginFacts {
        LoginFacts {
            has_logind: true,
            cgroup: Some(cgroup.into()),
            user: Some("ana".into()),
            lingers: Some(false),
            logind_conf: conf.iter().map(|text| (*text).to_owned()).collect(),
            os_release: String::new(),
        }
    }

    #[test]
    fn the_place_of_the_process_decides_first() {
        use Lifetime::{Apart, EndsWithManager, EndsWithSession, PlaceUnknown};
        let yes = ["[Login]\nKillUserProcesses=yes\n"];
        let old = "9:name=systemd:/user.slice/user-1000.slice/session-3.scope\n0::/\n";
        for (cgroup, expected) in [
            (SESSION, EndsWithSession),
            (old, EndsWithSession),
            ("0::/user.slice/user-1000.slice/session-c2.scope/inner\n", EndsWithSession),
            (MANAGER, EndsWithManager),
            ("0::/system.slice/orgkey-agent.service\n", Apart),
            ("0::/\n", Apart),
            ("9:name=systemd:/docker/0123\n8:pids:/session-3.scope\n0::/\n", Apart),
            ("0::/user.slice/my-session-3.scope.d\n", Apart),
            ("", PlaceUnknown),
            ("nonsense", PlaceUnknown),
        ] {
            assert_eq!(Lifetime::of(&facts(cgroup, &yes)), expected, "{cgroup}");
        }
        let mut without = facts(SESSION, &yes);
        without.cgroup = None;
        assert_eq!(Lifetime::of(&without), PlaceUnknown);
        without.has_logind = false;
        assert_eq!(Lifetime::of(&without), Lifetime::NoLogind);
    }

    #[test]
    fn the_user_manager_ends_unless_the_user_lingers() {
        for (lingers, expected) in [
            (Some(true), Lifetime::Lingers),
            (Some(false), Lifetime::EndsWithManager),
            (None, Lifetime::LingerUnknown),
        ] {
            let conf = ["[Login]\nKillUserProcesses=no\n"];
            let facts = LoginFacts { lingers, ..facts(MANAGER, &conf) };
            assert_eq!(Lifetime::of(&facts), expected);
        }
        // Lingering keeps the manager, and not what is left of a session.
        let facts = LoginFacts {
            lingers: Some(true),
            ..facts(SESSION, &["[Login]\nKillUserProcesses=yes\n"])
        };
        assert_eq!(Lifetime::of(&facts), Lifetime::EndsWithSession);
    }

    #[test]
    fn logind_conf_decides_over_sessions() {
        use Lifetime::{EndsWithSession, LeftAlone, RuleUnknown};
        let table: [(&[&str], Lifetime); 18] = [
            (&["[Login]\nKillUserProcesses=yes"], EndsWithSession),
            (&["[Login]\nKillUserProcesses = On "], EndsWithSession),
            (&["[Login]\nKillUserProcesses=0"], LeftAlone),
            (&["[Login]\nKillUserProcesses=no", "[Login]\nKillUserProcesses=1"], EndsWithSession),
            (&["[Login]\nKillUserProcesses=yes", "[Login]\nKillUserProcesses=no"], LeftAlone),
            (&["[Login]\nKillUserProcesses=yes\nKillUserProcesses=perhaps"], EndsWithSession),
            (&["[Other]\nKillUserProcesses=yes"], RuleUnknown),
            (&["KillUserProcesses=yes"], RuleUnknown),
            (&["[Login]\n; KillUserProcesses=yes"], RuleUnknown),
            (&[], RuleUnknown),
            (&["[Login]\n#KillUserProcesses=no"], LeftAlone),
            (&["[Login]\n#KillUserProcesses=yes"], EndsWithSession),
            (&["[Login]\n#KillUserProcesses=no\nKillUserProcesses=yes"], EndsWithSession),
            (&["", "[Login]\n#KillUserProcesses=no"], RuleUnknown),
            (&["[Login]\nKillUserProcesses=yes\nKillExcludeUsers=bob ana"], LeftAlone),
            (&["[Login]\nKillUserProcesses=yes\nKillOnlyUsers=bob"], LeftAlone),
            (&["[Login]\nKillUserProcesses=no\nKillOnlyUsers=bob ana"], EndsWithSession),
            (
                &[
                    "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=ana",
                    "[Login]\nKillExcludeUsers=",
                ],
                EndsWithSession,
            ),
        ];
        for (conf, expected) in table {
            assert_eq!(Lifetime::of(&facts(SESSION, conf)), expected, "{conf:?}");
        }
    }

    #[test]
    fn root_is_left_alone_unless_others_are_excluded() {
        let root = |conf: &str| LoginFacts { user: Some("root".into()), ..facts(SESSION, &[conf]) };
        let yes = "[Login]\nKillUserProcesses=yes\n";
        assert_eq!(Lifetime::of(&root(yes)), Lifetime::LeftAlone);
        let others = format!("{yes}KillExcludeUsers=ana\n");
        assert_eq!(Lifetime::of(&root(&others)), Lifetime::EndsWithSession);
    }

    #[test]
    fn what_is_not_known_is_told_as_not_known() {
        for (os_release, expected) in [
            (DEBIAN, Lifetime::LeftAlone),
            ("ID=ubuntu\nID_LIKE=\"debian\"\n", Lifetime::LeftAlone),
            ("ID=arch\n", Lifetime::RuleUnknown),
            ("NAME=debian\n", Lifetime::RuleUnknown),
        ] {
            let facts = LoginFacts { os_release: os_release.into(), ..facts(SESSION, &[]) };
            assert_eq!(Lifetime::of(&facts), expected, "{os_release}");
        }
        for (conf, expected) in [
            ("[Login]\nKillUserProcesses=yes", Lifetime::RuleUnknown),
            ("[Login]\nKillUserProcesses=no", Lifetime::LeftAlone),
            ("[Login]\nKillUserProcesses=no\nKillOnlyUsers=ana", Lifetime::RuleUnknown),
        ] {
            let nameless = LoginFacts { user: None, ..facts(SESSION, &[conf]) };
            assert_eq!(Lifetime::of(&nameless), expected, "{conf}");
        }
    }

    #[test]
    fn whoever_may_end_is_told_what_mends_it() {
        use Lifetime::{
            Apart, EndsWithManager, EndsWithSession, LeftAlone, LingerUnknown, Lingers, NoLogind,
            PlaceUnknown, RuleUnknown,
        };
        for lifetime in [
            NoLogind,
            Apart,
            LeftAlone,
            Lingers,
            EndsWithSession,
            EndsWithManager,
            PlaceUnknown,
            RuleUnknown,
            LingerUnknown,
        ] {
            let goes_on = lifetime.outlives_sessions() == Some(true);
            assert_eq!(lifetime.remedy().is_empty(), goes_on, "{lifetime:?}");
            assert_eq!(lifetime.words().starts_with("goes on"), goes_on, "{lifetime:?}");
        }
    }
}
