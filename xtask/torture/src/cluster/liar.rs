//! Something in front of a node that lies, to prove that the harness finds each kind of lie.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use memchr::memmem::find;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// One chance in so many is taken.
const EVERY: u64 = 5;
/// A message in a stream.
const UPDATE: &[u8] = b"\"type\":\"update\"";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

/// What it does to what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Leaves out a message of a stream.
    Drop,
    /// Gives a message of a stream twice.
    Double,
    /// Gives two messages of a stream in the wrong order.
    Swap,
    /// Tells a stream that its log was reset.
    Reset,
    /// Acknowledges a publish that the node has never seen.
    Acknowledge,
    /// Says that a message does not exist.
    Deny,
}

impl Lie {
    /// Each, and the column or the words by which it must be found.
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Drop, "lost"),
        (Self::Double, "doubled"),
        (Self::Swap, "disorder"),
        (Self::Reset, "false"),
        (Self::Acknowledge, "lost"),
        (Self::Deny, "does not give what was acknowledged"),
    ];
}

/// A liar that listens. Ends when dropped, and its connections with it.
#[derive(Debug)]
pub(super) struct Liar {
    pub(super) address: SocketAddr,
    accepting: AbortHandle,
}

/// What its connections share.
struct Shared {
    node: SocketAddr,
    lie: Lie,
    chances: Cell<u64>,
    /// The last acknowledgement that was true.
    acknowledgement: RefCell<Vec<u8>>,
}

impl Liar {
    pub(super) async fn before(node: SocketAddr, lie: Lie) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared =
            Rc::new(Shared { node, lie, chances: Cell::new(0), acknowledgement: RefCell::default() });
        let accepting = tokio::task::spawn_local(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = shared.clone();
                connections.spawn_local(async move {
                    // What broke it shows at both ends.
                    let _ = connect(client, &shared).await;
                });
            }
        });
        Ok(Self { address, accepting: accepting.abort_handle() })
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Requests and chunks are so small that each is read in one piece.
async fn connect(mut client: TcpStream, shared: &Shared) -> Result<()> {
    let mut server = TcpStream::connect(shared.node).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut late = Vec::new();
    loop {
        tokio::select! {
            taken = client.read(&mut asked) => {
                let request = &asked[..taken?];
                if request.is_empty() {
                    return Ok(());
                }
                match shared.lie_to(request) {
                    Some(answer) => client.write_all(&answer).await?,
                    None => server.write_all(request).await?,
                }
            }
            taken = server.read(&mut answered) => {
                let answer = &answered[..taken?];
                if answer.is_empty() {
                    return Ok(());
                }
                client.write_all(&shared.change(answer, &mut late)).await?;
            }
        }
    }
}

impl Shared {
    fn is_due(&self) -> bool {
        self.chances.set(self.chances.get() + 1);
        self.chances.get().is_multiple_of(EVERY)
    }

    /// The answer to a request that the node never sees.
    fn lie_to(&self, request: &[u8]) -> Option<Vec<u8>> {
        match self.lie {
            Lie::Acknowledge if request.starts_with(b"POST /api/message?") => {
                Some(self.acknowledgement.borrow().clone())
                    .filter(|answer| !answer.is_empty() && self.is_due())
            }
            Lie::Deny if request.starts_with(b"GET /api/messages/") => {
                self.is_due().then(|| NOT_FOUND.to_owned())
            }
            _ => None,
        }
    }

    /// What becomes of an answer of the node.
    fn change(&self, answer: &[u8], late: &mut Vec<u8>) -> Vec<u8> {
        if answer.starts_with(b"HTTP/1.1 201") {
            answer.clone_into(&mut self.acknowledgement.borrow_mut());
        }
        let mut whole = answer.to_owned();
        let is_one_message = !answer.starts_with(b"HTTP/1.1")
            && answer.ends_with(b"\n\r\n")
            && find(answer, UPDATE).is_some_and(|at| find(&answer[at + UPDATE.len()..], UPDATE).is_none());
        if !late.is_empty() && is_one_message {
            whole.append(late);
            return whole;
        }
        if !is_one_message || !self.is_due() {
            return whole;
        }
        match self.lie {
            Lie::Drop => Vec::new(),
            Lie::Double => answer.repeat(2),
            Lie::Swap => {
                *late = whole;
                Vec::new()
            }
            Lie::Reset => {
                whole.extend(reset());
                whole
            }
            Lie::Acknowledge | Lie::Deny => whole,
        }
    }
}

/// A chunk that is a line of a stream; a stream of events does not take it for one.
fn reset() -> Vec<u8> {
    let line = format!("{{\"type\":\"reset\",\"missed\":0,\"cursor\":\"{:032x}\"}}\n", 0);
    format!("{:x}\r\n{line}\r\n", line.len()).into_bytes()
}
