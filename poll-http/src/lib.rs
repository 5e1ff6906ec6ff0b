//! poll-http
