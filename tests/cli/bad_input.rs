//! What people type, paste and point at by mistake: each is refused with what is wrong and what
//! to do, and nothing of what was there before is lost.

use std::fs;

use crate::common::{Home, MARKER, PUBLIC_APP, Run, Simulator, config, set_mode};

/// Secrets in the wrong place: none may be seen again anywhere.
const SECRETS: [&str; 4] = [
    "00D5g000004XyZT!AQ8AQFAKEFAKEFAKEFAKE.abc",
    "5Aep861FAKEFAKEFAKEFAKEFAKEFAKE.abc",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.FAKEFAKEFAKEFAKE",
    "force://PlatformCLI::5Aep861FAKEFAKEFAKEFAKEx@acme.my.salesforce.com",
];

/// A refusal: an exit code, one line of what and why, one of what to do, and no secret; with
/// `--json` the same in fields.
#[track_caller]
fn refused(home: &Home, arguments: &[&str], stdin: &str, status: i32, said: &str) -> Run {
    let text = home.orgkey_with(arguments, stdin).expect(status);
    let lines: Vec<&str> = text.stderr.lines().collect();
    let [what, remedy] = lines.as_slice() else { panic!("two lines were expected: {text}") };
    assert!(what.starts_with("orgkey: ") && what.contains(said), "{said}: {text}");
    assert!(remedy.starts_with("        ") && remedy.trim().len() > 10, "{text}");
    assert!(!text.stderr.contains("panicked") && text.stdout.is_empty(), "{text}");
    let json = home.orgkey_with(&[arguments, &["--json"]].concat(), stdin).expect(status);
    let error = json.error();
    let fields: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["code", "message", "remedy"], "{json}");
    assert!(json.stdout.is_empty() && json.stderr.lines().count() == 1, "{json}");
    assert_eq!(format!("orgkey: {}", error["message"].as_str().unwrap()), *what);
    assert_eq!(error["remedy"].as_str().unwrap(), remedy.trim());
    text
}

/// A home with one saved credential, and what it holds.
fn home_with_acme() -> (Home, serde_json::Value) {
    let home = Home::new();
    let ids = ["--org-id", "00D5g000004XyZT", "--user-id", "0055g00000AnaTo"];
    home.orgkey(&[&["save", "acme"], ids.as_slice()].concat()).ok();
    let before = home.orgkey(&["list", "--json"]).ok().json();
    (home, before)
}

