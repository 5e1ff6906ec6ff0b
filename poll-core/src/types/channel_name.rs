//! The name of a channel, parsed once.
//!
//! A [`ChannelName`] is valid by construction; nothing checks it again. Percent-encoding belongs to the wire and is
//! undone before a name gets here.
//!
//! A request looks a name up about ten times, so it is hashed once, when it is parsed, and every table of names uses
//! that hash.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use indexmap::IndexMap;
use smol_str::SmolStr;

use crate::environment::ProcessKey;

/// 1 to 1024 bytes of UTF-8 without control characters. Short names are stored inline, so that a table compares them
/// without following a pointer; cloning a long one counts a reference.
#[derive(Clone)]
pub struct ChannelName {
    /// Of the text, under a key of this process, so that clients cannot choose names that collide.
    hash: u64,
    text: SmolStr,
}

/// A table by name.
pub(crate) type NameMap<V> = HashMap<ChannelName, V, BuildHasherDefault<Hashed>>;

/// The same, with entries that can also be picked by index.
pub(crate) type NameIndexMap<V> = IndexMap<ChannelName, V, BuildHasherDefault<Hashed>>;

/// Returns the hash that a name carries.
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Never called: a name writes its hash.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| hash.rotate_left(8) ^ u64::from(byte));
    }
}

/// Why a text is not a channel name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelNameError {
    /// The name has no characters.
    Empty,
    /// The name is longer than [`ChannelName::MAX_BYTES`].
    TooLong,
    /// The name holds a control character.
    Control,
}

impl ChannelName {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 1024;

    /// Parses a name.
    ///
    /// # Errors
    /// When the text is empty, too long, or holds a control character (Unicode category Cc).
    pub fn parse(text: &str) -> Result<Self, ChannelNameError> {
        if text.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(ChannelNameError::TooLong);
        }
        let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !plain && text.chars().any(char::is_control) {
            return Err(ChannelNameError::Control);
        }
        // The bytes alone: a string's terminator separates it from what is hashed after it, and nothing is.
        let mut hasher = ProcessKey.build_hasher();
        hasher.write(text.as_bytes());
        Ok(Self { hash: hasher.finish(), text: text.into() })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which of `count` shards holds this name. Uses the middle of the hash: a hash table uses both ends.
    pub(crate) fn shard(&self, count: usize) -> usize {
        usize::try_from(self.hash >> 32 & 0xff_ffff).unwrap_or_default() % count
    }
}

impl Hash for ChannelName {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

impl PartialEq for ChannelName {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.text == other.text
    }
}

impl Eq for ChannelName {}

impl PartialOrd for ChannelName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// By text.
impl Ord for ChannelName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelName({:?})", &*self.text)
    }
}

impl fmt::Display for ChannelNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a channel name must not be empty",
            Self::TooLong => "a channel name has at most 1024 bytes",
            Self::Control => "a channel name must not hold control characters",
        })
    }
}

impl std::error::Error for ChannelNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_bytes_and_controls_are_refused() {
        assert_eq!(ChannelName::parse(""), Err(ChannelNameError::Empty));
        assert!(ChannelName::parse(&"a".repeat(1024)).is_ok());
        assert_eq!(ChannelName::parse(&"a".repeat(1025)), Err(ChannelNameError::TooLong));
        assert_eq!(ChannelName::parse(&"é".repeat(513)), Err(ChannelNameError::TooLong));
        for bad in ["a\nb", "\0", "\u{7f}", "\u{85}"] {
            assert_eq!(ChannelName::parse(bad), Err(ChannelNameError::Control), "{bad:?}");
        }
        assert_eq!(ChannelName::parse("orders/42 ☃").unwrap().as_str(), "orders/42 ☃");
    }
}
