//! `cargo xtask nightly`: what needs another toolchain, a network, or more time than a change can wait for.
//!
//! Every step runs, whatever became of the ones before it.

use std::ffi::OsString;

use anyhow::{Result, bail};
use clap::Args;

use crate::fuzz::Fuzz;
use crate::package::Package;
use crate::{features, js, lint, programs, proxies, release, streams};
use xtask::server::Binary;
use xtask::steps::Steps;
use xtask::tools::Install;

/// The courses of the torture at full length, each with its arguments; the race has no name.
const COURSES: &[&str] = &[
    "",
    "dialects",
    "lists",
    "kills",
    "damage",
    "churn",
    "drain",
    "hoard",
    "tls",
    "cluster",
    "--tls",
    "dialects --tls",
    "lists --tls",
    "kills --tls",
    "churn --tls",
    "drain --tls",
    "hoard --tls",
];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Nightly {
    /// Minutes for each fuzz target
    #[arg(long, default_value_t = 5, value_name = "N")]
    fuzz_minutes: u64,
}

impl Nightly {
    pub(crate) fn run(&self) -> Result<()> {
        let mut steps = Steps::default();
        let fuzz = Fuzz { seconds: 60 * self.fuzz_minutes, target: None };
        let mut failed = Vec::new();
        let mut step = |name, work: &dyn Fn() -> Result<()>| {
            failed.extend(steps.step(name, work).err().inspect(|error| eprintln!("error: {error:#}")));
        };
        step("oldest compiler", &release::oldest_compiler);
        step("features", &features::check_all);
        step("install cargo-deny", &release::install_deny);
        step("deny", &|| release::deny(&["advisories", "bans", "licenses", "sources"]));
        step("JavaScript", &js::test_all);
        step("proxies", &|| {
            proxies::check(&Binary::given_or_built(None)?, proxies::Extent::Longest, Install::Allowed)
        });
        step("lint", &|| lint::check(&Binary::given_or_built(None)?, Install::Allowed));
        step("client of Durable Streams", &streams::check_client);
        step("package", &|| Package::NIGHTLY.run());
        step("static package", &|| Package::NIGHTLY_STATIC.run());
        step("fuzz", &|| fuzz.run());
        step("simulate", &|| programs::simulate(&["--seeds", "20000", "--all"].map(OsString::from)));
        for course in COURSES {
            let name = match *course {
                "" => "race",
                "--tls" => "race --tls",
                named => named,
            };
            step(name, &|| {
                let server = Binary::given_or_built(None)?;
                let words = course.split_whitespace().map(OsString::from);
                programs::torture(&words.chain(["--server".into(), server.path().into()]).collect::<Vec<_>>())
            });
        }
        eprintln!("\n{}", steps.summary());
        match failed.len() {
            0 => Ok(()),
            number => bail!("{number} steps failed"),
        }
    }
}
