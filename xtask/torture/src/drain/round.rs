//! What became of the requests and connections of one drain, counted by all its clients on one thread.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use tokio::net::TcpStream;

use crate::tally::Tally;

/// Shared by the clients of one round.
pub(super) struct Round(Rc<RefCell<Tally>>);

/// The counts of one client.
#[derive(Clone)]
pub(super) struct Counts {
    tally: Rc<RefCell<Tally>>,
    row: Rc<str>,
}

impl Round {
    pub(super) fn new(tally: Tally) -> Self {
        Self(Rc::new(RefCell::new(tally)))
    }

    pub(super) fn of(&self, row: &str) -> Counts {
        Counts { tally: Rc::clone(&self.0), row: row.into() }
    }

    pub(super) fn answered(&self) -> u64 {
        self.0.borrow().sum("answered")
    }

    /// The counts, once every client has ended.
    pub(super) fn end(self) -> Result<Tally> {
        Ok(Rc::into_inner(self.0).context("a client still counts")?.into_inner())
    }
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
    pub(super) async fn connect(&self, address: SocketAddr) -> Result<Option<TcpStream>> {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                Ok(Some(stream))
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            // It was begun before the listener was closed, and not accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.reset();
                Ok(None)
            }
            Err(error) => Err(error).context("cannot connect"),
        }
    }
}
