//! nginx with the Nchan module, from Debian's packages: one worker, Nchan's defaults, limits raised.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, geteuid, getrlimit};
use xtask::tools::{self, Install, Tool};

use super::folder::folder;
use super::process::{Children, Process, free_address};
use crate::certificate::Certificate;
use crate::endpoints::{Endpoints, Mode, Next, ReadTemplate};
use crate::target::{Needs, Security, Target};
use crate::target::{Peer, Running};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

const TOOLS: &[Tool] = &[
    Tool { program: "nginx", package: "nginx-light", purpose: "the server that Nchan runs in" },
    Tool { program: MODULE, package: "libnginx-mod-nchan", purpose: "Nchan" },
];

const SETTINGS: &str = "worker_processes 1; keepalive_requests and worker_connections raised; no access log";

/// A mode, its path and the subscriber that serves it.
const LOCATIONS: &[(Mode, &str, &str)] = &[
    (Mode::LongPoll, "long", "longpoll"),
    (Mode::Stream, "stream", "http-chunked"),
    (Mode::Events, "events", "eventsource"),
    (Mode::Conditional, "short", "interval-poll"),
    (Mode::ShortPoll, "poll", "interval-poll"),
];

pub(super) fn prepare() -> Result<Option<Peer>> {
    if let Err(error) = tools::ensure_these(TOOLS, "the bench", Install::Allowed) {
        eprintln!("nchan is left out: {error:#}");
        return Ok(None);
    }
    let program = tools::find("nginx").context("nginx is installed")?;
    let output = Command::new(&program).arg("-v").output().context("cannot start nginx")?;
    // It prints `nginx version: nginx/1.22.1`.
    let version = String::from_utf8_lossy(&output.stderr).trim().rsplit(' ').next().map(str::to_owned);
    let settings = format!("{}; {SETTINGS}", version.as_deref().unwrap_or("nginx"));
    let settings = move |mode, needs| match needs {
        _ if !LOCATIONS.iter().any(|(known, ..)| *known == mode) => None,
        Needs::PLAIN => Some(settings.clone()),
        Needs::TLS => Some(format!("{settings}; ssl with nginx's defaults")),
        _ => None,
    };
    let start = Box::new(move |needs: Needs| start(&program, needs.security));
    Ok(Some(Peer { name: "nchan", endpoints, settings: Box::new(settings), start }))
}

fn start(program: &Path, security: Security) -> Result<Running> {
    let (folder, endpoints) = (folder()?, endpoints(free_address()?));
    let (mut listen, mut trust) = (format!("listen {} backlog=4096;", endpoints.address), None);
    if security == Security::Tls {
        let Certificate { certificate, key, trust: clients } = Certificate::make(folder.path())?;
        let (certificate, key) = (certificate.display(), key.display());
        listen = format!(
            "listen {} ssl backlog=4096; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {certificate}; \
             ssl_certificate_key {key};",
            endpoints.address
        );
        trust = Some(clients);
    }
    fs::write(folder.path().join("nginx.conf"), configuration(&listen))?;
    let mut command = Command::new(program);
    command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
    let process = Process::launch(command, folder, endpoints.address, Children::Awaited)?;
    let target = Target { endpoints, processes: process.all(), waits: Needs::PLAIN.waits(), trust };
    Ok(Running::new(target, process))
}

fn configuration(listen: &str) -> String {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20).min(1 << 20);
    // Some files are not connections: the listener, the log, the pipes between master and worker.
    let connections = files.saturating_sub(64);
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let location = |path: &str, directive: &str| {
        format!("    location /{path} {{ {directive}; nchan_channel_id $arg_channel; }}\n")
    };
    let subscribers =
        LOCATIONS.iter().map(|(_, path, words)| location(path, &format!("nchan_subscriber {words}")));
    let locations: String =
        std::iter::once(location("publish", "nchan_publisher")).chain(subscribers).collect();
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
         \x20 server {{\n    {listen}\n{locations}  }}\n\
         }}\n"
    )
}

fn endpoints(address: SocketAddr) -> Endpoints {
    let read = |(mode, path, _): &(Mode, &str, &str)| {
        let of = |next| ReadTemplate::new(&format!("/{path}?channel={{channel}}"), next);
        let template = match mode {
            // Without the header it is no subscriber.
            Mode::Stream => of(Next::Same).with("TE: chunked\r\n"),
            Mode::Events => of(Next::Same).with("Accept: text/event-stream\r\n"),
            Mode::ShortPoll => of(Next::Same),
            _ => of(Next::Headers),
        };
        (*mode, template)
    };
    let reads = LOCATIONS.iter().map(read).collect();
    Endpoints { reads, ..Endpoints::new(address, "/publish?channel={channel}") }
}
