//! poll-server from the outside: its configuration, and the binary as an operator meets it.
//!
//! Why one binary: it links once. Waiting is always for a log line or another visible fact, never for time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops right there")]

mod access_log;
mod compose;
mod compression;
mod config;
mod damage;
mod doctor;
mod drain;
mod http_docs;
mod manual;
mod monitoring;
mod operator;
mod presence;
mod process;
mod proxies;
mod publishing;
#[cfg(feature = "redis")]
mod redis;
mod seeded;
mod serving;
mod settings_docs;
mod shared_store;
#[cfg(feature = "redis")]
mod shared_subscriptions;
#[cfg(feature = "otlp")]
mod spans;
mod store;
mod supervisor;
#[cfg(feature = "tls")]
mod tls;
mod tokens;
mod typos;
mod webhooks;
