//! A server of several that share a Redis.

use std::net::SocketAddr;

use anyhow::Result;
use xtask::server::{Binary, Keyboard, Server};

use crate::peers::UNLIMITED;

/// A server over this Redis, with one worker and no limits of its own.
pub(super) fn start(binary: &Binary, listen: &str, redis: SocketAddr) -> Result<Server> {
    let mut flags = vec![format!("--listen={listen}"), format!("--store=redis://{redis}")];
    flags.push("--workers=1".to_owned());
    flags.extend(UNLIMITED.iter().map(|limit| format!("{limit}=0")));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Server::start(binary, &flags, Keyboard::Shared)
}
