//! poll-client
