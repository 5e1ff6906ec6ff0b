//! The programs to be counted: every bench called `counted` of a checkout, and the paths that each has.

use std::path::{Path as Folder, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use xtask::workspace::{cargo, output};

/// The name of the bench in every crate that has one.
const BENCH: &str = "counted";

/// A built bench.
pub(super) struct Program {
    package: String,
    executable: PathBuf,
}

/// One way through a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// With the package before it.
    pub(super) name: String,
    pub(super) executable: PathBuf,
    /// How many rounds are enough.
    pub(super) rounds: u64,
    /// How many operations a round is.
    pub(super) operations: u64,
}

impl Path {
    /// What the program calls it.
    pub(super) fn argument(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(_, path)| path)
    }
}

/// Of what `cargo metadata` says.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Of what a build says of each thing it made.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    executable: Option<PathBuf>,
}

/// Builds the benches of a checkout; none where it has none.
pub(super) fn build(checkout: &Folder, target: &Folder) -> Result<Vec<Program>> {
    let mut metadata = cargo(["metadata", "--no-deps", "--format-version=1"]);
    let packages = counted(&output(metadata.current_dir(checkout))?)?;
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    let mut build = cargo(["bench", "--no-run", "--message-format=json", "--bench", BENCH, "--target-dir"]);
    build.current_dir(checkout).arg(target).stderr(Stdio::inherit());
    for (_, name) in &packages {
        build.args(["--package", name]);
    }
    // Its progress is shown as it comes, which `output` would keep to itself.
    let built = build.output().context("cannot start cargo")?;
    ensure!(built.status.success(), "the benches of {} do not build", checkout.display());
    programs(&packages, &String::from_utf8_lossy(&built.stdout))
}

/// Id and name of each package that has the bench.
fn counted(metadata: &str) -> Result<Vec<(String, String)>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("what cargo says of the workspace")?;
    let is_counted = |target: &Target| target.name == BENCH && target.kind == ["bench"];
    let packages = metadata.packages.into_iter().filter(|package| package.targets.iter().any(is_counted));
    Ok(packages.map(|package| (package.id, package.name)).collect())
}

/// The executable of each of these packages, in their order.
fn programs(packages: &[(String, String)], messages: &str) -> Result<Vec<Program>> {
    let artifacts: Vec<Artifact> = messages
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("what cargo says of the build")?;
    let program = |(id, name): &(String, String)| {
        let made =
            artifacts.iter().filter(|made| made.reason == "compiler-artifact" && made.package_id == *id);
        let executable = made.filter_map(|made| made.executable.clone()).next();
        let executable = executable.with_context(|| format!("{name} was built without its bench"))?;
        Ok(Program { package: name.clone(), executable })
    };
    packages.iter().map(program).collect()
}

impl Program {
    /// Its paths, as it lists them.
    pub(super) fn paths(&self) -> Result<Vec<Path>> {
        let listing = output(Command::new(&self.executable).arg("--list"))?;
        listing.lines().map(|line| self.path(line)).collect()
    }

    fn path(&self, line: &str) -> Result<Path> {
        let wrong = || format!("{} lists a path as `{line}`", self.package);
        let mut words = line.split(' ');
        let name = words.next().with_context(wrong)?;
        let mut number = || words.next()?.parse().ok().filter(|number| *number > 0);
        let (rounds, operations) = number().zip(number()).with_context(wrong)?;
        let name = format!("{}/{name}", self.package);
        Ok(Path { name, executable: self.executable.clone(), rounds, operations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"packages":[
        {"id":"path+a","name":"a","targets":[{"name":"a","kind":["lib"]},{"name":"counted","kind":["bench"]}]},
        {"id":"path+b","name":"b","targets":[{"name":"counted","kind":["example"]}]}]}"#;

    #[test]
    fn only_packages_with_the_bench_are_built() {
        assert_eq!(counted(METADATA).unwrap(), [("path+a".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn the_executable_is_that_of_the_package() {
        let packages = counted(METADATA).unwrap();
        let messages = [
            r#"{"reason":"compiler-artifact","package_id":"path+a","executable":null}"#,
            r#"{"reason":"compiler-artifact","package_id":"path+x","executable":"/x"}"#,
            r#"{"reason":"compiler-artifact","package_id":"path+a","executable":"/a"}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ];
        let programs = programs(&packages, &messages.join("\n")).unwrap();
        assert_eq!(programs[0].executable, Folder::new("/a"));
        assert!(super::programs(&packages, messages[1]).is_err());
    }

    #[test]
    fn a_listed_path_has_a_name_and_two_numbers() {
        let program = Program { package: "a".to_owned(), executable: "/a".into() };
        let path = program.path("wake-100 200 100").unwrap();
        assert_eq!((path.name.as_str(), path.rounds, path.operations), ("a/wake-100", 200, 100));
        assert_eq!(path.argument(), "wake-100");
        for line in ["", "wake", "wake 1", "wake 0 1", "wake 1 x"] {
            assert!(program.path(line).is_err(), "{line}");
        }
    }
}
