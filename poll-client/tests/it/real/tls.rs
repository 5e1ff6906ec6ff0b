//! A server at `https`: by every pattern, through a restart, and by the command.

use std::time::Duration;

use futures_util::TryStreamExt;
use poll_client::pattern::{ChunkedStream, EventSource, LongPoll, Push, ShortPoll};
use poll_client::{ChannelName, Client, Error, Event, Payload, StartAt, Subscription};
use tokio::time::timeout;

use super::server::Server;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

async fn next(events: &mut Subscription) -> String {
    loop {
        let event = timeout(PATIENCE, events.try_next()).await.expect("a message").unwrap().expect("no end");
        if let Event::Message(message) = event {
            return message.content.text().unwrap();
        }
    }
}

#[tokio::test]
async fn every_pattern_reads_over_tls_and_through_a_restart() {
    let (mut server, certificate) = Server::start_tls();
    let client = Client::builder(&server.url()).trust(certificate).build().unwrap();
    let channel = ChannelName::parse("c").unwrap();
    client.publish(&channel, &Payload::text("one")).await.unwrap();
    let mut all = [
        ShortPoll::new(&client, channel.clone()).start_at(StartAt::Oldest).subscribe(),
        LongPoll::new(&client, channel.clone()).start_at(StartAt::Oldest).subscribe(),
        ChunkedStream::new(&client, channel.clone()).start_at(StartAt::Oldest).subscribe(),
        EventSource::new(&client, channel.clone()).start_at(StartAt::Oldest).subscribe(),
        Push::new(&client, channel.clone()).start_at(StartAt::Oldest).subscribe(),
    ];
    for events in &mut all {
        assert_eq!(next(events).await, "one");
    }
    server.crash();
    client.publish(&channel, &Payload::text("two")).await.unwrap();
    for events in &mut all {
        assert_eq!(next(events).await, "two");
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_not_talked_to() {
    let (server, _) = Server::start_tls();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let client = Client::builder(&server.url()).trust(other).max_retries(0).build().unwrap();
    let channel = ChannelName::parse("c").unwrap();
    let refused = client.publish(&channel, &Payload::text("secret")).await.unwrap_err();
    let Error::Connect { source, .. } = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("certificate"), "{source}");
}

#[cfg(feature = "command")]
#[test]
fn the_command_takes_a_file_of_certificates() {
    use super::process::{Poll, poll};

    let (server, certificate) = Server::start_tls();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    let trusted = file.path().to_str().unwrap();
    let url = server.url();
    assert_eq!(poll(&url, &["--ca-file", trusted, "publish", "c", "hello"]).0, 0);
    let (code, output, errors) =
        poll(&url, &["--ca-file", trusted, "tail", "c", "--from", "start", "--count", "1"]);
    assert_eq!((code, output.as_str(), errors.as_str()), (0, "hello", ""));
    let tail = Poll::start(&url, &["tail", "c"]);
    assert!(tail.error().contains("certificate"), "it is said at once why there is no connection");
    let (code, _, errors) = poll(&url, &["--ca-file", "/does/not/exist", "tail", "c"]);
    assert_eq!(code, 64);
    assert!(errors.contains("--ca-file /does/not/exist: "), "{errors}");
}
