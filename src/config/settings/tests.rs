//! What the file may say, what it may not, and that the example shows all of it.

use super::*;

const EXAMPLE: &str = include_str!("../../../config.example.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/home/admin/.config/orgkey/config.toml"))
}

fn message(text: &str) -> String {
    let error = parse(text).unwrap_err();
    format!("{}:{}: {}", error.line, error.column, error.message)
}

/// The example with its commented lines in force: those that set a key or open a table.
fn example_in_full() -> String {
    let starts_key = |line: &str| {
        let word: String =
            line.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        line.starts_with('[') || (!word.is_empty() && line[word.len()..].starts_with(" = "))
    };
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if starts_key(rest) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The names that serde expects in a table, out of its own error.
fn keys_of(table: &str) -> Vec<String> {
    let error = toml::from_str::<Tables>(&format!("{table}\nzzz = 1\n")).unwrap_err();
    let expected = error.message().split_once("expected ").unwrap().1.to_owned();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn no_file_and_an_empty_one_mean_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.network.deadline, Duration::from_secs(20));
    assert_eq!(config.audit, Audit { on_write_failure: OnWriteFailure::Refuse, syslog: None });
    assert_eq!(config.host_policy(), HostPolicy::default());
    assert!(config.apps().is_empty());
}

#[test]
fn the_example_loads_as_it_is_and_in_full() {
    parse(EXAMPLE).unwrap();
    let full = parse(&example_in_full()).unwrap();
    let names: Vec<String> = full.apps().into_iter().map(|app| app.name).collect();
    assert_eq!(names, ["default", "integration"]);
}

#[test]
fn every_key_stands_in_the_example() {
    let example = example_in_full();
    let mut found = 0;
    for table in ["", "[network]", "[terminal]", "[audit]", "[apps.default]", "[tags.pci]"] {
        let body = example.split(&format!("\n{table}\n")).nth(1).unwrap_or(&example);
        let body = if table.is_empty() { example.as_str() } else { body };
        for key in keys_of(table) {
            let is_table = table.is_empty() && key != "agent";
            let shown = if is_table { format!("\n[{key}") } else { format!("\n{key} = ") };
            assert!(format!("\n{body}").contains(&shown), "{table} {key}");
            found += 1;
        }
    }
    assert_eq!(found, 6 + 3 + 3 + 2 + 11 + 1);
}

#[test]
fn syslog_is_off_on_or_at_a_path() {
    for (value, socket) in
        [("false", None), ("true", Some("/dev/log")), ("\"/run/x\"", Some("/run/x"))]
    {
        let config = parse(&format!("[audit]\nsyslog = {value}\n")).unwrap();
        assert_eq!(config.audit.syslog.as_deref(), socket.map(Path::new), "{value}");
    }
}

#[test]
fn a_tag_says_how_often_its_tokens_are_to_be_rotated() {
    let config = parse("[tags.pci]\nrotate_every = \"30d\"\n[tags.eu]\n").unwrap();
    let tags: Vec<_> = config.tags_rotate_every().collect();
    assert_eq!(tags, [("pci", Duration::from_secs(30 * 86_400))]);
    assert!(parse("[tags.pci]\nrotate_often = \"30d\"\n").is_err());
    assert!(parse("[tags.pci]\nrotate_every = \"30\"\n").is_err());
}

