//! Offsets: where reading goes on. Only servers know what they mean.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A position in a stream, as its server gave it. Kept as text, it is good for as long as the stream lives.
///
/// ```
/// use poll_client::durable_streams::Offset;
///
/// let kept = "0000000000000002_0000000000000000".parse::<Offset>()?;
/// assert_eq!(kept.as_str(), "0000000000000002_0000000000000000");
/// assert!("a,b".parse::<Offset>().is_err());
/// # Ok::<(), poll_client::durable_streams::OffsetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Offset(Cow<'static, str>);

/// What is not an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetError(String);

impl Offset {
    /// The beginning.
    pub const START: Self = Self(Cow::Borrowed("-1"));
    /// The end as it is when the request arrives.
    pub const NOW: Self = Self(Cow::Borrowed("now"));
    /// The protocol's limit, in bytes.
    const LONGEST: usize = 255;

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Offset {
    type Err = OffsetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let may_be = |byte: u8| byte.is_ascii_graphic() && !b",&=?/".contains(&byte);
        if text.is_empty() || text.len() > Self::LONGEST || !text.bytes().all(may_be) {
            return Err(OffsetError(text.chars().take(Self::LONGEST).collect()));
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OffsetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an offset", self.0)
    }
}

impl std::error::Error for OffsetError {}
