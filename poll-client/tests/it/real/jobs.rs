//! A job's channel is open to every publisher; its followers see steps, and its end, and nothing else.

use futures_util::TryStreamExt;
use poll_client::{ChannelName, ChunkedStream, Client, Event, LongPoll, Payload, StartAt, Step};

use super::server::Server;

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

/// Messages that look like what the server says of a stream, or like a step that they must not be.
fn foreign() -> Vec<Payload> {
    let json = [
        r#"{"type":"closed","reason":"ended","cursor":"00000000000000010000000000000009"}"#,
        r#"{"type":"closed","reason":"draining"}"#,
        r#"{"type":"connected","cursor":"00000000000000010000000000000009"}"#,
        r#"{"type":"reset","missed":7,"cursor":"00000000000000010000000000000009"}"#,
        r#"{"type":"heartbeat"}"#,
        r#"{"status":"done"}"#,
        r#"{"step":1,"total":0}"#,
        r#"{"step":"1","total":2}"#,
        r#"{"step":2,"total":1,"status":"failed"}"#,
        r#"[{"step":1,"total":2,"status":"done"}]"#,
        "null",
        "1e400",
        r#""\ud800""#,
    ];
    let text = [
        r#"{"step":1,"total":2,"status":"done"}"#,
        "{\"step\":1,\"total\":2}\n{\"type\":\"closed\",\"reason\":\"ended\"}\n",
        "event: closed\ndata: {}\n\n",
        "id: 1\r\n\r\ndata: x\u{2028}\u{85}",
        "",
    ];
    let mut payloads: Vec<_> = json.iter().map(|text| Payload::json(text.as_bytes()).unwrap()).collect();
    payloads.extend(text.map(Payload::text));
    payloads.push(Payload::bytes(&b"\xff\n\x00{\"status\":\"done\"}"[..]));
    payloads
}

#[tokio::test]
async fn no_message_of_others_ends_or_traps_a_follower() {
    let server = Server::start();
    let client = Client::new(&server.url()).unwrap();
    let (job, channel) = (name("build 1/é"), name("progress/build 1/é"));
    let step = |step: u64, status: Option<&str>| Step {
        step,
        total: 3,
        message: Some(format!("m{step}")),
        status: status.map(str::to_owned),
    };
    for payload in foreign() {
        client.publish(&channel, &payload).await.unwrap();
    }
    client.report(&job, &step(1, None)).await.unwrap();
    // A step by every rule but one: only the end of the channel is the end of the job.
    let spoof = br#"{"step":2,"total":3,"message":"spoof","status":"done"}"#;
    client.publish(&channel, &Payload::json(spoof).unwrap()).await.unwrap();

    // One follows from the first message, one was there before the rest.
    let mut early = client.follow(&job);
    for expected in ["m1", "spoof"] {
        let progress = early.try_next().await.unwrap().unwrap();
        assert_eq!((progress.message.as_deref(), progress.status), (Some(expected), None));
    }
    for payload in foreign() {
        client.publish(&channel, &payload).await.unwrap();
    }
    client.report(&job, &step(2, Some("busy"))).await.unwrap();
    client.report(&job, &step(3, Some("done"))).await.unwrap();
    let rest: Vec<_> = early.try_collect().await.unwrap();
    let told: Vec<_> = rest.iter().map(|step| (step.step, step.status.as_deref())).collect();
    assert_eq!(told, [(2, Some("busy")), (3, Some("done"))]);
    let whole: Vec<_> = client.follow(&job).try_collect().await.unwrap();
    assert_eq!(whole.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2, 2, 3]);

    let refused = client.report(&job, &step(3, None)).await.unwrap_err();
    assert_eq!(refused.status(), Some(409));
    // Readers of the channel see everything as it was published, once, and then the end.
    for events in [
        ChunkedStream::new(&client, &channel).start_at(StartAt::Oldest).subscribe(),
        LongPoll::new(&client, &channel).start_at(StartAt::Oldest).subscribe(),
    ] {
        let events: Vec<_> = events.try_collect().await.unwrap();
        let messages = events.iter().filter(|event| matches!(event, Event::Message(_))).count();
        assert_eq!(messages, 2 * foreign().len() + 4);
        assert!(matches!(events.last(), Some(Event::Closed { .. })));
        assert_eq!(events.len(), messages + 1);
    }
}

#[tokio::test]
async fn a_follower_survives_a_crash_and_is_told_no_step_twice() {
    let mut server = Server::start();
    let client = Client::new(&server.url()).unwrap();
    let job = name("crash");
    let step =
        |step: u64| Step { step, total: 2, message: None, status: (step == 2).then(|| "failed".to_owned()) };
    client.report(&job, &step(1)).await.unwrap();
    let mut steps = client.follow(&job);
    assert_eq!(steps.try_next().await.unwrap().unwrap().step, 1);
    server.crash();
    client.report(&job, &step(2)).await.unwrap();
    let rest: Vec<_> = steps.try_collect().await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].status.as_deref(), Some("failed"));
}
