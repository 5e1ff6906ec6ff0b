// A token that the real server no longer takes: the function that gives tokens is asked again, and nothing is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { RealServer, until } from './server.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

const PATTERNS = ['auto', 'stream', 'sse', 'longpoll', 'shortpoll'];
const QUICK = { interval: 50, timeout: 1000, retryDelay: 40, EventSource };

test('the server is started again with another token', async (all) => {
  const flags = (token) => ['--subscribe-token', token, '--publish-token', token];
  let token = 'first';
  const server = await RealServer.start(...flags(token));
  const readers = PATTERNS.map((pattern) => {
    const reader = { pattern, got: [], said: [], asked: 0 };
    const give = () => {
      reader.asked += 1;
      return token;
    };
    const client = new PollClient(server.address, { ...QUICK, pattern, channel: 'c', token: give });
    client.on('message', ({ content }) => reader.got.push(content));
    client.on('error', ({ status }) => reader.said.push(status));
    return { ...reader, reader, client: client.start() };
  });
  const publisher = new PollClient(server.address, { channel: 'c', token: () => token, retryDelay: 40 });
  await publisher.publish(1);
  for (const { got, pattern } of readers) await until(() => got.length === 1, pattern);
  await server.down();
  server.flags = flags((token = 'second'));
  await server.up();
  await publisher.publish(2);
  for (const { reader, client } of readers) {
    await all.test(reader.pattern, async () => {
      await until(() => reader.got.length === 2, () => `${reader.got}, ${client.state}, ${reader.said}`);
      assert.deepEqual(reader.got, [1, 2]);
      assert.equal(reader.asked, 2, 'once at first, once after the 401');
      assert.ok(!reader.said.includes(401), 'a token that is renewed is no error');
      client.stop();
    });
  }
  await server.close();
});
