// What a client does on each pattern, against a server in memory and with a clock that the test moves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem, json } from '../fake/server.js';
import { World } from '../fake/world.js';

const PATTERNS = ['auto', 'stream', 'longpoll', 'shortpoll'];

for (const pattern of PATTERNS) {
  test(`${pattern}: what is retained comes first, then what is published`, async () => {
    const world = new World();
    world.server.publish('a', 1);
    world.server.publish('a', { two: 2 });
    const { client, contents, of } = world.client({ pattern });
    await world.clock.advance(100);
    assert.equal(of('connected').length, 1);
    assert.deepEqual(contents, [1, { two: 2 }]);
    world.server.publish('a', 'three');
    await world.clock.advance(6000);
    assert.deepEqual(contents, [1, { two: 2 }, 'three']);
    const [message] = of('message');
    assert.equal(message.channel, 'a');
    assert.equal(message.id, 1);
    client.stop();
    assert.equal(client.state, 'stopped');
    assert.deepEqual(of('disconnected').map(({ reason }) => reason), ['stopped']);
    world.server.publish('a', 'four');
    await world.clock.advance(60_000);
    assert.equal(contents.length, 3);
    assert.equal(world.server.open.size, 0);
  });

  test(`${pattern}: from now on, what was there is not given`, async () => {
    const world = new World();
    world.server.publish('a', 'old');
    await world.clock.advance(10);
    const { contents, client } = world.client({ pattern, from: 'now' });
    await world.clock.advance(100);
    world.server.publish('a', 'new');
    await world.clock.advance(6000);
    assert.deepEqual(contents, ['new']);
    client.stop();
  });

  test(`${pattern}: stopped and started again, it goes on where it was`, async () => {
    const world = new World();
    const { contents, client } = world.client({ pattern });
    world.server.publish('a', 1);
    await world.clock.advance(6000);
    client.stop();
    world.server.publish('a', 2);
    await world.clock.advance(6000);
    client.start();
    await world.clock.advance(6000);
    assert.deepEqual(contents, [1, 2]);
    client.stop();
  });

  test(`${pattern}: stopped within a batch, the rest comes after the next start`, async () => {
    const world = new World();
    for (let number = 1; number <= 5; number += 1) world.server.publish('a', number);
    const { contents, client } = world.client({ pattern, start: false });
    const off = client.on('message', ({ content }) => content === 2 && client.stop());
    client.start();
    await world.clock.advance(6000);
    assert.deepEqual(contents, [1, 2]);
    off();
    client.start();
    await world.clock.advance(6000);
    assert.deepEqual(contents, [1, 2, 3, 4, 5]);
    client.stop();
  });

  test(`${pattern}: the end of a channel ends the client after its last message`, async () => {
    const world = new World();
    const { contents, of, client } = world.client({ pattern });
    await world.clock.advance(100);
    world.server.publish('a', 'last');
    world.server.close('a');
    await world.clock.advance(12_000);
    assert.deepEqual(contents, ['last']);
    assert.equal(of('ended').length, 1);
    assert.equal(client.state, 'ended');
  });

  test(`${pattern}: what was missed is said before what follows, and state is loaded in between`, async () => {
    const world = new World();
    const order = [];
    const getState = async (gap) => order.push(`state after ${gap.type} ${gap.missed}`);
    const { client } = world.client({ pattern, getState });
    client.on('message', ({ content }) => order.push(content));
    client.on('missed', ({ missed }) => order.push(`missed ${missed}`));
    world.server.publish('a', 1);
    await world.clock.advance(6000);
    client.stop();
    world.server.retained = 2;
    for (let number = 2; number <= 6; number += 1) world.server.publish('a', number);
    client.start();
    await world.clock.advance(6000);
    assert.deepEqual(order, [1, 'missed 3', 'state after missed 3', 5, 6]);
    client.stop();
  });

  test(`${pattern}: a first visit is told what the history lacks`, async () => {
    const world = new World();
    world.server.retained = 1;
    world.server.publish('a', 1);
    world.server.publish('a', 2);
    const { contents, of, client } = world.client({ pattern });
    await world.clock.advance(6000);
    assert.deepEqual(contents, [2]);
    assert.deepEqual(of('missed').map(({ missed }) => missed), [1]);
    client.stop();
  });

  test(`${pattern}: a channel born anew is a reset, and its messages are new though their numbers are not`, async () => {
    const world = new World();
    const { contents, of, client } = world.client({ pattern });
    for (let number = 1; number <= 3; number += 1) world.server.publish('a', number);
    await world.clock.advance(6000);
    world.server.isDown = true;
    world.server.forget();
    world.clock.jump(-3_600_000);
    world.server.micros = 0;
    world.server.publish('a', 'new 1');
    world.server.isDown = false;
    await world.clock.advance(60_000);
    assert.deepEqual(contents, [1, 2, 3, 'new 1']);
    assert.equal(of('reset').length, 1);
    client.stop();
  });

  test(`${pattern}: bytes are bytes`, async () => {
    const world = new World();
    world.server.publish('a', '//4=', { encoding: 'base64' });
    const { contents, client } = world.client({ pattern });
    await world.clock.advance(6000);
    assert.deepEqual(contents, [new Uint8Array([255, 254])]);
    client.stop();
  });

  test(`${pattern}: after a 401 the token is renewed, and nobody notices`, async () => {
    const world = new World();
    world.server.token = 't1';
    let calls = 0;
    const token = async () => `t${(calls += 1)}`;
    const { contents, of, client } = world.client({ pattern, token });
    await world.clock.advance(100);
    world.server.token = 't2';
    world.server.cut();
    world.server.publish('a', 1);
    await world.clock.advance(12_000);
    assert.deepEqual(contents, [1]);
    assert.equal(calls, 2);
    assert.ok(of('error').every(({ error }) => error.status !== 401));
    client.stop();
  });

  test(`${pattern}: a token that is refused and cannot be renewed ends the client`, async () => {
    const world = new World();
    world.server.token = 'right';
    const { of, client } = world.client({ pattern, token: 'wrong' });
    await world.clock.advance(100);
    assert.equal(client.state, 'failed');
    const [{ reason, error }] = of('disconnected');
    assert.deepEqual([reason, error.status, error.kind], ['refused', 401, 'unauthorized']);
    assert.equal(world.server.requests.length, 1);
  });

  test(`${pattern}: 429 is obeyed`, async () => {
    const world = new World();
    let refusals = 0;
    world.server.intercept = () => {
      if (refusals === 1) return undefined;
      refusals += 1;
      return problem(429, 'Too Many Requests', { 'retry-after': '7' });
    };
    const { of, client } = world.client({ pattern });
    await world.clock.advance(6900);
    assert.equal(world.server.requests.length, 1);
    await world.clock.advance(1200);
    assert.equal(of('connected').length, 1);
    client.stop();
  });

  test(`${pattern}: maxRetries failures in a row, and it gives up`, async () => {
    const world = new World();
    world.server.isDown = true;
    const { of, client } = world.client({ pattern, maxRetries: 5 });
    await world.clock.advance(300_000);
    assert.equal(client.state, 'failed');
    assert.equal(of('error').length, 5);
    assert.deepEqual(of('disconnected').map(({ reason }) => reason), ['max_retries']);
  });

  test(`${pattern}: while the server is away it is asked less and less often`, async () => {
    const world = new World();
    const { client } = world.client({ pattern });
    await world.clock.advance(100);
    world.server.isDown = true;
    world.server.cut();
    const before = world.server.requests.length;
    await world.clock.advance(600_000);
    const asked = world.server.requests.length - before;
    assert.ok(asked > 20 && asked < 80, `${asked} requests in ten minutes`);
    client.stop();
  });

  test(`${pattern}: several channels by one request`, async () => {
    const world = new World();
    world.server.publish('b', 'b1');
    world.server.publish('a', 'a1');
    const { events, of, client } = world.client({ pattern, channel: ['a', 'b', 'c'] });
    await world.clock.advance(100);
    world.server.publish('c', 'c1');
    await world.clock.advance(6000);
    assert.deepEqual(of('message').map(({ channel, content }) => [channel, content]), [['b', 'b1'], ['a', 'a1'], ['c', 'c1']]);
    world.server.cut();
    world.server.publish('b', 'b2');
    await world.clock.advance(12_000);
    assert.equal(of('message').length, 4);
    assert.ok(events.every(({ type }) => type !== 'reset' && type !== 'missed'));
    assert.ok(world.server.most <= 1);
    client.stop();
  });

  test(`${pattern}: the position outlives the page`, async () => {
    const world = new World();
    const kept = new Map();
    const keep = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
    const first = world.client({ pattern, keep });
    world.server.publish('a', 1);
    await world.clock.advance(6000);
    first.client.stop();
    world.server.publish('a', 2);
    const second = world.client({ pattern, keep });
    await world.clock.advance(6000);
    assert.deepEqual([first.contents, second.contents], [[1], [2]]);
    second.client.stop();
  });

  test(`${pattern}: a hidden page pauses if it is told to, and loses nothing`, async () => {
    const world = new World();
    const document = new EventTarget();
    document.visibilityState = 'visible';
    const show = (state) => {
      document.visibilityState = state;
      document.dispatchEvent(new Event('visibilitychange'));
    };
    const { contents, of, client } = world.client({ pattern, hidden: 'pause' }, { document });
    await world.clock.advance(100);
    show('hidden');
    await world.clock.advance(100);
    assert.equal(client.state, 'paused');
    assert.deepEqual(of('disconnected').map(({ reason }) => reason), ['hidden']);
    assert.equal(world.server.open.size, 0);
    const before = world.server.requests.length;
    world.server.publish('a', 1);
    await world.clock.advance(600_000);
    assert.equal(world.server.requests.length, before);
    show('visible');
    await world.clock.advance(100);
    assert.deepEqual(contents, [1]);
    client.stop();
  });

  test(`${pattern}: offline is seen at once, and so is online`, async () => {
    const world = new World();
    const window = new EventTarget();
    let isOffline = false;
    const { contents, of, client } = world.client({ pattern }, { window, isOffline: () => isOffline });
    await world.clock.advance(100);
    isOffline = world.server.isDown = true;
    window.dispatchEvent(new Event('offline'));
    await world.clock.advance(10);
    assert.deepEqual(of('disconnected').map(({ reason }) => reason), ['offline']);
    world.server.publish('a', 1);
    await world.clock.advance(12_345);
    isOffline = world.server.isDown = false;
    window.dispatchEvent(new Event('online'));
    await world.clock.advance(10);
    assert.deepEqual(contents, [1]);
    client.stop();
  });

  test(`${pattern}: a machine that slept connects anew within the tick`, async () => {
    const world = new World();
    const { of, client } = world.client({ pattern });
    await world.clock.advance(100);
    world.clock.jump(3_600_000);
    await world.clock.advance(5000);
    assert.equal(of('connected').length, 2);
    client.stop();
  });
}

