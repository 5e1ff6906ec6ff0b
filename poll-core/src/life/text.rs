//! Short texts that clients choose.

use std::fmt;
use std::sync::Arc;

/// The text is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextError;

/// The longest text in bytes.
const MAX_BYTES: usize = 255;

/// The place of an append in its writer's order: any text of 1 to 255 bytes; the bytes of each have to be above those of
/// the one before. There is one order a channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(Arc<str>);

/// A producer's name for itself: 1 to 255 bytes. It belongs to one channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerId(Arc<str>);

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// Parses it.
            ///
            /// # Errors
            /// When it is empty or longer than 255 bytes.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                if text.is_empty() || text.len() > MAX_BYTES {
                    return Err(TextError);
                }
                Ok(Self(text.into()))
            }

            /// As it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text!(Order);
text!(ProducerId);

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1 to 255 bytes are needed")
    }
}

impl std::error::Error for TextError {}
