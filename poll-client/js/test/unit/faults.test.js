// Whatever goes wrong and whenever, each message is delivered once and in order.
//
// Each run is one seed: what is published, and which faults come when, follow from it alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem } from '../fake/server.js';
import { World } from '../fake/world.js';

const RUNS = 60;

const FAULTS = {
  cut: ({ server }) => server.cut(),
  away: ({ server, clock }) => {
    server.isDown = true;
    server.cut();
    clock.setTimeout(() => (server.isDown = false), 5000);
  },
  badGateway: ({ server, clock }) => passing(server, clock, () => problem(502, 'Bad Gateway')),
  busy: ({ server, clock }) => passing(server, clock, () => problem(429, 'Too Many', { 'retry-after': '2' })),
  halfAnswer: ({ server, clock }) =>
    passing(server, clock, ({ path }) => (path === '/api/message' ? undefined : new Response('{"messages":[{"id":1,"con'))),
  buffers: ({ server, clock }) => {
    server.holds = 'streams';
    clock.setTimeout(() => (server.holds = undefined), 30_000);
  },
  tokenExpires: ({ server }) => (server.token = `t${Number(server.token.slice(1)) + 1}`),
  draining: ({ server }) => [...server.open].forEach((response) => response.end?.('draining')),
  slept: ({ clock }) => clock.jump(600_000),
  clockBack: ({ clock }) => clock.jump(-600_000),
  offline: ({ window, clock }) => {
    window.dispatchEvent(new Event('offline'));
    clock.setTimeout(() => window.dispatchEvent(new Event('online')), 3000);
  },
  hidden: ({ document, clock }) => {
    show(document, 'hidden');
    clock.setTimeout(() => show(document, 'visible'), 4000);
  },
};

function passing(server, clock, intercept) {
  server.intercept = intercept;
  clock.setTimeout(() => (server.intercept = () => undefined), 3000);
}

function show(document, state) {
  document.visibilityState = state;
  document.dispatchEvent(new Event('visibilitychange'));
}

for (const pattern of ['auto', 'stream', 'longpoll', 'shortpoll']) {
  for (const channel of [['a'], ['a', 'b', 'c']]) {
    test(`${pattern}, ${channel.length} channels: ${RUNS} runs of faults, nothing lost, doubled or out of order`, async () => {
      for (let seed = 1; seed <= RUNS; seed += 1) await run(pattern, channel, seed);
    });
  }
}

async function run(pattern, channel, seed) {
  const world = new World(seed);
  const { server, clock, random } = world;
  const window = new EventTarget();
  const document = new EventTarget();
  document.visibilityState = 'visible';
  server.token = 't1';
  let token = 0;
  const { of, client } = world.client(
    { pattern, channel, token: () => (token = server.token), hidden: random() < 0.5 ? 'pause' : 'continue' },
    { window, document },
  );
  client.on('error', () => {});
  const published = [];
  const names = Object.keys(FAULTS);
  for (let step = 0; step < 60; step += 1) {
    if (random() < 0.6) {
      const name = channel[Math.floor(random() * channel.length)];
      server.publish(name, step);
      published.push([name, step]);
    }
    if (random() < 0.3) FAULTS[names[Math.floor(random() * names.length)]]({ server, clock, window, document });
    await clock.advance(random() ** 4 * 20_000);
  }
  server.intercept = () => undefined;
  await clock.until(() => of('message').length >= published.length, 300_000, 1000).catch(() => {});
  const said = `${pattern}, seed ${seed}`;
  assert.ok(token, said);
  for (const name of channel) {
    const sent = published.filter(([where]) => where === name).map(([, content]) => content);
    const got = of('message').filter((message) => message.channel === name).map(({ content }) => content);
    assert.deepEqual(got, sent, said);
  }
  assert.equal(of('reset').length + of('missed').length, 0, said);
  assert.equal(client.state === 'failed', false, said);
  client.stop();
}