test('auto: a proxy that buffers is noticed after two seconds; long poll takes over, and later the stream is tried again', async () => {
  const world = new World();
  world.server.holds = 'streams';
  const { contents, of, client } = world.client();
  world.server.publish('a', 1);
  await world.clock.advance(2100);
  assert.deepEqual(of('fallback'), [{ type: 'fallback', from: 'stream', to: 'longpoll', reason: 'buffered' }]);
  assert.deepEqual(of('connected').map(({ pattern }) => pattern), ['longpoll']);
  assert.deepEqual(contents, [1]);
  world.server.holds = undefined;
  await world.clock.advance(120_000);
  assert.deepEqual(of('connected').map(({ pattern }) => pattern), ['longpoll', 'stream']);
  client.stop();
});

test('auto: a stream without heartbeats is given up the second time', async () => {
  const world = new World();
  const { of, client } = world.client();
  await world.clock.advance(100);
  const deaf = () => {
    for (const response of world.server.open) response.look = () => {};
    world.server.holds = 'streams';
  };
  deaf();
  await world.clock.advance(23_000);
  assert.equal(of('error')[0].error.kind, 'silent');
  world.server.holds = undefined;
  await world.clock.until(() => of('connected').length === 2);
  deaf();
  await world.clock.until(() => of('fallback').length === 1, 60_000);
  assert.equal(of('fallback')[0].reason, 'silent');
  client.stop();
});

