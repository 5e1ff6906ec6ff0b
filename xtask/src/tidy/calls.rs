//! What may not be named where, and which programs tests may start.
//!
//! The invariants of absence: time, randomness, threads, files and sockets come in through the environment, so that a
//! simulation can provide them all. Timers and tasks are those of the runtime, which a simulation provides as well.

use super::fault::Fault;
use super::sources::{is_test, line_of_tests};
use super::tokens::{Token, reads_all, tokens};
use xtask::tools::TOOLS;

/// Something that a part of the tree does not name.
struct Ban {
    /// Paths that start so.
    under: &'static [&'static str],
    /// Its tokens, and what to do instead.
    what: &'static [(&'static str, &'static str)],
}

/// For product code; tests may do these.
const IN_PRODUCT: &[Ban] = &[
    Ban {
        // What a simulation runs.
        under: &["poll-core/src/", "poll-http/src/", "poll-server/src/"],
        what: &[
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
        ],
    },
    Ban {
        under: &["poll-core/src/", "poll-http/src/"],
        what: &[("std :: env", "a library has no environment variables; take an argument")],
    },
    Ban {
        under: &["poll-core/src/"],
        what: &[
            ("tokio :: net", "only the redis journal has sockets"),
            ("tracing_subscriber", "a library does not set up logs"),
        ],
    },
    Ban {
        under: &["poll-http/src/", "poll-client/src/lib"],
        what: &[("process :: exit", "only `main` decides to exit")],
    },
];

/// For every Rust file, tests included.
const ANYWHERE: &[Ban] = &[Ban {
    under: &[""],
    what: &[
        ("thread :: sleep", "wait for something that can be observed"),
        ("# [ ignore", "a test that does not run is no test"),
    ],
}];

/// The files that are the environment, and may name all that it provides.
const ENVIRONMENT: &str = "poll-core/src/environment/";

/// Files that may name one of these, and why that does not matter to a simulation.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("poll-core/src/journal/redis", "tokio :: net", "the journal that is a network store"),
    ("poll-core/src/types/channel_name.rs", "HashMap", "a table of names uses the hash that each name has"),
    ("poll-server/src/main.rs", "std :: fs", "the binary hands the file of the configuration over as text"),
    ("poll-server/src/config/resolve.rs", "available_parallelism", "the default of a setting"),
    (
        "poll-server/src/doctor/machine.rs",
        "available_parallelism",
        "says whether a setting suits the machine",
    ),
    ("poll-server/src/listen.rs", "TcpListener", "binds the sockets that are handed to the server"),
    ("poll-server/src/accept.rs", "TcpListener", "accepts from them"),
    ("poll-server/src/connection_io.rs", "TcpStream", "reads from and writes to what was accepted"),
    ("poll-core/src/link.rs", "rand ::", "some signatures take randomness, which only ring may choose"),
    ("poll-server/src/outbound.rs", "TcpStream", "asks for keys and certificates where the operator says"),
    ("poll-server/src/metrics.rs", "std :: fs", "resident memory, which only `/metrics` shows"),
    ("poll-server/src/turn_histogram.rs", "clock_gettime", "processor time, which only `/metrics` shows"),
];

/// Faults of one Rust file.
pub(super) fn check(path: &str, text: &str) -> Vec<Fault> {
    let product_lines = if is_test(path) { 0 } else { line_of_tests(text) };
    let is_free = |what| {
        EXCEPTIONS.iter().any(|(place, free, _)| *free == what && path.starts_with(place))
            || (path.starts_with(ENVIRONMENT) && IN_PRODUCT[0].what.iter().any(|(free, _)| *free == what))
    };
    let under = |ban: &&Ban| ban.under.iter().any(|place| path.starts_with(place));
    let within = |bans: &'static [Ban], lines| {
        bans.iter().filter(under).flat_map(|ban| ban.what).map(move |(what, why)| (*what, *why, lines))
    };
    let bans = within(IN_PRODUCT, product_lines).filter(|(what, ..)| !is_free(*what));
    let bans: Vec<_> = bans.chain(within(ANYWHERE, usize::MAX)).collect();
    let is_simulated = under(&&IN_PRODUCT[0]);
    let tokens = tokens(text);
    let mut faults = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        for (what, why, _) in bans.iter().filter(|(.., lines)| token.line <= *lines) {
            if reads_all(&tokens, at, what) {
                faults.push(Fault::new(path, token.line, format!("`{}`: {why}", what.replace(' ', ""))));
            }
        }
        let is_random = reads_all(&tokens, at, "select ! {") && !reads_all(&tokens, at + 3, "biased ;");
        if is_simulated && token.line <= product_lines && is_random {
            faults.push(Fault::new(path, token.line, "`select!` picks at random unless it is `biased`"));
        }
        if let Some(program) = started(&tokens, at).filter(|_| path.contains("/tests/"))
            && !TOOLS.iter().any(|tool| tool.program == program)
        {
            let what = format!("a test starts `{program}`, which xtask/src/tools.rs does not install");
            faults.push(Fault::new(path, token.line, what));
        }
    }
    faults
}

/// The program in `Command::new("program")`.
fn started(tokens: &[Token], at: usize) -> Option<&str> {
    let is_call = reads_all(tokens, at, "Command :: new (");
    tokens.get(at + 4).filter(|_| is_call)?.text.strip_prefix('"')?.strip_suffix('"')
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
        let text = "//! SystemTime::now\nlet now = SystemTime::now();\nlet id = rand::random();\nuse std::collections::HashMap;\n";
        assert_eq!(lines("poll-core/src/store.rs", text), [2, 3, 4]);
        assert_eq!(lines("poll-core/src/environment/system.rs", text), NONE);
        let tests = format!("//! x\n#[cfg(test)]\nmod tests {{ {text} }}\n");
        assert_eq!(lines("poll-core/src/store.rs", &tests), NONE);
        assert_eq!(lines("poll-core/tests/it/a.rs", text), NONE);
        assert_eq!(lines("poll-client/src/a.rs", text), NONE);
    }

    #[test]
    fn an_exception_is_for_one_place_and_one_thing() {
        assert_eq!(lines("poll-server/src/main.rs", "//! x\nstd::fs::read(path);\n"), NONE);
        assert_eq!(lines("poll-server/src/main.rs", "//! x\nthread::spawn(work);\n"), [2]);
        assert_eq!(lines("poll-server/src/lib.rs", "//! x\nstd::fs::read(path);\n"), [2]);
        let sockets = "//! x\nuse tokio::net::lookup_host;\n";
        assert_eq!(lines("poll-core/src/store.rs", sockets), [2]);
        assert_eq!(lines("poll-core/src/journal/redis.rs", sockets), NONE);
    }

    #[test]
    fn a_choice_between_futures_is_no_random_one() {
        assert_eq!(lines("poll-http/src/a.rs", "//! x\ntokio::select! {\nbiased;\n}\n"), NONE);
        assert_eq!(lines("poll-http/src/a.rs", "//! x\ntokio::select! {\n() = a => {}\n}\n"), [2]);
    }

    #[test]
    fn a_test_neither_sleeps_nor_rests_nor_starts_what_is_not_installed() {
        let text = "//! x\n#[ignore = \"slow\"]\nfn f() { std::thread::sleep(d); my_thread::sleep(d) }\n\
                    Command::new(\"curl\");\nCommand::new(\"no-such\");\n";
        assert_eq!(lines("poll-http/tests/it/a.rs", text), [2, 3, 5]);
    }
}
