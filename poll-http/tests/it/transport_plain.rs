//! Plain requests as a handler sees them: where they lie, and those that came together one after the other.

use std::future::{Ready, ready};

use http::{Response, header};
use poll_http::{Body, ConnectionInfo, ConnectionSettings, Drain, Handle, Request, serve};
use tokio::io::AsyncWriteExt;

use crate::transport_toy::{Recording, Writes, context, peer};
use crate::world::pass;

/// Answers plain requests from where they lie, and notes when.
#[derive(Clone)]
struct Reader {
    noted: Writes,
}

impl Handle for Reader {
    type Future = Ready<Response<Body>>;

    fn handle(&self, request: Request<'_>, _: &ConnectionInfo) -> Self::Future {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (host, content) = (request.field(&header::HOST).map(text), text(request.content().unwrap()));
        let said = format!("{} {} {} {host:?} {content}", request.method(), request.path(), request.query());
        self.noted.note(format!("handled {}", request.path()));
        ready(Response::new(Body::full(said)))
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_together_are_all_answered_before_any_is_written_to() {
    let noted = Writes::default();
    let reader = Reader { noted: noted.clone() };
    let mut clients = Vec::new();
    for _ in 0..2 {
        let (client, io) = tokio::io::duplex(1 << 16);
        let io = Recording { io, writes: noted.clone() };
        let context = context(ConnectionSettings::default(), Drain::new());
        clients.push((client, tokio::spawn(serve(io, peer(), reader.clone(), context))));
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
        "GET /a q Some(\"h\") ",
        "handled /b",
        "handled /c",
        "GET /b q Some(\"h\") ",
        "POST /c  Some(\"h\") hi",
    ];
    // Of what was written, the bodies.
    let bodies = noted.take().into_iter().map(|bytes| {
        let text = String::from_utf8(bytes).unwrap();
        text.split("\r\n\r\n").last().unwrap().to_owned()
    });
    assert_eq!(bodies.collect::<Vec<_>>(), expected);
}