#[test]
fn a_wrong_field_is_named_with_what_is_wrong_with_it_and_nothing_is_saved() {
    let (home, before) = home_with_acme();
    let long = "x".repeat(300);
    let good = ["fresh", "00D5g00000Abc1X", "0055g00000FgHiJ"];
    let table: &[(usize, &str, &str)] = &[
        (0, "a/b", "character 2 of the name is '/'"),
        (0, "../acme", "of the name is '/'"),
        (0, "a\u{1b}[31mb", "character 2 of the name is"),
        (0, "a b", "character 2 of the name is a blank"),
        (0, "\u{fc}n\u{ef}", "character 1 of the name is"),
        (0, ".hidden", "starts with '.'"),
        (0, "", "the name is empty"),
        (0, &long, "the name has 300 characters; 64 are the most"),
        (0, "ACME", "acme/production is saved already"),
        (1, "00d5g00000abc1x", "lost its upper case"),
        (1, "00D5g00000Abc1XEAA", "the suffix of the Org ID should be EAR, not EAA"),
        (1, "00D5gO0000Abc1XEAR", "in characters 6 to 10"),
        (1, "0055g00000FgHiJ", "it is a User ID"),
        (1, "00D5g00000Abc1", "has 14 characters"),
        (1, "00D5g00000\u{410}bc1X", "only looks like A"),
        (1, "00D5g\u{2013}00000Abc1X", "character 6 of the Org ID"),
        (1, "", "the Org ID is empty"),
        (1, "  \n ", "the Org ID is empty"),
        (1, &long, "the Org ID has 300 characters"),
        (2, "00D5g00000Abc1X", "it is an Org ID"),
        (2, "0035g00000FgHiJ", "it is a Contact's ID"),
        (2, "0055g00000FgHiJAAA", "the suffix of the User ID should be AAV, not AAA"),
    ];
    for (field, value, said) in table {
        let mut fields = good;
        fields[*field] = *value;
        let [name, org_id, user_id] = fields;
        let arguments = ["save", name, "--org-id", org_id, "--user-id", user_id];
        refused(&home, &arguments, "", 8, said);
    }
    let flags: &[(&str, &str, &str)] = &[
        ("--username", "not an email", "no Salesforce username"),
        ("--login-url", "http://acme.my.salesforce.com", "is not https"),
        ("--login-url", "https://evil.example", "not a host of Salesforce"),
        ("--login-url", "https://acme.my.salesforce.com.evil.example", "not a host of Salesforce"),
        ("--login-url", "https://evilsalesforce.com", "not a host of Salesforce"),
        ("--login-url", "https://ana:hunter2@acme.my.salesforce.com", "user name or password"),
        ("--login-url", "https://acme.my.salesforce.com/?x=1", "goes on after the host"),
        ("--login-url", "ftp://acme.my.salesforce.com", "https"),
        ("--login-url", "not a url", "is not an address"),
        ("--login-url", "https://test.salesforce.com", "is a sandbox's host"),
        ("--tag", "a;b", "is no tag"),
        ("--app", "nobody", "the app nobody is not known here"),
    ];
    for (flag, value, said) in flags {
        let [name, org_id, user_id] = good;
        let arguments = ["save", name, "--org-id", org_id, "--user-id", user_id, flag, value];
        let text = refused(&home, &arguments, "", 8, said);
        assert!(!text.stderr.contains("hunter2"), "{text}");
    }
    assert_eq!(home.orgkey(&["list", "--json"]).ok().json(), before);
}

#[test]
fn blanks_quotes_and_line_breaks_around_an_id_are_dropped() {
    let table = [
        "'00D5g00000Abc1X'",
        " 00D5g00000Abc1X\n",
        "\"00D5g\n00000 Abc1XEAR\"",
        "00d5g00000abc1xear",
    ];
    for (typed, name) in table.iter().zip(["a", "b", "c", "d"]) {
        let home = Home::new();
        home.orgkey(&["save", name, "--org-id", typed, "--user-id", "0055g00000FgHiJ"]).ok();
        assert_eq!(home.shown(name)["org_id"], "00D5g00000Abc1XEAR", "{typed:?}");
    }
}

#[test]
fn a_token_in_the_wrong_place_is_refused_and_never_seen_again() {
    let (home, before) = home_with_acme();
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let state = url.split("state=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
    let ids = ["--org-id", "00D5g00000Abc1X", "--user-id", "0055g00000FgHiJ"];
    for secret in SECRETS {
        let save = |flags: &[&str]| home.orgkey(&[&["save", "fresh"], flags].concat());
        let redirect = format!("http://localhost:1717/OauthRedirect?code={secret}&state={state}");
        let url = format!("https://acme.my.salesforce.com/?sid={secret}");
        let runs = [
            save(&["--org-id", secret, "--user-id", ids[3]]),
            save(&["--org-id", ids[1], "--user-id", secret]),
            save(&[&ids[..], &["--username", secret]].concat()),
            save(&[&ids[..], &["--login-url", secret]].concat()),
            save(&[&ids[..], &["--login-url", &url]].concat()),
            save(&[&ids[..], &["--app", secret]].concat()),
            save(&[&ids[..], &["--tag", secret]].concat()),
            home.orgkey(&[&["save", secret], &ids[..]].concat()),
            home.orgkey(&["reset", "acme", "--name", secret]),
            home.orgkey(&["reset", "acme", "--user-id", secret]),
            home.orgkey(&["app", "add", secret, "--client-id", PUBLIC_APP]),
            home.orgkey(&["app", "add", "fresh", "--client-id", secret]),
            home.orgkey(&["app", "add", "fresh", "--client-id", PUBLIC_APP, "--scopes", secret]),
            home.orgkey(&[
                "app",
                "add",
                "fresh",
                "--client-id",
                PUBLIC_APP,
                "--redirect-uri",
                secret,
            ]),
            home.orgkey(&["app", "show", secret]),
            home.orgkey(&["show", secret]),
            home.orgkey(&["setup", "acme", "--finish", secret]),
            home.orgkey(&["token", "acme", "--not", secret]),
            home.orgkey(&["delete", "acme", "--confirm", secret]),
            home.orgkey(&["frobnicate", secret]),
            home.orgkey_with(&["setup", "acme", "--finish", "-"], secret),
            home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect),
            home.orgkey_with(&["save", "--from", "-"], secret),
            home.orgkey_with(&["save", "--from", "-"], &format!("name,{secret}\nx,y\n")),
            home.orgkey_with(&["save", "--from", "-"], &format!("{{\"{secret}\": 1}}\n")),
        ];
        for run in runs {
            assert_ne!(run.status, 0, "{run}");
            let echoed = run.to_string().contains("FAKEFAKE");
            assert!(!echoed, "the secret came back: {run}");
        }
    }
    home.orgkey(&["setup", "acme", "--cancel"]).ok();
    assert_eq!(home.orgkey(&["list", "--json"]).ok().json(), before);
    let files = [home.path(), home.path().join("locks")];
    for file in files.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap_or_default();
        let kept = bytes.windows(8).any(|window| window == b"FAKEFAKE");
        assert!(!kept, "a secret is kept in {}", path.display());
    }
}