test('auto: waiting requests that are cut lead to short poll', async () => {
  const world = new World();
  world.server.holds = 'streams';
  const { contents, of, client } = world.client();
  await world.clock.advance(2100);
  world.server.intercept = ({ path }) => (path === '/api/longpoll' ? problem(504, 'Gateway Timeout') : undefined);
  world.server.cut();
  await world.clock.until(() => of('fallback').length === 2, 60_000);
  assert.deepEqual(of('fallback')[1], { type: 'fallback', from: 'longpoll', to: 'shortpoll', reason: 'cut' });
  world.server.publish('a', 1);
  await world.clock.advance(6000);
  assert.deepEqual(contents, [1]);
  client.stop();
});

test('auto: while nothing gets through, no pattern is to blame', async () => {
  const world = new World();
  world.server.intercept = () => problem(502, 'Bad Gateway');
  const { of, client } = world.client();
  await world.clock.advance(300_000);
  world.server.intercept = () => undefined;
  await world.clock.until(() => of('connected').length);
  assert.deepEqual([of('fallback').length, of('connected')[0].pattern], [0, 'stream']);
  client.stop();
});

test('auto: a fetch without readable bodies falls to long poll at once', async () => {
  const world = new World();
  world.server.intercept = ({ path }) => (path === '/api/stream' ? Object.defineProperty(json({}), 'body', { value: null }) : undefined);
  const { of, client } = world.client();
  await world.clock.advance(100);
  assert.equal(of('fallback')[0].reason, 'unsupported');
  client.stop();
});

