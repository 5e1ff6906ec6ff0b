// The JavaScript of the seeds, unchanged, over three restarts of the server: each message once and in order, as far as
// the script goes on by itself.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { RealServer, until } from '../real/server.js';

const file = (name) => fileURLToPath(new URL(name, import.meta.url));

/** A script as a page of its own; `said` is what it printed. */
function load(name, server) {
  const child = spawn(process.execPath, ['--import', file('page.js'), file(`seeds/${name}`)], {
    env: { ...process.env, SERVER: server.address },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const said = [];
  createInterface({ input: child.stdout }).on('line', (line) => said.push(JSON.parse(line)));
  const texts = (first) => said.filter(([text]) => text === first).map(([, what]) => what);
  return { said, texts, ended: once(child, 'exit'), close: () => child.kill() };
}

async function post(server, path, body) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(server.address + path, { method: 'POST', headers, body: JSON.stringify(body) });
  assert.ok(response.ok, `${path}: ${response.status}`);
}

const seeds = { concurrency: true };

/** Three restarts, with five messages before and after each; gives all of them. */
async function restarts(server, publish, arrived) {
  let last = 0;
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL', undefined]) {
    for (const end = last + 5; last < end; ) await publish((last += 1));
    await arrived(last);
    if (!signal) break;
    await server.down(signal);
    await server.up();
  }
  return Array.from({ length: last }, (_, at) => at + 1);
}

test('three restarts of the server', seeds, async (all) => {
  const scripts = Object.entries({
    'short_poll.js': ['/api/message', (page) => page.texts('New message:')],
    'long_poll.js': ['/api/message', (page) => page.texts('New message:')],
    'class.js': ['/api/publish/notifications', (page) => page.texts('shown').map(({ number }) => number)],
  });
  const tests = scripts.map(([name, [path, gotOf]]) =>
    all.test(`${name}: each message once and in order`, async () => {
      const server = await RealServer.start();
      const page = load(name, server);
      const got = () => gotOf(page);
      const sent = await restarts(
        server,
        (number) => post(server, path, path === '/api/message' ? number : { number }),
        (count) => until(() => got().length >= count, () => `${got()} of ${count}; ${JSON.stringify(page.said.slice(-3))}`),
      );
      page.close();
      await page.ended;
      assert.deepEqual(got(), sent);
      await server.close();
    }),
  );
  // It has no position: after a cut the page is loaded anew, and goes on from then.
  tests.push(
    all.test('stream.js: each message once and in order for as long as it is connected', async () => {
      const server = await RealServer.start();
      let page;
      let left;
      const got = [];
      const updates = () => page.texts('Stream update:');
      const sent = await restarts(
        server,
        async (number) => {
          await left?.ended;
          page ??= load('stream.js', server);
          await until(() => updates().some(({ type }) => type === 'connected'), 'connected');
          await post(server, '/api/message', number);
        },
        async (count) => {
          const numbers = () => updates().filter(({ type }) => type === 'update').map(({ message }) => message);
          await until(() => got.length + numbers().length >= count, () => `${numbers()}`);
          got.push(...numbers());
          if (count === 20) page.close();
          left = page;
          page = undefined;
        },
      );
      await left.ended;
      assert.deepEqual(got, sent);
      await server.close();
    }),
  );
  await Promise.all(tests);
});

test('class.js gives up after five failures in a row', async () => {
  const server = await RealServer.start();
  await server.down();
  const page = load('class.js', server);
  const [code] = await page.ended;
  assert.equal(code, 0);
  assert.equal(page.said.filter(([text]) => text === 'Long polling error:').length, 5);
  await server.close();
});
