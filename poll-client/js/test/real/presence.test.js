// Who is present on a channel of the real server, by each pattern and over a restart.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import { RealServer, until } from './server.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

const QUICK = { interval: 50, timeout: 1000, retryDelay: 40 };
let server;

before(async () => {
  server = await RealServer.start('--presence');
});

after(() => server.close());

/** A client that is present on the channel. */
function come(channel, id) {
  const client = new PollClient(server.address, { ...QUICK, channel, headers: { 'X-Client-ID': id } });
  client.on('error', () => {});
  return client.start();
}

for (const pattern of ['auto', 'sse', 'longpoll', 'shortpoll']) {
  test(`${pattern}: all who are there, then each that joins`, async () => {
    const channel = `${pattern} a/1`;
    const there = [come(channel, 'ann')];
    const presence = new PollClient(server.address, { ...QUICK, channel, pattern, EventSource }).presence();
    await until(async () => (await presence.list()).count === 1, 'ann is there');
    const seen = [];
    const joined = new Set();
    const following = (async () => {
      for await (const change of presence) {
        seen.push(change);
        if (change.event === 'join') joined.add(change.id);
      }
    })();
    await until(() => seen.length, 'the list');
    assert.deepEqual([seen[0].event, seen[0].clients.map(({ id }) => id)], ['present', ['ann']]);
    there.push(come(channel, 'bob'));
    await until(() => joined.has('bob'), () => JSON.stringify(seen));
    if (pattern === 'auto') {
      await server.down();
      await server.up();
    }
    there.push(come(channel, 'carl'));
    await until(() => joined.has('carl'), () => JSON.stringify(seen));
    presence.stop();
    await following;
    assert.ok(seen.every(({ event }) => event !== 'leave'), JSON.stringify(seen));
    assert.deepEqual((await presence.list()).clients.map(({ id }) => id), ['ann', 'bob', 'carl']);
    for (const client of there) client.stop();
  });
}
