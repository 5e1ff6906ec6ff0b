// Several channels by one request to the real server, a job, and a history that has a hole.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import { Proxy } from './proxy.js';
import { RealServer, until } from './server.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

const PATTERNS = ['auto', 'stream', 'sse', 'longpoll', 'shortpoll'];
const CHANNELS = ['a', 'b', 'c/ü &'];
let server;
let proxy;

before(async () => {
  server = await RealServer.start('--retain-messages', '20');
  proxy = await Proxy.start(() => server.port);
});

after(async () => {
  proxy.close();
  await server.close();
});

function reader(channel, pattern, more) {
  const client = new PollClient(proxy.address, { channel, pattern, interval: 50, timeout: 1000, retryDelay: 40, EventSource, ...more });
  const said = [];
  const got = {};
  client.on('error', () => {});
  for (const event of ['missed', 'reset', 'connected', 'ended']) client.on(event, (what) => said.push([event, what]));
  client.on('message', ({ channel, content }) => (got[channel] ??= []).push(content));
  return { client, said, got };
}

for (const pattern of PATTERNS) {
  test(`${pattern}: several channels by one request, over cuts and a restart`, async () => {
    const names = CHANNELS.map((name) => `${pattern}/${name}`);
    const publisher = new PollClient(server.address, { retryDelay: 40 });
    const sent = Object.fromEntries(names.map((name) => [name, []]));
    const publish = async () => {
      for (const name of names) {
        sent[name].push(sent[name].length);
        await publisher.publish(sent[name].at(-1), { channel: name });
      }
    };
    const { client, got, said } = reader(names, pattern);
    const isAll = () => names.every((name) => got[name]?.length === sent[name].length);
    const what = () => `${JSON.stringify(got)} of ${JSON.stringify(sent)}; ${JSON.stringify(said)}`;
    await publish();
    client.start();
    await until(isAll, what);
    for (const at of [0, 60, 300, 420, 600]) {
      proxy.fault = { kind: 'cut', at, path: pattern };
      proxy.cut();
      await publish();
      await until(isAll, what);
    }
    await server.down();
    await server.up();
    await publish();
    await until(isAll, what);
    assert.deepEqual(got, sent);
    assert.ok(said.every(([event]) => event === 'connected'), what());
    client.stop();
  });

  test(`${pattern}: what retention has removed is said, channel by channel`, async () => {
    const names = [`${pattern}/x`, `${pattern}/y`];
    const publisher = new PollClient(server.address);
    for (const channel of names) await publisher.publish(0, { channel });
    const { client, got, said } = reader(names, pattern);
    client.start();
    await until(() => names.every((name) => got[name]?.length === 1), 'the first');
    client.stop();
    for (let number = 1; number <= 25; number += 1) await publisher.publish(number, { channel: names[0] });
    client.start();
    await until(() => got[names[0]].length === 21, () => JSON.stringify([got, said]));
    assert.deepEqual(said.filter(([event]) => event !== 'connected'), [['missed', { channel: names[0], missed: 5 }]]);
    assert.deepEqual(got[names[1]], [0]);
    client.stop();
  });

  test(`${pattern}: a job from its first step to its end`, async () => {
    const client = new PollClient(proxy.address, { pattern, interval: 50, timeout: 1000, retryDelay: 40, EventSource });
    const job = client.job(`${pattern} 1/2`);
    await job.report({ step: 1, total: 2 });
    const steps = [];
    const following = (async () => {
      for await (const { percentage, status } of job) steps.push([percentage, status]);
    })();
    await until(() => steps.length, 'the first step');
    await job.report({ step: 2, total: 2, status: 'done' });
    await following;
    assert.deepEqual(steps, [[50, undefined], [100, 'done']]);
  });
}

test('from now on: what was there is not given, what follows the connection is', async () => {
  const publisher = new PollClient(server.address, { channel: 'now' });
  await publisher.publish('old');
  for (const pattern of PATTERNS) {
    const { client, got, said } = reader('now', pattern, { from: 'now' });
    client.start();
    await until(() => said.length, 'connected');
    await publisher.publish(pattern);
    await until(() => got.now, pattern);
    assert.deepEqual(got.now, [pattern]);
    client.stop();
  }
});
