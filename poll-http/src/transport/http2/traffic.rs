//! Counts the frames of an HTTP/2 connection by their headers (RFC 9113, section 4.1).
//!
//! h2 answers or drops control frames without notice, and does not report which of its own frames have left. So frames are
//! counted between h2 and the socket. Judging them is left to h2.

use std::time::Duration;

use tokio::time::Instant;

use crate::message::connection_info::PushPolicy;
use crate::transport::http2::settings_frame::SettingsFrame;
use crate::transport::http2::trailers::{self, HEADERS};

/// Length, type, flags and stream.
const HEAD: usize = 9;

const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const ACK: u8 = 1;

/// A peer's control frames a connection, in a burst: so many seconds' worth.
const BURST_SECONDS: u32 = 10;
/// What one SETTINGS frame costs: a new window size is worked into every open stream.
const SETTINGS_COST: u64 = 10;
/// What a request may bring with it: a priority, a window of its own, a reset.
const EARNED_BY_REQUEST: u64 = 4;
/// What a DATA frame may be answered with. One update each for stream and connection is usual; clients with small
/// buffers send more.
const EARNED_BY_DATA: u64 = 10;

/// Both directions of one connection.
pub(crate) struct Traffic {
    received: trailers::Frames,
    sent: Frames,
    settings: SettingsFrame,
    budget: Budget,
}

/// The result of inspecting bytes from the peer, and what h2 is to read.
pub(crate) struct Received {
    /// The peer's first frame is whole.
    pub(crate) push: Option<PushPolicy>,
    pub(crate) frames: Allowed,
    /// So many of the bytes as they are…
    pub(crate) plain: usize,
    /// … and then these.
    pub(crate) rest: Vec<u8>,
}

/// Whether a peer keeps to its budget of control frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Yes,
    No,
}

impl Traffic {
    /// `rate` is how many control frames a second the peer may send for nothing; zero is no bound.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            received: trailers::Frames::default(),
            sent: Frames::default(),
            settings: SettingsFrame::default(),
            budget: Budget::new(rate),
        }
    }

    /// Bytes from the peer; `push` is whether its settings are known.
    pub(crate) fn receive(&mut self, bytes: &[u8], push: Option<PushPolicy>) -> Received {
        let push = if push.is_none() { self.settings.read(bytes) } else { None };
        let (mut cost, mut earned) = (0, 0);
        let passed = self.received.pass(bytes, |frame| match frame.kind {
            // h2 bounds empty and tiny ones itself.
            DATA => {}
            HEADERS => earned += EARNED_BY_REQUEST,
            SETTINGS if frame.flags & ACK == 0 => cost += SETTINGS_COST,
            _ => cost += 1,
        });
        self.budget.earn(earned);
        Received { push, frames: self.budget.spend(cost), plain: passed.plain, rest: passed.rest }
    }

    /// Inspects bytes that the socket has accepted. Returns the number of promises in them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> u32 {
        let (mut promises, mut earned) = (0, 0);
        self.sent.pass(bytes, |frame| match frame.kind {
            DATA => earned += EARNED_BY_DATA,
            PUSH_PROMISE => {
                promises += 1;
                earned += EARNED_BY_REQUEST;
            }
            // Each is answered by one.
            SETTINGS | PING if frame.flags & ACK == 0 => earned += 1,
            _ => {}
        });
        self.budget.earn(earned);
        promises
    }
}

/// Finds the frames in bytes that come in pieces of any length.
#[derive(Default)]
struct Frames {
    /// A head of which a part has come.
    head: [u8; HEAD],
    filled: usize,
    /// Payload to come.
    payload: usize,
}

struct FrameHead {
    kind: u8,
    flags: u8,
}

impl Frames {
    /// Calls `each` for every frame whose head is whole with these bytes.
    fn pass(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead)) {
        loop {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let taken = (HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < HEAD {
                return;
            }
            self.filled = 0;
            let [high, middle, low, kind, flags, ..] = self.head;
            self.payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            each(FrameHead { kind, flags });
        }
    }
}

/// A token bucket. Tokens earned by our own frames accumulate without limit: a peer that receives much may answer much,
/// whenever it does.
struct Budget {
    tokens: u64,
    /// Tokens a second; zero is no bound.
    rate: u32,
    filled: Instant,
}

impl Budget {
    fn new(rate: u32) -> Self {
        Self { tokens: Self::burst(rate), rate, filled: Instant::now() }
    }

    fn burst(rate: u32) -> u64 {
        u64::from(rate) * u64::from(BURST_SECONDS)
    }

    fn earn(&mut self, tokens: u64) {
        self.tokens += tokens;
    }

    fn spend(&mut self, cost: u64) -> Allowed {
        if self.rate == 0 {
            return Allowed::Yes;
        }
        if self.tokens < cost {
            self.refill(Instant::now());
        }
        let left = self.tokens.checked_sub(cost);
        self.tokens = left.unwrap_or_default();
        if left.is_some() { Allowed::Yes } else { Allowed::No }
    }

    /// Refilled only when it runs out, so most frames need no clock.
    fn refill(&mut self, now: Instant) {
        let one = Duration::from_secs(1) / self.rate;
        let passed =
            u64::try_from((now - self.filled).as_nanos() / one.as_nanos().max(1)).unwrap_or(u64::MAX);
        self.tokens = self.tokens.max(Self::burst(self.rate).min(self.tokens.saturating_add(passed)));
        self.filled = now;
    }
}
