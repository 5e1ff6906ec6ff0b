//! Completions and manual pages have every command and every flag.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::process::command;

fn printed(arguments: &[&str]) -> String {
    let output = command().args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The flags that `config.rs` holds to `--help`.
fn flags() -> impl Iterator<Item = &'static str> {
    include_str!("flags.txt").lines().filter_map(|line| line.split(' ').next())
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = printed(&["-h"]);
    let lines = help.lines().filter_map(|line| line.strip_prefix("  poll-server "));
    lines.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn completions_are_scripts_of_their_shells_with_every_command_and_flag() {
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef poll-server"), ("fish", "complete -c poll-server")]
    {
        let script = printed(&["completions", shell]);
        assert!(script.contains(word), "{script}");
        for word in flags().map(|flag| &flag[2..]).map(str::to_owned).chain(commands()) {
            assert!(script.contains(&word), "{shell}: {word}");
        }
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(printed(&["completions", "bash"]).as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn the_manual_has_every_flag_and_a_page_for_every_command() {
    let page = printed(&["man"]);
    for flag in flags() {
        assert!(page.contains(&format!("\n\\fB{}\\fR", flag.replace('-', "\\-"))), "{flag}");
    }
    let commands = commands();
    assert!(commands.len() >= 7, "{commands:?}");
    for name in commands {
        assert!(page.contains(&format!("\npoll\\-server\\-{name}(1)\n")), "{name}");
        let own = printed(&["man", &name]);
        assert!(own.starts_with(".ie") && own.contains(&format!("\npoll\\-server\\-{name} \\- ")), "{own}");
    }
}

#[test]
fn what_cannot_be_made_is_exit_64_and_one_line() {
    for arguments in [&["completions"][..], &["completions", "cmd"], &["man", "nothing"]] {
        let output = command().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1, "{arguments:?}");
    }
}
