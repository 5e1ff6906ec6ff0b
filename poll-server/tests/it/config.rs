//! The configuration as a table: what wins over what, what is taken, and each fault in its one line.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use poll_server::config::{
    Config, CorsOrigin, Durability, Given, LogFormat, MaxSockets, MaxSocketsPerAddress, Start, StoreUrl,
    Switch, Token,
};

/// What `poll-server ARGUMENTS` reads under these variables.
fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Start, Vec<String>> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(OsString::from);
    let names = variables.keys().map(OsString::from).collect();
    let arguments = arguments.iter().map(OsString::from).collect();
    let faults = |faults: Vec<poll_server::config::Fault>| faults.iter().map(ToString::to_string).collect();
    Config::read(&Given {
        arguments,
        variable: &variable,
        variables: names,
        file: &|path| std::fs::read_to_string(path),
    })
    .map_err(faults)
}

fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Config {
    match read(arguments, variables) {
        Ok(Start::Serve(config)) => *config,
        other => panic!("{arguments:?} {variables:?}: {other:?}"),
    }
}

fn faults(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    read(arguments, variables).err().unwrap_or_default()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = config(&[], &[]);
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.store, StoreUrl::Disk("poll-data".into()));
    assert_eq!(config.durability, Durability::Commit);
    assert_eq!(config.workers, std::thread::available_parallelism().unwrap());
    let limits = &config.limits;
    assert_eq!(limits.max_sockets, MaxSockets::ShareOfFiles);
    let at = |limit: Option<std::num::NonZeroU64>| limit.map(std::num::NonZeroU64::get);
    assert_eq!(at(limits.max_connections), Some(100_000));
    assert_eq!(at(limits.max_per_channel), Some(10_000));
    assert_eq!(at(limits.max_per_client), Some(6));
    assert_eq!(at(limits.max_per_address), Some(1_024));
    assert_eq!(limits.max_sockets_per_address, MaxSocketsPerAddress::HalfOfAll);
    assert_eq!(at(limits.max_channels_per_request), Some(100));
    assert_eq!(limits.max_auth_failures, 20);
    assert_eq!(limits.max_streams_per_connection, 1_000);
    assert_eq!(limits.max_control_frames, 100);
    assert_eq!(limits.rate, None);
    assert_eq!(config.retention, poll_core::Retention::default());
    let wire = &config.wire;
    assert_eq!((wire.max_payload_bytes, wire.max_head_bytes), (65_536, 16_384));
    assert_eq!((wire.max_poll, wire.heartbeat, wire.keep_alive), (seconds(50), seconds(15), seconds(75)));
    assert_eq!((wire.header, wire.body, wire.stall), (seconds(10), seconds(10), seconds(30)));
    assert_eq!(wire.cold_read, seconds(5));
    assert_eq!((config.drain.total, config.drain.delay), (seconds(10), seconds(0)));
    assert_eq!(config.dialects.golongpoll_max_timeout, seconds(120));
    assert_eq!(config.dialects.golongpoll_delete_after_retrieval, Switch::Off);
    assert_eq!(config.dialects.receipts, Switch::Off);
    assert_eq!(config.dialects.durable_streams, Switch::On);
    assert_eq!(config.early_hints_http1, Switch::Off);
    assert_eq!(config.demo, None);
    assert_eq!((config.log, config.access_log), (LogFormat::Text, Switch::Off));
    let trust = &config.trust;
    assert!(trust.proxies.is_empty() && trust.origins.is_empty() && trust.hosts.is_empty());
    assert!(trust.publish.is_empty() && trust.subscribe.is_empty());
}

