// Connections that are open and say nothing: a proxy that buffers, and a link that is dead.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { Proxy } from './proxy.js';
import { RealServer, until } from './server.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

const isShort = process.env.POLL_JS_TESTS === 'short';

async function world(pattern, more) {
  const server = await RealServer.start('--heartbeat-seconds', '1');
  const proxy = await Proxy.start(() => server.port);
  const client = new PollClient(proxy.address, { channel: 'c', pattern, timeout: 1000, interval: 100, heartbeat: 1000, retryDelay: 40, EventSource, ...more });
  const publisher = new PollClient(server.address, { channel: 'c' });
  const got = [];
  client.on('message', ({ content }) => got.push(content));
  client.on('error', () => {});
  const close = async () => {
    client.stop();
    proxy.close();
    await server.close();
  };
  return { server, proxy, client, publisher, got, close };
}

test('auto: behind a proxy that buffers, long poll takes over after two seconds', async () => {
  const { proxy, client, publisher, got, close } = await world('auto');
  proxy.fault = { kind: 'hold', path: '/api/stream', isLasting: true };
  let fall;
  client.on('fallback', (what) => (fall = { ...what, after: Date.now() - began }));
  await publisher.publish(1);
  const began = Date.now();
  client.start();
  await until(() => fall, 'a fall');
  assert.deepEqual([fall.from, fall.to, fall.reason], ['stream', 'longpoll', 'buffered']);
  await publisher.publish(2);
  await until(() => got.length === 2, 'both');
  assert.deepEqual(got, [1, 2]);
  await close();
});

test('a link that is dead is given up, and nothing is lost', { skip: isShort, concurrency: true }, async (all) => {
  const patterns = ['auto', 'stream', 'sse', 'longpoll', 'shortpoll'];
  await Promise.all(
    patterns.map((pattern) =>
      all.test(pattern, { concurrency: true }, async () => {
        const { proxy, client, publisher, got, close } = await world(pattern);
        await publisher.publish(1);
        client.start();
        await until(() => got.length === 1, 'the first');
        const fault = { kind: 'stall', path: pattern === 'auto' || pattern === 'sse' ? '/api/stream' : pattern.replace('shortpoll', '/api/poll') };
        proxy.fault = fault;
        proxy.cut();
        await publisher.publish(2);
        await until(() => fault.hits, 'the stall');
        await publisher.publish(3);
        await until(() => got.length === 3, () => `${pattern}: ${got}`, 40_000);
        assert.deepEqual(got, [1, 2, 3]);
        await close();
      }),
    ),
  );
});
