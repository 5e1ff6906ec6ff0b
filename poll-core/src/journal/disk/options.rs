//! Options of a disk journal, and its progress reports.

use std::time::Duration;

use crate::journal::Tail;

/// When a publisher is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// After the commit.
    #[default]
    Commit,
    /// At once, and committed within this time. A crash loses what was not committed yet; every reader is then told by a
    /// reset.
    Interval(Duration),
}

/// Whether opening returns unused space to the file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compact {
    /// The file keeps its size; freed pages are used again.
    #[default]
    Never,
    /// Compact the file first, which takes about as long as copying it.
    AtOpen,
}

/// How a journal works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// When publishers are answered.
    pub durability: Durability,
    /// How much of each log is kept in memory.
    pub tail: Tail,
    /// Whether unused space is returned.
    pub compact: Compact,
    /// Cache for the database's pages, in bytes. 16 MiB: the upper levels of its trees; what is new is in memory anyway.
    pub cache_bytes: usize,
    /// Payload that may wait for the writer, in bytes; publishes beyond it are refused. 64 MiB: seconds of writing.
    pub queue_bytes: u64,
    /// The size at which a segment of the log is moved to the database, in bytes; `None` for a sixteenth of the bytes
    /// retained in all, at least 16 KiB and at most 32 MiB.
    pub segment_bytes: Option<u64>,
    /// Threads that read. 2: reads wait for the disk, not for a core.
    pub readers: usize,
    /// How long a commit may take before publishes are refused. After twice that, the publishers waiting for it learn
    /// that the outcome is unknown. 5 s: ten times what a busy disk takes, and soon enough for health checks.
    pub stall: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            tail: Tail::default(),
            compact: Compact::default(),
            cache_bytes: 16 << 20,
            queue_bytes: 64 << 20,
            segment_bytes: None,
            readers: 2,
            stall: Duration::from_secs(5),
        }
    }
}

/// How far opening has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// The file is being opened.
    Opening,
    /// An earlier version wrote the file and was not shut down cleanly: it is being repaired, this far (from 0 to 1).
    Repairing(f64),
    /// There was no file, and one is created.
    Creating,
    /// The file is being compacted.
    Compacting,
    /// The journal can be used.
    Ready(Recovered),
}

/// What was in the file when it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Channels.
    pub channels: u64,
    /// Messages in all of them, those included that have expired and are not deleted yet.
    pub messages: u64,
}

/// What a journal has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commits that contained publishes.
    pub commits: u64,
    /// Publishes in them.
    pub publishes: u64,
    /// How long these commits have taken together, from the write to the end of the sync.
    pub commit_time: Duration,
    /// Payload of publishes that wait for a commit to begin, in bytes.
    pub queued_bytes: u64,
}
