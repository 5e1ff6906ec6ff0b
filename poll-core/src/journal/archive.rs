//! Reading back a journal: the part of a log that is not in memory.
//!
//! A store above an archive keeps the tail of the channels in use, and asks for the rest. Every request is answered
//! later, through its [`Reply`], from a thread of the journal's own, so that no worker waits for a disk.

use tokio::sync::watch;

use crate::life::{Producer, ProducerId};
use crate::types::{
    ChannelName, Epoch, JournalError, KeptKey, Landmark, Listing, Loaded, Located, Piece, Selection, Stretch,
    Timestamp,
};

/// Where an answer goes. Dropping it uncalled counts as a failure.
pub type Reply<T> = Box<dyn FnOnce(Result<T, JournalError>) + Send>;

/// Reads back what was stored.
pub trait Archive: Send + Sync {
    /// A channel as it was last kept, with as much of its tail as [`tail`](Self::tail) allows; `None` if there is no
    /// such channel. Age limits are applied as of `now`.
    fn load(&self, channel: &ChannelName, now: Timestamp, reply: Reply<Option<Loaded>>);

    /// Messages of a channel; `None` if there is no such channel in that incarnation.
    fn read(&self, stretch: Stretch, reply: Reply<Option<Piece>>);

    /// The position of a landmark in a channel; `None` if there is no such channel in that incarnation.
    fn locate(&self, channel: &ChannelName, epoch: Epoch, landmark: Landmark, reply: Reply<Option<Located>>);

    /// A page of all channels, whether they are in memory or not, in the order of their names. Age limits are applied as of
    /// `now`. A journal that does not keep names in order has none to give.
    fn list(&self, selection: Selection, now: Timestamp, reply: Reply<Listing>) {
        let _ = (selection, now);
        reply(Err(JournalError::Unavailable("this journal does not list its channels".to_owned())));
    }

    /// It is `now`: expired messages may be deleted.
    fn sweep(&self, now: Timestamp);

    /// How many channels there are, including admitted ones.
    fn channels(&self) -> u64;

    /// How much of it all may be in memory.
    fn tail(&self) -> Tail;

    /// Whether the journal can be used, now and as that changes.
    fn health(&self) -> watch::Receiver<Health>;

    /// What damage has been found, now and as more is found.
    fn damage(&self) -> watch::Receiver<Damage>;

    /// Stores everything accepted, then stops for good. Answers when the files are closed.
    fn close(&self, reply: Reply<()>);
}

/// What the store asks of an archive that only it publishes to: in a shared one, the log itself knows keys and channels.
pub trait SoleArchive: Archive {
    /// The idempotency keys of a channel that are within their window at `now` and within their number, oldest first.
    fn keys(&self, channel: &ChannelName, now: Timestamp, reply: Reply<Vec<KeptKey>>);

    /// Whether a channel has forks: channels whose life names it as their source.
    fn has_forks(&self, channel: &ChannelName, reply: Reply<bool>);

    /// Channels whose time may be over, or that are hidden. Repeated calls give all of them in turn.
    fn lapsed(&self, now: Timestamp, reply: Reply<Vec<ChannelName>>);

    /// The producers that a channel remembers.
    fn producers(&self, channel: &ChannelName, reply: Reply<Vec<(ProducerId, Producer)>>);

    /// Admits a new channel, if there are fewer than `most`.
    fn admit(&self, most: u64) -> bool;

    /// A channel that was admitted did not come into being.
    fn dismiss(&self);

    /// Forgets a channel that holds nothing and has not been used for longer than anything is promised; says whether
    /// there was one.
    fn make_room(&self, now: Timestamp, reply: Reply<bool>);
}

/// Rows of a journal that differ from what was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// How many were found since it was opened.
    pub rows: u64,
    /// The last one found, as one line.
    pub last: String,
}

/// How much of the stored messages may be in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Weight of all messages, in bytes. 256 MiB: what was published last is read most.
    pub bytes: u64,
    /// Channels. 100 000, at about a kilobyte each.
    pub channels: u64,
    /// How long a channel stays in memory after its last use. A minute: longer than most polls wait.
    pub idle: std::time::Duration,
}

impl Default for Tail {
    fn default() -> Self {
        Self { bytes: 256 << 20, channels: 100_000, idle: std::time::Duration::from_secs(60) }
    }
}

/// Whether a journal can be used.
///
/// A journal that answers a read with [`JournalError::Unavailable`] has changed its health to unreadable before,
/// and changes it back once asking again makes sense: a caller that waits for that never spins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// It can be written and read.
    #[default]
    Ready,
    /// It can be read, but not written for now.
    Refusing(Fault),
    /// It does neither, for now.
    Away(Fault),
    /// It never will again.
    Lost(Fault),
}

/// What is wrong with a journal. Displays as its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of fault. It may be made public.
    pub kind: FaultKind,
    /// Details as one line for the log. It may name paths.
    pub why: String,
}

/// The kinds of fault that a journal has. Displays as one line that reveals nothing about the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is being opened, or repaired after a crash.
    Opening,
    /// There is no room left where it writes.
    Full,
    /// Reading or writing failed.
    Failing,
    /// A commit takes far longer than commits do.
    Stalled,
    /// What it writes to was removed, renamed or replaced.
    Gone,
    /// Another process uses it.
    InUse,
    /// Its file makes no sense, or is damaged in a place that every commit depends on.
    Damaged,
    /// Its file has a version of the format that this server does not read.
    Version,
    /// It is on another machine, to which there is no connection.
    Unreachable,
    /// It reads its data into memory before it answers.
    Loading,
    /// It can be read only, as a replica is.
    ReadOnly,
    /// It stores what is published and does not announce it.
    Silent,
    /// It is closed.
    Closed,
}

impl Health {
    /// Whether publishes are accepted.
    ///
    /// # Errors
    /// When nothing can be stored now.
    pub fn check_writable(&self) -> Result<(), JournalError> {
        self.fault().map_or(Ok(()), |fault| Err(fault.error()))
    }

    /// Whether a channel that is not in memory can be read.
    ///
    /// # Errors
    /// When nothing can be read now.
    pub fn check_readable(&self) -> Result<(), JournalError> {
        match self {
            Self::Ready | Self::Refusing(_) => Ok(()),
            Self::Away(fault) | Self::Lost(fault) => Err(fault.error()),
        }
    }

    /// The fault, if there is one.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Ready => None,
            Self::Refusing(fault) | Self::Away(fault) | Self::Lost(fault) => Some(fault),
        }
    }
}

impl Fault {
    /// A fault with its details for the log.
    pub fn new(kind: FaultKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    /// The error for a request that the fault prevents. Nothing was stored.
    #[must_use]
    pub fn error(&self) -> JournalError {
        match self.kind {
            FaultKind::Full => JournalError::Full(self.why.clone()),
            _ => JournalError::Unavailable(self.why.clone()),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Fault {}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opening => "the store is being opened",
            Self::Full => "the store has no room left",
            Self::Failing => "the store cannot be read or written",
            Self::Stalled => "the store does not answer in time",
            Self::Gone => "the store's file was removed, renamed or replaced",
            Self::InUse => "the store is in use by another server",
            Self::Damaged => "the store is damaged",
            Self::Version => "the store has another version of the format",
            Self::Unreachable => "the store cannot be reached",
            Self::Loading => "the store is loading its data",
            Self::ReadOnly => "the store is read-only",
            Self::Silent => "the store does not announce what is published",
            Self::Closed => "the store is closed",
        })
    }
}
