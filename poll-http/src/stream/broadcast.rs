//! Writes new messages to all readers that have caught up with a channel or a list of channels, without waking their
//! connections.
//!
//! A broadcast is one worker's readers of one [subject](crate::stream::subject) that get the same chunks. Their connections
//! have nothing else to do and have [handed over](crate::message::shared_writer) their sockets. One task waits for messages
//! and makes a pass over the readers: the chunks are made once, and a reader costs a write. A reader that needs anything
//! else (its socket is full, messages were missed, a channel has ended, the server drains) is left to its connection, which
//! continues where the broadcast stopped; so there is no queue here, and there are no deadlines. A lone reader is left to
//! its connection as well, as is every reader of a worker without [`Broadcasts`], over HTTP/2, or on hyper.

mod member;
mod pass;
mod readers;
mod task;

pub(crate) use member::Member;
pub(crate) use readers::Broadcasts;
