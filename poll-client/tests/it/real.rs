//! The client and the command against the real server: a process on a free port, killed and started again.

#[cfg(feature = "command")]
mod admin;
#[cfg(feature = "command")]
mod command;
mod durable_streams;
#[cfg(feature = "command")]
mod job;
mod jobs;
#[cfg(feature = "links")]
mod links;
mod presence;
#[cfg(feature = "command")]
mod process;
mod server;
mod several;
#[cfg(feature = "tls")]
mod tls;