#[test]
fn an_app_is_read_with_its_files_beside_the_configuration() {
    let config = parse(
        r#"
        [apps.Default]
        client_id = "3MVG9invented"
        client_secret_file = "secrets/default"
        redirect_uris = ["http://localhost:1717/OauthRedirect"]
        scopes = ["api", "refresh_token", "id"]
        flows = ["paste", "client-credentials"]
        private_key_file = "/etc/orgkey/key.pem"
        rotation = "yes"
        idle_limit = "30d"
        session_timeout = "2h"
        "#,
    )
    .unwrap();
    let app = config.app("DEFAULT").unwrap();
    assert_eq!((app.name.as_str(), app.origin), ("Default", AppOrigin::Config));
    assert!(app.has_secret);
    assert_eq!(app.flows, [Flow::Paste, Flow::ClientCredentials]);
    assert_eq!(app.private_key_file.as_deref(), Some("/etc/orgkey/key.pem"));
    assert_eq!((app.idle_limit, app.session_timeout), (Some(2_592_000), Some(7_200)));
    assert_eq!((app.rotation, app.rotate_every), (Rotation::Yes, None));
    assert_eq!(
        config.client_secret("default"),
        Some(Path::new("/home/admin/.config/orgkey/secrets/default"))
    );
    assert_eq!(config.client_secret("other"), None);
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_was_expected() {
    let app = |line: &str| format!("[apps.default]\nclient_id = \"3MVG9\"\n{line}\n");
    let table = [
        (
            "[network]\n  allow_lopback = true\n".to_owned(),
            "2:3: unknown field `allow_lopback`, expected one of `allow_loopback`, `trusted_domains`, `deadline`",
        ),
        (
            "[audit]\non_write_failure = \"ignore\"\n".into(),
            "2:20: unknown variant `ignore`, expected `refuse` or `serve`",
        ),
        ("[audit]\nsyslog = \"log\"\n".into(), "2:10: 'log' is not the full path of a socket"),
        (
            "[audit]\nsyslog = 1\n".into(),
            "2:10: invalid type: integer `1`, expected true, false, or the full path of a socket",
        ),
        ("[apps.default]\n".into(), "1:1: missing field `client_id`"),
        (
            "[apps.default]\nclient_id = \"a b\"\n".into(),
            "2:13: 'a b' is not a client ID: it is the Consumer Key of the app, letters, digits, '.', '_' and '-'",
        ),
        (
            app("redirect_uris = [\n  \"http://127.0.0.1/x\"\n]"),
            "3:17: 'http://127.0.0.1/x' can't be a redirect URI: it is https, a custom scheme, or http://localhost:PORT/PATH, exactly as registered",
        ),
        (app("scopes = [\"api id\"]"), "3:10: 'api id' is not a scope"),
        (
            app("idle_limit = \"30 days\""),
            "3:14: '30 days' is not a span of time: write a number and a unit, e.g. 90s, 10m, 2h, 30d",
        ),
        (app("rotate_every = \"0s\""), "3:16: the span is zero"),
        (app("rotation = true"), "3:12: expected a string"),
        (
            app("private_key_file = \"~/key.pem\""),
            "3:20: '~' is not replaced here: write the path in full, or relative to config.toml",
        ),
        (
            app("client_secret_file = \"5Aep861InventedInvented.x\""),
            "3:22: this is a secret, not the name of a file that holds one",
        ),
        ("[network]\ndeadline = \"2m\"\n".into(), "2:12: the deadline is 2 min; 20 s is the most"),
        (
            "[network]\ntrusted_domains = [\"*.site.com\"]\n".into(),
            "2:19: '*.site.com' is not a domain: write it as in my.site.com, without https:// or *",
        ),
        (
            "[network]\ntrusted_domains = [\"com\"]\n".into(),
            "2:19: 'com' is not a domain: write it as in my.site.com, without https:// or *",
        ),
        (app("client_id = \"twice\""), "3:1: duplicate key"),
        (
            "[audit]\non_write_failure = refuse\n".into(),
            "2:20: string values must be quoted, expected literal string",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(message(&text), expected, "{text}");
    }
}

#[test]
fn app_names_differ_in_more_than_case_and_keep_to_the_grammar_of_names() {
    let two = "[apps.prod]\nclient_id = \"a\"\n[apps.Prod]\nclient_id = \"b\"\n";
    assert!(
        message(two).ends_with("the apps Prod and prod differ in case alone"),
        "{}",
        message(two)
    );
    let odd = message("[apps.\"a/b\"]\nclient_id = \"a\"\n");
    assert!(odd.contains("character 2 of the name is '/'"), "{odd}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated_and_its_right_place_is_named() {
    let text = "[apps.default]\nclient_id = \"a\"\nclient_secret = \"5Aep861InventedInvented\"\n";
    let error = parse(text).unwrap_err();
    assert!(!error.to_string().contains("5Aep"), "{error}");
    assert!(error.remedy().contains("client_secret_file"));
    let text = "[apps.default]\nclient_id = \"a\"\nrotation = \"5Aep861InventedInvented\"\n";
    assert!(!parse(text).unwrap_err().to_string().contains("5Aep"));
}

#[test]
fn the_error_names_the_file_once() {
    let error = parse("\u{feff}x = 1").unwrap_err().to_string();
    assert!(
        error.starts_with("/home/admin/.config/orgkey/config.toml, line 1, column "),
        "{error}"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]a-z=\"'\\.\n #é0-9]{0,60}") {
        let _ = parse(&text);
    }
}