test('longpoll: a server that answers the same position for ever is noticed and slowed', async () => {
  const world = new World();
  const { of, client } = world.client({ pattern: 'longpoll' });
  world.server.publish('a', 1);
  await world.clock.advance(100);
  const cursor = 'e0000000000000010000000000000001';
  world.server.intercept = ({ path }) => (path === '/api/longpoll' ? json({ messages: [], count: 0, cursor }) : undefined);
  world.server.publish('a', 2);
  const before = world.server.requests.length;
  await world.clock.advance(300_000);
  const asked = world.server.requests.length - before;
  assert.ok(asked < 150, `${asked} requests in five minutes`);
  assert.ok(of('error').some(({ error }) => error.kind === 'stuck'));
  client.stop();
});

for (const pattern of ['stream', 'longpoll', 'shortpoll']) {
  test(`${pattern}: a full answer that leads nowhere, given for ever, is noticed and slowed`, async () => {
    const world = new World();
    const messages = Array.from({ length: 1000 }, (_, at) => ({ id: at + 1, content: at, timestamp: '2026-01-01T00:00:00.000001Z' }));
    const cursor = 'e0000000000000010000000000000001';
    world.server.intercept = ({ path }) => (path === '/api/poll' ? json({ messages, count: 1000, cursor }) : undefined);
    const { of, contents, client } = world.client({ pattern });
    await world.clock.advance(60_000);
    assert.ok(world.server.requests.length < 40, `${world.server.requests.length} requests in a minute`);
    assert.equal(contents.length, 1000);
    if (pattern !== 'shortpoll') assert.ok(of('error').some(({ error }) => error.kind === 'stuck'));
    client.stop();
  });
}

test('a hidden page goes on unless it is told to pause', async () => {
  const world = new World();
  const document = new EventTarget();
  document.visibilityState = 'visible';
  const { contents, of, client } = world.client({ pattern: 'stream' }, { document });
  await world.clock.advance(100);
  document.visibilityState = 'hidden';
  document.dispatchEvent(new Event('visibilitychange'));
  await world.clock.advance(60_000);
  world.server.publish('a', 1);
  await world.clock.advance(100);
  assert.deepEqual([contents, client.state, of('disconnected').length], [[1], 'open', 0]);
  client.stop();
});

test('shortpoll: an unchanged answer is a 304', async () => {
  const world = new World();
  const { client } = world.client({ pattern: 'shortpoll' });
  world.server.publish('a', 1);
  await world.clock.advance(60_000);
  const tagged = world.server.requests.filter(({ headers }) => headers.get('if-none-match'));
  assert.ok(tagged.length > 8);
  assert.ok(world.server.requests.length < 14);
  client.stop();
});