#[test]
fn what_others_can_read_or_change_is_refused_and_works_again_once_closed() {
    let (home, before) = home_with_acme();
    home.orgkey(&["setup", "acme", "--start"]).ok();
    let table = [
        (home.path(), 0o755, 0o700, vec!["list"]),
        (home.path(), 0o750, 0o700, vec!["key", "status"]),
        (home.path().join("orgkey.db"), 0o644, 0o600, vec!["list"]),
        (home.path().join("orgkey.db"), 0o640, 0o600, vec!["token", "acme"]),
        (home.path().join("config.toml"), 0o622, 0o600, vec!["list"]),
        (home.path().join("identity.key"), 0o644, 0o600, vec!["setup", "acme", "--start"]),
        (home.path().join("store.age"), 0o644, 0o600, vec!["setup", "acme", "--start"]),
    ];
    for (path, open, closed, arguments) in table {
        set_mode(&path, open);
        let run = refused(&home, &arguments, "", 9, "has mode");
        assert!(run.stderr.contains("chmod"), "{run}");
        set_mode(&path, closed);
        home.orgkey(&["setup", "acme", "--start"]).ok();
    }
    home.orgkey(&["setup", "acme", "--cancel"]).ok();
    assert_eq!(home.orgkey(&["list", "--json"]).ok().json(), before);
}

#[test]
fn a_secret_file_that_is_missing_or_open_is_invalid_input() {
    let (mut home, before) = home_with_acme();
    let path = |name: &str| home.outside().join(name).display().to_string();
    let (missing, open, empty, huge) = (path("none"), path("open"), path("empty"), path("huge"));
    for (file, text) in [(&open, "SIMCANARY123"), (&empty, "\n"), (&huge, &"x".repeat(100_000))] {
        fs::write(file, text).unwrap();
        set_mode(file.as_ref(), 0o600);
    }
    set_mode(open.as_ref(), 0o644);
    let table = [
        (&missing, "can't open"),
        (&open, "others can read the secret"),
        (&empty, "empty"),
        (&huge, "bytes"),
    ];
    for (file, said) in table {
        let add = ["app", "add", "x", "--client-id", PUBLIC_APP, "--secret-from", file];
        let run = refused(&home, &add, "", 8, said);
        assert!(!run.stderr.contains("SIMCANARY123"), "{run}");
    }
    // The same from config.toml, and for the passphrase.
    home.write("config.toml", &format!("{}client_secret_file = \"{open}\"\n", config(PUBLIC_APP)));
    let run = home.orgkey(&["app", "test"]).expect(8);
    assert!(run.stdout.contains("others can read the secret"), "{run}");
    home.write("config.toml", &config(PUBLIC_APP));
    assert_eq!(home.orgkey(&["list", "--json"]).ok().json(), before);
    for file in ["identity.key", "store.age"] {
        fs::remove_file(home.path().join(file)).unwrap();
    }
    for (file, said) in table {
        home.set("ORGKEY_PASSPHRASE_FILE", file);
        refused(&home, &["setup", "acme", "--start"], "", 8, said);
        refused(&home, &["key", "init"], "", 8, said);
    }
}

