//! Writing what is published to all readers of a channel that have caught up, without waking the connection of any.
//!
//! A broadcast is one worker's readers of one channel that get the same chunks. Their connections have nothing else to
//! do and have [handed over](crate::message::shared_writer) their sockets. One task waits for the channel and makes a pass over
//! them: the chunks are made once, and a reader costs a write. A reader that needs anything else (its socket is full,
//! messages were missed, the channel has ended, the server drains) is left to its connection, which takes up where the
//! broadcast left it; so this holds no queue, and knows no deadlines. A reader that is alone on its channel is left to
//! its connection as well, and so are all where a worker has no [`Broadcasts`].

mod member;
mod pass;
mod readers;
mod task;

pub(crate) use member::Member;
pub(crate) use readers::Broadcasts;
