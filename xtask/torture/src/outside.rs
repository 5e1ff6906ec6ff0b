//! Where connections and the time of day come from: the system, or a simulation in its place.
//!
//! It is the thread's, so that a simulation beside others has its own.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite};

thread_local! {
    static SIMULATED: RefCell<Option<Rc<dyn Outside>>> = const { RefCell::new(None) };
}

/// What a simulation brings.
pub trait Outside {
    /// A connection to a server.
    ///
    /// # Errors
    /// When there is none at this address.
    fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Wire>>;

    /// The time of day by the clients' clocks.
    fn now(&self) -> SystemTime;
}

/// A connection.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// While it is held, the clients of this thread are in a simulation.
pub struct Simulated(());

impl Simulated {
    /// Puts this in place of the system.
    #[must_use]
    pub fn by(outside: Rc<dyn Outside>) -> Self {
        SIMULATED.set(Some(outside));
        Self(())
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}

/// A simulation's connection; `None` outside of one.
pub(super) fn connect(address: SocketAddr) -> Option<io::Result<Box<dyn Wire>>> {
    SIMULATED.with_borrow(|outside| outside.as_ref().map(|outside| outside.connect(address)))
}

pub(super) fn now() -> SystemTime {
    SIMULATED.with_borrow(|outside| outside.as_ref().map_or_else(SystemTime::now, |outside| outside.now()))
}
