//! What only an HTTP/2 client with push on is given: the first message of a channel by `/api/push`.

use std::future::poll_fn;

use bytes::Bytes;
use http::Request;
use tokio::net::TcpStream;

use crate::process::Server;

/// The line on the stream itself, and the path that was promised beside it.
pub(super) fn first(server: &Server, channel: &str) -> (String, String) {
    let url = server.url(&format!("/api/push?channel={channel}&last_id=0"));
    let address = server.addresses[0];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let socket = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let mut requests = requests.ready().await.unwrap();
        let (mut response, _) = requests.send_request(Request::get(url).body(()).unwrap(), true).unwrap();
        let mut promises = response.push_promises();
        let mut body = response.await.unwrap().into_body();
        let mut text = String::new();
        while text.lines().count() < 2 {
            let data: Bytes = body.data().await.unwrap().unwrap();
            text += std::str::from_utf8(&data).unwrap();
        }
        let promise = poll_fn(|cx| promises.poll_push_promise(cx)).await.unwrap().unwrap();
        let path = promise.into_parts().0.uri().path().to_owned();
        (text.lines().nth(1).unwrap().to_owned(), path)
    })
}