#[test]
fn a_lost_key_file_is_named_and_nothing_is_made_anew_over_what_was_sealed() {
    let simulator = Simulator::start();
    let lost = [
        (vec!["identity.key"], "identity.age or identity.key is missing"),
        (vec!["store.age"], "store.age is missing"),
        (vec!["identity.key", "store.age"], "store.age is missing"),
    ];
    for (files, said) in lost {
        let home = Home::new();
        home.ready_credential(&simulator, "acme", "ana@acme.example");
        let before = home.shown("acme");
        let token = home.orgkey(&["token", "acme"]).ok().stdout;
        let kept: Vec<_> = files
            .iter()
            .map(|name| (home.path().join(name), fs::read(home.path().join(name)).unwrap()))
            .collect();
        for (path, _) in &kept {
            fs::remove_file(path).unwrap();
        }
        for arguments in [
            ["token", "acme"].as_slice(),
            &["test", "acme"],
            &["setup", "acme", "--start"],
            &["delete", "acme", "--confirm", "acme"],
            &["key", "status"],
            &["key", "init", "--no-passphrase"],
        ] {
            refused(&home, arguments, "", 9, said);
        }
        // What needs no key works, and all is as before once the files are back.
        assert_eq!(home.shown("acme"), before);
        for (path, bytes) in kept {
            fs::write(&path, bytes).unwrap();
            set_mode(&path, 0o600);
        }
        assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, token);
    }
}

/// Removes the write-ahead log, which would mend the file below it.
fn drop_log(home: &Home) {
    for name in ["orgkey.db-wal", "orgkey.db-shm"] {
        let _ = fs::remove_file(home.path().join(name));
    }
}

#[test]
fn a_newer_or_damaged_store_is_left_as_it_is() {
    let (home, before) = home_with_acme();
    let path = home.path().join("orgkey.db");
    let store = |sql: &str| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
    };
    let version: i64 = {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    };
    store("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA user_version = 99;");
    for arguments in [["list"].as_slice(), &["token", "acme"], &["test", "acme"]] {
        let run = refused(&home, arguments, "", 9, "the store has version 99");
        assert!(run.stderr.contains("newer orgkey"), "{run}");
    }
    store(&format!("PRAGMA user_version = {version};"));
    assert_eq!(home.orgkey(&["list", "--json"]).ok().json(), before);

    let good = fs::read(&path).unwrap();
    let overwritten = |range: std::ops::Range<usize>| {
        let mut bytes = good.clone();
        bytes[range].fill(0xA5);
        bytes
    };
    for bytes in [overwritten(0..100), good[..5000].to_vec(), overwritten(4096..20_000)] {
        drop_log(&home);
        fs::write(&path, &bytes).unwrap();
        refused(&home, &["list"], "", 9, "the store is damaged");
        let save = ["save", "x", "--org-id", "00D5g00000Abc1X", "--user-id", "0055g00000FgHiJ"];
        refused(&home, &save, "", 9, "the store is damaged");
        assert_eq!(fs::read(&path).unwrap(), bytes, "the damaged file is kept as it is");
    }
    drop_log(&home);
    fs::write(&path, good).unwrap();
    assert_eq!(home.orgkey(&["list", "--json"]).ok().json(), before);
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_line_column_and_what_was_expected() {
    let (home, before) = home_with_acme();
    let table = [
        (
            "[network]\nalow_loopback = true\n",
            "line 2, column 1: unknown field `alow_loopback`, expected one of `allow_loopback`",
        ),
        ("[netwrok]\n", "line 1, column 2: unknown field `netwrok`, expected"),
        ("[network\n", "line 1, column 9"),
        ("[network]\nallow_loopback = \"yes\"\n", "line 2, column 18"),
        ("[network]\ndeadline = \"1h\"\n", "line 2, column 12"),
        ("[apps.default]\n", "line 1, column 1"),
        ("[apps.default]\nclient_id = \"x y\"\n", "line 2, column 13: 'x y' is not a client ID"),
        (
            "[apps.default]\nclient_id = \"3MVG9x\"\nclient_secret = \"5Aep861FAKEFAKEFAKEFAKE.x\"\n",
            "line 3, column 1: unknown field `client_secret`",
        ),
        (
            "[apps.a]\nclient_id = \"3MVG9x\"\n[apps.A]\nclient_id = \"3MVG9x\"\n",
            "differ in case alone",
        ),
    ];
    for (text, said) in table {
        home.write("config.toml", text);
        let run = refused(&home, &["list"], "", 8, said);
        assert!(run.stderr.contains("config.toml") && !run.stderr.contains("FAKE"), "{run}");
    }
    home.write("config.toml", &config(PUBLIC_APP));
    assert_eq!(home.orgkey(&["list", "--json"]).ok().json(), before);
}

