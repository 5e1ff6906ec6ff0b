//! What may not be called where, and which programs tests may start.
//!
//! The invariants of absence: a crate that never reads the clock or the environment can be tested without either.

use super::fault::Fault;
use super::sources::{is_test, line_of_tests};
use super::tokens::{Token, reads_all, tokens};
use xtask::tools::TOOLS;

/// A call that a part of the tree does not make.
struct Ban {
    /// Paths that start so, or every path.
    under: &'static str,
    /// Its tokens.
    what: &'static str,
    why: &'static str,
}

/// For product code; tests may do these.
const IN_PRODUCT: &[Ban] = &[
    Ban {
        under: "poll-core/src/",
        what: "SystemTime :: now",
        why: "time comes into the core as an argument",
    },
    Ban { under: "poll-core/src/", what: "std :: env", why: "the core has no environment" },
    Ban { under: "poll-core/src/", what: "tokio :: net", why: "only the redis journal has sockets" },
    Ban { under: "poll-core/src/", what: "tracing_subscriber", why: "a library does not set up logs" },
    Ban {
        under: "poll-http/src/",
        what: "std :: env",
        why: "a library has no environment; take an argument",
    },
    Ban { under: "poll-http/src/", what: "std :: fs", why: "the HTTP layer opens no file" },
    Ban { under: "poll-http/src/", what: "process :: exit", why: "only `main` decides to exit" },
    Ban { under: "poll-http/src/", what: "TcpListener", why: "accepting sockets is poll-server's" },
    Ban { under: "poll-client/src/lib", what: "process :: exit", why: "only `main` decides to exit" },
];

/// For every Rust file, tests included.
const ANYWHERE: &[Ban] = &[
    Ban { under: "", what: "thread :: sleep", why: "wait for something that can be observed" },
    Ban { under: "", what: "# [ ignore", why: "a test that does not run is no test" },
];

/// Files to which a ban does not apply: the one place where time comes in, and the journal that is a network store.
const EXCEPT: &[(&str, &str)] =
    &[("SystemTime :: now", "poll-core/src/environment/"), ("tokio :: net", "poll-core/src/journal/redis")];

/// Faults of one Rust file.
pub(super) fn check(path: &str, text: &str) -> Vec<Fault> {
    let product_lines = if is_test(path) { 0 } else { line_of_tests(text) };
    let is_free = |what| EXCEPT.iter().any(|(free, place)| *free == what && path.starts_with(place));
    let in_product = IN_PRODUCT.iter().filter(|ban| !is_free(ban.what)).map(|ban| (ban, product_lines));
    let bans = in_product.chain(ANYWHERE.iter().map(|ban| (ban, usize::MAX)));
    let bans: Vec<(&Ban, usize)> = bans.filter(|(ban, _)| path.starts_with(ban.under)).collect();
    let tokens = tokens(text);
    let mut faults = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        for (ban, _) in bans.iter().filter(|(_, lines)| token.line <= *lines) {
            if reads_all(&tokens, at, ban.what) {
                faults.push(Fault::new(
                    path,
                    token.line,
                    format!("`{}`: {}", ban.what.replace(' ', ""), ban.why),
                ));
            }
        }
        if let Some(program) = started(&tokens, at).filter(|_| is_test(path))
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

    #[test]
    fn a_banned_call_is_found_with_its_line() {
        let faults = check("poll-core/src/store.rs", "//! x\nlet now = SystemTime::now();\n");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].line, 2);
    }

    #[test]
    fn comments_tests_and_other_crates_are_free() {
        assert_eq!(check("poll-core/src/store.rs", "//! SystemTime::now is banned\n"), []);
        assert_eq!(
            check("poll-core/src/store.rs", "//! x\n#[cfg(test)]\nmod tests { SystemTime::now(); }\n"),
            []
        );
        assert_eq!(check("poll-server/src/main.rs", "//! x\nSystemTime::now();\n"), []);
    }

    #[test]
    fn sleeping_threads_and_ignored_tests_are_found_in_tests_too() {
        let text = "//! x\n#[ignore = \"slow\"]\nfn f() { std::thread::sleep(d); my_thread::sleep(d) }\n";
        assert_eq!(check("poll-http/tests/it/a.rs", text).len(), 2);
    }

    #[test]
    fn only_the_network_journal_has_sockets() {
        let text = "//! x\nuse tokio::net::TcpStream;\n";
        assert_eq!(check("poll-core/src/store.rs", text).len(), 1);
        assert_eq!(check("poll-core/src/journal/redis.rs", text), []);
    }

    #[test]
    fn a_test_starts_only_what_is_installed() {
        assert_eq!(check("a/tests/it/x.rs", "//! x\nCommand::new(\"curl\");\n"), []);
        assert_eq!(check("a/tests/it/x.rs", "//! x\nCommand::new(\"no-such\");\n").len(), 1);
    }
}
