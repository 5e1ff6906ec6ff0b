//! The worker threads: each a single-threaded runtime that serves the connections handed to it.
//!
//! What: starts them, hands each connection to the least busy one, stops them.
//! Why: waking ten thousand waiters on the thread they live on costs two to six times less than sharing a
//! runtime.
//! Not here: accepting (`accept.rs`), HTTP (poll-http).

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use futures_util::FutureExt as _;
use poll_http::{ConnectionContext, ConnectionSettings, Cut, Service};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::connection_io::Socket;
use crate::connection_limit::{Held, Sockets};
use crate::turn_histogram::Turns;

/// Tasks that run before sockets are looked at again, where others still wait for their turn: three times the runtime's
/// own number, as a request takes three turns, and those of a crowd are to be taken together.
const TURNS_BETWEEN_LOOKS: u32 = 192;

/// All worker threads; dropped, they end.
#[derive(Debug)]
pub(crate) struct Workers {
    hands: Hands,
    threads: Vec<JoinHandle<()>>,
    /// Hears of a worker that ended before it was told to.
    ended: mpsc::Receiver<usize>,
}

/// The way to the workers. Clones lead to the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    workers: Arc<[Inbox]>,
    /// Where the search for the least busy one begins, so that equals take turns.
    turn: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Inbox {
    /// Unbounded, yet bounded: a queue of sockets is no longer than sockets may be open.
    sender: UnboundedSender<Handed>,
    /// Its open connections.
    load: Arc<AtomicUsize>,
}

/// A connection on its way to a worker.
#[derive(Debug)]
struct Handed {
    stream: TcpStream,
    peer: SocketAddr,
    sockets: Sockets,
    held: Held,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system gives no thread or no runtime.
    pub(crate) fn start(
        count: NonZeroUsize,
        service: &Service,
        settings: &ConnectionSettings,
        turns: &Turns,
    ) -> io::Result<Self> {
        let (farewell, ended) = mpsc::channel(count.get());
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for index in 0..count.get() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(TURNS_BETWEEN_LOOKS)
                .on_thread_park(poll_http::end_turn)
                .build()?;
            let (sender, inbox) = mpsc::unbounded_channel();
            workers.push(Inbox { sender, load: Arc::default() });
            let service = service.for_worker();
            let connections = Arc::new(service.connections(settings.clone()));
            let desk = Desk { service, connections, inbox };
            let farewell = Farewell { index, to: farewell.clone() };
            let turns = turns.clone();
            threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let _farewell = farewell;
                turns.watch();
                runtime.block_on(desk.work());
            })?);
        }
        let hands = Hands { workers: workers.into(), turn: Arc::default() };
        Ok(Self { hands, threads, ended })
    }

    pub(crate) fn hands(&self) -> Hands {
        self.hands.clone()
    }

    /// Returns once a worker ended by itself, which only a defect makes it do.
    pub(crate) async fn ended(&mut self) -> usize {
        match self.ended.recv().await {
            Some(index) => index,
            None => std::future::pending().await,
        }
    }

    /// Ends all workers; connections that are still open are cut.
    pub(crate) fn stop(self) {
        drop(self.hands);
        for thread in self.threads {
            // A thread that panicked has told so already.
            let _panicked = thread.join();
        }
    }
}

impl Hands {
    /// Gives a connection to the worker with the fewest, or closes it if its address has too many.
    pub(crate) fn hand(&self, stream: TcpStream, peer: SocketAddr, sockets: &Sockets) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.workers.len();
        let candidates = (0..count).map(|step| &self.workers[turn.wrapping_add(step) % count]);
        if let Some(worker) = candidates.min_by_key(|worker| worker.load.load(Ordering::Relaxed)) {
            let Some(held) = sockets.hold(peer.ip(), &worker.load) else {
                sockets.cut(Cut::Sockets);
                tracing::debug!(%peer, "its address has too many sockets open (max-sockets-per-address)");
                return;
            };
            let sockets = sockets.clone();
            // A worker that is gone closes the connection by dropping it, and `ended` tells of it.
            let _gone = worker.sender.send(Handed { stream, peer, sockets, held });
        }
    }
}

/// Tells of a worker's end, whichever way it came.
struct Farewell {
    index: usize,
    to: mpsc::Sender<usize>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // There is room for every worker's one farewell; nobody listens any more once the server stops.
        let _nobody_listens = self.to.try_send(self.index);
    }
}

/// What one worker works with.
struct Desk {
    service: Service,
    connections: Arc<ConnectionContext>,
    inbox: UnboundedReceiver<Handed>,
}

impl Desk {
    /// Serves until the sending side is dropped. The runtime then drops what is still open.
    async fn work(mut self) {
        let mut waker = tokio::spawn(self.service.drive());
        loop {
            tokio::select! {
                handed = self.inbox.recv() => match handed {
                    Some(handed) => self.serve(handed),
                    None => return,
                },
                end = &mut waker => {
                    // Without it nobody who waits here would ever be woken: better to end and be seen.
                    tracing::error!("the task that wakes waiters ended: {end:?}");
                    return;
                }
            }
        }
    }

    fn serve(&self, Handed { stream, peer, sockets, held }: Handed) {
        let socket = match Socket::new(stream, &sockets) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!("a connection could not be taken up: {error}");
                return;
            }
        };
        let connection = poll_http::serve(socket, peer, self.service.clone(), self.connections.clone());
        // Not an `async` block: that would keep room for the connection twice.
        tokio::spawn(connection.map(move |ended| {
            // Peers vanish and break the protocol all day long: that is no news.
            if let Err(error) = ended {
                tracing::debug!(%peer, "{error}");
            }
            drop(held);
        }));
    }
}