#[test]
fn what_was_pasted_wrong_spends_nothing() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.save(&simulator, "acme", "ana@acme.example", &[]).ok();
    home.save(&simulator, "ben", "ben@acme.example", &[]).ok();
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = simulator.sign_in(&url, "ana@acme.example");
    let other_url = home.orgkey(&["setup", "ben", "--start"]).ok().stdout;
    let other = simulator.sign_in(&other_url, "ben@acme.example");
    let half = &redirect[..redirect.len() / 2];
    let without_state = redirect.split("&state").next().unwrap();
    let cut_state = &redirect[..redirect.len() - 5];
    let two = format!("{redirect} {other}");
    let denied = format!(
        "http://localhost:1717/OauthRedirect?error=access_denied&state={}",
        redirect.split("state=").nth(1).unwrap()
    );
    let table: &[(&str, i32, &str)] = &[
        ("", 8, "nothing was pasted"),
        (half, 8, "cut"),
        (without_state, 8, "has no state"),
        (cut_state, 8, "cut"),
        (&other, 8, "another attempt"),
        (&two, 8, "two addresses"),
        (url.trim(), 8, "starts the sign-in"),
        (&denied, 3, "access was denied"),
        (
            "error=invalid_scope&error_description=the+requested+scope+is+not+allowed",
            8,
            "does not allow a requested scope",
        ),
        ("https://acme.my.salesforce.com/lightning/page/home", 8, "has no code in it"),
        ("hunter2-hunter2", 8, "neither the address"),
        ("ana@acme.example", 8, "a username"),
        (PUBLIC_APP, 8, "a Consumer Key"),
        ("00D5g000004XyZTEA0", 8, "a Salesforce ID"),
    ];
    for (pasted, status, said) in table {
        let run = refused(&home, &["setup", "acme", "--finish", "-"], pasted, *status, said);
        let echoed = pasted.contains("hunter2") && run.stderr.contains("hunter2");
        assert!(!echoed && !run.stderr.contains(MARKER), "{run}");
        assert_eq!(home.shown("acme")["state"], "authorizing", "{pasted}");
    }
    let too_long = home.orgkey_with(&["setup", "acme", "--finish", "-"], &"x".repeat(20_000));
    assert!([2, 8].contains(&too_long.status), "{too_long}");
    assert_eq!(simulator.count("codes_exchanged") + simulator.count("codes_refused"), 0);
    // Line breaks of a terminal, quotes of a mail: that is the right address still.
    let wrapped: Vec<&str> =
        redirect.as_bytes().chunks(40).map(|part| std::str::from_utf8(part).unwrap()).collect();
    let wrapped = format!("> \"{}\"\r\n", wrapped.join("\r\n"));
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &wrapped).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!(simulator.count("codes_exchanged"), 1);
}
