//! The journal that several servers share, on a real Redis.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
#[path = "../contract/mod.rs"]
mod contract;
mod contract_tests;
mod faults;
mod fixture;
mod life;
#[path = "../life/model.rs"]
mod life_model;
mod listing;
mod nodes;
mod promises;
mod proxy;
mod sentinel;
mod server;
mod traffic;

/// The fixture itself: a Redis that was killed comes back with what it had synced.
#[test]
fn a_redis_can_be_killed_and_restarted() {
    let mut server = server::RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    redis::cmd("SET").arg("a").arg(1).exec(&mut connection).unwrap();
    let pid = server.pid();
    server.kill();
    server.restart();
    assert_ne!(server.pid(), pid);
    let mut connection = client.get_connection().unwrap();
    assert_eq!(redis::cmd("GET").arg("a").query::<i64>(&mut connection).unwrap(), 1);
}
