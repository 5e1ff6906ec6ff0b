//! ACME in a build without TLS: no setting asks for it, and none of this exists.

use poll_core::environment::Environment;
use tokio::sync::watch;

use crate::config::{Fault, Tls};
use crate::tls::Obtained;

/// None.
pub(crate) enum Keeper {}

/// None.
#[derive(Clone)]
pub(crate) enum Standing {}

impl Keeper {
    pub(crate) fn load(_: &Tls, _: Option<Obtained>, _: &Environment) -> Result<Option<Self>, Vec<Fault>> {
        Ok(None)
    }

    pub(crate) fn standing(&self) -> Standing {
        match *self {}
    }

    pub(crate) async fn run(self, _: watch::Receiver<u64>) {
        match self {}
    }
}

impl Standing {
    pub(crate) fn and(&self, _: Result<String, String>) -> Result<String, String> {
        match *self {}
    }
}
