//! What became of the requests and connections of one drain, counted by all its clients on one thread.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;

use crate::secured::{Offer, Socket, dial};
use crate::tally::Tally;

/// The counts of one client, in a table that all share.
#[derive(Clone)]
pub(super) struct Counts {
    pub(super) tally: Rc<RefCell<Tally>>,
    pub(super) row: String,
}

impl Counts {
    pub(super) fn answered(&self, status: u16) {
        let unexpected = u64::from(!matches!(status, 200 | 201 | 503));
        self.tally.borrow_mut().add(&self.row, [("answered", 1), ("unexpected", unexpected)]);
    }

    pub(super) fn unanswered(&self, requests: usize) {
        self.tally.borrow_mut().add(&self.row, [("unanswered", requests as u64)]);
    }

    pub(super) fn reset(&self) {
        self.tally.borrow_mut().add(&self.row, [("resets", 1)]);
    }

    /// A connection, unless nobody listens any more.
    pub(super) async fn connect(&self, address: SocketAddr, offer: Offer) -> Result<Option<Socket>> {
        let error = match dial(address, offer).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) => error,
        };
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => Ok(None),
            // It was begun before the listener was closed, and not accepted.
            Some(io::ErrorKind::ConnectionReset) => {
                self.reset();
                Ok(None)
            }
            _ => Err(error),
        }
    }
}
