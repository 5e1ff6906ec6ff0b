//! A list of channels, shared by all that read the same ones, and the batches that were made last for its readers.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use xxhash_rust::xxh3::xxh3_128;

use super::batch::ListBatch;
use crate::channel::ReadState;
use crate::sync::Mutex;
use crate::types::{ChannelKey, ChannelName, Cursor, CursorSet};

/// Channels that are read together, each once, in the order of their names.
#[derive(Debug)]
pub struct ChannelList {
    names: Box<[ChannelName]>,
    keys: Box<[ChannelKey]>,
    /// Held for a look at few entries.
    made: Mutex<Made>,
}

/// The batches that were made last: the next reader at the same positions gets the same. The store holds them for a
/// while, from the second reader on.
#[derive(Debug, Default)]
struct Made {
    batches: [Option<Remembered>; 4],
    next: usize,
}

#[derive(Debug)]
struct Remembered {
    start: Box<[Cursor]>,
    end: Box<[Cursor]>,
    batch: Weak<ListBatch>,
}

/// What a fingerprint takes of each channel: its key, four numbers and whether it has ended.
const STATE_BYTES: usize = ChannelKey::BYTES + 4 * 8 + 1;

impl ChannelList {
    /// A list of these channels. A name that is there twice counts once.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = ChannelName>) -> Self {
        let mut names: Vec<ChannelName> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let keys: Vec<ChannelKey> = names.iter().map(ChannelKey::of).collect();
        Self { names: names.into(), keys: keys.into(), made: Mutex::default() }
    }

    /// The channels.
    #[must_use]
    pub fn names(&self) -> &[ChannelName] {
        &self.names
    }

    /// Their keys.
    #[must_use]
    pub fn keys(&self) -> &[ChannelKey] {
        &self.keys
    }

    /// Writes the token of a position in each channel, in ASCII.
    pub fn write_token(&self, out: &mut Vec<u8>, cursors: impl IntoIterator<Item = Cursor>) {
        out.reserve(CursorSet::text_bytes(self.keys.len()));
        out.extend_from_slice(CursorSet::PREFIX.as_bytes());
        for (key, cursor) in self.keys.iter().zip(cursors) {
            out.extend_from_slice(&CursorSet::entry(key, cursor));
        }
    }

    /// Moves one channel's position in a token that [`write_token`](Self::write_token) wrote.
    pub fn move_token(&self, token: &mut [u8], channel: usize, cursor: Cursor) {
        let start = CursorSet::text_bytes(channel);
        let entry = self.keys.get(channel).zip(token.get_mut(start..start + CursorSet::ENTRY_BYTES));
        if let Some((key, entry)) = entry {
            entry.copy_from_slice(&CursorSet::entry(key, cursor));
        }
    }

    /// A hash of what an answer to a reader in these states depends on, and of whatever else is `given`.
    #[must_use]
    pub fn fingerprint<'a>(
        &self,
        states: impl IntoIterator<Item = &'a ReadState>,
        given: &[&[u8]],
    ) -> [u8; 16] {
        // As one text: hashing it in parts costs several times as much.
        let given_bytes = given.iter().map(|part| part.len() + 8).sum::<usize>();
        let mut text = Vec::with_capacity(self.keys.len() * STATE_BYTES + given_bytes);
        for (key, state) in self.keys.iter().zip(states) {
            text.extend_from_slice(key.as_bytes());
            let numbers = [state.epoch.get(), state.oldest.get(), state.newest.get(), state.position.get()];
            numbers.iter().for_each(|number| text.extend_from_slice(&number.to_be_bytes()));
            text.push(u8::from(state.ended));
        }
        for part in given {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        // Not against those who choose what collides: a tag only spares its own client an answer.
        xxh3_128(&text).to_be_bytes()
    }

    /// The batch from `start` to `end`: one that was made before, or else what `make` gives. Also whether it is new and
    /// worth holding, because another reader asked before.
    pub(crate) fn share(
        &self,
        start: &[Cursor],
        end: &[Cursor],
        make: impl FnOnce() -> ListBatch,
    ) -> (Arc<ListBatch>, bool) {
        let mut made = self.made.lock();
        let Made { batches, next } = &mut *made;
        let same = |one: &&mut Remembered| *one.end == *end && *one.start == *start;
        if let Some(remembered) = batches.iter_mut().flatten().find(same) {
            if let Some(batch) = remembered.batch.upgrade() {
                return (batch, false);
            }
            let batch = Arc::new(make());
            remembered.batch = Arc::downgrade(&batch);
            return (batch, true);
        }
        let batch = Arc::new(make());
        let remembered = Remembered { start: start.into(), end: end.into(), batch: Arc::downgrade(&batch) };
        batches[*next] = Some(remembered);
        *next = (*next + 1) % batches.len();
        (batch, false)
    }
}

/// Compares the channels.
impl PartialEq for ChannelList {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for ChannelList {}

impl Hash for ChannelList {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.names.hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Seq, Token};

    #[test]
    fn a_token_is_patched_in_place() {
        let names = ["a", "b", "a", "c"].map(|name| ChannelName::parse(name).unwrap());
        let list = ChannelList::new(names.clone());
        assert_eq!(list.names().len(), 3);
        let mut token = Vec::new();
        list.write_token(&mut token, [Cursor::ZERO; 3]);
        let at = |seq| Cursor { epoch: Epoch::new(9), seq: Seq::new(seq) };
        for channel in 0..3 {
            list.move_token(&mut token, channel, at(channel as u64));
        }
        let Ok(Token::Set(set)) = std::str::from_utf8(&token).unwrap().parse() else { panic!("a set") };
        for (channel, key) in list.keys().iter().enumerate() {
            assert_eq!(set.get(key), Some(at(channel as u64)));
        }
        let reordered = ChannelList::new([2, 1, 0].map(|index: usize| names[index].clone()));
        assert_ne!(reordered, list, "c is not in it: b, a, a");
        assert_eq!(ChannelList::new([3, 1, 0].map(|index: usize| names[index].clone())), list);
    }
}
