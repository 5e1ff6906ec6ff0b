//! poll-server
