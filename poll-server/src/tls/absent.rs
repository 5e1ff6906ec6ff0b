//! TLS in a build without it: no setting asks for it, and none of this exists.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use poll_core::environment::Environment;
use poll_http::{ConnectionContext, ConnectionError, Peer};
use tokio::sync::watch;

use crate::config::{Fault, Tls};
use crate::connection_io::ConnectionIo;

/// None.
#[derive(Clone, Debug)]
pub(crate) enum Certificates {}

/// None.
#[derive(Clone, Debug)]
pub(crate) enum Handshakes {}

/// None.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unfinished(());

/// None.
pub(crate) enum Keeper {}

/// None.
pub(crate) enum Obtained {}

pub(crate) fn check(_: &Tls, _: &dyn Fn(&Path) -> io::Result<String>, faults: &mut Vec<Fault>) {
    faults.push(absent());
}

fn absent() -> Fault {
    Fault("this build has no TLS: it was compiled without the feature `tls`".to_owned())
}

impl Keeper {
    pub(crate) fn load(_: &Tls, _: &Environment) -> Result<Self, Vec<Fault>> {
        Err(vec![absent()])
    }

    pub(crate) fn certificates(&self) -> Certificates {
        match *self {}
    }

    pub(crate) fn obtained(&self) -> Option<Obtained> {
        match *self {}
    }

    pub(crate) fn describe(&self) -> Vec<String> {
        match *self {}
    }
}

impl Handshakes {
    #[expect(clippy::needless_pass_by_value, reason = "as with TLS")]
    pub(crate) fn new(certificates: Certificates, _: Unfinished, _: Arc<ConnectionContext>) -> Self {
        match certificates {}
    }
}

pub(crate) async fn watch(keeper: Keeper, _: watch::Receiver<u64>) {
    match keeper {}
}

pub(crate) fn serve<F>(
    _: ConnectionIo,
    _: SocketAddr,
    handshakes: &Handshakes,
    _: impl FnOnce(Infallible, Peer) -> F,
) -> std::future::Ready<Result<(), ConnectionError>> {
    match *handshakes {}
}
