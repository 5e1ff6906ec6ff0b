//! Which crate may depend on which, and what every manifest says.

use toml::{Table, Value};

use super::fault::Fault;

/// What a crate never depends on, not even for its tests.
const NEVER: &[(&str, &str)] = &[
    ("poll-core", "http http-body hyper hyper-util h2 tracing-subscriber poll-http poll-server poll-client"),
    ("poll-http", "socket2 poll-server tracing-subscriber"),
    ("poll-client", "poll-http poll-server"),
    ("xtask", "poll-core poll-http poll-server"),
];
/// What a crate depends on for its tests at most.
const FOR_TESTS: &[(&str, &str)] = &[("poll-http", "poll-client clap"), ("poll-server", "poll-client")];

/// Faults of one member's `Cargo.toml`.
pub(super) fn check(path: &str, text: &str) -> Vec<Fault> {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Fault::new(path, 1, format!("is not TOML: {error}"))],
    };
    // A fuzz crate is outside the workspace and has no lints to share.
    if manifest.contains_key("workspace") {
        return Vec::new();
    }
    let line = |word: &str| text.lines().position(|line| line.starts_with(word)).map_or(0, |index| index + 1);
    let field = |name| manifest.get("package")?.get(name)?.as_str();
    let mut faults = Vec::new();
    if manifest.get("lints").and_then(|lints| lints.get("workspace")?.as_bool()) != Some(true) {
        faults.push(Fault::new(path, 0, "does not take the workspace's lints: [lints] workspace = true"));
    }
    if field("description").is_none_or(|description| description.len() < 10) {
        faults.push(Fault::new(path, line("description"), "does not say what the crate is: description"));
    }
    let name = field("name").unwrap_or_default();
    let bans = |table: &[(&str, &str)], other: &str| {
        table
            .iter()
            .any(|(crate_name, never)| *crate_name == name && never.split(' ').any(|never| never == other))
    };
    for (other, section) in dependencies(&manifest) {
        let is_banned = bans(NEVER, &other) || (section != "dev-dependencies" && bans(FOR_TESTS, &other));
        if is_banned || (other == "xtask" && !name.starts_with("xtask")) {
            faults.push(Fault::new(path, line(&other), format!("{name} does not depend on {other}")));
        }
    }
    faults
}

/// Every dependency by its real name, and the section that it is in.
fn dependencies(manifest: &Table) -> Vec<(String, &'static str)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables: Vec<&Table> = targets.filter_map(Value::as_table).chain([manifest]).collect();
    let mut found = Vec::new();
    for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let entries = tables.iter().filter_map(|table| table.get(section)?.as_table()).flatten();
        found.extend(entries.map(|(name, value)| {
            let renamed = value.get("package").and_then(Value::as_str);
            (renamed.unwrap_or(name).to_owned(), section)
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> String {
        format!(
            "[package]\nname = \"{name}\"\ndescription = \"What it is for\"\n[lints]\nworkspace = true\n{rest}"
        )
    }

    #[test]
    fn a_wrong_direction_is_found_in_every_section() {
        for section in
            ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(loom)'.dependencies"]
        {
            let text = manifest("poll-core", &format!("[{section}]\nhyper.workspace = true\n"));
            let faults = check("poll-core/Cargo.toml", &text);
            assert_eq!(faults.len(), 1, "{section}");
            assert_eq!(faults[0].line, 7);
        }
    }

    #[test]
    fn a_renamed_dependency_is_still_itself() {
        let text =
            manifest("poll-client", "[dependencies]\nx = { package = \"poll-server\", path = \"..\" }\n");
        assert_eq!(check("poll-client/Cargo.toml", &text).len(), 1);
    }

    #[test]
    fn tests_of_the_server_may_use_the_client() {
        let product = manifest("poll-server", "[dependencies]\npoll-client.workspace = true\n");
        assert_eq!(check("poll-server/Cargo.toml", &product).len(), 1);
        let tests = manifest("poll-server", "[dev-dependencies]\npoll-client.workspace = true\n");
        assert_eq!(check("poll-server/Cargo.toml", &tests), []);
    }

    #[test]
    fn every_member_shares_the_lints_and_says_what_it_is() {
        let faults = check("a/Cargo.toml", "[package]\nname = \"a\"\ndescription = \"TODO\"\n");
        assert_eq!(faults.len(), 2);
    }
}
