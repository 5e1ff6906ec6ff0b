// One connection to the server: keeps a pattern going, comes back after failures, and says what came.
//
// Knows neither tabs nor listeners: everything goes to `sink(items, cursor)`, and reading waits for it.

import { itemsOfAnswer } from './answer.js';
import { CAP, backoff } from './backoff.js';
import { PollError } from './failure.js';
import { Ladder } from './ladder.js';
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

export class Connection {
  #abort;
  #due = Infinity;
  #late;
  #timer;
  #isOpen = false;
  #isPaused = false;
  #refused = '';
  #nowFrom;
  attempts = 0;

  constructor(parts) {
    Object.assign(this, parts);
    this.ladder = new Ladder(parts.settings.pattern, parts.place);
  }

  /** Runs until the channel has ended. Rejects with the signal's reason or an error that trying again cannot help. */
  async run(signal) {
    this.attempts = 0;
    for (;;) {
      if (this.#isPaused) await this.#pause(signal);
      try {
        const outcome = await this.#attempt(signal);
        if (outcome === 'ended') return await this.sink([{ type: 'ended' }]);
        this.ladder.climb();
        this.go('reopen');
      } catch (reason) {
        if (signal.aborted) throw signal.reason;
        await this.#failed(PollError.from(reason), signal);
      } finally {
        this.#isOpen = false;
      }
    }
  }

  /** Fetches what there is at the moment, without keeping a connection. */
  catchUp(signal) {
    return within(this.place, signal, (inner, abort) => {
      this.#abort = abort;
      this.pattern = undefined;
      return catchUp(this, inner);
    }).finally(() => this.expect(Infinity));
  }

  #attempt(signal) {
    const { ladder, place, position, settings } = this;
    return within(place, signal, async (inner, abort) => {
      this.#abort = abort;
      this.pattern = ladder.pattern;
      // A poll is answered at once: so one knows that the server is there before a wait. It also says why not, which
      // EventSource does not, and can ask for the oldest of several channels, which a stream cannot.
      const isStream = this.pattern === 'stream';
      const begins = isStream ? !position.cursor && settings.from === 'oldest' : this.pattern !== 'shortpoll';
      if (begins && (await catchUp(this, inner))) return 'ended';
      return PATTERNS[this.pattern](this, inner);
    }).finally(() => this.expect(Infinity));
  }

  async #failed(error, signal) {
    const { place, settings } = this;
    const { fatal, kind, isQuiet } = error;
    const wasOpen = this.#isOpen;
    if (!isQuiet) this.attempts += 1;
    const isLast = fatal || this.attempts >= settings.maxRetries;
    const isAtOnce = kind === 'woken' || (!isQuiet && this.ladder.fell(error, wasOpen));
    let retryIn = isAtOnce ? 0 : backoff(isQuiet ? 1 : this.attempts, settings.retryDelay, place.random, error.retryAfter);
    if (place.isOffline()) retryIn = CAP;
    const items = isQuiet ? [] : [{ type: 'error', error }];
    if (wasOpen && !isLast) items.push({ type: 'disconnected', reason: kind, retryIn });
    await this.sink(items);
    if (isLast) throw error;
    if (kind === 'hidden' || (kind === 'woken' && this.go('reopen'))) return;
    this.go('lose');
    await this.#rest(retryIn, signal);
    if (!this.#isPaused) this.go('retry');
  }

  /** Waits; an interruption ends it early. */
  async #rest(ms, signal) {
    try {
      await within(this.place, signal, (inner, abort) => {
        this.#abort = abort;
        return sleep(this.place, ms, inner);
      });
    } catch {
      if (signal.aborted) throw signal.reason;
    }
  }

  async #pause(signal) {
    this.go('pause');
    while (this.#isPaused) await this.#rest(FOREVER, signal);
    this.go('resume');
  }

  /** Stops asking, or goes on. */
  hold(isPaused) {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    this.interrupt(isPaused ? 'hidden' : 'woken');
  }

  /** The network is said to be back, or the machine woke up: what was open may be dead, and waiting is over. */
  interrupt(kind) {
    this.#abort?.(new PollError(kind, kind, { isQuiet: true }));
  }

  /** Something has to come within so many milliseconds, or the attempt ends with an error of this kind. */
  expect(ms, kind) {
    const { place } = this;
    this.#due = place.now() + ms;
    this.#late = () => this.#abort(new PollError(kind, 'no answer in time'));
    place.clearTimeout(this.#timer);
    this.#timer = ms < Infinity ? place.setTimeout(this.#late, ms) : undefined;
  }

  /** Timers stand still in a page that does: is anything overdue? */
  check() {
    if (this.place.now() >= this.#due) this.#late();
  }

  sleep(ms, signal) {
    return sleep(this.place, ms, signal);
  }

  /** One poll's answer with what was made of it; undefined for 304. */
  async poll(path, query, deadline, signal, tag) {
    const { requests, position } = this;
    this.expect(deadline, 'timeout');
    const response = await requests.ask(path, {
      query: [...requests.where(position.cursor), ...query],
      headers: { 'if-none-match': tag },
      signal,
    });
    const text = await response.text();
    this.expect(Infinity);
    if (response.status === 304) return undefined;
    const answer = parse(text);
    if (!Array.isArray(answer?.messages)) throw new PollError('malformed', 'not from poll');
    const count = answer.messages.length;
    const isAll = count < FULL_COUNT && text.length < FULL_LENGTH;
    return { ...answer, count, isAll, tag: response.headers.get('etag') };
  }

  /** Delivers a poll's answer. */
  async answered(answer) {
    let items = itemsOfAnswer(answer, this.requests.channels);
    const isFirst = !this.position.cursor;
    if (isFirst && this.settings.from === 'now') this.#nowFrom = Date.parse(answer.polled_at);
    if (this.#nowFrom !== undefined) {
      // From now on: what is older than the first answer is not asked for.
      items = items.filter(({ type, timestamp }) => type === 'message' && Date.parse(timestamp) > this.#nowFrom);
      if (answer.isAll) this.#nowFrom = undefined;
    }
    if (answer.refused) this.refused(answer.refused);
    if (this.pattern?.endsWith('poll')) await this.opened();
    const { count } = this.position;
    await this.sink(items, answer.cursor);
    // Something new came: whatever failed before, this way leads somewhere.
    if (this.position.count > count) this.attempts = 0;
  }

  /** The first answer of an attempt. */
  async opened() {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.go('open');
    const { pattern, position } = this;
    const fall = this.ladder.opened();
    const items = fall ? [{ type: 'fallback', ...fall }] : [];
    await this.sink([...items, { type: 'connected', pattern }], position.cursor);
  }

  /** The pattern does what it should: failures before this are forgotten. */
  well() {
    this.attempts = 0;
    this.ladder.well();
  }

  /** Some of several channels are not for this reader, which is told once. */
  refused(channels) {
    const names = channels.join();
    if (names === this.#refused) return;
    this.#refused = names;
    this.sink([{ type: 'error', error: new PollError('forbidden', `not allowed: ${names}`, { channels }) }]).catch(() => {});
  }
}
