// One connection for all tabs of a browser that follow the same with the same credential.
//
// A Web Lock elects the tab that has the connection (the leader). It passes on whatever it receives, numbered, by a
// BroadcastChannel; the others follow. A follower that is new, or missed a number, fetches what it lacks by a short
// poll from its own position. When the leader's tab dies, the lock goes to the next, which connects from its own
// position. A leader that does not answer (its page is frozen) loses the lock.

import { PollError } from './failure.js';
import { retrying } from './retrying.js';
import { sleep, within } from './within.js';

// Milliseconds between questions to the leader, until its answer is overdue, and after which a tab is forgotten.
const ASK = 15_000;
const ANSWER = 3000;
const FORGET = 60_000;
// Messages of the leader that wait for delivery in this tab, at most.
const MOST = 1000;

export class Tabs {
  #place;
  #channel;
  #id;
  #isLeading = false;
  #isHidden = false;
  #number = 0;
  #term = 0;
  // As a follower: the leader's id, and the number that comes next if none was missed; what arrived and waits.
  #leader;
  #next;
  #follow;
  #inbox;
  #waiting = 0;
  #heardAt = 0;
  // As the leader: the other tabs, by id, and the last status.
  #others = new Map();
  #status;
  #resetUntil = 0;

  constructor({ name, place, settings, connection, delivery, position, go }) {
    Object.assign(this, { name, settings, connection, delivery, position, go });
    this.#place = place;
    this.#id = `${place.now()}-${place.random()}`;
  }

