//! Reading what the script packed: big-endian numbers, one after the other.

use super::generation::{Birth, Generation, Mark, Reign};
use crate::types::{Ending, Seq, Timestamp};

/// A reply, an announcement or an entry is not what the script writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Garbled;

pub(crate) type Result<T> = std::result::Result<T, Garbled>;

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Garbled)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Garbled)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn seq(&mut self) -> Result<Seq> {
        self.u64().map(Seq::new)
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp> {
        self.u64().map(Timestamp::from_micros)
    }

    pub(crate) fn birth(&mut self) -> Result<Birth> {
        Birth::new(self.u32()?).ok_or(Garbled)
    }

    pub(crate) fn ending(&mut self) -> Result<Ending> {
        match self.byte()? {
            0 => Ok(Ending::Open),
            1 => Ok(Ending::Close),
            _ => Err(Garbled),
        }
    }

    pub(crate) fn mark(&mut self) -> Result<Mark> {
        Ok(Mark {
            generation: Generation::new(self.u32()?),
            count: self.u64()?,
            reign: Reign::new(self.u64()?),
        })
    }

    /// Nothing is left.
    pub(crate) fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Garbled) }
    }
}

impl std::fmt::Display for Garbled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("what came from Redis is not what this version of the journal writes")
    }
}

impl std::error::Error for Garbled {}
