//! What is typed as an argument, stands in a file that is read, or in the environment.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::strings::{chunks, text_chunks};
use super::{SHOWN, Stage};
use crate::common::{Home, set_mode};

#[test]
fn what_is_typed_on_the_command_line_or_stands_in_a_file_is_shown_as_harmless_text() {
    let mut stage = Stage::new();
    let ids = ["--org-id", "00D5g000004XyZT", "--user-id", "0055g00000AnaTo"];
    for chunk in chunks(SHOWN) {
        stage.typed(&["hold", "acme", "--reason"], &chunk, &[]);
        stage.orgkey(&["show", "acme"]);
        stage.typed(&["release", "acme", "--reason"], &chunk, &[]);
        stage.typed(&["show"], &chunk, &[]);
        stage.typed(&["save", "new", "--tag"], &chunk, &ids);
        stage.typed(&["save", "new", "--login-url"], &chunk, &ids);
        stage.typed(&["save", "new", "--app"], &chunk, &ids);
        stage.typed(&["audit", "--event"], &chunk, &[]);
    }
    for chunk in chunks(900) {
        for before in [
            &["save"][..],
            &["save", "new", "--username"],
            &["reset", "acme", "--name"],
            &["reset", "acme", "--org-id"],
            &["reset", "acme", "--user-id"],
            &["token", "acme", "--min-ttl"],
            &["use"],
            &["test"],
            &["test", "--filter"],
            &["report", "--from"],
            &["report", "--from", "1d", "--tag"],
            &["audit", "--name"],
            &["app", "add"],
            &["app", "show"],
            &["app", "edit", "default", "--client-id"],
            &["app", "edit", "default", "--redirect-uri"],
            &["app", "edit", "default", "--scopes"],
            &["app", "edit", "default", "--rotation"],
            &["delete", "acme", "--confirm"],
            &["save", "--from"],
            &["backup"],
            &["restore"],
            &["setup", "acme", "--flow"],
            &["completions"],
            &["simulate", "--listen"],
        ] {
            let after = if before == ["save"] { &ids[..] } else { &[] };
            stage.typed(before, &chunk, after);
        }
        // Who works here, as the environment and the config have it.
        let mut command = stage.home.command(&["hold", "acme", "--reason", "x"]);
        let value: Vec<u8> = chunk.iter().copied().filter(|byte| *byte != 0).collect();
        for name in ["SUDO_USER", "SSH_CLIENT", "SSH_CONNECTION", "ORGKEY_LOG", "HTTPS_PROXY"] {
            command.env(name, OsStr::from_bytes(&value));
        }
        stage.look(command, "");
        stage.orgkey(&["release", "acme"]);
        let home = Home::empty();
        let text = String::from_utf8_lossy(&chunk).replace(['"', '\\'], "'");
        for (line, text) in [("[apps.x]\nclient_id", &text), ("unknown", &text)] {
            home.write("config.toml", &format!("{line} = \"{text}\"\n"));
            stage.look(home.command(&["list"]), "");
        }
    }
    files(&mut stage);
    stage.look_at_all();
    stage.came_through(370);
}

/// Import files, each with all the texts in every field.
fn files(stage: &mut Stage) {
    let names =
        ["name", "environment", "org_id", "user_id", "username", "login_url", "app", "tags"];
    let good = ["new", "production", "00D5g000004XyZT", "0055g00000AnaTo", "", "", "", ""];
    let (mut lines, mut rows) = (Vec::new(), format!("{}\n", names.join(",")));
    for (number, text) in text_chunks(SHOWN).iter().enumerate() {
        for at in 0..names.len() {
            let of = |index: usize| if index == at { text.as_str() } else { good[index] };
            let pairs = names
                .iter()
                .enumerate()
                .map(|(index, name)| ((*name).to_owned(), json!(of(index))));
            let mut line: serde_json::Map<String, Value> = pairs.collect();
            if at != 0 {
                line.insert("name".to_owned(), json!(format!("new{number}-{at}")));
            }
            lines.push(Value::Object(line).to_string());
            let cell = |index: usize| format!("\"{}\"", of(index).replace('"', "\"\""));
            let cells: Vec<String> = (0..names.len()).map(cell).collect();
            rows.push_str(&cells.join(","));
            rows.push('\n');
        }
    }
    for kind in ["save", "app add"] {
        let words: Vec<&str> = kind.split(' ').chain(["--from", "-"]).collect();
        stage.look(stage.home.command(&words), &lines.join("\n"));
        stage.look(stage.home.command(&words), &rows);
        for chunk in chunks(SHOWN) {
            let path = stage.home.outside().join("import");
            std::fs::write(&path, &chunk).expect("the file is written");
            set_mode(&path, 0o600);
            let path = path.to_str().expect("a path").to_owned();
            let words: Vec<&str> = kind.split(' ').chain(["--from", &path]).collect();
            stage.orgkey(&words);
        }
    }
}
