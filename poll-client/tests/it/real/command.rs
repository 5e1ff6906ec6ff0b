//! `poll publish` and `poll tail` as processes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::process::{Poll, poll};
use super::server::Server;

#[test]
fn a_text_a_file_and_standard_input_are_published() {
    let server = Server::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{\"a\": 1}\n").unwrap();
    let at_file = format!("@{}", file.path().display());
    let publish = |arguments: &[&str], input: &str| {
        let mut command = Poll::start(server.address(), &[&["publish", "c"], arguments].concat());
        command.write(input);
        let (status, output, errors) = command.end();
        assert!(status.success(), "{arguments:?}: {errors:?}");
        output
    };
    assert_eq!(publish(&["hello"], ""), ["1"]);
    assert_eq!(publish(&["-1"], ""), ["2"]);
    assert_eq!(publish(&[&at_file], ""), ["3"]);
    assert_eq!(publish(&["--json", &at_file], "").len(), 1);
    assert_eq!(publish(&["-"], "two\nlines\n"), ["5"]);
    assert_eq!(publish(&["--verbatim", "@x"], ""), ["6"]);
    assert_eq!(publish(&["--key", "k", "once"], ""), ["7"]);
    assert_eq!(publish(&["--key", "k", "once"], ""), ["7"]);
    assert_eq!(publish(&["--lines"], "a\r\n\nb\nc"), ["8", "9", "10"]);
    assert_eq!(publish(&["--lines", "--json", "-"], "1\n{\"b\":[]}\n").len(), 2);
    assert_eq!(publish(&["--lines", &at_file], ""), ["13"]);

    let (code, output, errors) = poll(
        server.address(),
        &["tail", "c", "--from", "start", "--count", "13", "--format", "{id}={content}|"],
    );
    assert_eq!((code, errors.as_str()), (0, ""));
    let expected = concat!(
        "1=hello|\n2=-1|\n3={\"a\": 1}\n|\n4={\"a\":1}|\n5=two\nlines\n|\n6=@x|\n7=once|\n",
        "8=a|\n9=b|\n10=c|\n11=1|\n12={\"b\":[]}|\n13={\"a\": 1}|"
    );
    assert_eq!(output, expected);
}

#[test]
fn lines_are_published_as_they_come() {
    let server = Server::start();
    let tail = Poll::start(server.address(), &["tail", "c", "--from", "start"]);
    let mut publish = Poll::start(server.address(), &["publish", "c", "--lines"]);
    for line in ["one", "two"] {
        publish.write(&format!("{line}\n"));
        assert_eq!(tail.line(), line, "while more may follow");
    }
    publish.end_input();
    let (status, numbers, _) = publish.end();
    assert!(status.success());
    assert_eq!(numbers, ["1", "2"]);
    // More lines than fit into a request.
    let mut publish = Poll::start(server.address(), &["publish", "many", "--lines"]);
    publish.write(&"x".repeat(999).chars().chain(['\n']).collect::<String>().repeat(2500));
    let (status, numbers, errors) = publish.end();
    assert!(status.success(), "{errors:?}");
    assert_eq!((numbers.len(), numbers.last().map(String::as_str)), (2500, Some("2500")));
}

#[test]
fn input_that_cannot_be_published_is_said_in_one_line() {
    let server = Server::start();
    for (arguments, code, expected) in [
        (&["publish", "c", "--json", "{"][..], 64, "poll: TEXT is not JSON: "),
        (&["publish", "c", "@/does/not/exist"], 64, "poll: cannot read /does/not/exist: "),
        (&["publish", "c"], 64, "poll: the following required arguments were not provided: <TEXT>"),
        (&["publish", "", "x"], 64, "poll: invalid value '' for '<CHANNEL>': "),
        (
            &["tail", "c", "--format", "{nme}"],
            64,
            "there is no {nme}, only {channel}, {id}, {uuid}, {time}, ",
        ),
        (
            &["tail", "c", "--since", "soon"],
            64,
            "neither a time like 2026-11-26T20:00:00Z nor a span like 10m",
        ),
        (&["tail"], 64, "<CHANNEL>..."),
        (&["--server", "ftp://h", "tail", "c"], 64, "poll: ftp://h: not a URL of the form http://host:port"),
        (&["tial", "c"], 64, "a similar subcommand exists: 'tail'"),
    ] {
        let (exit, output, error) = poll(server.address(), arguments);
        assert_eq!((exit, output.as_str()), (code, ""), "{error}");
        assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
    }
    // A line too large is refused by the server, which says so.
    let (exit, _, error) = poll(server.address(), &["publish", "c", &"x".repeat(100_000)]);
    assert_eq!(exit, 1);
    assert!(error.starts_with("poll: the server answered 413"), "{error}");
}

