// The client: what a program sees. It puts the parts together and keeps their states.

import { Audience } from './audience.js';
import { connectionOf } from './connection.js';
import { credentialOf } from './credential.js';
import { deliveryFor } from './delivery.js';
import { PollError } from './failure.js';
import { Job } from './job.js';
import { addressOf, expectOne, settingsOf } from './options.js';
import { positionAt } from './position.js';
import { Presence } from './presence.js';
import { post } from './publish.js';
import { requestsTo } from './requests.js';
import { retrying } from './retrying.js';
import { watch } from './signals.js';
import { STATES } from './states.js';
import { surroundings } from './surroundings.js';
import { shareTabs } from './tabs.js';

const EVENTS = [
  'message', 'error', 'connected', 'disconnected', 'missed', 'reset', 'stalled', 'resumed', 'ended', 'fallback', 'state',
];

export class PollClient {
  /** One of the states of `STATES`. */
  state = 'idle';
  #settings;
  #place;
  #audience = new Audience();
  #requests;
  #stop;
  #position;

  /** The third is what tests replace of the surroundings. */
  constructor(url, options = {}, given = {}) {
    const settings = (this.#settings = settingsOf(options));
    const { channel, token } = settings;
    const place = (this.#place = { ...surroundings(settings), ...given });
    const channels = (this.channels = [...new Set([channel].flat())].sort());
    this.#requests = requestsTo(addressOf(url, place.location), { place, settings, channels, credential: credentialOf(token, place) });
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
    expectOne('event', event, EVENTS);
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
    return new Job(name, this.#beside({ channel: `progress/${name}`, from: 'oldest' }), this.#shared);
  }

  /** Who is present on a channel. */
  presence(channel = this.channels[0]) {
    return new Presence(channel, this.#shared, () => this.#beside({ channel: `presence/${channel}`, from: 'now' }));
  }

  /** A client of another channel, which keeps no position. */
  #beside(own) {
    const settings = { ...this.#settings, keep: undefined, getState: undefined, ...own };
    return new PollClient(this.#requests.base, settings, this.#place);
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
    parts.delivery = deliveryFor(parts);
    let tabs;
    let queue = Promise.resolve();
    // One batch after another, from whatever source.
    parts.sink = (items, cursor) =>
      (queue = queue.catch(() => {}).then(() => (tabs ?? parts.delivery).take(items, cursor)));
    const connection = (parts.connection = connectionOf(parts));
    parts.name = await this.#sharedName(parts);
    if (parts.name) tabs = shareTabs(parts);
    watch(place, signal, (type, isHidden) => {
      if (settings.hidden === 'pause') (tabs ?? connection).hold(isHidden);
      if (type === 'freeze') tabs?.stepDown();
      if (type === 'offline') connection.interrupt(type);
      else if (type === 'online') connection.interrupt('woken');
      else connection.check();
    }).catch(() => {});
    if (tabs) return tabs.run(signal);
    go('lead');
    return connection.run(signal);
  }

  #remembered() {
    const { from, keep } = this.#settings;
    const storage = typeof keep === 'string' ? this.#place.storage(keep) : keep;
    const cursor = from === 'oldest' || from === 'now' ? undefined : from;
    return positionAt(cursor, storage, `poll ${this.#requests.base} ${this.channels.join(' ')}`);
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
