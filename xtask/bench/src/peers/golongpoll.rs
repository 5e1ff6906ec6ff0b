//! golongpoll, in the smallest program that serves it, if its source and a Go toolchain are there.
//!
//! Downloads nothing: the source is given, and its imports come from `GOPATH` or Debian's packages.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use xtask::tools;
use xtask::workspace::{output, run, target};

use super::process::{self, Workers, folder, free_address};
use crate::endpoints::{Endpoints, Mode, Next, PublishTemplate, ReadTemplate};
use crate::peer::{Peer, Running};
use crate::target::Needs;

const PROGRAM: &str = include_str!("golongpoll/main.go");
/// Where Debian installs Go sources.
const DEBIAN: &str = "/usr/share/gocode";

pub(super) fn prepare(source: Option<&Path>) -> Result<Option<Peer>> {
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
    let settings = |_, needs| (needs == Needs::PLAIN).then(|| "GOMAXPROCS=1".to_owned());
    let start = Box::new(move |_| start(&program));
    Ok(Some(Peer { name: "golongpoll", endpoints, settings: Box::new(settings), start }))
}

fn start(program: &Path) -> Result<Running> {
    let endpoints = endpoints(free_address()?);
    let mut command = Command::new(program);
    command.arg(endpoints.address.to_string()).env("GOMAXPROCS", "1");
    process::start(command, folder()?, endpoints, Workers::Itself)
}

fn endpoints(address: SocketAddr) -> Endpoints {
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