#[test]
fn a_server_that_cannot_be_reached_is_named_at_once_and_waited_for() {
    let mut server = Server::start();
    for pattern in ["short", "long", "stream", "sse", "push"] {
        let (code, _, _) = poll(server.address(), &["publish", pattern, "before"]);
        assert_eq!(code, 0);
        let arguments = ["tail", pattern, "--from", "start", "--pattern", pattern, "--count", "2"];
        let tail = Poll::start(server.address(), &arguments);
        assert_eq!(tail.line(), "before");
        server.kill();
        let away = Poll::start(server.address(), &arguments);
        let named = format!("poll: cannot connect to {}: Connection refused", server.address());
        let said = away.error();
        assert!(said.starts_with(&named) && said.ends_with("; trying again"), "{said}");
        server.start_again();
        // Before anything is published.
        assert_eq!(away.error(), "poll: connected again", "{pattern}");
        assert_eq!(away.line(), "before");
        let (code, number, _) = poll(server.address(), &["publish", pattern, "after"]);
        assert_eq!((code, number.as_str()), (0, "2"));
        for tail in [tail, away] {
            assert_eq!(tail.line(), "after", "{pattern}");
            assert!(tail.end().0.success());
        }
    }
    // A publisher waits as well, and says so.
    server.kill();
    let publish = Poll::start(server.address(), &["publish", "c", "x", "--retries", "20"]);
    assert!(publish.error().ends_with("; trying again"));
    server.start_again();
    assert_eq!(publish.line(), "1");
    let (status, _, errors) = publish.end();
    assert!(status.success());
    assert_eq!(errors, ["poll: connected again"]);
    server.kill();
    let (code, _, errors) = poll(server.address(), &["publish", "c", "x", "--retries", "0"]);
    assert_eq!((code, errors.lines().count()), (1, 1), "{errors}");
}

#[test]
fn several_channels_are_one_tail_whose_lines_name_them() {
    let server = Server::start();
    for pattern in ["short", "long", "stream", "sse", "push"] {
        let names = ["a", "b", "c"].map(|name| format!("{pattern}/{name}"));
        let [a, b, c] = names.each_ref().map(String::as_str);
        let arguments = ["tail", a, b, c, a, "--from", "start", "--pattern", pattern];
        let tail = Poll::start(server.address(), &arguments);
        for (channel, text) in [(a, "one"), (b, "two"), (a, "three"), (c, "four")] {
            poll(server.address(), &["publish", channel, text]);
            // A short poll may not ask again for five seconds.
            if pattern != "short" {
                assert_eq!(tail.line(), format!("{channel}: {text}"));
            }
        }
        let whole = [&arguments[..], &["--count", "4", "--json"]].concat();
        let (code, lines, errors) = poll(server.address(), &whole);
        assert_eq!((code, errors.as_str()), (0, ""));
        let named = |line: &str, name: &str| line.contains(&format!(r#""channel":"{name}""#));
        let order: Vec<_> = lines.lines().collect();
        assert!([a, b, a, c].iter().zip(&order).all(|(name, line)| named(line, name)), "{lines}");
    }
}

#[test]
fn what_was_published_since_a_time_is_shown() {
    let server = Server::start();
    for text in ["one", "two", "three"] {
        poll(server.address(), &["publish", "c", text]);
    }
    let times =
        poll(server.address(), &["tail", "c", "--from", "start", "--count", "3", "--format", "{time}"]).1;
    let second = times.lines().nth(1).unwrap();
    let tail = |since: &str| poll(server.address(), &["tail", "c", "--since", since, "--count", "1"]).1;
    assert_eq!(tail(second), "two");
    assert_eq!(tail("1h"), "one");
}

#[test]
fn a_silent_channel_with_a_comma_in_its_name_is_explained() {
    let server = Server::start();
    let tail = Poll::start(server.address(), &["tail", "a,b"]);
    assert_eq!(tail.error(), "poll: waiting for one channel named \"a,b\"; for several: poll tail a b");
    poll(server.address(), &["publish", "a,b", "x"]);
    assert_eq!(tail.line(), "x", "it is one all the same");
}

#[test]
fn a_closed_pipe_ends_a_tail_and_is_no_error() {
    let server = Server::start();
    poll(server.address(), &["publish", "c", "x"]);
    let mut tail = Command::new(env!("CARGO_BIN_EXE_poll"))
        .args(["--server", server.address(), "tail", "c", "--from", "start"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One line is read, then the reader leaves.
    let mut line = String::new();
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "x\n");
    let output = tail.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn the_manual_has_a_page_for_the_command_and_for_each_of_its_commands() {
    let (code, page, _) = poll(":1", &["man"]);
    assert_eq!(code, 0);
    assert!(page.contains("\npoll \\- Publish"), "{page}");
    for name in ["publish", "tail", "job", "presence", "admin", "completions", "man"] {
        assert!(page.contains(&format!("\npoll\\-{name}(1)\n")), "{name}: {page}");
        let (code, own, _) = poll(":1", &["man", name]);
        assert!(code == 0 && own.contains(&format!("\npoll\\-{name} \\- ")), "{own}");
    }
    let page = poll(":1", &["man", "admin"]).1;
    for name in ["list", "show", "purge", "delete", "close", "settings"] {
        assert!(page.contains(&format!("\npoll\\-admin\\-{name}(1)\n")), "{name}: {page}");
        let (code, own, _) = poll(":1", &["man", "admin", name]);
        assert!(code == 0 && own.contains(&format!("\npoll\\-admin\\-{name} \\- ")), "{own}");
    }
    assert_eq!(poll(":1", &["man", "nothing"]).0, 64);
    assert_eq!(poll(":1", &["man", "admin", "nothing"]).0, 64);
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef poll"), ("fish", "complete -c poll")] {
        let (code, script, _) = poll(":1", &["completions", shell]);
        assert_eq!(code, 0);
        assert!(script.contains(word) && script.contains("since"), "{script}");
    }
    let script = poll(":1", &["completions", "bash"]).1;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}
