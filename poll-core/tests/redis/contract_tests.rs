//! What every journal promises, on a real Redis.

use poll_core::Retention;
use poll_core::journal::Tail;
use poll_core::journal::redis::Options;

use crate::contract::{Backend, Opened};
use crate::nodes::Node;
use crate::server::RedisServer;

struct Redis;

impl Backend for Redis {
    async fn open(&self, servers: usize, retention: Retention, tail: Tail) -> Opened {
        let server = RedisServer::start(&[]);
        let mut stores = Vec::new();
        for _ in 0..servers {
            let options = Options { tail, ..Options::default() };
            stores.push(Node::with(&server.url(), options, retention).await.store);
        }
        Opened { stores, _holds: Box::new(server) }
    }
}

crate::contract::contract_tests!(Redis);
