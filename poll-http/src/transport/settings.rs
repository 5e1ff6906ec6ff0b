//! The limits of one connection.

use std::time::Duration;

/// Whether 103 is sent on HTTP/1.1 (it always is on HTTP/2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyHintsHttp1 {
    /// Send it.
    On,
    /// Do not: nginx before 1.29 mistakes a 103 for the response and hangs.
    #[default]
    Off,
}

/// The connection's limits. Each default is what the documentation promises.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Largest request head in bytes; over it 431. 16 KiB: cookies and a long URL, no more.
    pub max_head_bytes: usize,
    /// From the first byte of a head to its end. 10 s: a slow phone makes it, a slow-head attack does not pay.
    pub head: Duration,
    /// How long a connection without a request is kept. 75 s: longer than the longest poll and the usual proxy's 60 s.
    pub keep_alive: Duration,
    /// In which a peer must take 4 KiB of a write, or what is left of it. 30 s: a reader that takes less costs memory for
    /// that long.
    pub stall: Duration,
    /// HTTP/2 streams that a peer may have open at once; one more is refused.
    pub max_streams: u32,
    /// HTTP/2 control frames (SETTINGS, PING, WINDOW_UPDATE, PRIORITY and whatever else asks for nothing) that a peer may
    /// send a second, ten seconds' worth at once; zero is no bound. What answers a frame of ours does not count. Over it
    /// the connection is closed with ENHANCE_YOUR_CALM. 100: a client that measures its round trip all the time sends a
    /// few.
    pub max_control_frames: u32,
    /// How often an HTTP/2 peer must be heard of; if it is not, it is sent a PING. Twice this and
    /// [`ping_timeout`](Self::ping_timeout) are together no more than [`stall`](Self::stall), so that a dead peer is
    /// found within it.
    pub ping_interval: Duration,
    /// How long the answer to a PING may take. It is not late while the socket is full: then only
    /// [`stall`](Self::stall) counts.
    pub ping_timeout: Duration,
    /// 103 on HTTP/1.1.
    pub early_hints_http1: EarlyHintsHttp1,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max_head_bytes: 16 * 1024,
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            max_streams: 1000,
            max_control_frames: 100,
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            early_hints_http1: EarlyHintsHttp1::Off,
        }
    }
}
