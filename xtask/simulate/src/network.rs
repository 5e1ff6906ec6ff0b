//! The network between the clients and whichever server runs: pipes with small buffers and delays, which are cut and stall.
//!
//! A connection belongs to one machine, and ends with it at once, whatever is still under way. A connection that is cut
//! ends in the same way; the server may still read what was sent before.

mod cable;

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use poll_server::Dialer;
use tokio::time::Instant;
use xtask_torture::outside::{Outside, Wire};

use self::cable::{Cable, Line};
use crate::platform::Clock;
use crate::random::Random;
use crate::trace;

/// Where every server listens.
pub(crate) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// See the [module](self).
pub(crate) struct Network {
    /// Leads to the server that runs.
    dialer: RefCell<Option<Dialer>>,
    lines: RefCell<Vec<Line>>,
    clock: Clock,
    random: Random,
}

impl Network {
    pub(crate) fn new(clock: Clock, random: Random) -> Self {
        Self { dialer: RefCell::default(), lines: RefCell::default(), clock, random }
    }

    /// A server listens.
    pub(crate) fn connect_to(&self, dialer: Dialer) {
        self.dialer.replace(Some(dialer));
    }

    /// The server is gone, and so are all its connections.
    pub(crate) fn machine_stopped(&self) {
        self.dialer.replace(None);
        self.lines.take().iter().for_each(Line::cut);
    }

    /// Cuts about one connection in so many; says how many.
    pub(crate) fn cut(&self, one_in: u64) -> usize {
        let open = self.open();
        let cut: Vec<&Line> = open.iter().filter(|_| self.random.once_in(one_in)).collect();
        cut.iter().for_each(|line| line.cut());
        cut.len()
    }

    /// Lets nothing pass on about one connection in so many for a while; says on how many.
    pub(crate) fn stall(&self, one_in: u64, duration: Duration) -> usize {
        let open = self.open();
        let stalled: Vec<&Line> = open.iter().filter(|_| self.random.once_in(one_in)).collect();
        stalled.iter().for_each(|line| line.stall(Instant::now() + duration));
        stalled.len()
    }

    /// Nothing stalls any more.
    pub(crate) fn heal(&self) {
        self.open().iter().for_each(|line| line.stall(Instant::now()));
    }

    fn open(&self) -> Vec<Line> {
        let mut lines = self.lines.borrow_mut();
        lines.retain(Line::is_open);
        lines.clone()
    }
}

impl Outside for Network {
    fn connect(&self, _: SocketAddr) -> io::Result<Box<dyn Wire>> {
        let dialer = self.dialer.borrow();
        let dialer = dialer.as_ref().ok_or(io::ErrorKind::ConnectionRefused)?;
        let number = self.random.within(1_024..65_000);
        trace::record("connect", number);
        let peer = SocketAddr::new(ADDRESS.ip(), u16::try_from(number).unwrap_or(u16::MAX));
        let buffer = self.random.choose(&[64, 500, 4_096, 65_536]);
        let line = Line::new(dialer.connect_with(peer, buffer)?);
        self.lines.borrow_mut().push(line.clone());
        Ok(Box::new(Cable::new(line, self.random.clone())))
    }

    fn now(&self) -> SystemTime {
        self.clock.truth()
    }
}