#[test]
fn flag_beats_environment_beats_file() {
    let file = file("heartbeat-seconds = 1\nstall-seconds = 2.5\nlisten = [\"127.0.0.1:1\", \"[::1]:1\"]\n");
    let path = file.path().to_str().unwrap();
    let heartbeat = |config: &Config| config.wire.heartbeat;

    let from_file = config(&["--config", path], &[]);
    assert_eq!(heartbeat(&from_file), seconds(1));
    assert_eq!(from_file.wire.stall, Duration::from_millis(2_500));
    assert_eq!(from_file.listen.len(), 2);

    let from_environment = config(
        &[],
        &[("POLL_CONFIG", path), ("POLL_HEARTBEAT_SECONDS", "3"), ("POLL_LISTEN", "127.0.0.1:2")],
    );
    assert_eq!(heartbeat(&from_environment), seconds(3));
    assert_eq!(from_environment.listen, ["127.0.0.1:2".parse().unwrap()], "taken whole, not added to");
    assert_eq!(from_environment.wire.stall, Duration::from_millis(2_500), "the file still counts elsewhere");

    let from_flag =
        config(&["--config", path, "--heartbeat-seconds", "4"], &[("POLL_HEARTBEAT_SECONDS", "3")]);
    assert_eq!(heartbeat(&from_flag), seconds(4));

    let other_file = config(&["--config", path], &[("POLL_CONFIG", "/nowhere.toml")]);
    assert_eq!(heartbeat(&other_file), seconds(1), "the flag's file is the one that is read");
    let empty_is_unset = config(&[], &[("POLL_HEARTBEAT_SECONDS", ""), ("POLL_CONFIG", "")]);
    assert_eq!(heartbeat(&empty_is_unset), seconds(15));
}

#[test]
fn switches_turn_on_and_off_from_everywhere() {
    assert_eq!(config(&["--demo"], &[]).demo, Some(seconds(10)));
    assert_eq!(config(&["--demo=off"], &[("POLL_DEMO", "true")]).demo, None);
    assert_eq!(
        config(&[], &[("POLL_DEMO", "1"), ("POLL_DEMO_INTERVAL_SECONDS", "0.5")]).demo,
        Some(seconds(1) / 2)
    );
    let file = file("receipts = true\nearly-hints-http1 = \"on\"\n");
    let config = config(&["--config", file.path().to_str().unwrap()], &[]);
    assert_eq!((config.dialects.receipts, config.early_hints_http1), (Switch::On, Switch::On));
}

