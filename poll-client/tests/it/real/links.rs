//! Signed links, made here and judged by the server.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use poll_client::link::{Link, LinkRight, SigningKey};
use poll_client::{ChannelName, Client, Error, Event, EventSource, Payload, StartAt, Timestamp};
use tokio::time::timeout;

use super::server::Server;

const SECRET: &str = "a secret of thirty-two bytes or more";

/// The token of a link for an hour.
fn token(channel: &str, right: LinkRight) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let link = Link {
        channel: &ChannelName::parse(channel).unwrap(),
        right,
        expires: Timestamp::from_millis(now.as_secs() * 1_000).after(Duration::from_secs(3_600)),
        subject: Some("ann"),
        issuer: None,
        audience: None,
    };
    SigningKey::secret(SECRET.as_bytes()).unwrap().sign(&link).unwrap()
}

#[tokio::test]
async fn a_link_that_is_made_here_gives_its_right_and_no_other() {
    // A file ends with the end of its line.
    let server = Server::start_asking(&format!("{SECRET}\n"));
    let client =
        |right| Client::builder(&server.url()).token(token("a/*", right)).max_retries(0).build().unwrap();
    let (publisher, reader) = (client(LinkRight::Publish), client(LinkRight::Subscribe));
    let channel = ChannelName::parse("a/*").unwrap();
    publisher.publish(&channel, &Payload::text("one")).await.unwrap();
    let mut events = EventSource::new(&reader, &channel).start_at(StartAt::Oldest).subscribe();
    let event = timeout(Duration::from_secs(60), events.try_next()).await.unwrap().unwrap().unwrap();
    let Event::Message(message) = event else { panic!("{event:?}") };
    assert_eq!(message.content.text().unwrap(), "one");
    let other = ChannelName::parse("a/b").unwrap();
    for (client, channel) in [(&reader, &channel), (&publisher, &other)] {
        let refused = client.publish(channel, &Payload::text("two")).await.unwrap_err();
        let Error::Refused(problem) = refused else { panic!("{refused:?}") };
        assert_eq!(problem.status, 403);
    }
}
