//! That time, randomness, threads, files and sockets come in through the environment, so that a simulation can provide
//! them all.
//!
//! Timers and tasks are those of the runtime, which a simulation provides as well.

use super::fault::Fault;
use super::sources::{is_test, line_of_tests};
use super::tokens::{reads_all, tokens};

/// The crates that a simulation runs.
const UNDER: &[&str] = &["poll-core/src/", "poll-http/src/", "poll-server/src/"];

/// The files that are the environment.
const ENVIRONMENT: &[&str] = &["poll-core/src/environment/"];

/// What only the environment may name, and what to use instead.
const BANS: &[(&str, &str)] = &[
    ("SystemTime :: now", "ask the environment for the time"),
    ("std :: time :: Instant", "use the runtime's clock, `tokio::time::Instant`"),
    ("rand ::", "ask the environment for randomness"),
    ("RandomState", "hash under the environment's key, with `KeyedMap`"),
    ("foldhash ::", "hash under the environment's key, with `KeyedMap`"),
    ("HashMap", "hash under the environment's key, with `KeyedMap`"),
    ("HashSet", "use a `BTreeSet`, or a `KeyedMap` without values"),
    ("Uuid :: now_v7", "ask the environment for time and randomness"),
    ("Uuid :: new_v4", "ask the environment for randomness"),
    ("thread :: spawn", "have the environment run a thread"),
    ("thread :: Builder", "have the environment run a thread"),
    ("spawn_blocking", "have the environment run a thread"),
    ("available_parallelism", "take it from the configuration"),
    ("std :: fs", "open files through the environment"),
    ("std :: process :: id", "take it as an argument"),
    ("TcpListener", "take connections from a `Listener`"),
    ("TcpStream", "take connections from a `Listener`"),
    ("UdpSocket", "the environment has no such sockets"),
    ("UnixListener", "the environment has no such sockets"),
    ("clock_gettime", "ask the environment for the time"),
];

/// Files that may name one of these, and why that does not matter to a simulation.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("poll-core/src/types/channel_name.rs", "HashMap", "a table of names uses the hash that each name has"),
    ("poll-server/src/main.rs", "std :: fs", "the binary hands the file of the configuration over as text"),
    ("poll-server/src/config/resolve.rs", "available_parallelism", "the default of a setting"),
    ("poll-server/src/listen.rs", "TcpListener", "binds the sockets that are handed to the server"),
    ("poll-server/src/accept.rs", "TcpListener", "accepts from them"),
    ("poll-server/src/connection_io.rs", "TcpStream", "reads from and writes to what was accepted"),
    ("poll-server/src/metrics.rs", "std :: fs", "resident memory, which only `/metrics` shows"),
    ("poll-server/src/turn_histogram.rs", "clock_gettime", "processor time, which only `/metrics` shows"),
];

/// Faults of one Rust file.
pub(super) fn check(path: &str, text: &str) -> Vec<Fault> {
    let starts = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    if !starts(UNDER) || starts(ENVIRONMENT) || is_test(path) {
        return Vec::new();
    }
    let product_lines = line_of_tests(text);
    let tokens = tokens(text);
    let mut faults = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.line <= product_lines) {
        for (what, instead) in BANS.iter().filter(|(what, _)| reads_all(&tokens, at, what)) {
            if !EXCEPTIONS.iter().any(|(file, free, _)| *file == path && free == what) {
                faults.push(Fault::new(path, token.line, format!("`{}`: {instead}", what.replace(' ', ""))));
            }
        }
        if reads_all(&tokens, at, "select ! {") && !reads_all(&tokens, at + 3, "biased ;") {
            let what = "`select!` picks at random unless it is `biased`".to_owned();
            faults.push(Fault::new(path, token.line, what));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(path, text).iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn only_the_environment_takes_something_from_outside() {
        let text =
            "//! x\nlet now = SystemTime::now();\nlet id = rand::random();\nuse std::collections::HashMap;\n";
        assert_eq!(lines("poll-core/src/store.rs", text), [2, 3, 4]);
        assert_eq!(lines("poll-core/src/environment/system.rs", text), NONE);
        assert_eq!(
            lines("poll-core/src/store.rs", &format!("//! x\n#[cfg(test)]\nmod tests {{ {text} }}\n")),
            NONE
        );
        assert_eq!(lines("poll-core/tests/it/a.rs", text), NONE);
        assert_eq!(lines("poll-client/src/a.rs", text), NONE);
    }

    #[test]
    fn an_exception_is_for_one_file_and_one_thing() {
        assert_eq!(lines("poll-server/src/main.rs", "//! x\nstd::fs::read(path);\n"), NONE);
        assert_eq!(lines("poll-server/src/main.rs", "//! x\nthread::spawn(work);\n"), [2]);
        assert_eq!(lines("poll-server/src/lib.rs", "//! x\nstd::fs::read(path);\n"), [2]);
    }

    #[test]
    fn a_choice_between_futures_is_no_random_one() {
        assert_eq!(lines("poll-http/src/a.rs", "//! x\ntokio::select! {\nbiased;\n}\n"), NONE);
        assert_eq!(lines("poll-http/src/a.rs", "//! x\ntokio::select! {\n() = a => {}\n}\n"), [2]);
    }
}
