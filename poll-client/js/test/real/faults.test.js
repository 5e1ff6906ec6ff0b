// Against the real server, through a proxy that breaks things: on each pattern, whatever breaks, nothing is lost,
// doubled or out of order; and what is published through broken connections is published once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { FAULTS } from './faults.js';
import { Proxy } from './proxy.js';
import { RealServer, until } from './server.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const isShort = process.env.POLL_JS_TESTS === 'short';

assert.ok(FAULTS.length >= 60, `${FAULTS.length} faults`);

test(`${FAULTS.length} faults on each pattern: nothing lost, doubled or out of order`, { concurrency: true }, async (all) => {
  await Promise.all(['auto', 'stream', 'sse', 'longpoll', 'shortpoll'].map((pattern) => all.test(pattern, () => run(pattern))));
});

async function run(pattern) {
  const server = await RealServer.start('--heartbeat-seconds', '1');
  const proxy = await Proxy.start(() => server.port);
  const publishing = await Proxy.start(() => server.port);
  const document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  const window = new EventTarget();
  let offset = 0;
  const surroundings = { document, window, locks: undefined, now: () => Date.now() + offset };
  let token = 0;
  const client = new PollClient(proxy.address, {
    pattern, channel: 'c', token: () => `t${(token += 1)}`, interval: 50, timeout: 1000, heartbeat: 2000, retryDelay: 40, hidden: 'pause', EventSource,
  }, surroundings);
  const publisher = new PollClient(publishing.address, { channel: 'c', retryDelay: 40 });
  const got = [];
  const said = [];
  client.on('message', ({ content }) => got.push(content));
  client.on('error', ({ kind, message }) => said.push(`error ${kind} ${message}`));
  for (const event of ['missed', 'reset', 'fallback']) client.on(event, (what) => said.push(`${event} ${JSON.stringify(what)}`));
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
  try {
    await publish(2);
    client.start();
    await until(() => got.length === last, 'the first messages');
    for (const [index, [name, fault]] of FAULTS.entries()) {
      if (isShort && index % 3) continue;
      said.length = 0;
      const next = async (what, hits = 1) => {
        proxy.fault = what;
        proxy.cut();
        await publish(1);
        await until(() => what.hits >= hits, () => `${pattern}: ${name} hits a request; ${client.state}`);
      };
      const world = { proxy, server, document, window, pause, next, jump: (ms) => (offset += ms) };
      const broken = fault(world);
      // While the server is away publishing waits for it, and its answer for nothing else.
      const published = publish(2);
      await broken;
      await published;
      await publish(1);
      const where = () => `${pattern}, ${name}: ${got.length} of ${last}, ${client.state}; ${said.join('; ')}`;
      await until(() => got.length >= last, where);
      assert.deepEqual(got, Array.from({ length: last }, (_, at) => at + 1), where());
      assert.ok(!said.some((what) => /^(missed|reset)/.test(what)), where());
    }
  } finally {
    client.stop();
    proxy.close();
    publishing.close();
    await server.close();
  }
}
