//! Plain requests as a handler sees them: where they lie, and those that came together one after the other.

use std::future::Ready;
use std::sync::Arc;

use http::{Request, Response, header};
use poll_http::{
    Body, ConnectionInfo, ConnectionSettings, Deadlines, Drain, Handle, Handled, PlainRequest, RequestBody,
    serve,
};
use tokio::io::AsyncWriteExt;

use crate::transport_toy::{Recording, Writes, peer};
use crate::world::pass;

/// Answers plain requests from where they lie, and notes when.
#[derive(Clone)]
struct Reader {
    noted: Writes,
    deadlines: Deadlines,
}

impl Handle for Reader {
    type Future = Ready<Response<Body>>;

    fn handle(&self, _: Request<RequestBody>, _: &ConnectionInfo) -> Self::Future {
        std::future::ready(Response::new(Body::full("by the engine")))
    }

    fn handle_plain(&self, request: PlainRequest<'_>, _: &ConnectionInfo) -> Handled<Self::Future> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (host, content) = (request.field(&header::HOST).map(text), text(request.content()));
        let said =
            format!("{} {} {:?} {host:?} {content}", request.method(), request.path(), request.query());
        self.noted.note(format!("handled {}", request.path()));
        Handled::Now(Response::new(Body::full(said)).into())
    }

    fn deadlines(&self) -> Deadlines {
        self.deadlines.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_together_is_answered_before_anybody_is_written_to() {
    let noted = Writes::default();
    let reader = Reader { noted: noted.clone(), deadlines: Deadlines::new() };
    let mut clients = Vec::new();
    for _ in 0..2 {
        let (client, io) = tokio::io::duplex(1 << 16);
        let io = Recording { io, writes: noted.clone() };
        let settings = Arc::new(ConnectionSettings::default());
        clients.push((client, tokio::spawn(serve(io, peer(), reader.clone(), settings, Drain::new()))));
    }
    pass(1).await;
    // Two requests in one piece, and another connection's: what is pipelined does not give way.
    let get = |path: &str| format!("GET /{path}?q HTTP/1.1\r\nHost: h\r\n\r\n");
    clients[0].0.write_all(format!("{}{}", get("a"), get("b")).as_bytes()).await.unwrap();
    let post = "POST /c HTTP/1.1\r\nHOST: h\r\nContent-Length: 2\r\n\r\nhi";
    clients[1].0.write_all(post.as_bytes()).await.unwrap();
    pass(1).await;
    let expected = [
        "handled /a",
        "GET /a Some(\"q\") Some(\"h\") ",
        "handled /b",
        "handled /c",
        "GET /b Some(\"q\") Some(\"h\") ",
        "POST /c None Some(\"h\") hi",
    ];
    // Of what was written, the bodies.
    let bodies = noted.take().into_iter().map(|bytes| {
        let text = String::from_utf8(bytes).unwrap();
        text.split("\r\n\r\n").last().unwrap().to_owned()
    });
    assert_eq!(bodies.collect::<Vec<_>>(), expected);
}
