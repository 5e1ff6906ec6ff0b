//! What an operator sees at start: exit codes, one line a fault, one line an address.

use std::net::TcpListener;
use std::process::Output;

use rustix::process::Signal;

use crate::process::{Server, command};

fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> Vec<String> {
    String::from_utf8(output.stderr.clone()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_bad_value_is_exit_64_and_one_line() {
    for arguments in [
        &["--max-poll-seconds", "nan"][..],
        &["--bogus"],
        &["--check", "--workers", "none"],
        &["--store", "redis://"],
        &["--config", "/nowhere/poll.toml"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert_eq!(stderr(&output).len(), 1, "{arguments:?}: {:?}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_without_otlp_takes_no_collector_and_says_what_is_missing() {
    let without = "this build of poll-server was made without the feature otlp";
    let output = run(&["--check", "--otlp-endpoint", "http://127.0.0.1:4318"]);
    assert_eq!(output.status.code(), Some(64));
    let lines = stderr(&output);
    assert!(
        lines.len() == 1 && lines[0].contains("--otlp-endpoint: ") && lines[0].ends_with(without),
        "{lines:?}"
    );
    // A variable of another program is no mistake.
    let mut command = command();
    let output =
        command.arg("--check").env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318").output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(
        output.status.success()
            && told.contains(&format!("OTEL_EXPORTER_OTLP_ENDPOINT is ignored: {without}")),
        "{told}"
    );
}

#[test]
fn every_fault_has_its_line() {
    let output = command()
        .args(["--check", "--workers", "0", "--log", "xml", "--bogus"])
        .env("POLL_STALL_SECONDS", "inf")
        .env("RUST_LOG", "a=b=c")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(stderr(&output).len(), 5, "{:#?}", stderr(&output));
}

#[test]
fn check_says_ok_and_binds_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = run(&["--check", "--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{:?}", stderr(&output));
    assert_eq!(output.stdout, b"configuration ok\n");
    assert!(output.stderr.is_empty());
}

#[test]
fn help_and_version_are_no_failures() {
    for flag in ["--help", "-h", "--version"] {
        let output = run(&[flag]);
        assert_eq!(output.status.code(), Some(0), "{flag}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{flag}");
    }
}

#[test]
fn a_busy_port_is_exit_1_and_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let lines = stderr(&output);
    assert_eq!(
        lines,
        [format!(
            "poll-server: cannot listen on {address}: the port is in use; choose another with --listen IP:PORT"
        )]
    );
}

#[test]
fn each_address_in_force_has_one_line_with_its_real_port() {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
    let server = Server::start_command(command, 2);
    assert_eq!(server.lines("listening on http://").len(), 2);
    assert_ne!(server.addresses[0].port(), 0);
    assert!(server.addresses[1].is_ipv6());
    for address in &server.addresses {
        let url = format!("http://{address}/healthz");
        crate::process::output(crate::process::curl(&["--fail", "--globoff", &url]));
    }
}

/// The lines of a start, without their time, up to the addresses.
fn start_lines(server: &Server) -> Vec<String> {
    let lines = server.lines(" INFO ");
    let told = |line: &String| line.split_once(" INFO ").unwrap().1.to_owned();
    lines.iter().map(told).take_while(|line| !line.starts_with("listening on")).collect()
}

#[test]
fn a_start_tells_what_runs_on_what_and_what_was_recovered() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().display());
    let flags = ["--store", &store, "--workers", "1", "--max-sockets", "50", "--retain-seconds", "60"];
    let version = env!("CARGO_PKG_VERSION");
    let retained =
        "messages are retained for 60 s, up to 1000 messages a channel, 1 GiB in all, 1000000 channels";
    let mut server = Server::start(&flags);
    assert_eq!(
        start_lines(&server),
        [
            format!("poll-server {version}: 1 worker, at most 50 sockets"),
            format!("the store is {store}, which is new"),
            retained.to_owned()
        ]
    );
    for channel in ["a", "a", "b"] {
        assert!(server.post(&format!("/api/message?channel={channel}&content=x")).contains("201 Created"));
    }
    server.signal(Signal::KILL);
    server.wait();
    let mut server = Server::start(&flags);
    // A kill leaves nothing to repair.
    let opened = server.lines("the store is disk:").concat();
    assert!(opened.contains(&format!("{store}: 2 channels with 3 messages, opened in ")), "{opened}");
    server.signal(Signal::TERM);
    server.wait();
    let server = Server::start(&flags);
    let opened = server.lines("the store is disk:").concat();
    assert!(opened.contains(": 2 channels with 3 messages, opened in "), "{opened}");
    assert!(!opened.contains('='), "text repeats nothing: {opened}");

    let unlimited =
        ["--retain-messages", "0", "--retain-seconds", "0", "--retain-bytes", "0", "--max-channels", "0"];
    let server = Server::start(&unlimited);
    server.wait_for(1, "the store is memory:, and ends with this process");
    server.wait_for(1, "messages are retained whatever their age, without bounds");
}

#[test]
fn json_logs_are_an_object_a_line_with_fields() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().display());
    let server = Server::start(&["--log", "json", "--workers", "1", "--store", &store]);
    let line = |words: &str| -> serde_json::Value { serde_json::from_str(&server.lines(words)[0]).unwrap() };
    let listening = line("listening on http://");
    let address = server.addresses[0].to_string();
    assert_eq!(listening["message"], format!("listening on http://{address}"));
    assert_eq!((&listening["address"], &listening["level"]), (&address.as_str().into(), &"INFO".into()));
    let start = line("poll-server ");
    assert_eq!((&start["version"], &start["workers"]), (&env!("CARGO_PKG_VERSION").into(), &1.into()));
    assert_eq!(line("the store is ")["store"], store);
    let retained = line("messages are retained");
    assert_eq!((&retained["messages"], &retained["bytes"]), (&1000.into(), &1_073_741_824.into()));
}

#[test]
fn listening_to_strangers_is_warned_about_by_what_they_may_do() {
    let said = |arguments: &[&str], address: &str| {
        let mut open = command();
        open.args(["--listen", address]).args(arguments);
        let server = Server::start_command(open, 1);
        server.signal(Signal::TERM);
        // The last line: whatever was said at the start has been read by then.
        server.wait_for(1, "drained");
        server.lines("anyone who reaches").concat()
    };
    let (publish, subscribe) = (["--publish-token", "p"], ["--subscribe-token", "s"]);
    let all = "0.0.0.0:0";
    let both = "may publish and read: neither a publish-token nor a subscribe-token is set";
    assert!(said(&[], all).ends_with(both));
    assert!(said(&subscribe, all).ends_with("may publish: no publish-token is set"));
    assert!(said(&publish, all).ends_with("may read: no subscribe-token is set"));
    assert_eq!(said(&[publish, subscribe].concat(), all), "");
    assert_eq!(said(&[], "127.0.0.1:0"), "");
}

#[test]
fn the_environment_and_a_file_configure_the_binary() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("poll.toml");
    std::fs::write(&file, "log = \"json\"\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let mut command = command();
    command.env("POLL_CONFIG", &file).env("POLL_LISTEN", "127.0.0.1:0");
    let server = Server::start_command(command, 1);
    assert!(server.lines("listening")[0].starts_with('{'));
    assert_ne!(server.addresses[0].port(), 1);
}
