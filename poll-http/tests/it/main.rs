//! The crate's integration tests, one binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admission;
mod bodies_in_flight;
mod browsers;
mod channel_dialect;
mod chat;
mod clients;
mod cold_reads;
mod control_frames;
mod damage;
mod doors;
mod examples;
mod fan_out;
mod golongpoll;
mod golongpoll_time;
mod heads;
mod held_journal;
mod http2_requests;
mod json_texts;
mod judges;
mod mount;
mod native_polls;
mod native_publish;
mod native_push;
mod native_rules;
mod native_streams;
mod push_order;
mod questions;
mod race;
mod shelf;
mod slow_readers;
mod transport_deadline;
mod transport_direct;
mod transport_drain;
mod transport_engines;
mod transport_framing;
mod transport_http1;
mod transport_http2;
mod transport_plain;
mod transport_push;
mod transport_sniff;
mod transport_toy;
mod unread_answers;
mod unread_http2;
mod world;
