//! Which messages of several channels one answer gives: each channel gives in turn, and the answer is in order of time.
//!
//! Turns begin with the channel whose next message is the oldest, so none is left out for long, whatever the limit.

use std::sync::Arc;

use super::batch::ListEntry;
use crate::types::{Cursor, Epoch, Limit, Message};

/// What a channel of a list has for a reader, oldest first; at least one message.
pub(crate) struct Unread<'a> {
    /// The channel's index in the list.
    pub(crate) channel: usize,
    pub(crate) epoch: Epoch,
    pub(crate) messages: &'a [Arc<Message>],
}

/// How many messages each channel can give at most, when channels with this many take turns until there are `limit`.
pub(crate) fn most_of_each(available: &[usize], limit: usize) -> usize {
    let mut sorted = available.to_vec();
    sorted.sort_unstable();
    let mut left = limit;
    for (index, &count) in sorted.iter().enumerate() {
        let channels = sorted.len() - index;
        if count > left / channels {
            // The rest of this round, which not all channels get, is a message more.
            return (left / channels).saturating_add(1);
        }
        left -= count;
    }
    limit
}

/// How many messages each channel gives, in the order of `unread`: all within the limit, in turns.
pub(crate) fn turns(unread: &[Unread<'_>], limit: Limit) -> Vec<usize> {
    let mut given = vec![0; unread.len()];
    let mut order: Vec<usize> = (0..unread.len()).collect();
    order.sort_by_key(|&index| unread[index].messages.first().map(|message| message.at));
    let (mut messages, mut bytes) = (0, 0);
    while !order.is_empty() {
        let mut full = false;
        order.retain(|&index| {
            let Some(next) = unread[index].messages.get(given[index]).filter(|_| !full) else { return false };
            let more = next.payload.len();
            full = messages > 0 && (messages >= limit.messages || bytes + more > limit.bytes);
            if !full {
                given[index] += 1;
                messages += 1;
                bytes += more;
            }
            !full
        });
    }
    given
}

/// The first `given` messages of each channel, merged by time; those of one channel stay in their order.
pub(crate) fn merge(unread: &[Unread<'_>], given: &[usize]) -> Vec<ListEntry> {
    let mut entries = Vec::with_capacity(given.iter().sum());
    for (unread, &given) in unread.iter().zip(given) {
        entries.extend(unread.messages.iter().take(given).map(|message| ListEntry {
            channel: unread.channel,
            cursor: Cursor { epoch: unread.epoch, seq: message.seq },
            message: message.clone(),
        }));
    }
    if unread.len() > 1 {
        // Stable, and times within a channel grow strictly.
        entries.sort_by_key(|entry| entry.message.at);
    }
    entries
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Payload, Seq, Timestamp, mint_id};

    fn channel(times: &[u64], bytes: usize) -> Vec<Arc<Message>> {
        let message = |(index, &at): (usize, &u64)| {
            let at = Timestamp::from_micros(at);
            let payload = Payload::text("x".repeat(bytes));
            Arc::new(Message { seq: Seq::new(index as u64 + 1), id: mint_id(at, 0), at, payload })
        };
        times.iter().enumerate().map(message).collect()
    }

    fn unread(channels: &[Vec<Arc<Message>>]) -> Vec<Unread<'_>> {
        let epoch = Epoch::new(1);
        let all = channels.iter().enumerate().filter(|(_, messages)| !messages.is_empty());
        all.map(|(channel, messages)| Unread { channel, epoch, messages }).collect()
    }

    proptest! {
        #[test]
        fn a_limit_is_shared_and_no_channel_gives_more_than_its_share(
            counts in vec(1usize..40, 1..12),
            limit in 1usize..100,
            bytes in 0usize..8,
        ) {
            let channels: Vec<_> = counts
                .iter()
                .enumerate()
                .map(|(index, &count)| channel(&(1..=count as u64).map(|n| n * 100 + index as u64).collect::<Vec<_>>(), bytes))
                .collect();
            let unread = unread(&channels);
            let all = Limit { messages: limit, bytes: usize::MAX };
            let given = turns(&unread, all);
            let total: usize = given.iter().sum();
            prop_assert_eq!(total, limit.min(counts.iter().sum()));
            let most = most_of_each(&counts, limit);
            let highest = given.iter().copied().max().unwrap();
            for (given, count) in given.iter().zip(&counts) {
                // A channel that has more than it gave, gave at most one less than any other.
                prop_assert!(given == count || given + 1 >= highest, "{given} of {count}, {highest}");
                prop_assert!(*given <= most);
            }
            let merged = merge(&unread, &given);
            prop_assert!(merged.is_sorted_by_key(|entry| entry.message.at));
            let few = Limit { messages: usize::MAX, bytes: 16 };
            let given: usize = turns(&unread, few).iter().sum();
            prop_assert!(given == 1 || given * bytes <= 16);
        }

        #[test]
        fn the_oldest_unread_message_is_always_given(firsts in vec(1u64..1_000, 1..12)) {
            let channels: Vec<_> = firsts.iter().map(|&at| channel(&[at, at + 1], 1)).collect();
            let unread = unread(&channels);
            let given = merge(&unread, &turns(&unread, Limit::messages(1)));
            prop_assert_eq!(given.len(), 1);
            prop_assert_eq!(given[0].message.at.as_micros(), *firsts.iter().min().unwrap());
        }
    }
}
