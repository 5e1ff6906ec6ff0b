// Where a reader stands: the cursor, and by channel the last message it was given. Kept over a reload if asked.
//
// The cursor says where the next request begins. What was seen says which messages of an answer are known already: a
// batch of which only a part was delivered, or one that another tab passed on and this one had fetched by itself.

/** The position that is kept in `storage` under `key`, or else at the cursor. */
export function positionAt(cursor, storage, key) {
  const position = {
    cursor,

    /** Messages delivered. */
    count: 0,

    /** Whether the message is new. Numbers and times of a channel grow together, except over a reset. */
    isNew({ channel, id, timestamp }) {
      const last = seen[channel];
      return !last || id > last[0] || later(timestamp, last[1]);
    },

    /** Whether messages are missing before this one: numbers of a channel have no holes. */
    isBeyond: ({ channel, id }) => id > seen[channel]?.[0] + 1,

    /** The message was delivered. */
    passed({ channel, id, timestamp }) {
      position.count += 1;
      seen[channel] = [id, timestamp];
    },

    /** What comes next on the channel need not continue what was before. */
    forget(channel) {
      delete seen[channel];
    },

    save() {
      try {
        storage?.setItem(key, JSON.stringify({ cursor: position.cursor, seen }));
      } catch {
        // Full or forbidden: the position holds for this page only.
      }
    },
  };
  let seen = {};
  try {
    const kept = JSON.parse(storage?.getItem(key));
    if (kept) [position.cursor, seen] = [kept.cursor, kept.seen];
  } catch {
    // Unreadable or forbidden: begin where a first visit would.
  }
  return position;
}

// RFC 3339 in UTC with any number of decimals sorts as text once the Z is gone.
function later(a, b) {
  return a?.slice(0, -1) > b?.slice(0, -1);
}
