//! What every journal promises, of those that need no more than this process: memory, and a log that several servers
//! share.

use poll_core::journal::Tail;
use poll_core::{Retention, Store, Timestamp};

use crate::contract::{Backend, Opened};
use crate::fake_log::Log;
use crate::fake_node::{Node, pump};

struct InMemory;

impl Backend for InMemory {
    async fn open(&self, servers: usize, retention: Retention, _: Tail) -> Opened {
        let stores = vec![Store::in_memory(retention); servers];
        Opened { stores, _holds: Box::new(()) }
    }
}

/// What is in the air arrives in an order that a seed picks.
struct Shared {
    seed: usize,
}

impl Backend for Shared {
    async fn open(&self, servers: usize, retention: Retention, tail: Tail) -> Opened {
        let log = Log::new(retention, tail, || Timestamp::of(std::time::SystemTime::now()));
        let (nodes, stores): (Vec<_>, Vec<_>) = (0..servers).map(|_| Node::store(&log)).unzip();
        pump(&nodes, self.seed);
        Opened { stores, _holds: Box::new(nodes) }
    }
}

mod in_memory {
    crate::contract::contract_tests!(super::InMemory);
}

mod shared {
    crate::contract::contract_tests!(super::Shared { seed: 1 });
}

mod shared_in_another_order {
    crate::contract::contract_tests!(super::Shared { seed: 2 });
}
