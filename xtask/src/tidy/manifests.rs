//! Which crate may depend on which, and what every manifest says.

use toml::{Table, Value};

use super::fault::Fault;

/// A dependency that a crate does not have.
struct Wall {
    crate_name: &'static str,
    never: &'static [&'static str],
    sections: Sections,
}

/// Which kinds of dependencies a wall stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sections {
    /// Every kind, those of tests too.
    All,
    /// What the product is built of.
    Product,
}

const WALLS: &[Wall] = &[
    Wall {
        crate_name: "poll-core",
        never: &[
            "http",
            "http-body",
            "hyper",
            "hyper-util",
            "h2",
            "tracing-subscriber",
            "poll-http",
            "poll-server",
            "poll-client",
        ],
        sections: Sections::All,
    },
    Wall {
        crate_name: "poll-http",
        never: &["socket2", "poll-server", "tracing-subscriber"],
        sections: Sections::All,
    },
    Wall { crate_name: "poll-http", never: &["poll-client", "clap"], sections: Sections::Product },
    Wall { crate_name: "poll-client", never: &["poll-http", "poll-server"], sections: Sections::All },
    Wall { crate_name: "poll-server", never: &["poll-client"], sections: Sections::Product },
    Wall { crate_name: "xtask", never: &["poll-core", "poll-http", "poll-server"], sections: Sections::All },
];

/// Faults of one member's `Cargo.toml`.
pub(super) fn check(path: &str, text: &str) -> Vec<Fault> {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Fault::new(path, 1, format!("is not TOML: {error}"))],
    };
    // A fuzz crate stands outside of the workspace and has no lints to share.
    if manifest.contains_key("workspace") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let package = manifest.get("package").and_then(Value::as_table);
    let field = |name: &str| {
        package.and_then(|package| package.get(name)).and_then(Value::as_str).unwrap_or_default()
    };
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
    if lints != Some(true) {
        faults.push(Fault::new(path, 0, "does not take the workspace's lints: [lints] workspace = true"));
    }
    if field("description").len() < 10 {
        faults.push(Fault::new(
            path,
            line_of(text, "description"),
            "does not say what the crate is: description",
        ));
    }
    for (name, sections) in dependencies(&manifest) {
        let walls = WALLS.iter().filter(|wall| wall.crate_name == field("name"));
        let hit = walls.filter(|wall| wall.sections == Sections::All || sections == Sections::Product);
        let tool = field("name").starts_with("xtask");
        if (name == "xtask" && !tool) || hit.flat_map(|wall| wall.never).any(|never| *never == name) {
            faults.push(Fault::new(
                path,
                line_of(text, &name),
                format!("{} does not depend on {name}", field("name")),
            ));
        }
    }
    faults
}

/// Every dependency by its real name, with the narrowest kind of wall that would stop it.
fn dependencies(manifest: &Table) -> Vec<(String, Sections)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let mut found = Vec::new();
    for table in tables {
        for (section, kind) in [
            ("dependencies", Sections::Product),
            ("build-dependencies", Sections::Product),
            ("dev-dependencies", Sections::All),
        ] {
            for (name, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let renamed = value.get("package").and_then(Value::as_str);
                found.push((renamed.unwrap_or(name).to_owned(), kind));
            }
        }
    }
    found
}

fn line_of(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(word)).map_or(0, |index| index + 1)
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
