//! A crowd that waits on the streams of one HTTP/2 connection.
//!
//! The client is h2's, whose cost is in the figure and may be more than the server's: it is good for comparing two
//! commits, and nothing else.

use http::{Request, Uri};

use crate::CROWD;
use crate::world::{World, block_on};

/// A hundred long polls on one connection wait, and one publish answers them all.
pub(crate) fn long_answered(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(5 << 20);
        let (requests, connection) = builder.handshake(world.connect()).await.expect("an HTTP/2 server");
        tokio::spawn(connection);
        let mut requests: h2::client::SendRequest<bytes::Bytes> = requests;
        let mut answers = Vec::with_capacity(usize::try_from(CROWD).unwrap_or_default());
        for _ in 0..rounds {
            let cursor = world.end().await;
            let uri = format!("http://poll.test/api/longpoll?channel=counted&cursor={cursor}");
            let uri: Uri = uri.parse().expect("an address");
            for _ in 0..CROWD {
                let mut request = Request::new(());
                *request.uri_mut() = uri.clone();
                requests = requests.ready().await.expect("an open connection");
                let (answer, _) = requests.send_request(request, true).expect("a request");
                answers.push(answer);
            }
            world.until_waiting(CROWD).await;
            world.publish(1).await;
            for answer in answers.drain(..) {
                let answer = answer.await.expect("an answer");
                assert_eq!(answer.status(), 200);
                read(answer.into_body()).await;
            }
        }
    });
}

async fn read(mut body: h2::RecvStream) {
    while let Some(data) = body.data().await {
        let length = data.expect("a whole body").len();
        body.flow_control().release_capacity(length).expect("what was just received");
    }
}
