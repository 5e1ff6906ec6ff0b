// The client: what a program sees. It puts the parts together and keeps their states.

import { Audience } from './audience.js';
import { Connection, PATTERNS } from './connection.js';
import { Credential } from './credential.js';
import { Delivery } from './delivery.js';
import { PollError } from './failure.js';
import { Job } from './job.js';
import { Position } from './position.js';
import { post } from './publish.js';
import { Requests } from './requests.js';
import { retrying } from './retrying.js';
import { watch } from './signals.js';
import { STATES } from './states.js';
import { surroundings } from './surroundings.js';
import { Tabs } from './tabs.js';

// Each with the reason for its value.
const DEFAULTS = {
  channel: 'default',
  pattern: 'auto',
  // As a poll without a position: what is retained, then what comes.
  from: 'oldest',
  // The server's default wait; it answers a second before.
  timeout: 30_000,
  interval: 5000,
  // The server's default; a stream that is silent for one and a half of these is given up.
  heartbeat: 15_000,
  retryDelay: 1000,
  maxRetries: Infinity,
  hidden: 'continue',
  share: true,
};

export class PollClient {
  /** One of the states of `STATES`. */
  state = 'idle';
  #settings;
  #place;
  #audience = new Audience();
  #requests;
  #stop;
  #position;

  constructor(url, options = {}) {
    const settings = { ...DEFAULTS };
    for (const name in options) if (options[name] !== undefined) settings[name] = options[name];
    this.#settings = settings;
    const { fetch, EventSource, pattern, headers } = settings;
    this.#place = surroundings({ ...(fetch && { fetch }), ...(EventSource && { EventSource }), ...settings.surroundings });
    this.channels = [...new Set([settings.channel].flat())].sort();
    if (pattern !== 'auto' && !PATTERNS[pattern]) throw new TypeError(`no pattern ${pattern}`);
    if (pattern === 'sse' && headers) throw new TypeError('EventSource sends no headers');
    const credential = new Credential(settings.token, this.#place);
    this.#requests = new Requests(url, { place: this.#place, settings, channels: this.channels, credential });
  }

  /** Takes the event if the row of the state names it; says whether it did. */
  #go(event) {
    const { state: before } = this;
    const state = STATES[before][event];
    if (!state) return false;
    this.state = state;
    this.#audience.emit('state', { state, before, event });
    return true;
  }

  /** Listens; gives a function that ends it. */
  on(event, listener) {
    return this.#audience.on(event, listener);
  }

  off(event, listener) {
    this.#audience.off(event, listener);
  }

  /** Begins to follow the channels; nothing if it does already. */
  start() {
    if (this.#go('start')) {
      this.#stop = new AbortController();
      this.#life(this.#stop);
    }
    return this;
  }

  /** Ends the connection. The position is kept, so that start() goes on from there. */
  stop() {
    if (!this.#go('stop')) return;
    this.#stop.abort();
    this.#audience.finish();
    this.#audience.emit('disconnected', { reason: 'stopped' });
  }

  /** Messages one by one. Starts the client; leaving the loop stops it, if it was this loop that started it. */
  async *[Symbol.asyncIterator]() {
    const before = this.#stop;
    this.start();
    const isOwn = before !== this.#stop;
    yield* this.#audience.loop(() => isOwn && this.stop());
  }

  /** Publishes and gives the server's answer: channel, id, cursor, timestamp. Safe to repeat with the same key. */
  publish(content, { channel = this.channels[0], ...how } = {}) {
    return post(this.#shared, 'api/message', [['channel', channel]], content, how);
  }

  /** A job by its name. */
  job(name) {
    const client = new PollClient(this.#requests.base, {
      ...this.#settings,
      channel: `progress/${name}`,
      from: 'oldest',
      keep: undefined,
      getState: undefined,
    });
    return new Job(name, client, this.#shared);
  }

  get #shared() {
    return { place: this.#place, requests: this.#requests, settings: this.#settings };
  }

  async #life(stop) {
    const { signal } = stop;
    const audience = this.#audience;
    const go = (event) => !signal.aborted && this.#go(event);
    try {
      await this.#run(signal, go);
      if (go('end')) audience.finish();
    } catch (reason) {
      const error = PollError.from(reason);
      if (go('fail')) {
        audience.finish(error);
        audience.emit('disconnected', { reason: error.fatal ? 'refused' : 'max_retries', error });
      }
    } finally {
      stop.abort();
    }
  }

  // The parts of one start() and how they hang together.
  async #run(signal, go) {
    const parts = { ...this.#shared, signal, go, audience: this.#audience, position: (this.#position ??= this.#remembered()) };
    const { place, settings } = parts;
    parts.delivery = new Delivery(parts);
    let tabs;
    let queue = Promise.resolve();
    // One batch after the other, whoever gives it.
    parts.sink = (items, cursor) =>
      (queue = queue.catch(() => {}).then(() => (tabs ?? parts.delivery).take(items, cursor)));
    const connection = (parts.connection = new Connection(parts));
    parts.name = await this.#sharedName(parts);
    if (parts.name) tabs = new Tabs(parts);
    watch(place, signal, (told) => {
      const isShown = told === 'visible';
      if (settings.hidden === 'pause' && (isShown || told === 'hidden')) (tabs ?? connection).hold(!isShown);
      if (told === 'freeze') tabs?.stepDown();
      if (told === 'offline') connection.interrupt(told);
      else if (told === 'online' || told === 'slept') connection.interrupt('woken');
      else if (told !== 'hidden') connection.check();
    }).catch(() => {});
    if (tabs) return tabs.run(signal);
    go('lead');
    return connection.run(signal);
  }

  #remembered() {
    const { from, keep } = this.#settings;
    const storage = typeof keep === 'string' ? this.#place.storage(keep) : keep;
    const cursor = from === 'oldest' || from === 'now' ? undefined : from;
    return new Position(cursor, storage, `poll ${this.#requests.base} ${this.channels.join(' ')}`);
  }

  /** What tabs that share a connection have in common, as a name; undefined where they cannot, or are not to. */
  async #sharedName({ delivery, signal }) {
    const { share, pattern } = this.#settings;
    const { BroadcastChannel, locks, location } = this.#place;
    if (!share || !BroadcastChannel || !locks || !location) return undefined;
    // A token that cannot be had now may be had later.
    const whose = share === true ? await retrying(this.#shared, signal, () => this.#requests.identity(), (error) => delivery.error(error)) : share;
    const text = JSON.stringify([this.#requests.base, this.channels, pattern, whose]);
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
    return `poll ${new Uint8Array(digest).join('')}`;
  }
}
