// A store that is away and comes back: streams say so and stay open.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { freePort, RealServer, until } from './server.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

const answers = (port) =>
  new Promise((done) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.end('PING\r\n'));
    socket.on('data', (bytes) => done(bytes.toString().startsWith('+PONG')));
    socket.on('error', () => done(false));
  });

test('Redis stands still and goes on', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'poll-redis-'));
  const port = await freePort();
  const redis = spawn('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', ''], { stdio: 'ignore' });
  context.after(async () => {
    redis.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  await until(() => answers(port), 'Redis');
  const server = await RealServer.start('--store', `redis://127.0.0.1:${port}`);
  context.after(() => server.close());
  const readers = ['stream', 'sse'].map((pattern) => {
    const said = [];
    const client = new PollClient(server.address, { pattern, channel: 'c', EventSource });
    for (const event of ['connected', 'disconnected', 'stalled', 'resumed', 'error']) client.on(event, () => said.push(event));
    client.on('message', ({ content }) => said.push(content));
    client.start();
    return { pattern, client, said, hears: (what) => until(() => said.includes(what), () => `${pattern}: ${what}; ${said}`, 40_000) };
  });
  for (const { hears } of readers) await hears('connected');
  redis.kill('SIGSTOP');
  for (const { hears } of readers) await hears('stalled');
  redis.kill('SIGCONT');
  for (const { hears } of readers) await hears('resumed');
  await new PollClient(server.address, { channel: 'c' }).publish('after');
  for (const { hears, said, client } of readers) {
    await hears('after');
    assert.deepEqual(said, ['connected', 'stalled', 'resumed', 'after']);
    client.stop();
  }
});
