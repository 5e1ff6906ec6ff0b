//! Where a channel is kept: partitions, and the names of keys.
//!
//! A channel belongs to one of 128 partitions for ever, by a hash of its name that needs no key. All keys of a partition
//! have the same hash tag, so that one script may use all of them in a cluster. The slot of tag `i` lies in the `i`-th of
//! 128 equal parts of the slots: a cluster that divides the slots evenly divides the partitions evenly.
//!
//! The slot is `CRC16(tag) % 16384`, as the Redis Cluster specification has it ("Key distribution model").

use crate::types::ChannelName;

/// The slots of a cluster.
const SLOTS: u16 = 16_384;

/// The slots that one partition stands for.
const SPAN: u16 = SLOTS / Partition::COUNT as u16;

/// A 128th of all channels, below [`Partition::COUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition(u8);

/// What all keys begin with: up to 64 bytes without braces, which would be taken for the hash tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix(String);

/// The text is not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PrefixError;

/// The tag of each partition: the smallest number whose slot is in the partition's part.
static TAGS: [u16; Partition::COUNT] = {
    let mut tags = [u16::MAX; Partition::COUNT];
    let (mut number, mut found) = (0, 0);
    while found < Partition::COUNT {
        let partition = slot_of_number(number) / SPAN;
        if tags[partition as usize] == u16::MAX {
            tags[partition as usize] = number;
            found += 1;
        }
        number += 1;
    }
    tags
};

impl Partition {
    /// How many there are.
    pub(crate) const COUNT: usize = 128;

    /// The partition of a channel.
    pub(crate) fn of(channel: &ChannelName) -> Self {
        Self((slot(channel.as_str().as_bytes()) / SPAN) as u8)
    }

    /// All of them, in the order of their slots.
    pub(crate) fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Its number, below [`Self::COUNT`].
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }

    /// The slot of a cluster that its keys are in.
    pub(crate) fn slot(self) -> u16 {
        slot_of_number(TAGS[self.index()])
    }

    /// The name of a key: one letter for what it is, and the channel if it belongs to one.
    fn key(self, prefix: &Prefix, letter: &str, channel: Option<&ChannelName>) -> String {
        let tag = TAGS[self.index()];
        match channel {
            None => format!("{prefix}{{{tag}}}:{letter}", prefix = prefix.0),
            Some(channel) => format!("{prefix}{{{tag}}}:{letter}:{channel}", prefix = prefix.0),
        }
    }

    /// The record of the partition: generation, count, reign.
    pub(crate) fn record(self, prefix: &Prefix) -> String {
        self.key(prefix, "p", None)
    }

    /// Where changes of the partition are announced: a channel of Redis' publish and subscribe.
    pub(crate) fn announcements(self, prefix: &Prefix) -> String {
        self.key(prefix, "n", None)
    }

    /// The record of a channel.
    pub(crate) fn channel(self, prefix: &Prefix, channel: &ChannelName) -> String {
        self.key(prefix, "m", Some(channel))
    }

    /// The messages of a channel, a stream.
    pub(crate) fn stream(self, prefix: &Prefix, channel: &ChannelName) -> String {
        self.key(prefix, "s", Some(channel))
    }

    /// The idempotency keys of a channel, by their hash.
    pub(crate) fn idempotency(self, prefix: &Prefix, channel: &ChannelName) -> String {
        self.key(prefix, "k", Some(channel))
    }

    /// The idempotency keys of a channel in the order in which they were taken.
    pub(crate) fn order(self, prefix: &Prefix, channel: &ChannelName) -> String {
        self.key(prefix, "o", Some(channel))
    }

    /// From the name of an announcement's channel; `None` if it is none of this prefix.
    pub(crate) fn announced_on(prefix: &Prefix, name: &[u8]) -> Option<Self> {
        let tag = name.strip_prefix(prefix.0.as_bytes())?.strip_prefix(b"{")?.strip_suffix(b"}:n")?;
        let number: u16 = std::str::from_utf8(tag).ok()?.parse().ok()?;
        let partition = Self((slot_of_number(number) / SPAN) as u8);
        (TAGS[partition.index()] == number).then_some(partition)
    }
}

impl Prefix {
    /// The longest one in bytes.
    pub(crate) const MAX_BYTES: usize = 64;

    /// Parses a prefix.
    ///
    /// # Errors
    /// When it is too long, or has braces or control characters.
    pub(crate) fn parse(text: &str) -> Result<Self, PrefixError> {
        let bad = |character: char| character == '{' || character == '}' || character.is_control();
        if text.len() > Self::MAX_BYTES || text.contains(bad) {
            return Err(PrefixError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("poll:".to_owned())
    }
}

impl std::fmt::Display for PrefixError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key prefix has at most 64 bytes, and neither braces nor control characters")
    }
}

impl std::error::Error for PrefixError {}

/// The slot of a key that has no hash tag.
const fn slot(key: &[u8]) -> u16 {
    crc16(key) % SLOTS
}

/// What each byte does to a CRC-16/XMODEM.
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

const fn crc16(bytes: &[u8]) -> u16 {
    let mut crc: u16 = 0;
    let mut place = 0;
    while place < bytes.len() {
        crc = crc << 8 ^ CRC[(crc >> 8 ^ bytes[place] as u16) as usize];
        place += 1;
    }
    crc
}

/// The slot of a number's decimal digits.
const fn slot_of_number(number: u16) -> u16 {
    let mut digits = [0; 5];
    let (mut rest, mut start) = (number, digits.len());
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let (_, digits) = digits.split_at(start);
    slot(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_redis_cluster() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // What CLUSTER KEYSLOT says.
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot_of_number(0), slot(b"0"));
        assert_eq!(slot_of_number(65_535), slot(b"65535"));
    }

    #[test]
    fn every_partition_has_its_part_of_the_slots() {
        let prefix = Prefix::default();
        for (number, partition) in Partition::all().enumerate() {
            assert_eq!(usize::from(partition.slot() / 128), number);
            let name = partition.announcements(&prefix);
            assert_eq!(Partition::announced_on(&prefix, name.as_bytes()), Some(partition));
        }
        assert_eq!(Partition::all().len(), Partition::COUNT);
    }

    #[test]
    fn a_channel_keeps_its_partition() {
        // Written down: a channel must be found where an earlier version put it.
        let of = |name| Partition::of(&ChannelName::parse(name).unwrap()).index();
        assert_eq!([of("default"), of("orders"), of("a/b {c}"), of("é☃")], [44, 0, 17, 117]);
    }

    #[test]
    fn names_are_spread_evenly() {
        let mut channels = [0; Partition::COUNT];
        for number in 0..12_800 {
            channels[Partition::of(&ChannelName::parse(&format!("user/{number}")).unwrap()).index()] += 1;
        }
        assert!(channels.iter().all(|channels| (50..200).contains(channels)), "{channels:?}");
    }

    #[test]
    fn a_prefix_has_no_tag_of_its_own() {
        for bad in ["{a}", "a}", "\n", &"a".repeat(65)] {
            assert_eq!(Prefix::parse(bad), Err(PrefixError), "{bad:?}");
        }
        let prefix = Prefix::parse("").unwrap();
        let channel = ChannelName::parse("a{b}").unwrap();
        let partition = Partition::of(&channel);
        let key = partition.stream(&prefix, &channel);
        assert_eq!(key, format!("{{{}}}:s:a{{b}}", TAGS[partition.index()]));
    }
}
