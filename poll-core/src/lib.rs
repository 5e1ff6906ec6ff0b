//! poll-core
