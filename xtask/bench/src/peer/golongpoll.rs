//! golongpoll, in the smallest program that serves it: built from its source where that and a Go tool chain are at hand.
//!
//! Nothing is fetched: the source is the user's, and what it imports in turn is looked for in their `GOPATH` and among
//! Debian's packages.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Running;
use super::process::{Process, folder, free_address};
use crate::scenario::Needs;
use crate::wire::{Ask, Next, Post, Wire};
use xtask::tools;
use xtask::workspace::{output, run, target};

const PROGRAM: &str = include_str!("golongpoll/main.go");
/// Where Debian's packages of Go sources are.
const DEBIAN: &str = "/usr/share/gocode";

pub(crate) struct Golongpoll {
    program: PathBuf,
}

impl Golongpoll {
    pub(super) fn prepare(source: Option<&Path>) -> Result<Option<Self>> {
        let Some(source) = source else {
            eprintln!("golongpoll is left out: --golongpoll-source says where its source is");
            return Ok(None);
        };
        let Some(go) = tools::find("go") else {
            eprintln!("golongpoll is left out: there is no Go tool chain (on Debian: golang-go)");
            return Ok(None);
        };
        ensure!(source.join("longpoll.go").is_file(), "{} is not golongpoll's source", source.display());
        let folder = folder()?;
        let packages = folder.path().join("src/github.com/jcuga");
        fs::create_dir_all(&packages)?;
        symlink(std::path::absolute(source)?, packages.join("golongpoll"))?;
        let main = folder.path().join("main.go");
        fs::write(&main, PROGRAM)?;
        let program = target().join("bench-golongpoll");
        let own = output(Command::new(&go).args(["env", "GOPATH"]))?;
        let path = format!("{}:{}:{DEBIAN}", folder.path().display(), own.trim());
        let mut build = Command::new(go);
        build.args(["build", "-o"]).arg(&program).arg(&main);
        run(build.env("GO111MODULE", "off").env("GOPATH", path)).context("building golongpoll")?;
        Ok(Some(Self { program }))
    }

    pub(super) fn start(&self) -> Result<Running> {
        let (folder, address) = (folder()?, free_address()?);
        let mut command = Command::new(&self.program);
        command.arg(address.to_string()).env("GOMAXPROCS", "1");
        Ok(Running::of(wire(address), Process::start(command, folder, address)?))
    }
}

pub(super) fn settings(needs: Needs) -> Option<String> {
    (needs == Needs::PLAIN).then(|| "GOMAXPROCS=1".to_owned())
}

pub(super) fn wire(address: SocketAddr) -> Wire {
    let target = "/events?category={channel}&timeout=60&since_time={since}&last_id={id}";
    Wire {
        address,
        long: Some(Ask::new(target, Next::Golongpoll)),
        stream: None,
        events: None,
        // It has none: the shortest timeout is a second.
        unchanged: None,
        short: Some(Ask::new("/events?category={channel}&timeout=1&since_time=1", Next::Same)),
        publish: Post::new(
            "/publish",
            "application/json",
            "{\"category\":\"{channel}\",\"data\":\"{payload}\"}",
        ),
    }
}
