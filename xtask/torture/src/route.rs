//! At which addresses a client asks for one log: at one, or now here and now there.

use std::net::SocketAddr;

use crate::position::Way;

/// An address, and whether the server itself listens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// Where to connect.
    pub address: SocketAddr,
    /// What is on the way.
    pub way: Way,
}

/// The addresses of one client, in the order in which it goes round. All lead to the same log.
#[derive(Clone, Debug)]
pub struct Route {
    first: Entrance,
    others: Vec<Entrance>,
}

impl Route {
    /// Begins at the first and goes through the others in turn.
    pub fn through(first: Entrance, others: &[Entrance]) -> Self {
        Self { first, others: others.to_vec() }
    }

    /// Where it begins.
    pub fn first(&self) -> SocketAddr {
        self.first.address
    }

    /// Whether there is more than one.
    pub fn has_turns(&self) -> bool {
        !self.others.is_empty()
    }

    /// The address of this turn.
    pub fn at(&self, turn: usize) -> Entrance {
        match turn % (self.others.len() + 1) {
            0 => self.first,
            number => self.others[number - 1],
        }
    }
}

/// A server's own address.
impl From<SocketAddr> for Entrance {
    fn from(address: SocketAddr) -> Self {
        Self { address, way: Way::Direct }
    }
}

impl From<Entrance> for Route {
    fn from(first: Entrance) -> Self {
        Self { first, others: Vec::new() }
    }
}

impl From<SocketAddr> for Route {
    fn from(address: SocketAddr) -> Self {
        Entrance::from(address).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_goes_round() {
        let entrance = |port| Entrance::from(SocketAddr::from(([127, 0, 0, 1], port)));
        let route = Route::through(entrance(1), &[entrance(2), entrance(3)]);
        let ports: Vec<u16> = (0..4).map(|turn| route.at(turn).address.port()).collect();
        assert_eq!(ports, [1, 2, 3, 1]);
        assert!(route.has_turns() && !Route::from(entrance(1)).has_turns());
    }
}
