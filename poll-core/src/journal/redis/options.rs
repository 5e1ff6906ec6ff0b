//! What a shared log promises, and how much of it a server holds.

use std::fmt;
use std::str::FromStr;

use crate::journal::Tail;

/// How the log is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the names of all keys and announcements begin with, so that several logs fit into one Redis. `poll:`.
    pub prefix: String,
    /// When a publisher is answered.
    pub durability: Durability,
    /// How much of the messages may be in memory here.
    pub tail: Tail,
    /// Bytes of publishes that may wait to be sent or answered. 32 MiB: a second of a very busy server.
    pub queue_bytes: u64,
}

/// What Redis has done with a publish when its publisher is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It has it in memory.
    #[default]
    Memory,
    /// So many of its replicas have it as well (`WAIT`).
    Replicas(u8),
    /// Its file has it: `appendfsync always`, or `WAITAOF`.
    Disk,
}

/// A text that names no [`Durability`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurabilityError;

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "poll:".to_owned(),
            durability: Durability::Memory,
            tail: Tail::default(),
            queue_bytes: 32 << 20,
        }
    }
}

impl FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(text: &str) -> Result<Self, DurabilityError> {
        match text {
            "memory" => Ok(Self::Memory),
            "disk" => Ok(Self::Disk),
            _ => match text.strip_prefix("replicas=").and_then(|number| number.parse().ok()) {
                Some(number) if number > 0 => Ok(Self::Replicas(number)),
                _ => Err(DurabilityError),
            },
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Replicas(number) => write!(f, "replicas={number}"),
            Self::Disk => f.write_str("disk"),
        }
    }
}

impl fmt::Display for DurabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is none of memory, replicas=N with N from 1 to 255, and disk")
    }
}

impl std::error::Error for DurabilityError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_written_as_it_is_read() {
        for text in ["memory", "replicas=1", "replicas=255", "disk"] {
            assert_eq!(text.parse::<Durability>().map(|durability| durability.to_string()), Ok(text.into()));
        }
        for text in ["", "replicas", "replicas=0", "replicas=256", "replicas=-1", "Disk"] {
            assert_eq!(text.parse::<Durability>(), Err(DurabilityError), "{text}");
        }
    }
}
