// One connection to the server: keeps a pattern going, comes back after failures, and says what came.
//
// Knows neither tabs nor listeners: everything goes to `sink(items, cursor)`, and reading waits for it.

import { itemsOfAnswer } from './answer.js';
import { CAP, backoff } from './backoff.js';
import { PollError, late } from './failure.js';
import { ladderFor } from './ladder.js';
import { longPoll } from './long_poll.js';
import { parse } from './requests.js';
import { catchUp, shortPoll } from './short_poll.js';
import { sse } from './sse.js';
import { stream } from './stream.js';
import { sleep, within } from './within.js';

export const PATTERNS = { stream, sse, longpoll: longPoll, shortpoll: shortPoll };

// Answers smaller than these hold all that there was: the server cuts at 1 000 messages and 1 MiB of payload.
const FULL_COUNT = 1000;
const FULL_LENGTH = 1 << 19;

// The longest that a timer can wait.
const FOREVER = 2 ** 31 - 1;

/**
 * A connection that is not open yet. Patterns see it as an object with the parts of the client, the `ladder`, the
 * `pattern` that is in use, and what they need to ask and to say.
 */
export function connectionOf(parts) {
  const { go, place, position, requests, settings, sink } = parts;
  const ladder = ladderFor(settings.pattern, place);
  // Failures in a row.
  let attempts = 0;
  let isOpen = false;
  let isPaused = false;
  // Ends the attempt or the wait that is going on.
  let abort;
  // When something has to have come, what is done if it has not, and the timer that sees to it.
  let due = Infinity;
  let overdue;
  let timer;
  // What this reader was told that it may not read.
  let refusedNames = '';
  // The time of the first answer, as long as older messages are to be left out.
  let nowFrom;

  /** Runs until the channel has ended. Rejects with the signal's reason or an error that trying again cannot help. */
  async function run(signal) {
    attempts = 0;
    for (;;) {
      if (isPaused) await pause(signal);
      try {
        const outcome = await attempt(signal);
        if (outcome === 'ended') return await sink([{ type: 'ended' }]);
        ladder.climb();
        go('reopen');
      } catch (reason) {
        if (signal.aborted) throw signal.reason;
        await failed(PollError.from(reason), signal);
      } finally {
        isOpen = false;
      }
    }
  }

  function attempt(outer) {
    return interruptible(outer, async (signal) => {
      const pattern = (connection.pattern = ladder.pattern);
      // A poll is answered at once: so one knows that the server is there before a wait. It also says why not, which
      // EventSource does not, and can ask for the oldest of several channels, which a stream cannot.
      const begins = pattern === 'stream' ? !position.cursor && settings.from === 'oldest' : pattern !== 'shortpoll';
      if (begins && (await catchUp(connection, signal))) return 'ended';
      return PATTERNS[pattern](connection, signal);
    });
  }

  /** Work that `interrupt` ends, and with which whatever it expected is over. */
  function interruptible(outer, work) {
    return within(outer, (signal, end) => {
      abort = end;
      return work(signal);
    }).finally(() => expect(Infinity));
  }

  async function failed(error, signal) {
    const { fatal, kind, isQuiet } = error;
    const wasOpen = isOpen;
    if (!isQuiet) attempts += 1;
    const isLast = fatal || attempts >= settings.maxRetries;
    const isAtOnce = kind === 'woken' || (!isQuiet && ladder.fell(error, wasOpen));
    let retryIn = isAtOnce ? 0 : backoff(isQuiet ? 1 : attempts, settings.retryDelay, place.random, error.retryAfter);
    if (place.isOffline()) retryIn = CAP;
    const items = isQuiet ? [] : [{ type: 'error', error }];
    if (wasOpen && !isLast) items.push({ type: 'disconnected', reason: kind, retryIn });
    await sink(items);
    if (isLast) throw error;
    if (kind === 'hidden' || (kind === 'woken' && go('reopen'))) return;
    go('lose');
    await rest(retryIn, signal);
    if (!isPaused) go('retry');
  }

  /** Waits; an interruption ends it early. */
  async function rest(ms, outer) {
    try {
      await interruptible(outer, (signal) => sleep(place, ms, signal));
    } catch {
      if (outer.aborted) throw outer.reason;
    }
  }

  async function pause(signal) {
    go('pause');
    while (isPaused) await rest(FOREVER, signal);
    go('resume');
  }

  /** The network is said to be back, or the machine woke up: what was open may be dead, and waiting is over. */
  function interrupt(kind) {
    abort?.(new PollError(kind, kind, { isQuiet: true }));
  }

  /** Something has to come within so many milliseconds, or the attempt ends with an error of this kind. */
  function expect(ms, kind) {
    due = place.now() + ms;
    overdue = () => abort(late(kind));
    place.clearTimeout(timer);
    timer = ms < Infinity ? place.setTimeout(overdue, ms) : undefined;
  }

  /** The first answer of an attempt. */
  async function opened() {
    if (isOpen) return;
    isOpen = true;
    go('open');
    const fall = ladder.opened();
    const items = fall ? [{ type: 'fallback', ...fall }] : [];
    await sink([...items, { type: 'connected', pattern: connection.pattern }], position.cursor);
  }

  /** Some of several channels are not for this reader, which is told once. */
  function refused(channels) {
    const names = channels.join();
    if (names === refusedNames) return;
    refusedNames = names;
    sink([{ type: 'error', error: new PollError('forbidden', `not allowed: ${names}`, { channels }) }]).catch(() => {});
  }

  const connection = {
    ...parts,
    ladder,
    run,
    interrupt,
    expect,
    opened,
    refused,

    /** Fetches what there is at the moment, without keeping a connection. */
    catchUp: (outer) =>
      interruptible(outer, (signal) => {
        connection.pattern = undefined;
        return catchUp(connection, signal);
      }),

    /** Stops asking, or goes on. */
    hold(isNowPaused) {
      if (isNowPaused === isPaused) return;
      isPaused = isNowPaused;
      interrupt(isPaused ? 'hidden' : 'woken');
    },

    /** Timers stand still in a page that does: is anything overdue? */
    check() {
      if (place.now() >= due) overdue();
    },

    sleep: (ms, signal) => sleep(place, ms, signal),

    /** One poll's answer with what was made of it; undefined for 304. */
    async poll(path, query, deadline, signal, tag) {
      expect(deadline, 'timeout');
      const response = await requests.ask(path, {
        query: [...requests.where(position.cursor), ...query],
        headers: { 'if-none-match': tag },
        signal,
      });
      const text = await response.text();
      expect(Infinity);
      if (response.status === 304) return undefined;
      const answer = parse(text);
      if (!Array.isArray(answer?.messages)) throw new PollError('malformed', 'not from poll');
      const count = answer.messages.length;
      const isAll = count < FULL_COUNT && text.length < FULL_LENGTH;
      return { ...answer, count, isAll, tag: response.headers.get('etag') };
    },

    /** Delivers a poll's answer. */
    async answered(answer) {
      let items = itemsOfAnswer(answer, requests.channels);
      const isFirst = !position.cursor;
      if (isFirst && settings.from === 'now') nowFrom = Date.parse(answer.polled_at);
      if (nowFrom !== undefined) {
        // From now on: what is older than the first answer is not asked for.
        items = items.filter(({ type, timestamp }) => type === 'message' && Date.parse(timestamp) > nowFrom);
        if (answer.isAll) nowFrom = undefined;
      }
      if (answer.refused) refused(answer.refused);
      if (connection.pattern?.endsWith('poll')) await opened();
      const { count } = position;
      await sink(items, answer.cursor);
      // Something new came: whatever failed before, this way leads somewhere.
      if (position.count > count) attempts = 0;
    },

    /** The pattern does what it should: failures before this are forgotten. */
    well() {
      attempts = connection.renewedAt = 0;
      ladder.well();
    },
  };
  return connection;
}
