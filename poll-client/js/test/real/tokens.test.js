// A token that the real server no longer takes: the function that gives tokens is asked again, and nothing is lost.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

// The server takes a token for 30 s more than it says: one that ended 28 s ago lasts for two.
const LEFT = -28;

test('tokens that last two seconds: each pattern goes on with the next, and that is no error', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'poll-jwt-'));
  const secret = 'a secret of this test alone, 32 bytes or more';
  await writeFile(join(folder, 'secret'), secret);
  const server = await RealServer.start('--jwt-secret-file', join(folder, 'secret'), '--heartbeat-seconds', '1');
  context.after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });
  const jwt = (seconds) => {
    const claims = { exp: Math.floor(Date.now() / 1000) + seconds, poll: { publish: ['**'], subscribe: ['**'] } };
    const text = [{ alg: 'HS256', typ: 'JWT' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  };
  const readers = PATTERNS.map((pattern) => {
    const reader = { pattern, got: [], said: [], asked: 0 };
    const give = () => {
      reader.asked += 1;
      return jwt(LEFT);
    };
    reader.client = new PollClient(server.address, { ...QUICK, pattern, channel: 'c', token: give, timeout: 20_000 });
    reader.client.on('message', ({ content }) => reader.got.push(content));
    for (const event of ['error', 'missed', 'reset']) reader.client.on(event, (what) => reader.said.push(`${event} ${what.message}`));
    reader.client.start();
    return reader;
  });
  const publisher = new PollClient(server.address, { channel: 'c', token: () => jwt(60) });
  let last = 0;
  const hasAll = ({ got }) => got.length >= last;
  const where = () => JSON.stringify(readers.map(({ pattern, got, said, asked }) => [pattern, got.length, said, asked]));
  // A message at a time, until each reader has had four tokens.
  while (readers.some(({ asked }) => asked < 4)) {
    await publisher.publish((last += 1));
    await until(() => readers.every(hasAll), where);
  }
  await publisher.publish((last += 1));
  await until(() => readers.every(hasAll), where);
  for (const { pattern, got, said, client } of readers) {
    await context.test(pattern, () => {
      assert.deepEqual(got, Array.from({ length: last }, (_, at) => at + 1));
      assert.deepEqual(said, []);
    });
    client.stop();
  }
});
