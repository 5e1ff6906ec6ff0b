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

/**
 * This tab's part in it: `run` until the channel has ended, `take` what its connection gives, `hold` while it is hidden,
 * `stepDown` before it stands still.
 */
export function shareTabs(parts) {
  const { connection, delivery, go, name, place, position, settings } = parts;
  const { locks } = place;
  const id = place.random();
  let channel;
  let isLeading = false;
  let isHidden = false;
  // The leader's: how much was passed on, since when it leads, the pattern if it is connected, the other tabs by id.
  let sent = 0;
  let term = 0;
  let pattern;
  const others = new Map();
  // A follower's: the leader's id, the number that comes next if none was missed, what arrived and waits for delivery.
  let leader;
  let next;
  let follow;
  let inbox;
  let waiting = 0;
  let heardAt = 0;
  let resetUntil = 0;
  let leave;

  /** Rejects as the connection does. */
  async function run(signal) {
    channel = new place.BroadcastChannel(name);
    channel.onmessage = ({ data }) => receive(data);
    try {
      for (;;) {
        try {
          return await within(signal, turn);
        } catch (error) {
          // Another tab took the lock from us, because we were silent for too long, or we gave it up.
          if (signal.aborted || error?.name !== 'AbortError') throw error;
          isLeading = false;
          go('follow');
        }
      }
    } finally {
      isLeading = false;
      channel.close();
    }
  }

  /** Delivers what this tab's connection gives, after passing it on if this tab leads. */
  function take(items, cursor) {
    if (isLeading) {
      for (const item of items) if (item.type.endsWith('connected')) pattern = item.pattern;
      tell(items.filter(({ type }) => type !== 'error'), cursor);
    } else if (items.some(isGap)) {
      // A gap that this follower found by itself is not told again when the leader finds it, too.
      resetUntil = place.now() + 1000;
    }
    return delivery.take(items, cursor);
  }

  function hold(isNowHidden) {
    if (isNowHidden === isHidden) return;
    isHidden = isNowHidden;
    if (isLeading) decidePause();
    else if (channel) post({ isHidden });
  }

  // This page is about to stand still: another tab is to lead, if there is one.
  const stepDown = () => isLeading && leave(new DOMException('', 'AbortError'));

  function turn(signal) {
    leader = next = undefined;
    inbox = Promise.resolve();
    const lead = () => becomeLeader(signal);
    return new Promise((resolve, reject) => {
      leave = reject;
      // One after the other, so that what arrives during a catch-up waits for its end.
      follow = (batch) => {
        waiting += 1;
        inbox = inbox
          .then(() => handle(batch, signal))
          .then((isOver) => isOver && resolve(), reject)
          .finally(() => (waiting -= 1));
      };
      locks.request(name, { signal }, lead).then(resolve, reject);
      guard(signal, lead).then(resolve, reject);
    });
  }

  async function becomeLeader(signal) {
    // What the last leader passed on comes first.
    isLeading = true;
    await inbox;
    term = Math.max(term + 1, place.now());
    pattern = undefined;
    others.clear();
    go('lead');
    decidePause();
    tell([]);
    return connection.run(signal);
  }

  function tell(items, cursor = position.cursor) {
    sent += 1;
    post({ number: sent, items, cursor, pattern });
  }

  function post(message) {
    channel.postMessage({ from: id, term, ...message });
  }

  function receive(message) {
    const at = place.now();
    if (!message.items) {
      // A question: is there a leader, and where does it stand?
      if (!isLeading) return;
      others.set(message.from, { isHidden: message.isHidden, at });
      tell([]);
      decidePause();
    } else if (!isLeading && message.term >= term) {
      // A leader that was overruled and does not know it yet has a lower term.
      term = message.term;
      heardAt = at;
      // Too much for a reader that is slow: the number that is missing then leads to a catch-up.
      if (waiting < MOST) follow(message);
    }
  }

  // The connection pauses when all tabs are hidden and want it to.
  function decidePause() {
    const since = place.now() - FORGET;
    connection.hold(isHidden && [...others.values()].every((other) => other.isHidden || other.at < since));
  }

  /** Says whether the channel has ended. */
  async function handle(batch, signal) {
    const { items, cursor } = batch;
    if (batch.from !== leader) {
      go('follow');
      leader = batch.from;
      next = undefined;
    }
    const isAtStart = !position.cursor && settings.from === 'now';
    const isBehind = next !== batch.number || hasHole(items);
    if (isBehind && !isAtStart && cursor !== position.cursor && !(await catchUp(signal))) return false;
    next = batch.number + 1;
    const isKnown = place.now() < resetUntil;
    // That the leader is connected, each of its batches says by the pattern.
    const news = items.filter((item) => item.type !== 'connected' && !(isKnown && isGap(item)));
    if (batch.pattern && !delivery.isConnected) news.unshift({ type: 'connected', pattern: batch.pattern, isShared: true });
    await delivery.take(news, cursor);
    return items.some(({ type }) => type === 'ended');
  }

  // An answer that was cut by its size can leave a follower behind what was passed on before it came.
  function hasHole(items) {
    const isFirst = (item, at) => items.findIndex((other) => other.channel === item.channel) === at;
    return items.some((item, at) => item.type === 'message' && position.isBeyond(item) && isFirst(item, at));
  }

  /** Says whether it succeeded; a tab that leads by now leaves it to its connection. */
  async function catchUp(signal) {
    let isDone = true;
    const fetch = () => (isLeading ? (isDone = false) : connection.catchUp(signal));
    await retrying(parts, signal, fetch, (error) => {
      if (error.fatal) throw error;
      delivery.error(error);
    });
    return isDone;
  }

  // Sees to it that some tab leads: a visible one asks, and takes the lock from a leader that does not answer.
  async function guard(signal, lead) {
    for (;;) {
      const asked = place.now();
      if (!isLeading) post({ isHidden });
      await sleep(place, ANSWER, signal);
      const isVisible = place.document?.visibilityState !== 'hidden';
      // A timer that is much too late: this page stood still, and the leader's answer is about to be read.
      const isPunctual = place.now() - asked < 2 * ANSWER;
      if (!isLeading && isVisible && isPunctual && heardAt < asked) return locks.request(name, { steal: true }, lead);
      await sleep(place, ASK, signal);
    }
  }

  return { run, take, hold, stepDown };
}

const isGap = ({ type }) => type === 'reset' || type === 'missed';
