// Who is present: asked for once, and followed as a list and its changes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from '../fake/world.js';

const TOLD = 'presence/room';
const AT = '2026-01-01T00:00:00Z';

/** Follows the room; `seen` is what the loop was given, without times. */
function follow(client) {
  const presence = client.presence('room');
  const seen = [];
  const over = (async () => {
    for await (const { event, id, clients } of presence) seen.push(event === 'present' ? clients.map(({ id }) => id) : `${event} ${id}`);
  })();
  over.catch(() => {});
  return { presence, seen, over };
}

test('first all who are there, then each that joins and leaves, over a cut and a failure of the list', async () => {
  const world = new World();
  world.server.present = { room: ['ann'] };
  world.server.publish(TOLD, { event: 'join', id: 'ann', at: AT });
  const { client } = world.client({ start: false });
  assert.deepEqual((await client.presence('room').list()).clients.map(({ id }) => id), ['ann']);
  let failures = 2;
  world.server.intercept = ({ path }) => (path === '/api/presence' && failures-- > 0 ? new TypeError('fetch failed') : undefined);
  const { seen, presence, over } = follow(client);
  await world.clock.until(() => seen.length === 1, 20_000);
  world.server.publish(TOLD, { event: 'join', id: 'bob', at: AT });
  world.server.publish(TOLD, { event: 'renamed', id: 'bob', at: AT });
  world.server.publish(TOLD, null);
  await world.clock.until(() => seen.length === 2, 1000);
  world.server.cut();
  world.server.publish(TOLD, { event: 'leave', id: 'ann', at: AT });
  await world.clock.until(() => seen.length === 3, 60_000);
  assert.deepEqual(seen, [['ann'], 'join bob', 'leave ann']);
  presence.stop();
  await over;
  assert.equal(world.server.open.size, 0);
});

test('after joins and leaves were missed, the list comes again', async () => {
  const world = new World();
  world.server.present = { room: [] };
  const { seen, presence } = follow(world.client({ start: false }).client);
  await world.clock.until(() => seen.length === 1, 1000);
  world.server.publish(TOLD, { event: 'join', id: 'ann', at: AT });
  await world.clock.until(() => seen.length === 2, 1000);
  world.server.retained = 1;
  world.server.isDown = true;
  world.server.cut();
  for (const id of ['bob', 'carl', 'dora']) world.server.publish(TOLD, { event: 'join', id, at: AT });
  world.server.present.room = ['ann', 'bob', 'carl', 'dora'];
  world.server.isDown = false;
  await world.clock.until(() => seen.length === 4, 60_000);
  assert.deepEqual(seen.slice(0, 2), [[], 'join ann']);
  assert.deepEqual(seen.slice(2).find(Array.isArray), ['ann', 'bob', 'carl', 'dora']);
  presence.stop();
});

test('a server that keeps no presence ends the loop with its refusal, and a loop that is left closes its connection', async () => {
  const world = new World();
  const { client } = world.client({ start: false });
  await assert.rejects(follow(client).over, { name: 'PollError', status: 404, fatal: true });
  assert.equal(world.server.open.size, 0);
  world.server.present = { a: ['ann'] };
  for await (const { event, count } of client.presence()) {
    assert.deepEqual([event, count], ['present', 1]);
    break;
  }
  assert.equal(world.server.open.size, 0);
});

test('a list that is asked for in vain is late', async () => {
  const world = new World();
  world.server.intercept = () => new Promise(() => {});
  const list = world.client({ start: false }).client.presence('room').list();
  const late = assert.rejects(list, { kind: 'timeout' });
  await world.clock.advance(10_000);
  await late;
});
