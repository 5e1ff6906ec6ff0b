// One reader on one pattern, a server and a proxy in between, and fault after fault: after each, the reader has
// everything that was published, once and in order, and was told of no loss.

import assert from 'node:assert/strict';
import { Proxy } from './proxy.js';
import { RealServer, until } from './server.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** What readers are told apart from messages: `said` holds it as texts that begin with the event. */
export const TOLD = ['error', 'missed', 'reset', 'fallback'];

/** Options that make a client quick: its waits are a fraction of what they are by default. */
export const QUICK = { channel: 'c', interval: 50, timeout: 1000, heartbeat: 2000, retryDelay: 40, hidden: 'pause' };

/**
 * Breaks things in turn. `open(address, pattern)` gives the reader: `got()`, `said()` and `state()` what it was given,
 * was told since the last `forget()` and is; `current()`, the pattern in use; `start()` and `close()`; and `page`, on which `offline`, `show`, `freeze`
 * and `jump` do what happens to pages.
 */
export async function breakEverything(pattern, faults, open) {
  const server = await RealServer.start('--heartbeat-seconds', '1');
  const proxy = await Proxy.start(() => server.port);
  const publishing = await Proxy.start(() => server.port);
  const publisher = new PollClient(publishing.address, { channel: 'c', retryDelay: 40 });
  let last = 0;
  // One after the other, so that their order is known.
  let turn = Promise.resolve();
  const publish = (count) => {
    const one = async () => {
      last += 1;
      if (last % 3 === 0) publishing.fault = { kind: 'cut', at: (last * 37) % 300 };
      await publisher.publish(last);
    };
    for (; count > 0; count -= 1) turn = turn.then(one);
    return turn;
  };
  let reader;
  try {
    reader = await open(proxy.address, pattern);
    await publish(2);
    await reader.start();
    await until(async () => (await reader.got()).length === last, 'the first messages');
    for (const [name, fault] of faults) {
      await reader.forget();
      let got = [];
      const has = (count) => async () => (got = await reader.got()).length >= count;
      const where = async () => `${pattern}, ${name}: ${got} of ${last}, ${await reader.state()}; ${(await reader.said()).join('; ')}`;
      const next = async (what, hits = 1) => {
        proxy.fault = what;
        proxy.cut();
        await publish(1);
        await until(() => what.hits >= hits, where);
      };
      const told = (event) => until(async () => (await reader.said()).some((what) => what.startsWith(event)), where);
      const broken = fault({ proxy, server, page: reader.page, pattern, current: reader.current, pause, next, told });
      // While the server is away publishing waits for it, and its answer for nothing else.
      const published = publish(2);
      await broken;
      await published;
      await publish(1);
      await until(has(last), where);
      assert.deepEqual(got, Array.from({ length: last }, (_, at) => at + 1), await where());
      assert.ok(!(await reader.said()).some((what) => /^(missed|reset)/.test(what)), await where());
    }
  } finally {
    await reader?.close();
    proxy.close();
    publishing.close();
    await server.close();
  }
}
