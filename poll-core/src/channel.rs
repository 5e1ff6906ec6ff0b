//! The name of a channel, parsed once.
//!
//! Whoever holds a [`ChannelName`] holds a valid one; nothing checks it again. Percent-encoding is the wire's
//! business and is undone before a name gets here.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// 1 to 1024 bytes of UTF-8 without control characters. A clone is a reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

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

    /// Takes a text for a name.
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
        if text.chars().any(char::is_control) {
            return Err(ChannelNameError::Control);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelName({:?})", &*self.0)
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
