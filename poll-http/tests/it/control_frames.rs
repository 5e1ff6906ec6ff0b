//! HTTP/2 control frames: a flood of them ends the connection, told and counted; what honest clients send never does.

use std::time::Duration;

use http::{Request, Response};
use poll_http::{Body, ConnectionError, ConnectionSettings, Drain};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::transport_toy::*;
use crate::world::World;

const GOAWAY: u8 = 7;
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// A window update of one byte.
fn window_update(stream: u8) -> [u8; 13] {
    [0, 0, 4, 8, 0, 0, 0, 0, stream, 0, 0, 0, 1]
}

/// Sends a frame again and again until the connection ends; gives the reason of its GOAWAY.
async fn flood(client: DuplexStream, frame: &[u8]) -> u32 {
    let (mut reader, mut writer) = tokio::io::split(client);
    let many = frame.repeat(100);
    let flood = async move {
        writer.write_all(RAW_OPENING).await.unwrap();
        for _ in 0..1_000 {
            if writer.write_all(&many).await.is_err() {
                return;
            }
        }
        panic!("100 000 frames were taken");
    };
    let told = async move {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        let mut frames = &bytes[..];
        let mut reason = None;
        while let [high, middle, low, kind, _, _, _, _, _, rest @ ..] = frames {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if *kind == GOAWAY {
                reason = Some(u32::from_be_bytes(rest[4..8].try_into().unwrap()));
            }
            frames = &rest[length..];
        }
        reason.expect("a GOAWAY")
    };
    tokio::join!(flood, told).1
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_control_frames_is_told_to_calm_down() {
    let floods = [
        ("PING", PING.to_vec()),
        ("SETTINGS", vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0xff, 0xff]),
        ("SETTINGS without a value", vec![0, 0, 0, 4, 0, 0, 0, 0, 0]),
        ("WINDOW_UPDATE", window_update(0).to_vec()),
        ("PRIORITY", vec![0, 0, 5, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 16]),
        ("a frame that nobody knows", vec![0, 0, 1, 0xbb, 0, 0, 0, 0, 0, 0]),
    ];
    for (name, frame) in floods {
        let (client, served) = connect(Toy::echo());
        assert_eq!(flood(client, &frame).await, 11, "{name}: ENHANCE_YOUR_CALM");
        assert!(matches!(served.await.unwrap(), Err(ConnectionError::ControlFrames)), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_counted_and_touches_no_other_connection() {
    let world = World::new();
    let waiting = world.later("/api/longpoll?timeout=30");
    world.until_waiting(1).await;
    let mut wire = world.connect();
    wire.send_raw(RAW_OPENING).await;
    wire.send_raw(&PING.repeat(5_000)).await;
    while !wire.is_closed().await {
        wire.discard();
    }
    assert_eq!(world.metric("poll_refused_total{reason=\"control_frames\"}"), 1);
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn without_a_bound_nothing_is_cut() {
    let settings = ConnectionSettings { max_control_frames: 0, ..ConnectionSettings::default() };
    let (mut client, served) = pipe(Toy::echo(), settings, 1 << 20);
    client.write_all(RAW_OPENING).await.unwrap();
    client.write_all(&window_update(0).repeat(20_000)).await.unwrap();
    client.write_all(&raw_get(1, "/here")).await.unwrap();
    while raw_frame(&mut client).await.kind != 0 {}
    assert!(!served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pings_and_gives_windows_back_lives_for_ever() {
    let (feed, body) = fed();
    let body = std::sync::Mutex::new(Some(body));
    let toy = Toy::new(move |_: Request<_>, _| {
        now(Response::new(body.lock().unwrap().take().unwrap_or_else(Body::empty)))
    });
    let (mut client, served) = drained_pipe(toy, ConnectionSettings::default(), 1 << 16, Drain::new());
    client.write_all(RAW_OPENING).await.unwrap();
    client.write_all(&raw_get(1, "/feed")).await.unwrap();
    // A day of lines, bursts of them now and then, each given back to both windows as it comes.
    let mut received = 0_u32;
    for minute in 0..1_440_u32 {
        let burst = if minute % 60 == 0 { 1_000 } else { 1 };
        for _ in 0..burst {
            feed.send(data("x")).unwrap();
        }
        while received < burst {
            if raw_frame(&mut client).await.kind == 0 {
                received += 1;
                client.write_all(&window_update(0)).await.unwrap();
                client.write_all(&window_update(1)).await.unwrap();
            }
        }
        received = 0;
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            client.write_all(PING).await.unwrap();
            while raw_frame(&mut client).await.kind != 6 {}
        }
    }
    assert!(!served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_was_received_may_be_given_back_late_and_in_small_steps() {
    let (feed, body) = fed();
    let body = std::sync::Mutex::new(Some(body));
    let toy = Toy::new(move |_: Request<_>, _| {
        now(Response::new(body.lock().unwrap().take().unwrap_or_else(Body::empty)))
    });
    let (mut client, served) = connect(toy);
    client.write_all(RAW_OPENING).await.unwrap();
    client.write_all(&raw_get(1, "/feed")).await.unwrap();
    let mut lines = 0;
    while lines < 20_000 {
        feed.send(data("xy")).unwrap();
        while raw_frame(&mut client).await.kind != 0 {}
        lines += 1;
    }
    // Byte by byte, all at once.
    for stream in [0, 1] {
        client.write_all(&window_update(stream).repeat(40_000)).await.unwrap();
    }
    client.write_all(&raw_get(3, "/")).await.unwrap();
    while raw_frame(&mut client).await.stream != 3 {}
    assert!(!served.is_finished());
}
