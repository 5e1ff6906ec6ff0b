//! poll-server
pub mod config;
pub mod listen;
pub mod logs;
mod accept;
mod shutdown;
mod sockets;
mod store;
mod worker;
