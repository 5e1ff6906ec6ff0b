// A lane: one pattern, followed by the client, with its figures and its picture.
//
// Everything about connections is the client's (poll.js): it resumes, comes back, and shares one connection between the
// windows of a browser. Here is only what is shown of it.

import { PollClient } from './poll.js';
import { clock, parseTime } from './clock.js';
import { Meter } from './meter.js';
import { Timeline, Track } from './track.js';
import { copyOf, counted, quantile, showMs } from './words.js';

const LATENCIES_KEPT = 500;
/** Between two short polls. */
export const SHORT_POLL_MS = 2000;
export const LONG_POLL_MS = 25_000;
// A request's messages are delivered after its end, in other windows a little later still.
const RECORDS_KEPT_MS = 3000;

const WORDS = { open: 'live', joining: 'connecting', connecting: 'connecting', waiting: 'retrying', paused: 'resting' };

/** The patterns that a browser has. `wire`: what connects page and server while nothing happens. */
export const PATTERNS = [
  { key: 'short', title: 'Short poll', brief: 'short poll', pattern: 'shortpoll', wire: 'none',
    about: 'Asks every two seconds and is answered at once.' },
  { key: 'long', title: 'Long poll', brief: 'long poll', pattern: 'longpoll', wire: 'waiting',
    about: 'Asks, and is answered when there is something to say.' },
  { key: 'stream', title: 'Chunked stream', brief: 'stream', pattern: 'stream', wire: 'open',
    about: 'One answer that does not end: a line for every message.' },
  { key: 'sse', title: 'Server-sent events', brief: 'SSE', pattern: 'sse', wire: 'open',
    about: 'The same as the browser’s EventSource reads it.' },
];

export class Lane {
  #client;
  #meter;
  #heard;
  #line;
  #records = new Map();
  #latest = new Map();
  #resumed = 0;
  #isConnected = false;
  #isShared = false;

  /** `heard`: what the page does with it, see app.js. */
  constructor(pattern, { line, heard, where }) {
    Object.assign(this, pattern);
    this.#line = line;
    this.#heard = heard;
    this.view = copyOf('lane');
    this.view.dataset.lane = this.key;
    this.view.querySelector('h3').textContent = this.title;
    this.view.querySelector('.about').textContent = this.about;
    this.pill = this.view.querySelector('.pill');
    this.figures = Object.fromEntries([...this.view.querySelectorAll('[data-figure]')].map((one) => [one.dataset.figure, one]));
    this.track = new Track(this.view, this.wire);
    this.timeline = new Timeline(this.view, clock.local());
    where.append(this.view);
    this.#forget();
  }

