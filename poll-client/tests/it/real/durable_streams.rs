//! Durable Streams against the server: each way to read, forks, and producers through kills.

use std::time::Duration;

use futures_util::TryStreamExt;
use poll_client::durable_streams::{
    Append, AppendError, Birth, Chunk, Create, DurableStream, Fork, Live, Offset, Producer, Reach,
};
use poll_client::{BackoffSettings, ChannelName, Client, Error, Payload, Subscription};
use tokio::time::timeout;

use super::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

fn stream(server: &Server, path: &str) -> DurableStream {
    let backoff = BackoffSettings {
        base: Duration::from_millis(20),
        cap: Duration::from_millis(200),
        max_retries: None,
    };
    let client = Client::builder(&server.url()).backoff(backoff).build().unwrap();
    DurableStream::new(&client, path).unwrap()
}

async fn next(chunks: &mut Subscription<Chunk>) -> Option<Chunk> {
    timeout(PATIENCE, chunks.try_next()).await.expect("a chunk within the minute").unwrap()
}

#[tokio::test]
async fn each_way_to_follow_gives_each_kind_of_content_to_its_end() {
    let server = Server::start();
    for (at, (kind, contents)) in [
        ("application/json", [r#"[1,"two"]"#, "[[3]]"]),
        ("text/plain", ["one\ntwo", " three"]),
        ("image/png", ["\u{0}\u{1}é", "b"]),
    ]
    .into_iter()
    .enumerate()
    {
        for live in [Live::LongPoll, Live::ServerSentEvents, Live::ByContentType] {
            let stream = stream(&server, &format!("/v1/stream/kinds/{at}/{live:?}"));
            assert_eq!(stream.create(&Create::new(kind)).await.unwrap().birth, Birth::New);
            assert_eq!(stream.create(&Create::new(kind)).await.unwrap().birth, Birth::Existing);
            let mut chunks = stream.follow(&Offset::START, live);
            let empty = next(&mut chunks).await.unwrap();
            assert_eq!((&*empty.data, empty.reach), (&b""[..], Reach::UpToDate), "{kind} {live:?}");
            stream.append(Append::new(kind, contents[0]).unwrap()).await.unwrap();
            let first = next(&mut chunks).await.unwrap();
            assert_eq!(first.data, contents[0], "{kind} {live:?}");
            let end = stream.append_and_close(Append::new(kind, contents[1]).unwrap()).await.unwrap();
            assert_eq!(stream.close().await.unwrap(), end);
            let last = next(&mut chunks).await.unwrap();
            // A JSON array is taken apart by one level.
            assert_eq!((&*last.data, last.reach), (contents[1].as_bytes(), Reach::Closed), "{kind} {live:?}");
            assert_eq!((last.next, next(&mut chunks).await), (end, None));
            assert_eq!(stream.read(&first.next).await.unwrap().data, contents[1]);
            let refused = stream.append(Append::new(kind, contents[0]).unwrap()).await;
            assert!(matches!(refused, Err(AppendError::Closed { end: Some(_) })), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_forked_deleted_and_shared_with_channels() {
    let server = Server::start();
    let source = stream(&server, "/v1/stream/forked");
    source.create(&Create::new("application/json").body("[1,2,3]")).await.unwrap();
    let fork = stream(&server, "/v1/stream/fork");
    let after_one = source.read(&Offset::START).await.unwrap().next;
    source.append(Append::json_values(&[4, 5]).unwrap()).await.unwrap();
    let created = fork.create(&Create::fork(Fork::new(source.path()).after(&after_one).further(1))).await;
    assert_eq!(created.unwrap().content_type.as_deref(), Some("application/json"));
    assert_eq!(fork.read(&Offset::START).await.unwrap().json::<u32>().unwrap(), [1, 2, 3, 4]);
    source.delete().await.unwrap();
    let gone = source.head().await;
    assert!(matches!(&gone, Err(Error::Refused(problem)) if problem.status == 410), "{gone:?}");

    let client = Client::new(&server.url()).unwrap();
    client.publish(&ChannelName::parse("fork").unwrap(), &Payload::json(b"6").unwrap()).await.unwrap();
    assert_eq!(fork.read(&Offset::START).await.unwrap().json::<u32>().unwrap(), [1, 2, 3, 4, 6]);
}

#[tokio::test]
async fn kills_lose_nothing_of_a_producer_and_double_nothing() {
    const NUMBERS: u32 = 60;
    let mut server = Server::start();
    let stream = stream(&server, "/v1/stream/killed");
    stream.create(&Create::new("application/json")).await.unwrap();
    let readers: Vec<_> = [Live::LongPoll, Live::ServerSentEvents]
        .map(|live| {
            let mut chunks = stream.follow(&Offset::START, live);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Some(chunk) = next(&mut chunks).await {
                    seen.extend(chunk.json::<u32>().unwrap());
                }
                seen
            })
        })
        .into();
    let (told, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let producing = tokio::spawn(async move {
        let mut producer = Producer::new(&stream, "counter").unwrap();
        for number in 0..NUMBERS {
            producer.append(Append::json(&number).unwrap()).await.unwrap();
            told.send(number).unwrap();
        }
        producer.close(None).await.unwrap();
    });
    while let Some(number) = progress.recv().await {
        if number % 20 == 9 {
            server.crash();
        }
    }
    timeout(PATIENCE, producing).await.expect("all is appended").unwrap();
    for reader in readers {
        assert_eq!(timeout(PATIENCE, reader).await.unwrap().unwrap(), (0..NUMBERS).collect::<Vec<_>>());
    }
}
