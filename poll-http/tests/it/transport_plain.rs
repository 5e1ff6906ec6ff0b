//! Plain requests as a handler sees them: where they lie, and those that came together one after the other.

use std::future::Ready;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response, header};
use poll_http::{
    Body, ConnectionInfo, ConnectionSettings, Deadlines, Drain, Handle, Handled, PlainRequest, RequestBody,
    serve,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use crate::transport_toy::peer;
use crate::world::pass;

/// Answers plain requests from where they lie, and notes when.
#[derive(Clone)]
struct Reader {
    noted: Arc<Mutex<Vec<String>>>,
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
        self.noted.lock().unwrap().push(format!("handled {}", request.path()));
        Handled::Now(Response::new(Body::full(said)).into())
    }

    fn deadlines(&self) -> Deadlines {
        self.deadlines.clone()
    }
}

/// A pipe that notes what is written to it.
struct Noting {
    io: DuplexStream,
    noted: Arc<Mutex<Vec<String>>>,
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Noting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let text = String::from_utf8_lossy(bytes);
        self.noted.lock().unwrap().push(format!("wrote {}", text.split("\r\n\r\n").last().unwrap()));
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_together_is_answered_before_anybody_is_written_to() {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let reader = Reader { noted: Arc::clone(&noted), deadlines: Deadlines::new() };
    let mut clients = Vec::new();
    for _ in 0..2 {
        let (client, io) = tokio::io::duplex(1 << 16);
        let io = Noting { io, noted: Arc::clone(&noted) };
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
        "wrote GET /a Some(\"q\") Some(\"h\") ",
        "handled /b",
        "handled /c",
        "wrote GET /b Some(\"q\") Some(\"h\") ",
        "wrote POST /c None Some(\"h\") hi",
    ];
    assert_eq!(*noted.lock().unwrap(), expected);
}
