//! The client against mock servers on in-memory pipes and paused time: what it does when the network misbehaves. And
//! against the real server, together with the command.

#![expect(clippy::unwrap_used, reason = "a fake server that cannot go on is a failed test")]

mod durable_streams;
mod fake;
mod http1;
mod parsers;
mod polls;
mod presence;
mod publish;
mod push;
mod real;
mod several;
mod streams;
