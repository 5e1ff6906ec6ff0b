//! The hot paths of HTTP, counted in instructions.
//!
//! Whole requests go through [`poll_http::serve`] on in-memory pipes, so that everything but the kernel is in the
//! figure; the client that asks is in it too, and as small as it can be ([`wire`]). Deterministic: paused time, one
//! thread, a clock that is a number. How long a path takes is for the `requests` bench.

#[path = "../../../poll-core/benches/counted/hot_path.rs"]
mod hot_path;
mod http1;
mod http2;
mod parts;
#[cfg(feature = "jwt")]
mod tokens;
mod wire;
mod world;

use hot_path::HotPath;

/// How many wait, or read a stream, where many do.
const CROWD: u64 = 100;
/// How many messages are published at a time where their rendering is looked at.
const BATCH: u64 = 10;

const PATHS: &[HotPath] = &[
    HotPath { name: "route", rounds: 1_000, operations: parts::ROUTES.len() as u64, run: parts::route },
    HotPath { name: "render-poll", rounds: 200, operations: BATCH, run: parts::render_poll },
    HotPath { name: "render-lines", rounds: 200, operations: BATCH, run: parts::render_lines },
    HotPath { name: "render-events", rounds: 200, operations: BATCH, run: parts::render_events },
    HotPath { name: "service-short-304", rounds: 1_000, operations: 1, run: parts::short_304 },
    HotPath { name: "service-publish", rounds: 1_000, operations: 1, run: parts::publish },
    HotPath { name: "http1-short-304", rounds: 1_000, operations: 1, run: http1::short_304 },
    HotPath { name: "http1-short-one", rounds: 1_000, operations: 1, run: http1::short_one },
    HotPath { name: "http1-long-ready", rounds: 1_000, operations: 1, run: http1::long_ready },
    HotPath { name: "http1-long-answered", rounds: 20, operations: CROWD, run: http1::long_answered },
    HotPath { name: "http1-stream-lines", rounds: 20, operations: CROWD, run: http1::stream_lines },
    HotPath { name: "http1-stream-events", rounds: 20, operations: CROWD, run: http1::stream_events },
    HotPath { name: "http1-list-304", rounds: 200, operations: 1, run: http1::list_304 },
    HotPath { name: "http1-list-answered", rounds: 20, operations: CROWD, run: http1::list_answered },
    HotPath { name: "http1-list-lines", rounds: 20, operations: CROWD, run: http1::list_lines },
    HotPath { name: "http1-publish", rounds: 1_000, operations: 1, run: http1::publish },
    HotPath { name: "http1-publish-split", rounds: 1_000, operations: 1, run: http1::publish_split },
    #[cfg(feature = "jwt")]
    HotPath { name: "http1-304-listed", rounds: 1_000, operations: 1, run: tokens::listed },
    #[cfg(feature = "jwt")]
    HotPath { name: "http1-304-signed", rounds: 1_000, operations: 1, run: tokens::signed },
    #[cfg(feature = "jwt")]
    HotPath { name: "judge-hs256", rounds: 200, operations: 1, run: tokens::judge_hs256 },
    #[cfg(feature = "jwt")]
    HotPath { name: "judge-rs256", rounds: 200, operations: 1, run: tokens::judge_rs256 },
    HotPath { name: "http2-long-answered", rounds: 20, operations: CROWD, run: http2::long_answered },
];

fn main() {
    hot_path::run(PATHS);
}
