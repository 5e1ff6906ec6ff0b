//! nginx in front of the nodes, with no stickiness: any request may go to any node.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpStream;

use super::process::{Process, program, until};

const START: Duration = Duration::from_secs(10);

/// A running nginx.
#[derive(Debug)]
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    _process: Process,
}

impl Nginx {
    pub(super) async fn start(address: SocketAddr, nodes: &[SocketAddr], folder: &Path) -> Result<Self> {
        let folder = folder.join("nginx");
        std::fs::create_dir_all(&folder)?;
        let configuration = folder.join("nginx.conf");
        std::fs::write(&configuration, text(address, nodes, &folder))?;
        let mut command = program("nginx")?;
        command.arg("-p").arg(&folder).arg("-c").arg(&configuration);
        let mut process = Process::start("nginx", &mut command, &folder.join("log"))?;
        until("nginx listens", START, async || {
            process.check()?;
            Ok(TcpStream::connect(address).await.is_ok())
        })
        .await?;
        Ok(Self { address, _process: process })
    }
}

/// One process, so that its end is the end of all of it.
fn text(address: SocketAddr, nodes: &[SocketAddr], folder: &Path) -> String {
    let mut servers = String::new();
    for node in nodes {
        // A node that failed is asked again after a second, and nobody is sent away because all failed once.
        let _ = writeln!(servers, "server {node} max_fails=1 fail_timeout=1s;");
    }
    let folder = folder.display();
    format!(
        "daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 8192;
pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream nodes {{ {servers} keepalive 64; }}
    server {{
        listen {address};
        client_max_body_size 2m;
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_connect_timeout 2s;
            proxy_read_timeout 60s;
        }}
    }}
}}
"
    )
}
