//! The token of a reader's position: a cursor, or the cursors of several channels in one.
//!
//! A compound token is [`CursorSet::PREFIX`] and then, for each channel, 40 characters of base64url (RFC 4648, section 5):
//! 14 bytes of the SHA-256 of its name and 16 bytes of its cursor. So it has fixed parts, holds no name, and is at most
//! 4 KiB for a hundred channels. Like a cursor it is opaque to clients, and not signed.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::channel_name::ChannelName;
use super::cursor::{Cursor, CursorError, Epoch, Seq};

/// Stands for a channel's name in a compound token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey([u8; Self::BYTES]);

/// Positions in several channels: at least one, and each channel once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorSet(Box<[(ChannelKey, Cursor)]>);

/// What a client gives as its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A position in one channel.
    Cursor(Cursor),
    /// Positions in several.
    Set(CursorSet),
}

impl ChannelKey {
    /// Its length in bytes: among 10¹² names, the chance that any two share a key is about 10⁻¹⁰.
    pub const BYTES: usize = 14;

    /// The key of a name.
    #[must_use]
    pub fn of(channel: &ChannelName) -> Self {
        let hash: [u8; 32] = Sha256::digest(channel.as_str().as_bytes()).into();
        let mut key = [0; Self::BYTES];
        key.copy_from_slice(&hash[..Self::BYTES]);
        Self(key)
    }

    /// The key as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl CursorSet {
    /// Begins every compound token. No cursor begins with it.
    pub const PREFIX: &str = "m1-";
    /// How many characters each channel takes.
    pub const ENTRY_BYTES: usize = 40;

    /// The length of the text for this many channels, in bytes.
    #[must_use]
    pub const fn text_bytes(channels: usize) -> usize {
        Self::PREFIX.len() + channels * Self::ENTRY_BYTES
    }

    /// The part of the text for one channel, in ASCII.
    #[must_use]
    pub fn entry(key: &ChannelKey, cursor: Cursor) -> [u8; Self::ENTRY_BYTES] {
        let mut raw = [0; RAW];
        raw[..ChannelKey::BYTES].copy_from_slice(&key.0);
        raw[ChannelKey::BYTES..][..8].copy_from_slice(&cursor.epoch.get().to_be_bytes());
        raw[ChannelKey::BYTES + 8..].copy_from_slice(&cursor.seq.get().to_be_bytes());
        let mut text = [0; Self::ENTRY_BYTES];
        // The lengths fit each other.
        let _ = URL_SAFE_NO_PAD.encode_slice(raw, &mut text);
        text
    }

    /// The position in a channel, if this knows the channel.
    #[must_use]
    pub fn get(&self, key: &ChannelKey) -> Option<Cursor> {
        let index = self.0.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        Some(self.0[index].1)
    }

    fn parse(text: &str) -> Option<Self> {
        let entries = text.strip_prefix(Self::PREFIX)?;
        if !entries.len().is_multiple_of(Self::ENTRY_BYTES) {
            return None;
        }
        let raw = URL_SAFE_NO_PAD.decode(entries).ok()?;
        let (entries, []) = raw.as_chunks() else { return None };
        let mut parsed = entries.iter().map(parse_entry).collect::<Option<Vec<_>>>()?;
        if !parsed.is_sorted_by_key(|(key, _)| *key) {
            parsed.sort_unstable_by_key(|(key, _)| *key);
        }
        let twice = parsed.windows(2).any(|two| two[0].0 == two[1].0);
        (!parsed.is_empty() && !twice).then(|| Self(parsed.into()))
    }
}

/// An entry's bytes.
const RAW: usize = ChannelKey::BYTES + 16;

fn parse_entry(raw: &[u8; RAW]) -> Option<(ChannelKey, Cursor)> {
    let (key, numbers) = raw.split_first_chunk()?;
    let ([epoch, seq], []) = numbers.as_chunks() else { return None };
    let (epoch, seq) = (Epoch::new(u64::from_be_bytes(*epoch)), Seq::new(u64::from_be_bytes(*seq)));
    // Epoch zero has no messages.
    (epoch != Epoch::ZERO || seq == Seq::ZERO).then_some((ChannelKey(*key), Cursor { epoch, seq }))
}

impl FromStr for Token {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() == Cursor::TEXT_BYTES {
            return text.parse().map(Self::Cursor);
        }
        CursorSet::parse(text).map(Self::Set).ok_or(CursorError)
    }
}

impl fmt::Display for CursorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        for (key, cursor) in &self.0 {
            // Base64 only.
            f.write_str(std::str::from_utf8(&Self::entry(key, *cursor)).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor(cursor) => cursor.fmt(f),
            Self::Set(set) => set.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    proptest! {
        #[test]
        fn every_set_goes_round_and_answers_for_its_channels(
            places in btree_map("[a-z]{1,8}", (1u64.., any::<u64>()), 1..20),
            order in any::<u64>(),
        ) {
            let mut entries: Vec<_> = places
                .iter()
                .map(|(text, &(epoch, seq))| {
                    let cursor = Cursor { epoch: Epoch::new(epoch), seq: Seq::new(seq) };
                    (ChannelKey::of(&name(text)), cursor)
                })
                .collect();
            // In any order.
            let middle = usize::try_from(order).unwrap_or_default() % entries.len();
            entries.rotate_left(middle);
            let mut text = CursorSet::PREFIX.to_owned();
            for (key, cursor) in &entries {
                text.push_str(std::str::from_utf8(&CursorSet::entry(key, *cursor)).unwrap());
            }
            prop_assert_eq!(text.len(), CursorSet::text_bytes(entries.len()));
            let Ok(Token::Set(set)) = text.parse::<Token>() else { panic!("{text} is a set") };
            for (key, cursor) in &entries {
                prop_assert_eq!(set.get(key), Some(*cursor));
            }
            prop_assert_eq!(set.get(&ChannelKey::of(&name("ABSENT"))), None);
            prop_assert_eq!(set.to_string().parse(), Ok(Token::Set(set)));
        }

        #[test]
        fn what_parses_is_no_other_token(text in "m1-[A-Za-z0-9_-]{40}|[0-9a-f]{32}|\\PC*") {
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.to_string(), text);
            }
        }
    }

    #[test]
    fn a_set_has_channels_and_each_once() {
        let entry = |text: &str, epoch, seq| {
            let cursor = Cursor { epoch: Epoch::new(epoch), seq: Seq::new(seq) };
            String::from_utf8(CursorSet::entry(&ChannelKey::of(&name(text)), cursor).to_vec()).unwrap()
        };
        let (a, b) = (entry("a", 7, 1), entry("b", 7, 2));
        for (text, parses) in [
            (format!("m1-{a}"), true),
            (format!("m1-{b}{a}"), true),
            (format!("m1-{a}{a}"), false),
            (format!("m1-{a}{}", entry("a", 8, 1)), false),
            (format!("m1-{}", entry("a", 0, 0)), true),
            (format!("m1-{}", entry("a", 0, 1)), false),
            ("m1-".to_owned(), false),
            (format!("m2-{a}"), false),
            (a.clone(), false),
            (format!("m1-{}", &a[1..]), false),
            (format!("m1-{}=", &a[1..]), false),
        ] {
            assert_eq!(text.parse::<Token>().is_ok(), parses, "{text}");
        }
    }

    #[test]
    fn a_hundred_channels_fit_into_4_kib() {
        assert!(CursorSet::text_bytes(100) <= 4096);
    }
}
