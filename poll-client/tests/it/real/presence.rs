//! Who is present on a channel, by the library and by `poll presence`.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use poll_client::{
    ChannelName, ChunkedStream, Client, Error, PresenceEvent, PresenceEvents, Present, Subscription,
    Timestamp,
};
use tokio::task::JoinHandle;

use super::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

fn room() -> ChannelName {
    ChannelName::parse("a room/1").unwrap()
}

/// A client that is present until the task is aborted.
fn come(server: &Server, id: &str) -> JoinHandle<()> {
    let client = Client::builder(&server.url()).client_id(id).build().unwrap();
    let events: Subscription = ChunkedStream::new(&client, room()).subscribe();
    tokio::spawn(events.for_each(|_| std::future::ready(())))
}

/// The list, once it has this many clients.
async fn listed(client: &Client, count: u64) -> Present {
    let listed = async {
        loop {
            let present = client.present(&room()).await.unwrap();
            if present.count == count {
                return present;
            }
        }
    };
    tokio::time::timeout(PATIENCE, listed).await.expect("in time")
}

/// The next event; it must come.
async fn next(events: &mut PresenceEvents) -> PresenceEvent {
    let event = tokio::time::timeout(PATIENCE, events.try_next()).await.expect("in time");
    event.unwrap().expect("no end")
}

/// Waits until a client has joined; skips the join of one that the list had.
async fn joined(events: &mut PresenceEvents, id: &str) -> Timestamp {
    loop {
        match next(events).await {
            PresenceEvent::Join { id: joined, at } if joined == id => return at,
            PresenceEvent::Join { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn following_begins_with_who_is_there_and_survives_a_crash() {
    let mut server = Server::start_with_presence();
    let client = Client::new(&server.url()).unwrap();
    assert_eq!(client.present(&room()).await.unwrap().count, 0);
    let ann = come(&server, "ann");
    let first = listed(&client, 1).await;
    assert_eq!((first.channel.as_str(), first.clients[0].id.as_str()), (room().as_str(), "ann"));

    let mut events = client.follow_presence(&room()).unwrap();
    let PresenceEvent::Present(list) = next(&mut events).await else { panic!("first the list") };
    assert_eq!(list, first);
    let bob = come(&server, "bob");
    assert!(joined(&mut events, "bob").await >= first.clients[0].since);
    server.crash();
    // All subscriptions come back; none was away for long enough to leave.
    let _carl = come(&server, "carl");
    joined(&mut events, "carl").await;
    bob.abort();
    let leave = next(&mut events).await;
    assert!(matches!(&leave, PresenceEvent::Leave { id, .. } if id == "bob"), "{leave:?}");
    let present = client.present(&room()).await.unwrap();
    let ids: Vec<_> = present.clients.iter().map(|client| client.id.as_str()).collect();
    assert_eq!((present.count, &ids[..]), (2, &["ann", "carl"][..]));
    ann.abort();
}

#[tokio::test]
async fn a_server_that_keeps_none_refuses_at_once() {
    let server = Server::start();
    let client = Client::new(&server.url()).unwrap();
    assert_eq!(client.present(&room()).await.unwrap_err().status(), Some(404));
    let mut events = client.follow_presence(&room()).unwrap();
    let refused = tokio::time::timeout(PATIENCE, events.try_next()).await.expect("in time").unwrap_err();
    assert_eq!(refused.status(), Some(404));
    assert!(events.try_next().await.unwrap().is_none());
    let long = ChannelName::parse(&"x".repeat(1_020)).unwrap();
    assert!(matches!(client.follow_presence(&long), Err(Error::Usage(_))));
}

#[cfg(feature = "command")]
mod command {
    use super::super::process::{Poll, poll};
    use super::*;

    /// The columns of a line, but for the time, which must be one.
    fn columns(line: &str) -> Vec<&str> {
        let mut columns: Vec<_> = line.split('\t').collect();
        assert!(columns.pop().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        columns
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_lists_who_is_there_and_follows_who_comes() {
        let server = Server::start_with_presence();
        let (room, client) = (room(), Client::new(&server.url()).unwrap());
        assert_eq!(poll(server.address(), &["presence", room.as_str()]), (0, String::new(), String::new()));
        let _there = [come(&server, "bob"), come(&server, "ann b")];
        listed(&client, 2).await;
        let (code, listed, errors) = poll(server.address(), &["presence", room.as_str()]);
        assert_eq!((code, errors.as_str()), (0, ""));
        assert_eq!(listed.lines().map(columns).collect::<Vec<_>>(), [["ann b"], ["bob"]]);
        let (_, listed, _) = poll(server.address(), &["presence", room.as_str(), "--json"]);
        assert!(
            listed.starts_with("{\"id\":\"ann b\",\"since\":\"") && listed.lines().count() == 2,
            "{listed}"
        );

        let following = Poll::start(server.address(), &["presence", room.as_str(), "--follow"]);
        let objects = Poll::start(server.address(), &["presence", room.as_str(), "--follow", "--json"]);
        assert_eq!(columns(&following.line()), ["present", "ann b"]);
        assert_eq!(columns(&following.line()), ["present", "bob"]);
        let list = objects.line();
        assert!(list.contains("\"event\":\"present\"") && list.contains("\"count\":2"), "{list}");
        let _carl = come(&server, "carl");
        // The join of a listed client may come after the list.
        while columns(&following.line()) != ["join", "carl"] {}
        let mut line = objects.line();
        while !line.contains("\"carl\"") {
            line = objects.line();
        }
        assert!(line.contains("\"event\":\"join\""), "{line}");
    }

    #[test]
    fn what_cannot_be_is_said_in_one_line() {
        let server = Server::start();
        for (arguments, code, expected) in [
            (
                &["presence", "c"][..],
                1,
                "404: Not Found: there is nothing at this path; presence is kept by a server with --presence",
            ),
            (&["presence", "c", "--follow"], 1, "presence is kept by a server with --presence"),
            (&["presence"], 64, "required arguments were not provided: <CHANNEL>"),
            (&["presence", "c", "--retries", "3"], 64, "--follow"),
        ] {
            let (exit, output, error) = poll(server.address(), arguments);
            assert_eq!((exit, output.as_str()), (code, ""), "{error}");
            assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
        }
    }
}