  #forget() {
    Object.assign(this, { messages: 0, requests: 0, empty: 0, bytes: 0, latencies: [], lost: 0, doubled: 0, since: Infinity });
    this.emptyCosts = new Map();
    this.#records.clear();
    this.#latest.clear();
    this.track.clear();
    this.timeline.clear();
  }

  /** Follows these channels from that cursor. */
  follow(channel, cursor, token) {
    this.#client?.stop();
    this.#forget();
    const meter = new Meter(this.#line, (record) => {
      this.takeRecord(record);
      this.#heard.record(this, record);
    });
    this.#meter = meter;
    const client = new PollClient('/', {
      channel, token, pattern: this.pattern, from: cursor,
      interval: SHORT_POLL_MS, timeout: LONG_POLL_MS, retryDelay: 500,
      // A browser has six HTTP/1.1 connections to a host, for all its windows: hidden ones give theirs back.
      hidden: 'pause',
      fetch: meter.fetch, EventSource: meter.EventSource,
    });
    this.#client = client;
    client.on('message', (message) => this.#take(message));
    client.on('connected', ({ isShared = false }) => this.#connected(isShared));
    client.on('disconnected', ({ reason, error }) => {
      this.#isConnected = false;
      // A catch-up comes before the connection.
      this.since = Infinity;
      if (reason === 'refused') this.#heard.refused(this, error);
    });
    client.on('error', (error) => error.channels && this.#heard.refused(this, error));
    for (const kind of ['missed', 'reset']) client.on(kind, (gap) => this.#gap(kind, gap));
    client.on('ended', () => this.draw());
    client.on('state', () => this.draw());
    client.start();
  }

  get state() {
    if (this.#line.isCut && !['failed', 'ended'].includes(this.#client?.state)) return 'cut';
    const state = this.#client?.state ?? 'connecting';
    if (state === 'following') return this.#isConnected ? 'live' : 'connecting';
    return WORDS[state] ?? state;
  }

  #connected(isShared) {
    this.#isConnected = true;
    this.#isShared = isShared;
    // What was published before says nothing about latency.
    this.since = clock.now();
    this.draw();
  }

  /** What comes from now on until `resumed` was missed during a cut, and is counted apart. */
  cut() {
    this.#resumed = 0;
    this.draw();
  }

  #take(message) {
    if (!this.isFollowing) this.#meter.gave();
    this.cursor = message.cursor ?? this.cursor;
    const at = clock.local();
    const sent = parseTime(message.timestamp);
    const isLive = sent >= this.since;
    const latency = Math.max(0, clock.now() - sent);
    this.#check(message);
    this.messages += 1;
    if (isLive) {
      this.latencies.push(latency);
      if (this.latencies.length > LATENCIES_KEPT) this.latencies.shift();
    } else {
      this.#resumed += 1;
    }
    this.timeline.message(at, isLive ? '' : 'late');
    this.#heard.message(this, message, isLive ? latency : undefined);
    this.draw();
  }

  // Numbers of a channel have no holes: a hole is a loss, a number again is a double.
  #check({ channel, id }) {
    const latest = this.#latest.get(channel);
    if (latest !== undefined && id > latest + 1) this.lost += id - latest - 1;
    if (latest !== undefined && id <= latest) this.doubled += 1;
    this.#latest.set(channel, id);
  }

  #gap(kind, { channel, missed }) {
    this.#latest.delete(channel);
    this.#heard.gap(this, channel, kind === 'missed' ? `${counted(missed, 'message')} no longer retained` : 'the log began anew');
  }

  /** A request of this lane began or changed, here or in the window that has the connection. */
  takeRecord(record) {
    const known = this.#records.get(record.id);
    this.#records.set(record.id, { ...record });
    if (!known) {
      this.requests += 1;
      this.bytes += record.up;
      if (record.ended === undefined) this.track.ask(this.#line.isCut);
    }
    // One that is seen for the first time in its middle: what it took before belongs to nothing that is counted here.
    const isOld = !known && clock.local() - record.began > 1000;
    if (!isOld) this.bytes += record.down - (known?.down ?? 0);
    if (record.ended !== undefined && known?.ended === undefined) this.#ended(record.id);
    this.track.wire(this.#isOpen);
    this.timeline.request(record);
    this.draw();
  }

  #ended(id) {
    const after = (ms, work) => setTimeout(() => this.#records.has(id) && work(this.#records.get(id)), ms);
    // Whether it brought something is known once its messages are delivered.
    after(100, ({ state, messages, path, up, down }) => {
      if (state !== 'done' || messages) return;
      this.empty += 1;
      this.emptyCosts.set(path, up + down);
      this.track.nothing();
      this.draw();
    });
    after(RECORDS_KEPT_MS, () => this.#records.delete(id));
  }

  /** Heads of the latest request and its answer. */
  get heads() {
    return this.#meter?.heads ?? 0;
  }

  /** Another window has the connection. */
  get isFollowing() {
    return this.#client?.state === 'following';
  }

  get #isOpen() {
    return !this.#line.isCut && [...this.#records.values()].some(({ path, ended }) => path !== '/api/poll' && ended === undefined);
  }

  /** What came late since the cut. */
  get resumption() {
    return `${this.brief} ${this.#resumed}`;
  }

  draw() {
    const { state } = this;
    this.pill.dataset.state = state;
    this.pill.textContent = state;
    this.pill.title = this.#isShared && state === 'live' ? 'Another window of this browser has the connection' : '';
    this.figures.messages.textContent = this.messages.toLocaleString('en');
    this.figures.requests.textContent = this.requests.toLocaleString('en');
    this.figures.median.textContent = showMs(quantile(this.latencies, 0.5));
    this.#heard.drawn(this);
  }
}
