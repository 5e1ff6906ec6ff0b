// Who is present on a channel: asked for once, or followed.
//
// Joins and leaves change a list, so following begins with the list, asked for once the position is known from which changes
// follow it; after a gap the list is asked for again.

import { late } from './failure.js';
import { parse } from './requests.js';
import { retrying } from './retrying.js';
import { sleep, within } from './within.js';

const DEADLINE = 10_000;

export class Presence {
  #shared;
  #changes;
  #loops = new Set();

  /** `changes` gives a client of the channel on which joins and leaves are published. */
  constructor(channel, shared, changes) {
    this.channel = channel;
    this.#shared = shared;
    this.#changes = changes;
  }

  /** Who is present now: `{ channel, count, clients: [{ id, since }] }`. */
  list(outer = new AbortController().signal) {
    const { place, requests } = this.#shared;
    return within(outer, async (signal) => {
      const answer = requests.ask('api/presence', { query: [['channel', this.channel]], signal }).then((response) => response.text());
      const end = sleep(place, DEADLINE, signal).then(() => {
        throw late('timeout');
      });
      return parse(await Promise.race([answer, end]));
    });
  }

  /** `{ event: 'present', count, clients }`, then `{ event: 'join' or 'leave', id, at }` as they come. */
  async *[Symbol.asyncIterator]() {
    const client = this.#changes();
    const stop = new AbortController();
    let isDue;
    let wake;
    const due = () => {
      isDue = true;
      wake?.();
    };
    client.on('missed', due);
    client.on('reset', due);
    const first = client.on('connected', () => {
      first();
      due();
    });
    client.on('state', ({ state }) => state === 'stopped' && stop.abort());
    this.#loops.add(client);
    const messages = client[Symbol.asyncIterator]();
    let next;
    try {
      for (;;) {
        if (!next) (next = messages.next()).catch(() => {});
        if (!isDue) await Promise.race([next, new Promise((woken) => (wake = woken))]);
        if (isDue) {
          isDue = false;
          const { count, clients } = await this.#listed(stop.signal);
          yield { event: 'present', count, clients };
          continue;
        }
        const { done, value } = await next;
        next = undefined;
        if (done) return;
        const { event, id, at } = value.content ?? {};
        // Other content, from a newer server, is ignored.
        if (event === 'join' || event === 'leave') yield { event, id, at };
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      this.#loops.delete(client);
      client.stop();
    }
  }

  /** Ends every loop. */
  stop() {
    for (const client of this.#loops) client.stop();
  }

  #listed(signal) {
    return retrying(this.#shared, signal, () => this.list(signal), (error, failures) => {
      if (error.fatal || failures > this.#shared.settings.maxRetries) throw error;
    });
  }
}
