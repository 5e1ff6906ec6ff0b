//! What was probably meant, said where something was mistyped, and settings that would have no effect.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write as _;

use poll_server::config::{Config, Given, Start};

use crate::process::command;

/// The faults or warnings of `poll-server ARGUMENTS` under these variables.
fn said(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let set: HashMap<&str, &str> = variables.iter().copied().collect();
    let given = Given {
        arguments: arguments.iter().map(OsString::from).collect(),
        variable: &|name: &str| set.get(name).map(OsString::from),
        variables: variables.iter().map(|(name, _)| OsString::from(name)).collect(),
        file: &|path| std::fs::read_to_string(path),
    };
    match Config::read(&given) {
        Ok(Start::Serve(config)) => config.warnings,
        Ok(Start::Say(text)) => vec![text],
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn one(arguments: &[&str]) -> String {
    let mut said = said(arguments, &[]);
    assert_eq!(said.len(), 1, "{arguments:?}: {said:?}");
    said.remove(0)
}

#[test]
fn a_mistyped_word_is_told_what_was_meant() {
    for (arguments, fault) in [
        (&["--lisen", "127.0.0.1:1"][..], "there is no flag --lisen, did you mean --listen?"),
        (&["--max-socket=1"], "there is no flag --max-socket, did you mean --max-sockets?"),
        (&["--chekc"], "there is no flag --chekc, did you mean --check?"),
        (&["--bogus"], "there is no flag --bogus"),
        (&["-x"], "there is no flag -x"),
        (&["exprot"], "\"exprot\" is no command, did you mean export?"),
        (
            &["serve"],
            "\"serve\" is no command: there are export, import, check, salvage, doctor, token, completions, man, and without one it serves",
        ),
    ] {
        let line = one(arguments);
        assert!(line.starts_with(fault), "{arguments:?}: {line}");
        assert_eq!(line.contains("did you mean"), fault.contains("did you mean"), "{line}");
    }
    for (flag, value, meant) in [
        ("--store", "memory", Some("memory:")),
        ("--store", "dsk:poll-data", Some("disk:PATH")),
        ("--store", "/var/lib/poll", Some("disk:PATH")),
        ("--store", "postgres://h", None),
        ("--durability", "comit", Some("commit")),
        ("--durability", "interval", Some("interval=MS")),
        ("--durability", "interval=0", None),
        ("--log", "jsn", Some("json")),
        ("--log", "xml", None),
        #[cfg(feature = "redis")]
        ("--store", "reddis://h", Some("redis://HOST")),
        #[cfg(feature = "redis")]
        ("--store", "redis+sentinal://h/m", Some("redis+sentinel://HOST,HOST/MASTER")),
        #[cfg(feature = "redis")]
        ("--redis-durability", "replica=1", Some("replicas=N")),
    ] {
        let line = one(&[flag, value]);
        let hint = meant.map(|meant| format!(", did you mean {meant}?"));
        assert!(hint.as_ref().is_none_or(|hint| line.ends_with(hint)), "{flag} {value}: {line}");
        assert_eq!(line.contains("did you mean"), hint.is_some(), "{flag} {value}: {line}");
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"max-pol-seconds = 3\n").unwrap();
    let line = one(&["--config", file.path().to_str().unwrap()]);
    assert!(line.ends_with("unknown key max-pol-seconds, did you mean max-poll-seconds?"), "{line}");
}

#[test]
fn a_variable_that_no_setting_reads_is_a_warning() {
    let warnings = said(
        &[],
        &[
            ("POLL_LISEN", "127.0.0.1:1"),
            ("POLL_COLOUR", "blue"),
            ("POLL_WORKERS", "2"),
            ("POLLING", "1"),
            // The `poll` command's, and what Kubernetes sets beside a service of that name.
            ("POLL_SERVER", "127.0.0.1"),
            ("POLL_TOKEN", "t"),
            ("POLL_CA_FILE", "ca.pem"),
            ("POLL_PORT", "tcp://10.0.0.1:8080"),
            ("POLL_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("POLL_SERVICE_HOST", "10.0.0.1"),
        ],
    );
    assert_eq!(
        warnings,
        [
            "the environment variable POLL_LISEN is no setting, did you mean POLL_LISTEN?",
            "the environment variable POLL_COLOUR is no setting",
        ]
    );
    let checked = said(&["--check"], &[("POLL_LISEN", "x")]).concat();
    assert!(checked.starts_with("warning: ") && checked.ends_with("\nconfiguration ok\n"), "{checked}");
}

#[test]
fn a_durability_that_the_store_does_not_have_is_a_fault() {
    let interval = ["--durability", "interval=100"];
    assert!(said(&[&interval[..], &["--store", "disk:x"]].concat(), &[]).is_empty());
    let memory = one(&[&interval[..], &["--store", "memory:"]].concat());
    assert_eq!(memory, "--durability: interval=MS is for a disk: store; with memory: nothing is kept");
    // What is the default promises nothing more.
    assert!(said(&["--durability", "commit", "--store", "memory:"], &[]).is_empty());
}

#[cfg(feature = "redis")]
#[test]
fn each_kind_of_store_has_a_durability_of_its_own() {
    let redis = ["--store", "redis://h"];
    let line = one(&[&redis[..], &["--durability", "interval=100"]].concat());
    assert!(line.starts_with("--durability: ") && line.ends_with("there is redis-durability"), "{line}");
    assert!(said(&[&redis[..], &["--redis-durability", "disk"]].concat(), &[]).is_empty());
    assert!(said(&[&redis[..], &["--durability", "commit"]].concat(), &[]).is_empty());
    let line = one(&["--store", "disk:x", "--redis-durability", "replicas=2"]);
    assert!(
        line.starts_with("--redis-durability: ") && line.contains("disk: store there is durability"),
        "{line}"
    );
    let output = command().args(["--store", "memory:", "--redis-durability=disk"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}

#[test]
fn help_lists_the_commands_and_each_has_help_of_its_own() {
    for flag in ["--help", "-h"] {
        let help = String::from_utf8(command().arg(flag).output().unwrap().stdout).unwrap();
        for name in ["export", "import", "check", "salvage", "doctor", "token", "completions", "man"] {
            assert!(help.contains(&format!("\n  poll-server {name} ")), "{flag}: {help}");
            let own = command().args([name, flag]).output().unwrap();
            assert!(own.status.success() && own.stderr.is_empty());
            let own = String::from_utf8(own.stdout).unwrap();
            let usage = ["[", "<"].map(|opening| format!("poll-server {name} {opening}"));
            assert!(usage.iter().any(|usage| own.contains(usage)), "{own}");
        }
    }
}
