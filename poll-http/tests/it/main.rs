//! The crate's integration tests, one binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access_log;
mod admin_channels;
mod administration;
mod admission;
mod bodies_in_flight;
mod broadcast;
mod browsers;
mod channel_dialect;
mod chat;
mod clients;
mod cold_reads;
mod control_frames;
mod damage;
mod doors;
mod durable_streams;
mod examples;
mod golongpoll;
mod golongpoll_time;
mod grants;
mod heads;
mod held_journal;
mod http2_requests;
mod json_texts;
mod judges;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(feature = "jwt")]
mod matrix;
mod mount;
mod native_polls;
mod native_publish;
mod native_push;
mod native_rules;
mod native_streams;
mod presence;
mod push_order;
mod questions;
mod race;
mod several_model;
mod several_polls;
mod several_streams;
mod shared_writer;
mod shelf;
mod slow_readers;
mod stalls;
mod subscriptions;
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
mod transport_switch;
mod transport_toy;
mod turns;
mod unread_answers;
mod unread_http2;
mod unsettled;
mod wake_to_write;
mod world;