test('a JWT is renewed before it expires', async () => {
  const world = new World();
  const jwt = () => `h.${btoa(JSON.stringify({ sub: 'u', exp: world.clock.now() / 1000 + 60 }))}.s`;
  let calls = 0;
  const { client } = world.client({ pattern: 'shortpoll', token: () => (calls += 1) && jwt() });
  await world.clock.advance(300_000);
  assert.ok(calls >= 5 && calls <= 7, `${calls}`);
  client.stop();
});

test('a token that cannot be had now is asked for again', async () => {
  const world = new World();
  let calls = 0;
  const token = async () => {
    if ((calls += 1) < 3) throw new Error('the identity server is away');
    return 't';
  };
  const { of, client } = world.client({ token });
  await world.clock.until(() => of('connected').length === 1, 30_000);
  assert.deepEqual(of('error').map(({ error }) => error.kind), ['token', 'token']);
  client.stop();
});

test('own headers are sent, and a function may give them', async () => {
  const world = new World();
  const first = world.client({ headers: { 'x-client-id': 'one' } });
  const second = world.client({ headers: async () => ({ 'x-client-id': 'two' }) });
  await world.clock.advance(100);
  assert.deepEqual(new Set(world.server.requests.map(({ headers }) => headers.get('x-client-id'))), new Set(['one', 'two']));
  first.client.stop();
  second.client.stop();
});

test('getState is tried until it succeeds, and delivery waits', async () => {
  const world = new World();
  let calls = 0;
  const getState = async () => {
    if ((calls += 1) < 3) throw new Error('not now');
  };
  const { contents, client } = world.client({ getState, from: 'zzzzzzzzzzzzzzzz0000000000000009' });
  world.server.publish('a', 1);
  await world.clock.advance(10);
  assert.deepEqual(contents, []);
  await world.clock.advance(10_000);
  assert.deepEqual([calls, contents], [3, [1]]);
  client.stop();
});

test('a listener that throws stops nothing', async () => {
  const world = new World();
  const { contents, client } = world.client({ start: false });
  const reported = [];
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = (run) => {
    try {
      run();
    } catch (error) {
      reported.push(error.message);
    }
  };
  client.on('message', () => {
    throw new Error('mine');
  });
  client.start();
  world.server.publish('a', 1);
  world.server.publish('a', 2);
  await world.clock.advance(100);
  globalThis.queueMicrotask = queueMicrotask;
  assert.deepEqual([contents, reported], [[1, 2], ['mine', 'mine']]);
  client.stop();
});

test('for await takes one message at a time, and leaving the loop stops the client without losing one', async () => {
  const world = new World();
  for (let number = 1; number <= 4; number += 1) world.server.publish('a', number);
  const client = world.silent();
  const loop = client[Symbol.asyncIterator]();
  const taken = [];
  taken.push((await loop.next()).value.content, (await loop.next()).value.content);
  await loop.return();
  assert.equal(client.state, 'stopped');
  const rest = client[Symbol.asyncIterator]();
  taken.push((await rest.next()).value.content, (await rest.next()).value.content);
  await rest.return();
  assert.deepEqual(taken, [1, 2, 3, 4]);
});

test('for await ends with the channel and throws what ended the client', async () => {
  const world = new World();
  world.server.publish('a', 1);
  world.server.close('a');
  const { client } = world.client({ start: false });
  const taken = [];
  for await (const { content } of client) taken.push(content);
  assert.deepEqual(taken, [1]);
  world.server.intercept = () => problem(403, 'Forbidden');
  const refused = world.client({ start: false }).client;
  await assert.rejects(async () => {
    for await (const _ of refused);
  }, { kind: 'forbidden', status: 403 });
});

test('what cannot work is said when the client is made', () => {
  assert.throws(() => new World().client({ pattern: 'websocket' }), /no pattern websocket/);
  assert.throws(() => new World().client({ pattern: 'sse', headers: {} }), /EventSource sends no headers/);
});
