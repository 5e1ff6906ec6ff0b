//! Every setting stands once in `docs/operations.md` and once in `deploy/poll.toml`, with the default it has; so does
//! every kind of memory, with its share.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use poll_server::config::{Config, Given, Start};

use crate::process::Server;

const TABLES: &str = include_str!("../../../docs/operations.md");
const FILE: &str = include_str!("../../../deploy/poll.toml");

const PUBLIC_KEY: &str = include_str!("../../../poll-http/tests/jwt/rsa.pub.pem");

/// Flags and defaults as `--help` has them; `config.rs` holds one to the other.
fn defaults() -> BTreeMap<&'static str, &'static str> {
    include_str!("flags.txt").lines().map(|line| line.split_once(' ').unwrap()).collect()
}

/// What this file configures, as text: secrets are left out, everything else is there.
fn read(toml: &str) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let arguments = [OsString::from("--config"), file.path().into()].into();
    let certificate = rcgen::generate_simple_self_signed(vec!["poll.example.com".to_owned()]).unwrap();
    let file = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("fullchain.pem" | "clients.pem") => Ok(certificate.cert.pem()),
        Some("privkey.pem") => Ok(certificate.signing_key.serialize_pem()),
        Some("issuer.pem") => Ok(PUBLIC_KEY.to_owned()),
        Some("secret") => Ok("0123456789abcdef0123456789abcdef\n".to_owned()),
        _ => std::fs::read_to_string(path),
    };
    match Config::read(&Given { arguments, variable: &|_| None, variables: Vec::new(), file: &file }) {
        Ok(Start::Serve(config)) => format!("{config:?}"),
        other => panic!("{toml}: {other:?}"),
    }
}

#[test]
fn the_operators_tables_have_every_flag_once_with_its_default() {
    let rows = TABLES.lines().filter_map(|line| line.strip_prefix("| `--")?.strip_suffix(" |"));
    let rows: Vec<(String, &str)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            (format!("--{}", cells[0].trim_end_matches('`')), cells[1])
        })
        .collect();
    let defaults = defaults();
    assert_eq!(rows.len(), defaults.len(), "{rows:#?}");
    for (flag, default) in &rows {
        assert_eq!(defaults.get(flag.as_str()), Some(default), "{flag}");
    }
}

#[test]
fn the_commented_file_has_every_key_once_and_each_line_is_the_default() {
    let unset = read("");
    assert_eq!(read(FILE), unset, "nothing is set as it comes");
    let is_key = |line: &&str| {
        line.strip_prefix('#').is_some_and(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    let lines: Vec<&str> = FILE.lines().filter(is_key).map(|line| &line[1..]).collect();
    let mut keys: Vec<String> =
        lines.iter().map(|line| format!("--{}", line.split_once(" = ").unwrap().0)).collect();
    keys.sort_unstable();
    assert_eq!(keys, defaults().into_keys().collect::<Vec<_>>());
    let (examples, own): (Vec<&str>, Vec<&str>) =
        lines.iter().partition(|line| line.ends_with("# for example"));
    for line in own {
        assert_eq!(read(line), unset, "{line}");
    }
    assert_ne!(read(&examples.join("\n")), unset);
    read(&lines.join("\n"));
}

#[test]
fn the_operators_table_has_every_kind_of_memory_with_its_share() {
    let table = TABLES.split_once("| `kind` | share |").unwrap().1;
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| `"));
    let documented: Vec<String> = rows
        .map(|row| {
            let (kind, rest) = row.split_once('`').unwrap();
            let most = match rest.split(" | ").nth(1).unwrap() {
                "–" => 1 << 53,
                share => share.strip_suffix("/16").unwrap().parse::<u64>().unwrap() << 20,
            };
            format!("poll_memory_bytes_max{{kind=\"{kind}\"}} {most}")
        })
        .collect();
    let metrics = Server::start(&["--memory-bytes", "16MiB"]).get("/metrics");
    let mut served: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("poll_memory_bytes_max{")).collect();
    let mut documented: Vec<&str> = documented.iter().map(String::as_str).collect();
    served.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, served);
}
