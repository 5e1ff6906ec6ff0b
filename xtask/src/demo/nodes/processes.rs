//! The programs of the demo of several nodes: Redis, the servers, nginx. All end when this is dropped.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use xtask::server::{Binary, Keyboard, Server};
use xtask::tools::{Install, TOOLS, ensure_these, find};

/// How long a program may take until it answers.
const START: Duration = Duration::from_secs(30);
/// Between two looks.
const STEP: Duration = Duration::from_millis(20);
/// The configuration that we ship, as it is there.
const NGINX: &str = include_str!("../../../../deploy/nginx-nodes.conf");

/// Fails with the line to type if a program is missing.
pub(super) fn ensure_programs() -> Result<()> {
    let needed: Vec<_> =
        TOOLS.iter().filter(|tool| ["redis-server", "nginx"].contains(&tool.program)).copied().collect();
    ensure_these(&needed, "the demo of several nodes", Install::Never)
}

/// Everything that runs. Fields are dropped in this order.
pub(super) struct Processes {
    nginx: Program,
    nodes: Vec<Node>,
    redis: Program,
    binary: Binary,
    _files: TempDir,
}

struct Node {
    address: SocketAddr,
    server: Option<Server>,
}

/// A program that has an address and is killed when it is dropped.
struct Program {
    address: SocketAddr,
    child: Child,
}

impl Processes {
    /// Starts them all and waits until they answer.
    pub(super) async fn start(nodes: usize, binary: &Binary) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let redis = start_redis(files.path()).await?;
        let mut servers = Vec::new();
        for _ in 0..nodes {
            servers.push(start_node(binary, redis.address, None).await?);
        }
        let addresses: Vec<SocketAddr> = servers.iter().map(|node| node.address).collect();
        let nginx = start_nginx(files.path(), &addresses).await?;
        Ok(Self { nginx, nodes: servers, redis, binary: binary.clone(), _files: files })
    }

    pub(super) fn nginx_address(&self) -> SocketAddr {
        self.nginx.address
    }

    /// Name and address of each node, and of nginx.
    pub(super) fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let nodes =
            self.nodes.iter().enumerate().map(|(index, node)| (format!("node {}", index + 1), node.address));
        nodes.chain([("nginx".to_owned(), self.nginx.address)]).collect()
    }

    /// Ends a node at once, whatever it is doing.
    pub(super) fn kill(&mut self, index: usize) {
        self.nodes[index].server = None;
    }

    /// Starts a node again at its address.
    pub(super) async fn restart(&mut self, index: usize) -> Result<()> {
        let address = self.nodes[index].address;
        self.nodes[index] = start_node(&self.binary, self.redis.address, Some(address)).await?;
        Ok(())
    }

    /// Ends all in order, and fails if a server does not end well.
    pub(super) async fn drain(self, patience: Duration) -> Result<()> {
        let servers: Vec<Server> = self.nodes.into_iter().filter_map(|node| node.server).collect();
        for server in &servers {
            server.terminate()?;
        }
        // Their last words would wait for us.
        tokio::task::spawn_blocking(move || servers.into_iter().try_for_each(|server| server.wait(patience)))
            .await
            .context("waiting for the servers")?
    }
}

async fn start_node(binary: &Binary, redis: SocketAddr, address: Option<SocketAddr>) -> Result<Node> {
    let store = format!("--store=redis://{redis}");
    let listen = address.map_or("--listen=127.0.0.1:0".to_owned(), |address| format!("--listen={address}"));
    let arguments = [store.as_str(), &listen, "--trusted-proxy=127.0.0.1", "--drain-seconds=5"];
    let mut server = Server::spawn(binary, &arguments, Keyboard::Apart)?;
    let begun = Instant::now();
    while !server.is_listening()? {
        ensure!(begun.elapsed() < START, "a server did not say where it listens");
        sleep(STEP).await;
    }
    Ok(Node { address: server.address(), server: Some(server) })
}

async fn start_redis(files: &Path) -> Result<Program> {
    let address = free_address()?;
    let folder = files.join("redis");
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(find("redis-server").context("redis-server is missing")?);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
    command.arg("--dir").arg(folder);
    let mut redis = Program::start("redis-server", &mut command, address)?;
    redis
        .answers("redis-server", async || {
            let mut stream = TcpStream::connect(address).await.ok()?;
            stream.write_all(b"PING\r\n").await.ok()?;
            let mut pong = [0; 5];
            stream.read_exact(&mut pong).await.ok()?;
            (&pong == b"+PONG").then_some(())
        })
        .await?;
    Ok(redis)
}

async fn start_nginx(files: &Path, nodes: &[SocketAddr]) -> Result<Program> {
    let address = free_address()?;
    let folder = files.join("nginx");
    std::fs::create_dir_all(&folder)?;
    let configuration = folder.join("nginx.conf");
    std::fs::write(&configuration, nginx_configuration(address, nodes, &folder))?;
    let mut command = Command::new(find("nginx").context("nginx is missing")?);
    let at = folder.display();
    // One process, whose end is the end of all of it.
    let global = format!("daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;");
    command.arg("-p").arg(&folder).arg("-c").arg(&configuration).args(["-g", &global]);
    let mut nginx = Program::start("nginx", &mut command, address)?;
    nginx.answers("nginx", async || TcpStream::connect(address).await.ok().map(drop)).await?;
    Ok(nginx)
}

/// The shipped configuration with the addresses of this demo.
fn nginx_configuration(listen: SocketAddr, nodes: &[SocketAddr], folder: &Path) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .concat();
    let mut lines = Vec::new();
    for line in NGINX.lines() {
        match line.trim() {
            "worker_processes auto;" | "worker_rlimit_nofile 65536;" => {}
            "worker_connections 32768;" => lines.push("    worker_connections 1024;".to_owned()),
            "http {" => lines.push(format!("http {{\n    access_log off;\n{temporary}")),
            "listen 80; # CHANGE" => lines.push(format!("        listen {listen};")),
            server if server.starts_with("server poll1:8080") => {
                let parameters = server.strip_prefix("server poll1:8080").unwrap_or_default();
                lines.extend(nodes.iter().map(|node| format!("        server {node}{parameters}")));
            }
            server if server.starts_with("server poll") => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

impl Program {
    fn start(name: &str, command: &mut Command, address: SocketAddr) -> Result<Self> {
        // Ctrl-C is for us alone.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { address, child })
    }

    async fn answers(&mut self, name: &str, ask: impl AsyncFn() -> Option<()>) -> Result<()> {
        let begun = Instant::now();
        while ask().await.is_none() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended with {status}");
            }
            ensure!(begun.elapsed() < START, "{name} does not answer on {}", self.address);
            sleep(STEP).await;
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Neither can fail for a child that is ours and not yet waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the loopback interface that is free now, for a program that cannot say which one it took.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_configuration_is_adapted_in_every_line_that_has_to_be() {
        let node = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let text = nginx_configuration(node(1), &[node(2), node(3)], Path::new("/f"));
        for line in [
            "        listen 127.0.0.1:1;",
            "        server 127.0.0.1:2 max_fails=1 fail_timeout=2s; # CHANGE",
            "        server 127.0.0.1:3 max_fails=1 fail_timeout=2s; # CHANGE",
            "    worker_connections 1024;",
        ] {
            assert!(text.lines().any(|other| other == line), "{line:?} in {text}");
        }
        assert!(!text.contains("poll1") && !text.contains("32768"), "{text}");
    }
}
