// Where a reader stands: the cursor, and by channel the last message it was given. Kept over a reload if asked.
//
// The cursor says where the next request begins. What was seen says which messages of an answer are known already: a
// batch of which only a part was delivered, or one that another tab passed on and this one had fetched by itself.

export class Position {
  cursor;
  /** Messages delivered. */
  count = 0;
  #seen = {};

  constructor(cursor, storage, key) {
    this.cursor = cursor;
    this.storage = storage;
    this.key = key;
    try {
      const kept = JSON.parse(storage?.getItem(key));
      if (kept) [this.cursor, this.#seen] = [kept.cursor, kept.seen];
    } catch {
      // Unreadable or forbidden: begin where a first visit would.
    }
  }

  /** Whether the message is new. Numbers and times of a channel grow together, except over a reset. */
  isNew({ channel, id, timestamp }) {
    const seen = this.#seen[channel];
    return !seen || id > seen[0] || later(timestamp, seen[1]);
  }

  /** Whether messages are missing before this one: numbers of a channel have no holes. */
  isBeyond({ channel, id }) {
    return id > this.#seen[channel]?.[0] + 1;
  }

  /** The message was delivered. */
  passed({ channel, id, timestamp }) {
    this.count += 1;
    this.#seen[channel] = [id, timestamp];
  }

  /** What comes next on the channel need not continue what was before. */
  forget(channel) {
    delete this.#seen[channel];
  }

  save() {
    try {
      this.storage?.setItem(this.key, JSON.stringify({ cursor: this.cursor, seen: this.#seen }));
    } catch {
      // Full or forbidden: the position holds for this page only.
    }
  }
}

// RFC 3339 in UTC with any number of decimals sorts as text once the Z is gone.
function later(a, b) {
  return a?.slice(0, -1) > b?.slice(0, -1);
}
