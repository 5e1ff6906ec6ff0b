//! The poll server.
fn main() {}
