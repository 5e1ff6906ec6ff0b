// One connection for all tabs of a browser that follow the same with the same credential.
//
// A Web Lock elects the tab that has the connection (the leader). It passes on whatever it receives, numbered, by a
// BroadcastChannel; the others follow. A follower that is new, or missed a number, fetches what it lacks by a short
// poll from its own position. When the leader's tab dies, the lock goes to the next, which connects from its own
// position. A leader that does not answer (its page is frozen) loses the lock.

import { retrying } from './retrying.js';
import { sleep, within } from './within.js';

// Milliseconds between questions to the leader, until its answer is overdue, and after which a tab is forgotten.
const ASK = 15_000;
const ANSWER = 3000;
const FORGET = 60_000;
// Batches of the leader that wait for delivery in this tab, at most.
const MOST = 1000;

export class Tabs {
  #id;
  #channel;
  #isLeading = false;
  #isHidden = false;
  // The leader's: how much was passed on, since when it leads, the pattern if it is connected, the other tabs by id.
  #number = 0;
  #term = 0;
  #pattern;
  #others = new Map();
  // A follower's: the leader's id, the number that comes next if none was missed, what arrived and waits for delivery.
  #leader;
  #next;
  #follow;
  #inbox;
  #waiting = 0;
  #heardAt = 0;
  #resetUntil = 0;

  constructor(parts) {
    Object.assign(this, parts);
    this.#id = this.place.random();
  }

  /** Takes part until the channel has ended. Rejects as the connection does. */
  async run(signal) {
    this.#channel = new this.place.BroadcastChannel(this.name);
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    try {
      for (;;) {
        try {
          return await within(this.place, signal, (inner) => this.#turn(inner));
        } catch (error) {
          // Another tab took the lock from us, because we were silent for too long, or we gave it up.
          if (signal.aborted || error?.name !== 'AbortError') throw error;
          this.#isLeading = false;
          this.go('follow');
        }
      }
    } finally {
      this.#isLeading = false;
      this.#channel.close();
    }
  }

  /** Delivers what this tab's connection gives, after passing it on if this tab leads. */
  take(items, cursor) {
    if (this.#isLeading) {
      for (const { type, pattern } of items) if (type.endsWith('connected')) this.#pattern = pattern;
      this.#tell(items.filter(({ type }) => type !== 'error'), cursor);
    } else if (items.some(isGap)) {
      // A gap that this follower found by itself is not told again when the leader finds it, too.
      this.#resetUntil = this.place.now() + 1000;
    }
    return this.delivery.take(items, cursor);
  }

  hold(isHidden) {
    this.#isHidden = isHidden;
    if (this.#isLeading) this.#decidePause();
    else if (this.#channel) this.#post({ isHidden });
  }

  #turn(signal) {
    this.#leader = this.#next = undefined;
    this.#inbox = Promise.resolve();
    const lead = () => this.#lead(signal);
    return new Promise((resolve, reject) => {
      // This page is about to stand still: another tab is to lead, if there is one.
      this.stepDown = () => this.#isLeading && reject(new DOMException('', 'AbortError'));
      // One after the other, so that what arrives during a catch-up waits for its end.
      this.#follow = (batch) => {
        this.#waiting += 1;
        this.#inbox = this.#inbox
          .then(() => this.#handle(batch, signal))
          .then((isOver) => isOver && resolve(), reject)
          .finally(() => (this.#waiting -= 1));
      };
      this.place.locks.request(this.name, { signal }, lead).then(resolve, reject);
      this.#guard(signal, lead).then(resolve, reject);
    });
  }

  async #lead(signal) {
    // What the last leader passed on comes first.
    this.#isLeading = true;
    await this.#inbox;
    this.#term = Math.max(this.#term + 1, this.place.now());
    this.#pattern = undefined;
    this.#others.clear();
    this.go('lead');
    this.#decidePause();
    this.#tell([]);
    return this.connection.run(signal);
  }

  #tell(items, cursor = this.position.cursor) {
    this.#number += 1;
    this.#post({ number: this.#number, items, cursor, pattern: this.#pattern });
  }

  #post(message) {
    this.#channel.postMessage({ from: this.#id, term: this.#term, ...message });
  }

  #receive(message) {
    const { from, term, items, isHidden } = message;
    const at = this.place.now();
    if (!items) {
      // A question: is there a leader, and where does it stand?
      if (!this.#isLeading) return;
      this.#others.set(from, { isHidden, at });
      this.#tell([]);
      this.#decidePause();
    } else if (!this.#isLeading && term >= this.#term) {
      // A leader that was overruled and does not know it yet has a lower term.
      this.#term = term;
      this.#heardAt = at;
      // Too much for a reader that is slow: the number that is missing then leads to a catch-up.
      if (this.#waiting < MOST) this.#follow(message);
    }
  }

  // The connection pauses when all tabs are hidden and want it to.
  #decidePause() {
    const since = this.place.now() - FORGET;
    this.connection.hold(this.#isHidden && [...this.#others.values()].every(({ at, isHidden }) => isHidden || at < since));
  }

  /** Says whether the channel has ended. */
  async #handle({ from, number, items, cursor, pattern }, signal) {
    const { delivery, position, settings } = this;
    if (from !== this.#leader) {
      this.go('follow');
      [this.#leader, this.#next] = [from, undefined];
    }
    const isAtStart = !position.cursor && settings.from === 'now';
    const isBehind = this.#next !== number || this.#hasHole(items);
    if (isBehind && !isAtStart && cursor !== position.cursor && !(await this.#catchUp(signal))) return false;
    this.#next = number + 1;
    const isKnown = this.place.now() < this.#resetUntil;
    // That the leader is connected, each of its batches says by the pattern.
    const news = items.filter((item) => item.type !== 'connected' && !(isKnown && isGap(item)));
    if (pattern && !delivery.isConnected) news.unshift({ type: 'connected', pattern, isShared: true });
    await delivery.take(news, cursor);
    return items.some(({ type }) => type === 'ended');
  }

  // An answer that was cut by its size can leave a follower behind what was passed on before it came.
  #hasHole(items) {
    const isFirst = ({ channel }, at) => items.findIndex((item) => item.channel === channel) === at;
    return items.some((item, at) => item.type === 'message' && this.position.isBeyond(item) && isFirst(item, at));
  }

  /** Says whether it succeeded; a tab that leads by now leaves it to its connection. */
  async #catchUp(signal) {
    let isDone = true;
    const fetch = () => (this.#isLeading ? (isDone = false) : this.connection.catchUp(signal));
    await retrying(this, signal, fetch, (error) => {
      if (error.fatal) throw error;
      this.delivery.error(error);
    });
    return isDone;
  }

  // Sees to it that some tab leads: a visible one asks, and takes the lock from a leader that does not answer.
  async #guard(signal, lead) {
    const { place } = this;
    for (;;) {
      const asked = place.now();
      if (!this.#isLeading) this.#post({ isHidden: this.#isHidden });
      await sleep(place, ANSWER, signal);
      const isVisible = place.document?.visibilityState !== 'hidden';
      // A timer that is much too late: this page stood still, and the leader's answer is about to be read.
      const isPunctual = place.now() - asked < 2 * ANSWER;
      if (!this.#isLeading && isVisible && isPunctual && this.#heardAt < asked) {
        return place.locks.request(this.name, { steal: true }, lead);
      }
      await sleep(place, ASK, signal);
    }
  }
}

const isGap = ({ type }) => type === 'reset' || type === 'missed';
