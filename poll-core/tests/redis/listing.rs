//! The names that a Redis written to by an earlier version has not in order.

use poll_core::{ChannelName, Payload, Publish, Selection};

use crate::nodes::Node;
use crate::server::RedisServer;

#[tokio::test]
async fn a_log_without_an_index_of_names_gets_one_when_it_is_listed() {
    let server = RedisServer::start(&[]);
    let node = Node::connect(&server.url()).await;
    for channel in ["b", "a"] {
        let channel = ChannelName::parse(channel).unwrap();
        let now = node.store.environment().now();
        node.store.publish(now, &channel, Publish::one(Payload::text("x"))).await.unwrap();
    }
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("poll:{*}:i").query(&mut connection).unwrap();
    assert_eq!(keys.len(), 2, "{keys:?}");
    redis::cmd("DEL").arg(&keys).exec(&mut connection).unwrap();
    for _ in 0..2 {
        let selection = Selection { prefix: None, after: None, limit: 10 };
        let page = node.store.list(node.store.environment().now(), selection).await.unwrap();
        let names: Vec<_> = page.channels.iter().map(|listed| listed.channel.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
