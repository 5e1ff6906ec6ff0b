//! A started server, which ends when it is dropped.

use tempfile::TempDir;
use xtask::server::Server;

use super::process::Process;
use crate::endpoints::Endpoints;
use crate::target::{Needs, Target};

pub(crate) struct Running {
    pub(crate) target: Target,
    _server: Handle,
}

/// What keeps it up.
enum Handle {
    /// With the folder of its store, if that is on disk.
    Poll {
        _server: Server,
        _folder: Option<TempDir>,
    },
    Process {
        _process: Process,
    },
}

impl Running {
    pub(super) fn ours(server: Server, endpoints: Endpoints, needs: Needs, folder: Option<TempDir>) -> Self {
        let target = Target { endpoints, processes: vec![server.id()], waits: needs.waits() };
        Self { target, _server: Handle::Poll { _server: server, _folder: folder } }
    }

    pub(super) fn other(process: Process, endpoints: Endpoints) -> Self {
        let target = Target { endpoints, processes: process.all(), waits: Needs::PLAIN.waits() };
        Self { target, _server: Handle::Process { _process: process } }
    }
}
