//! TLS on accepted connections, below HTTP.
//!
//! | file | what it does |
//! | --- | --- |
//! | `pair` | parses a certificate with its key, and the authorities of client certificates |
//! | `choice` | chooses a certificate by the name that a client asks for |
//! | `certificates` | the certificates in force, and how they are replaced while the server runs |
//! | `obtained` | what is obtained by ACME, and the answers to its challenges |
//! | `watch` | looks at the files again |
//! | `handshake` | a connection until its handshake is done, with its deadlines |
//! | `stream` | a connection on its socket: reads, decrypts, encrypts and sends |
//! | `session` | the protocol's states, and what was decrypted or encrypted |
//! | `partial` | how long the rest of a record may take |
//! | `charges` | what the buffers hold, on the account |
//! | `scratch` | buffers that the connections of a worker share |
//! | `unfinished` | what has begun and gives way when there is no memory for more |
//! | `subject` | the name in a client's certificate |
//!
//! Why rustls without its buffers: a connection that waits keeps keys and counters, and no buffer.
//! Not here: asking for certificates (`acme.rs`), HTTP, which knows no more of it than that a connection is secured (poll-http); the plain listener that
//! redirects (`redirect.rs`).

mod certificates;
mod charges;
mod choice;
mod handshake;
mod obtained;
mod pair;
mod partial;
mod scratch;
mod session;
mod stream;
mod subject;
mod unfinished;
mod watch;

pub(crate) use self::certificates::{Certificates, Keeper, check};
pub(crate) use self::handshake::{Handshakes, serve};
pub(crate) use self::obtained::Obtained;
pub(crate) use self::pair::{Pair, PairFault};
pub(crate) use self::stream::TlsStream;
pub(crate) use self::unfinished::Unfinished;
pub(crate) use self::watch::watch;
