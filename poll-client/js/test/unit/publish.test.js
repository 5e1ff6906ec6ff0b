// Publishing once, whatever happens to the request; and jobs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem } from '../fake/server.js';
import { World } from '../fake/world.js';

const posts = ({ server }) => server.requests.filter(({ method }) => method === 'POST');

test('text, bytes and JSON travel as what they are', async () => {
  const world = new World();
  const { client } = world.client({ start: false });
  for (const content of ['text', '', { a: 1 }, null, 0, new Uint8Array([1])]) await client.publish(content);
  const types = posts(world).map(({ headers }) => headers.get('content-type').split(/[;/]/)[1]);
  assert.deepEqual(types, ['plain', 'json', 'json', 'json', 'json', 'octet-stream']);
});

for (const [name, fault] of Object.entries({
  'a broken connection': () => new TypeError('broken'),
  '502': () => problem(502, 'Bad Gateway'),
  '503 with Retry-After': () => problem(503, 'Unavailable', { 'retry-after': '3' }),
  '429': () => problem(429, 'Too Many', { 'retry-after': '1' }),
})) {
  test(`after ${name} it is sent again with the same key, and published once`, async () => {
    const world = new World();
    const { client } = world.client({ start: false });
    let left = 3;
    world.server.intercept = (request) => {
      if ((left -= 1) < 0) return undefined;
      // The first had reached the server: only its answer is lost.
      if (left === 2) world.server.keys.set(request.headers.get('idempotency-key'), world.server.publish('a', 'x'));
      return fault();
    };
    const done = client.publish('x');
    let answer;
    done.then((given) => (answer = given));
    await world.clock.until(() => answer, 60_000);
    assert.equal(answer.id, 1);
    assert.equal(world.server.channel('a').messages.length, 1);
    const keys = new Set(posts(world).map(({ headers }) => headers.get('idempotency-key')));
    assert.deepEqual([posts(world).length, keys.size], [4, 1]);
  });
}

test('a refusal is not sent again', async () => {
  const world = new World();
  const { client } = world.client({ start: false });
  world.server.close('a');
  await assert.rejects(() => client.publish('x'), { status: 409, fatal: true });
  assert.equal(posts(world).length, 1);
});

test('it gives up before the server forgets the key', async () => {
  const world = new World();
  const { client } = world.client({ start: false });
  world.server.isDown = true;
  let failure;
  client.publish('x').catch((error) => (failure = error));
  await world.clock.until(() => failure, 300_000, 1000);
  assert.ok(world.clock.time > 150_000 && world.clock.time <= 241_000);
});

test('a key of one\'s own, another channel, and an end by signal', async () => {
  const world = new World();
  const { client } = world.client({ start: false });
  await client.publish('x', { key: 'k', channel: 'b' });
  assert.equal(posts(world)[0].headers.get('idempotency-key'), 'k');
  assert.equal(posts(world)[0].query.get('channel'), 'b');
  world.server.isDown = true;
  const end = new AbortController();
  const failed = assert.rejects(() => client.publish('y', { signal: end.signal }), /enough/);
  await world.clock.advance(100);
  end.abort(new Error('enough'));
  await failed;
});

test('a job: all its steps, over a cut, to its end; what is not a step is left out', async () => {
  const world = new World();
  const { client } = world.client({ start: false });
  const name = 'progress/build';
  world.server.publish(name, { step: 1, total: 2, percentage: 50, message: 'half' });
  world.server.publish(name, 'closed');
  world.server.publish(name, { type: 'closed', reason: 'ended' });
  const steps = [];
  let isOver = false;
  const reading = (async () => {
    for await (const step of client.job('build')) steps.push(step);
    isOver = true;
  })();
  await world.clock.advance(100);
  world.server.cut();
  world.server.publish(name, { step: 2, total: 2, percentage: 100, message: 'whole', status: 'done' });
  world.server.close(name);
  await world.clock.until(() => isOver, 10_000);
  await reading;
  assert.deepEqual(steps.map(({ percentage, status }) => [percentage, status]), [[50, undefined], [100, 'done']]);
});
