// A clock, a server and clients in one, for tests.

// The built file is tested like the source: POLL_JS names it.
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');
import { Clock, chance } from './clock.js';
import { Server } from './server.js';

export class World {
  clock = new Clock();
  server = new Server(this.clock);

  constructor(seed = 1) {
    this.random = chance(seed);
  }

  surroundings(more) {
    const { now, setTimeout, clearTimeout } = this.clock;
    const none = { locks: undefined, BroadcastChannel: undefined, document: undefined, window: undefined };
    return { ...none, now, setTimeout, clearTimeout, random: this.random, fetch: this.server.fetch, ...more };
  }

  /** A client that is not started and that nothing listens to. */
  silent(options) {
    return new PollClient('https://poll.test', { channel: 'a', ...options }, this.surroundings());
  }

  /** A client that is started, with everything that it says. */
  client({ start = true, ...options } = {}, surroundings = {}) {
    const client = new PollClient('https://poll.test', { channel: 'a', ...options }, this.surroundings(surroundings));
    const heard = record(client);
    if (start) client.start();
    return { client, ...heard };
  }
}

const EVENTS = ['message', 'error', 'connected', 'disconnected', 'missed', 'reset', 'stalled', 'resumed', 'ended', 'fallback', 'state'];

export function record(client) {
  const events = [];
  const contents = [];
  for (const type of EVENTS) client.on(type, (value) => events.push({ type, ...(value instanceof Error ? { error: value } : value) }));
  client.on('message', ({ content }) => contents.push(content));
  return { events, contents, of: (type) => events.filter((event) => event.type === type) };
}
