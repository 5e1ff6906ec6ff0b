//! golongpoll, in the smallest program that serves it, if its source and a Go toolchain are there.
//!
//! Downloads nothing: the source is given, and its imports come from `GOPATH` or Debian's packages.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use xtask::tools;
use xtask::workspace::{output, run, target};

use super::process::{Process, folder, free_address};
use super::running::Running;
use crate::endpoints::{Endpoints, Mode, Next, PublishTemplate, ReadTemplate};

const PROGRAM: &str = include_str!("golongpoll/main.go");
/// Where Debian installs Go sources.
const DEBIAN: &str = "/usr/share/gocode";

pub(super) const SETTINGS: &str = "GOMAXPROCS=1";

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
            eprintln!("golongpoll is left out: there is no Go toolchain (on Debian: golang-go)");
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
        Ok(Running::other(Process::start(command, folder, address)?, endpoints(address)))
    }
}

pub(super) fn endpoints(address: SocketAddr) -> Endpoints {
    let long = "/events?category={channel}&timeout=60&since_time={since}&last_id={id}";
    // It has no short poll: its shortest timeout is a second.
    let short = "/events?category={channel}&timeout=1&since_time=1";
    let body = "{\"category\":\"{channel}\",\"data\":\"{payload}\"}";
    Endpoints {
        address,
        reads: vec![
            (Mode::LongPoll, ReadTemplate::new(long, Next::Golongpoll)),
            (Mode::ShortPoll, ReadTemplate::new(short, Next::Same)),
        ],
        publish: PublishTemplate::new("/publish", "application/json", body),
    }
}
