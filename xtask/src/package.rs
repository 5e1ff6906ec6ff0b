//! `cargo xtask package`: builds the programs in the forms in which they are installed, and tests the result.
//!
//! What: builds both programs, has them print their completions and manual pages, lists the crates linked into them, and makes
//! a Debian package (by cargo-deb), an archive of static programs, or the files of the container image. Package and archive
//! are then tested, each in isolation from this system.
//! Why not cargo-deb alone: it packages a single crate, and cannot run a program to print part of the package's contents.
//! Not here: what the Debian package holds, which is in `poll-server/Cargo.toml`.

mod archive;
mod deb;
mod debian;
mod files;
mod guide;
mod licences;
mod lifecycle;
mod linked;
mod outside;
mod sbom;

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::{Args, ValueEnum};
use xtask::steps::Skip;
use xtask::tools::{self, Install, Tool};
use xtask::workspace::{cargo, host, run, target};

use self::debian::Debian;

/// What every form needs.
const TOOLS: &[Tool] = &[
    Tool { program: "strip", package: "binutils", purpose: "programs without debug symbols" },
    Tool { program: "gzip", package: "gzip", purpose: "the lists of licences" },
];
/// What builds, checks and tests the Debian package.
const FOR_DEBIAN: &[Tool] = &[
    Tool { program: "dpkg-shlibdeps", package: "dpkg-dev", purpose: "the libraries that the programs need" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "a Debian system to install into" },
    Tool { program: "systemd-nspawn", package: "systemd-container", purpose: "booting it" },
    Tool { program: "lintian", package: "lintian", purpose: "Debian's own rules for packages" },
];
/// What builds and checks the archive.
const FOR_STATIC: &[Tool] = &[
    Tool { program: "musl-gcc", package: "musl-tools", purpose: "C code in static programs" },
    Tool { program: "ldd", package: "libc-bin", purpose: "the check that programs are static" },
];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Package {
    #[arg(value_enum, default_value = "deb")]
    form: Form,
    /// How the programs are compiled; `dev` is enough for the test
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    /// Build only
    #[arg(long)]
    no_test: bool,
}

/// What is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The Debian package
    Deb,
    /// An archive of static programs, which run on any Linux on this architecture
    Static,
    /// Only the files, below target/package/files, as the container image holds them
    Files,
}

/// A cargo profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    Release,
    Dev,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// Its folder below cargo's target folder.
    fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "debug",
        }
    }

    fn compression(self) -> deb::Compression {
        match self {
            Self::Release => deb::Compression::Small,
            Self::Dev => deb::Compression::Fast,
        }
    }
}

impl Package {
    /// The test of the Debian package in the nightly run.
    pub(crate) const NIGHTLY: Self = Self { form: Form::Deb, profile: Profile::Dev, no_test: false };
    /// The test of the static archive in the nightly run.
    pub(crate) const NIGHTLY_STATIC: Self = Self { form: Form::Static, ..Self::NIGHTLY };

    pub(crate) fn run(&self) -> Result<()> {
        tools::ensure_these(TOOLS, "every package", Install::Allowed)?;
        match self.form {
            Form::Deb => self.deb(),
            Form::Static => self.archive(),
            Form::Files => self.files(&host()?, &target().join("package/files")),
        }
    }

    fn deb(&self) -> Result<()> {
        tools::ensure_these(FOR_DEBIAN, "the Debian package", Install::Allowed)?;
        let folder = target().join("package");
        self.files(&host()?, &folder.join("files"))?;
        let first = deb::build(&folder, 1, self.profile.compression())?;
        if !self.no_test {
            let second = deb::build(&folder, 2, deb::Compression::Fast)?;
            deb::check(&first)?;
            outside::check(&folder.join("files/share/doc/poll/poll.cdx.json"))?;
            let debian = Debian::boot()?;
            lifecycle::test(&debian, &first, &second)?;
            guide::follow(&debian, &first)?;
            debian.power_off()?;
        }
        println!("{}", first.display());
        Ok(())
    }

    fn archive(&self) -> Result<()> {
        tools::ensure_these(FOR_STATIC, "the archive", Install::Allowed)?;
        let architecture = host()?.split('-').next().unwrap_or_default().to_owned();
        let musl = format!("{architecture}-unknown-linux-musl");
        let installed = Command::new("rustup").args(["target", "add", &musl]).output();
        if !installed.is_ok_and(|output| output.status.success()) {
            return Err(Skip(format!("rustup cannot install the target {musl}")).into());
        }
        let archive = archive::name(&architecture)?;
        let folder = target().join("package").join(&archive);
        self.files(&musl, &folder)?;
        archive::add_libc(&folder)?;
        let made = archive::build(&folder)?;
        if !self.no_test {
            archive::test(&made, &archive)?;
        }
        println!("{}", made.display());
        Ok(())
    }

    /// Builds the programs for a target, and lays out their files.
    fn files(&self, triple: &str, folder: &Path) -> Result<()> {
        let profile = self.profile.name();
        // Without `--target`, cargo reuses what it has built for the tests.
        let is_other = triple != host()?;
        let built = if is_other { target().join(triple) } else { target() };
        // One at a time, or cargo would unify the features of both.
        for package in linked::PACKAGES {
            let mut build = cargo(["build", "--locked", "--profile", profile, "--package", package]);
            if is_other {
                build.args(["--target", triple]);
            }
            run(&mut build)?;
        }
        files::lay_out(&built.join(self.profile.folder()), triple, folder)
    }
}
