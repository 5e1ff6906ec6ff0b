//! nginx with the Nchan module, as Debian packages them: one worker, Nchan's defaults, room for the connections.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, geteuid, getrlimit};

use super::Running;
use super::process::{Process, folder, free_address};
use crate::scenario::{Course, Form, Needs, Scenario, Streams};
use crate::wire::{Ask, Next, Post, Wire};
use xtask::tools::{self, Tool};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

const TOOLS: &[Tool] = &[
    Tool { program: "nginx", package: "nginx-light", purpose: "the server that Nchan runs in" },
    Tool { program: MODULE, package: "libnginx-mod-nchan", purpose: "Nchan" },
];

pub(crate) struct Nchan {
    program: PathBuf,
    /// As it says it: `nginx/1.22.1`.
    version: String,
}

impl Nchan {
    pub(super) fn prepare() -> Result<Option<Self>> {
        if let Err(error) = tools::ensure_these(TOOLS, "the bench") {
            eprintln!("nchan is left out: {error:#}");
            return Ok(None);
        }
        let program = tools::find("nginx").context("nginx is installed")?;
        let output = Command::new(&program).arg("-v").output().context("cannot start nginx")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let version = said.rsplit(' ').next().unwrap_or("nginx").trim().to_owned();
        Ok(Some(Self { program, version }))
    }

    pub(super) fn settings(&self, scenario: &Scenario) -> Option<String> {
        let subscriber = match &scenario.course {
            Course::FanOut(_) | Course::Channels(_) | Course::Idle(_) => "nchan_subscriber longpoll; ",
            Course::Streams(Streams { form: Form::Lines, .. }) => "nchan_subscriber http-chunked; ",
            Course::Streams(Streams { form: Form::Events, .. }) => "nchan_subscriber eventsource; ",
            Course::Short(_) => "nchan_subscriber interval-poll; ",
            Course::Publish(_) | Course::Http2(_) => "",
        };
        let raised = "worker_processes 1; keepalive_requests and worker_connections raised; no access log";
        (scenario.needs == Needs::PLAIN).then(|| format!("{}; {subscriber}{raised}", self.version))
    }

    pub(super) fn start(&self) -> Result<Running> {
        let (folder, address) = (folder()?, free_address()?);
        fs::write(folder.path().join("nginx.conf"), configuration(address))?;
        let mut command = Command::new(&self.program);
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        let process = Process::start(command, folder, address)?.with_children()?;
        Ok(Running::of(wire(address), process))
    }
}

fn configuration(address: SocketAddr) -> String {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20).min(1 << 20);
    // Some files are not connections: the listener, the log, the pipes between master and worker.
    let connections = files.saturating_sub(64);
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let locations: String = [
        ("publish", "nchan_publisher"),
        ("long", "nchan_subscriber longpoll"),
        ("stream", "nchan_subscriber http-chunked"),
        ("events", "nchan_subscriber eventsource"),
        ("short", "nchan_subscriber interval-poll"),
    ]
    .iter()
    .map(|(path, directive)| {
        format!("    location /{path} {{ {directive}; nchan_channel_id $arg_channel; }}\n")
    })
    .collect();
    format!(
        "load_module {MODULE};\n\
         daemon off;\n\
         {user}\n\
         pid nginx.pid;\n\
         error_log stderr warn;\n\
         worker_processes 1;\n\
         worker_rlimit_nofile {files};\n\
         events {{ worker_connections {connections}; }}\n\
         http {{\n\
         \x20 access_log off;\n\
         \x20 keepalive_requests 1000000000;\n\
         \x20 client_body_temp_path client;\n\
         \x20 proxy_temp_path proxy;\n\
         \x20 fastcgi_temp_path fastcgi;\n\
         \x20 uwsgi_temp_path uwsgi;\n\
         \x20 scgi_temp_path scgi;\n\
         \x20 server {{\n    listen {address} backlog=4096;\n{locations}  }}\n\
         }}\n"
    )
}

pub(super) fn wire(address: SocketAddr) -> Wire {
    let ask = |path: &str, next| Ask::new(&format!("/{path}?channel={{channel}}"), next);
    Wire {
        address,
        long: Some(ask("long", Next::Headers)),
        // Without the line it is no subscriber.
        stream: Some(ask("stream", Next::Same).with("TE: chunked")),
        events: Some(ask("events", Next::Same).with("Accept: text/event-stream")),
        unchanged: Some(ask("short", Next::Headers)),
        short: Some(ask("short", Next::Same)),
        publish: Post::new("/publish?channel={channel}", "text/plain", "{payload}"),
    }
}
