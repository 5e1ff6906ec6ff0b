// What a stream says besides messages, by lines and by server-sent events: that the server's store is away and back,
// and why the stream ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventSourceOver } from '../fake/event_source.js';
import { World } from '../fake/world.js';
import { Browser } from '../fake/browser.js';

const scene = (options) => {
  const world = new World();
  const EventSource = eventSourceOver(world.server.fetch);
  const streams = () => [...world.server.open].filter(({ path }) => path === '/api/stream');
  return { world, streams, ...world.client({ EventSource, ...options }) };
};

for (const pattern of ['stream', 'sse']) {
  test(`${pattern}: that the server's store is away, and that it is back, is said, and nothing else changes`, async () => {
    const { world, streams, client, events, contents } = scene({ pattern });
    await world.clock.advance(100);
    const before = events.length;
    streams()[0].say('stalled');
    await world.clock.advance(100);
    streams()[0].say('resumed');
    world.server.publish('a', 1);
    await world.clock.advance(100);
    assert.deepEqual(events.slice(before).map(({ type }) => type), ['stalled', 'resumed', 'message']);
    assert.deepEqual([client.state, contents, world.server.open.size], ['open', [1], 1]);
    client.stop();
  });

  test(`${pattern}: a stream that ends because its token has expired goes on with another one, and that is no error`, async () => {
    let calls = 0;
    const { world, streams, client, of, contents } = scene({ pattern, token: () => `t${(calls += 1)}` });
    await world.clock.advance(100);
    for (let round = 2; round <= 4; round += 1) {
      await world.clock.advance(60_000);
      world.server.publish('a', round);
      streams()[0].end('unauthorized');
      await world.clock.advance(1000);
      assert.equal(calls, round);
      assert.equal(client.state, 'open');
    }
    assert.deepEqual(of('disconnected').map(({ reason }) => reason), ['unauthorized', 'unauthorized', 'unauthorized']);
    assert.deepEqual([contents, of('error').length], [[2, 3, 4], 0]);
    client.stop();
  });

  test(`${pattern}: a new token that ends the stream again is an error each time, and asked about less and less often`, async () => {
    let calls = 0;
    const { world, streams, client, of } = scene({ pattern, token: () => `t${(calls += 1)}`, maxRetries: 4 });
    await world.clock.until(() => {
      for (const stream of streams()) stream.end('unauthorized');
      return client.state === 'failed';
    }, 120_000);
    assert.deepEqual(of('error').map(({ error }) => [error.kind, Boolean(error.fatal)]), Array(4).fill(['unauthorized', false]));
    assert.equal(calls, 5);
    assert.deepEqual(of('disconnected').at(-1).reason, 'max_retries');
  });

  test(`${pattern}: a stream that ends because its token has expired, and there is no other, ends the client`, async () => {
    const { world, streams, client, of } = scene({ pattern, token: 'fixed' });
    await world.clock.advance(100);
    streams()[0].end('unauthorized');
    await world.clock.advance(100);
    assert.equal(client.state, 'failed');
    assert.deepEqual(of('error').map(({ error }) => [error.kind, error.fatal]), [['unauthorized', true]]);
    assert.equal(of('disconnected').at(-1).reason, 'refused');
  });

  for (const reason of ['draining', 'a reason of a later version']) {
    test(`${pattern}: a stream that the server ends for ${reason} is opened again after a wait, and that is no error`, async () => {
      const { world, streams, client, of, contents } = scene({ pattern });
      await world.clock.advance(100);
      const before = world.server.requests.length;
      for (let round = 1; round <= 20; round += 1) {
        await world.clock.until(() => streams().length);
        world.server.publish('a', round);
        streams()[0].end(reason);
      }
      await world.clock.advance(5000);
      assert.deepEqual(contents, Array.from({ length: 20 }, (_, at) => at + 1));
      assert.equal(of('error').length, 0);
      assert.ok(world.server.requests.length - before < 60);
      assert.ok(world.clock.time > 5000 + 20 * 100, `${world.clock.time} ms`);
      client.stop();
    });
  }
}

test('tabs that share hear of a stall, too', async () => {
  const world = new World();
  const browser = new Browser(world.clock);
  const tabs = [world.client({ pattern: 'stream' }, browser.page()), world.client({ pattern: 'stream' }, browser.page())];
  await world.clock.advance(1000);
  const [stream] = world.server.open;
  stream.say('stalled');
  await world.clock.advance(100);
  stream.say('resumed');
  await world.clock.advance(100);
  for (const { of, client } of tabs) {
    assert.deepEqual([of('stalled').length, of('resumed').length], [1, 1]);
    client.stop();
  }
});