#[test]
fn repeatable_settings_take_many_and_commas_in_the_environment() {
    let flags = config(&["--listen", "127.0.0.1:1", "--listen", "[::1]:2"], &[]);
    assert_eq!(flags.listen.len(), 2);
    let environment = config(
        &[],
        &[
            ("POLL_TRUSTED_PROXY", "10.0.0.0/8, ::1"),
            ("POLL_CORS_ORIGIN", "https://Example.org:443,http://localhost:3000"),
            ("POLL_HOST", "Poll.Example,[::1]"),
            ("POLL_PUBLISH_TOKEN", "abc,def=="),
        ],
    );
    let trust = &environment.trust;
    assert_eq!(trust.proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    let named = |text: &str| CorsOrigin::Named(text.to_owned());
    assert_eq!(trust.origins, [named("https://example.org"), named("http://localhost:3000")]);
    assert_eq!(trust.hosts, ["poll.example", "[::1]"]);
    assert_eq!(trust.publish.iter().map(Token::reveal).collect::<Vec<_>>(), ["abc", "def=="]);
}

#[test]
fn zero_is_unlimited_where_the_contract_says_so() {
    let flags = "--max-sockets 0 --max-sockets-per-address 0 --max-control-frames 0 --max-connections 0 --max-per-channel 0 --max-per-client 0 --max-per-address 0 \
                 --max-channels-per-request 0 \
                 --max-streams-per-connection 0 --retain-messages 0 --retain-seconds 0 --retain-bytes 0 \
                 --max-channels 0 --rate-limit 0";
    let config = config(&flags.split_whitespace().collect::<Vec<_>>(), &[]);
    let limits = &config.limits;
    assert_eq!(limits.max_sockets, MaxSockets::Unlimited);
    assert_eq!(limits.max_sockets_per_address, MaxSocketsPerAddress::Unlimited);
    assert_eq!(limits.max_control_frames, 0);
    assert_eq!([limits.max_connections, limits.max_per_channel], [None, None]);
    assert_eq!([limits.max_per_client, limits.max_per_address], [None, None]);
    assert_eq!(limits.max_channels_per_request, None);
    assert_eq!(limits.max_streams_per_connection, u32::MAX >> 1);
    assert_eq!(limits.rate, None);
    let kept = &config.retention;
    assert_eq!((kept.messages, kept.age, kept.bytes, kept.channels), (0, Duration::ZERO, 0, 0));
}

#[test]
fn bytes_are_written_as_people_write_them() {
    let payload = |text: &str| config(&["--max-payload-bytes", text], &[]).wire.max_payload_bytes;
    for text in ["65536", "64KiB", "64 KiB", "64kib", "64k", "64K"] {
        assert_eq!(payload(text), 65_536, "{text}");
    }
    assert_eq!([payload("1m"), payload("1MiB")], [1 << 20; 2]);
    let memory = |text: &str| config(&["--retain-bytes", text], &[]).retention.bytes;
    assert_eq!([memory("2g"), memory("2GiB")], [2 << 30; 2]);
    for text in ["64KB", "1.5g", "g", "-1k", "64kk", "0x10", "99999999999g"] {
        assert_eq!(faults(&["--retain-bytes", text], &[]).len(), 1, "{text}");
    }
}

#[test]
fn a_rate_brings_its_burst() {
    let rate =
        |arguments: &[&str]| config(arguments, &[]).limits.rate.map(|rate| (rate.per_second, rate.burst));
    assert_eq!(rate(&["--rate-limit", "10"]), Some((10.0, 20.0)));
    assert_eq!(rate(&["--rate-limit", "0.1"]), Some((0.1, 1.0)), "a bucket holds one request at least");
    assert_eq!(rate(&["--rate-limit", "2.5", "--rate-burst", "7"]), Some((2.5, 7.0)));
}

#[test]
fn stores_and_durability_are_known_by_name() {
    let durability = |text: &str| config(&["--durability", text], &[]).durability;
    assert_eq!(durability("interval=250"), Durability::Interval(Duration::from_millis(250)));
    assert_eq!(config(&["--store", "memory:"], &[]).store, StoreUrl::Memory);
}

#[cfg(feature = "redis")]
#[test]
fn a_shared_store_is_known_by_its_url() {
    for url in [
        "redis://localhost",
        "rediss://u:p@h:1/2",
        "valkey://h",
        "valkeys://h",
        "unix:/run/redis.sock",
        "redis+sentinel://a:26379,b/main",
        "redis+cluster://a,b:7000",
    ] {
        let store = config(&["--store", url], &[]).store;
        assert!(matches!(store, StoreUrl::Redis(_)), "{url}: {store:?}");
    }
    let unset = config(&[], &[]).redis;
    assert_eq!((unset.prefix.as_str(), unset.durability.to_string()), ("poll:", "memory".to_owned()));
    let variables =
        [("POLL_STORE", "redis://h"), ("POLL_REDIS_PREFIX", "a:"), ("POLL_REDIS_DURABILITY", "disk")];
    let set = config(&["--redis-durability", "replicas=2"], &variables).redis;
    assert_eq!((set.prefix.as_str(), set.durability.to_string()), ("a:", "replicas=2".to_owned()));
}

/// Each row: what was given, and words that its one line must hold.
#[test]
fn each_fault_is_one_line_that_names_its_place() {
    let flags: &[(&[&str], &[&str])] = &[
        (&["--listen", "localhost:8080"], &["--listen", "localhost:8080", "IP:PORT"]),
        (&["--listen", "127.0.0.1:99999"], &["--listen", "99999"]),
        (&["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"], &["--listen", "twice"]),
        (&["--workers", "0"], &["--workers", "1 to 1024"]),
        (&["--workers", "two"], &["--workers", "two", "whole number"]),
        (&["--workers", "1", "--workers", "2"], &["--workers", "more than once"]),
        (&["--max-sockets", "-1"], &["--max-sockets", "-1"]),
        (&["--max-connections", "+5"], &["--max-connections", "whole number"]),
        (&["--max-per-client", "1e3"], &["--max-per-client", "1e3"]),
        (&["--max-per-address", "99999999999999999999"], &["--max-per-address", "too large"]),
        (&["--max-control-frames", "4294967295"], &["--max-control-frames", "out of range"]),
        (&["--max-auth-failures", "4294967296"], &["--max-auth-failures", "too large"]),
        (&["--max-streams-per-connection", "4294967296"], &["--max-streams-per-connection", "HTTP/2"]),
        (&["--max-poll-seconds", "inf"], &["--max-poll-seconds", "inf"]),
        (&["--max-poll-seconds", "nan"], &["--max-poll-seconds", "nan"]),
        (&["--max-poll-seconds", "-3"], &["--max-poll-seconds", "-3"]),
        (&["--max-poll-seconds", "0"], &["--max-poll-seconds", "too short"]),
        (&["--heartbeat-seconds", "1e999"], &["--heartbeat-seconds", "1e999"]),
        (&["--stall-seconds", "99999999999"], &["--stall-seconds", "century"]),
        (&["--keep-alive-seconds", ""], &["--keep-alive-seconds", "not a number"]),
        (&["--header-seconds", "."], &["--header-seconds", "not a number"]),
        (&["--golongpoll-max-timeout-seconds", "1.5"], &["whole number"]),
        (&["--max-payload-bytes", "0"], &["--max-payload-bytes", "out of range"]),
        (&["--max-head-bytes", "100"], &["--max-head-bytes", "8192"]),
        (&["--rate-limit", "NaN"], &["--rate-limit", "NaN"]),
        (&["--rate-burst", "5"], &["rate-burst", "without rate-limit"]),
        (&["--rate-limit", "5", "--rate-burst", "0.5"], &["--rate-burst", "out of range"]),
        (&["--trusted-proxy", "10.0.0.0/40"], &["--trusted-proxy", "10.0.0.0/40"]),
        (&["--cors-origin", "https://example.org/"], &["--cors-origin", "no path"]),
        (&["--cors-origin", "null"], &["--cors-origin", "null"]),
        (&["--host", "http://x"], &["--host", "http://x"]),
        (&["--publish-token", "two words"], &["--publish-token", "letters"]),
        (&["--subscribe-token", ""], &["--subscribe-token", "empty"]),
        (&["--durability", "sometimes"], &["--durability", "sometimes"]),
        (&["--durability", "interval=0"], &["--durability", "interval=0"]),
        (&["--store", "file:x"], &["--store", "memory:"]),
        (&["--store", "redis://"], &["--store", "a host is missing"]),
        (&["--store", "redis://h/one"], &["--store", "database"]),
        (&["--store", "redis+sentinel://h"], &["--store", "MASTER"]),
        (&["--store", "unix:redis.sock"], &["--store", "path"]),
        (&["--redis-durability", "replicas=0"], &["--redis-durability", "replicas=N"]),
        (&["--redis-prefix", "a{b}"], &["--redis-prefix", "braces"]),
        (&["--redis-prefix", ""], &["--redis-prefix", "1 to 100"]),
        (&["--log", "xml"], &["--log", "xml"]),
        (&["--demo=maybe"], &["--demo", "maybe"]),
        (&["--bogus"], &["--bogus"]),
        (&["--bogus=7"], &["--bogus"]),
        (&["stray"], &["stray"]),
        (&["--workers"], &["--workers"]),
        (&["--config", "/nowhere.toml"], &["/nowhere.toml"]),
    ];
    for (arguments, words) in flags {
        let faults = faults(arguments, &[]);
        assert_eq!(faults.len(), 1, "{arguments:?}: {faults:?}");
        let line = &faults[0];
        assert!(!line.contains('\n'), "{line:?}");
        assert!(words.iter().all(|word| line.contains(word)), "{arguments:?}: {line}");
    }
    assert_eq!(faults(&[], &[("POLL_WORKERS", "x")]), ["POLL_WORKERS: \"x\" is not a whole number"]);
    assert!(faults(&[], &[("RUST_LOG", "poll=shout")])[0].starts_with("RUST_LOG: "));
}

#[test]
fn file_faults_name_file_key_and_line() {
    let rows = [
        ("max-pol-seconds = 3\n", "unknown key max-pol-seconds"),
        ("\n\nworkers = = 3\n", "line 3"),
        ("workers = [1]\n", "workers: takes one value"),
        ("workers = { a = 1 }\n", "workers: a table"),
        ("stall-seconds = inf\n", "stall-seconds: \"inf\""),
        ("stall-seconds = -1.0\n", "stall-seconds: \"-1\""),
        ("listen = 8080\n", "listen: \"8080\""),
        ("check = true\n", "unknown key check"),
    ];
    for (text, words) in rows {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        let faults = faults(&["--config", path], &[]);
        assert_eq!(faults.len(), 1, "{text:?}: {faults:?}");
        assert!(faults[0].starts_with(path) && faults[0].contains(words), "{text:?}: {}", faults[0]);
        assert!(!faults[0].contains('\n'), "{}", faults[0]);
    }
}

#[test]
fn all_faults_are_told_together() {
    let file = file("workers = 0\nnonsense = 1\n");
    let path = file.path().to_str().unwrap();
    let faults = faults(
        &["--check", "--bogus", "--config", path, "--max-poll-seconds", "x", "--also-bogus=1"],
        &[("POLL_LOG", "xml")],
    );
    assert_eq!(faults.len(), 6, "{faults:#?}");
}

#[test]
fn an_empty_secret_is_a_fault_from_wherever_it_comes() {
    for name in ["publish-token", "subscribe-token"] {
        let one = |place: &str, faults: Vec<String>| {
            let empty =
                "the token is empty, which would let everybody in: give one, or leave the setting out";
            assert_eq!(faults, [format!("{place}: {empty}")]);
        };
        let (flag, variable) =
            (format!("--{name}"), format!("POLL_{}", name.to_uppercase().replace('-', "_")));
        one(&flag, faults(&[&flag, ""], &[]));
        one(&flag, faults(&[&flag, "a", &flag, ""], &[]));
        for value in ["", " ", ",", "a,", ",a"] {
            one(&variable, faults(&[], &[(&variable, value)]));
        }
        for value in ["\"\"", "[]", "[\"\"]", "[\"a\", \"\"]"] {
            let file = file(&format!("{name} = {value}\n"));
            let path = file.path().to_str().unwrap();
            one(&format!("{path}: {name}"), faults(&["--config", path], &[]));
        }
        // The stronger source counts, whatever a weaker one would have opened.
        assert_eq!(faults(&[&flag, "a"], &[(&variable, "")]), Vec::<String>::new());
    }
}

#[test]
fn secrets_show_in_no_fault_and_no_debug() {
    let faults = faults(&["--publish-token", "my secret"], &[("POLL_STORE", "mysql://user:hunter2@host")]);
    assert_eq!(faults.len(), 2);
    for url in [
        "redis://user:hunter2@h:port",
        "redis://:hunter2@h/x",
        "unix:x?password=hunter2",
        "redis://:hunter2@h/1/2",
    ] {
        let store = read(&["--store", url], &[]).unwrap_err().concat();
        assert!(!store.contains("hunter2"), "{store}");
    }
    let shared = config(&["--store", "redis://user:hunter2@h"], &[]);
    assert!(!format!("{shared:?}").contains("hunter2"));
    assert!(!faults.concat().contains("secret") && !faults.concat().contains("hunter2"), "{faults:?}");
    let config = config(&["--publish-token", "topsecret"], &[]);
    assert!(!format!("{config:?}").contains("topsecret"));
}

#[test]
fn help_tells_every_flag_with_its_default_and_variable() {
    let Ok(Start::Say(help)) = read(&["--help"], &[]) else { panic!("no help") };
    let table = include_str!("flags.txt");
    for line in table.lines() {
        let (flag, default) = line.split_once(' ').unwrap();
        let variable = format!("POLL_{}", flag[2..].to_uppercase().replace('-', "_"));
        assert!(help.contains(flag), "{flag}");
        let twin = format!("[default: {default}] [env: {variable}]");
        assert!(help.contains(&twin), "{flag}: no {twin:?} on one line");
    }
    assert!(matches!(read(&["--version"], &[]), Ok(Start::Say(_))));
}