  /** Takes part until the channel has ended. Rejects as the connection does. */
  async run(signal) {
    this.#channel = new this.#place.BroadcastChannel(this.name);
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    try {
      for (;;) {
        try {
          return await within(this.#place, signal, (inner) => this.#turn(inner));
        } catch (error) {
          // Another tab took the lock from us, because we were silent for too long.
          if (signal.aborted || error?.name !== 'AbortError') throw error;
          this.#isLeading = false;
          this.go('follow');
        }
      }
    } finally {
      this.#isLeading = false;
      this.#post({ kind: 'bye' });
      this.#channel.close();
    }
  }

  /** What the leader's connection gives is passed on and delivered here. */
  give(items, cursor) {
    for (const { type, pattern } of items) if (type.endsWith('connected')) this.#status = pattern;
    this.#number += 1;
    this.#post({ kind: 'batch', number: this.#number, items: items.map(portable), cursor });
    return this.take(items, cursor);
  }

  hide(isHidden) {
    this.#isHidden = isHidden;
    if (this.#isLeading) this.#decidePause();
    else if (this.#channel) this.#ask();
  }

  #turn(signal) {
    this.#leader = this.#next = undefined;
    this.#inbox = Promise.resolve();
    this.take = (items, cursor) => this.delivery.take(items, cursor, signal);
    const lead = () => this.#lead(signal);
    return new Promise((resolve, reject) => {
      // One message after the other, so that what arrives during a catch-up waits for its end.
      this.#follow = (message) => {
        this.#waiting += 1;
        this.#inbox = this.#inbox
          .then(() => this.#handle(message, signal))
          .then((isOver) => isOver && resolve(), reject)
          .finally(() => (this.#waiting -= 1));
      };
      this.#place.locks.request(this.name, { signal }, lead).then(resolve, reject);
      this.#guard(signal, lead).then(resolve, reject);
    });
  }

  async #lead(signal) {
    // What the last leader passed on comes first.
    this.#isLeading = true;
    await this.#inbox;
    this.#term = Math.max(this.#term + 1, this.#place.now());
    this.#number = 0;
    this.#status = undefined;
    this.#others.clear();
    this.go('lead');
    this.#decidePause();
    this.#post(this.#introduction());
    return this.connection.run(signal);
  }

  #introduction() {
    return { kind: 'lead', number: this.#number, cursor: this.position.cursor, status: this.#status };
  }

  #post(message) {
    this.#channel.postMessage({ from: this.#id, term: this.#term, ...message });
  }

  #ask() {
    this.#post({ kind: 'ask', isHidden: this.#isHidden });
  }

  #receive(message) {
    const { kind, from, term } = message;
    if (kind === 'ask' || kind === 'bye') {
      if (!this.#isLeading) return;
      if (kind === 'bye') this.#others.delete(from);
      else {
        this.#others.set(from, { isHidden: message.isHidden, at: this.#place.now() });
        this.#post(this.#introduction());
      }
      this.#decidePause();
    } else if (!this.#isLeading && term >= this.#term) {
      // A leader that was overruled and does not know it yet has a lower term.
      this.#term = term;
      this.#heardAt = this.#place.now();
      // Too much for a reader that is slow: the number that is missing then leads to a catch-up.
      if (this.#waiting < MOST) this.#follow(message);
    }
  }

  // The connection pauses when all tabs are hidden and want it to.
  #decidePause() {
    const now = this.#place.now();
    const others = [...this.#others.values()].filter(({ at }) => now - at < FORGET);
    this.connection.pause(this.#isHidden && others.every(({ isHidden }) => isHidden));
  }

  /** Says whether the channel has ended. */
  async #handle({ kind, from, number, items = [], cursor, status }, signal) {
    if (from !== this.#leader) {
      this.go('follow');
      [this.#leader, this.#next] = [from, undefined];
    }
    const expected = kind === 'batch' ? number : number + 1;
    const isAtStart = !this.position.cursor && this.settings.from === 'now';
    const isSame = kind === 'lead' && cursor && cursor === this.position.cursor;
    if (isAtStart) this.position.cursor = kind === 'lead' ? cursor : undefined;
    else if ((this.#next !== expected && !isSame) || this.#hasHole(items)) {
      if (!(await this.#catchUp(signal))) return false;
    }
    this.#next = number + 1;
    if (kind === 'lead') {
      if (status && !this.delivery.isConnected) await this.take([{ type: 'connected', pattern: status, isShared: true }]);
      return false;
    }
    const isKnownReset = this.#place.now() < this.#resetUntil;
    const news = items.filter(({ type }) => !(isKnownReset && (type === 'reset' || type === 'missed')));
    await this.take(news.map(received), cursor);
    return items.some(({ type }) => type === 'ended');
  }

  // An answer that was cut by its size can leave a follower behind what was passed on before it came.
  #hasHole(items) {
    const begun = new Set();
    return items.some((item) => {
      const isFirst = !begun.has(item.channel);
      begun.add(item.channel);
      return item.type === 'message' && isFirst && this.position.isBeyond(item);
    });
  }

  /** Says whether it succeeded; a tab that leads by now leaves it to its connection. */
  async #catchUp(signal) {
    const { connection, delivery, settings } = this;
    let isDone = true;
    const fetch = () => (this.#isLeading ? (isDone = false) : connection.catchUp(signal));
    await retrying({ place: this.#place, settings }, signal, fetch, (error) => {
      if (error.fatal) throw error;
      delivery.error(error);
    });
    return isDone;
  }

  /** A gap that this follower found by itself is not told again when the leader finds it, too. */
  found(items) {
    if (items.some(({ type }) => type === 'reset' || type === 'missed')) this.#resetUntil = this.#place.now() + 1000;
  }

  // Sees to it that somebody leads: a visible tab asks, and takes the lock from a leader that does not answer.
  async #guard(signal, lead) {
    const place = this.#place;
    for (;;) {
      const asked = place.now();
      if (!this.#isLeading) this.#ask();
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

  get isLeading() {
    return this.#isLeading;
  }
}

// Errors travel as plain objects.
const portable = (item) => {
  const { kind, message, status, fatal, channels } = item.error ?? {};
  return kind ? { ...item, error: { kind, message, status, fatal, channels } } : item;
};
const received = (item) => (item.error ? { ...item, error: new PollError(item.error.kind, item.error.message, item.error) } : item);
