// Tabs of one browser share a connection, whatever happens to any of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Browser } from '../fake/browser.js';
import { World } from '../fake/world.js';

class Tabs {
  tabs = [];

  constructor(seed, options = {}) {
    this.world = new World(seed);
    this.browser = new Browser(this.world.clock);
    this.options = options;
  }

  open(more) {
    const surroundings = this.browser.page();
    const tab = { ...this.world.client({ pattern: 'stream', ...this.options, ...more }, surroundings), ...surroundings };
    tab.client.on('error', () => {});
    this.tabs.push(tab);
    return tab;
  }

  close(tab) {
    this.browser.close(tab.page);
    // What a closed page had open ends with it; its client hears nothing of that.
    tab.isClosed = true;
    tab.client.stop();
    this.tabs.splice(this.tabs.indexOf(tab), 1);
  }

  get leader() {
    return this.tabs.find(({ client }) => ['connecting', 'open', 'waiting', 'paused'].includes(client.state));
  }

  async settled() {
    await this.world.clock.until(() => this.leader?.client.state === 'open' && this.tabs.every(({ client }) => client.state !== 'joining'));
    await this.world.clock.advance(100);
  }
}

test('eight tabs hold one connection, and each gets everything', async () => {
  const tabs = new Tabs(1);
  tabs.world.server.publish('a', 1);
  for (let count = 0; count < 8; count += 1) tabs.open();
  await tabs.settled();
  for (let number = 2; number <= 20; number += 1) {
    tabs.world.server.publish('a', number);
    await tabs.world.clock.advance(10);
  }
  assert.equal(tabs.world.server.most, 1);
  for (const { contents, of } of tabs.tabs) {
    assert.deepEqual(contents, Array.from({ length: 20 }, (_, index) => index + 1));
    assert.equal(of('connected').length, 1);
  }
  const streams = tabs.world.server.requests.filter(({ path }) => path === '/api/stream');
  assert.equal(streams.length, 1);
  tabs.tabs.forEach(({ client }) => client.stop());
});

test('the leader closes twenty times, and nothing is lost or doubled', async () => {
  const tabs = new Tabs(2);
  const watcher = tabs.open();
  await tabs.settled();
  let number = 0;
  for (let round = 0; round < 20; round += 1) {
    tabs.open();
    await tabs.settled();
    // The watcher would lead now and then; it is another that has to die.
    const victim = tabs.leader;
    tabs.world.server.publish('a', (number += 1));
    if (victim !== watcher) tabs.close(victim);
    else victim.client.stop();
    tabs.world.server.publish('a', (number += 1));
    if (victim === watcher) victim.client.start();
    await tabs.settled();
    tabs.world.server.publish('a', (number += 1));
    await tabs.world.clock.advance(50);
  }
  assert.deepEqual(watcher.contents, Array.from({ length: number }, (_, index) => index + 1));
  assert.equal(tabs.world.server.open.size, 1);
  tabs.tabs.forEach(({ client }) => client.stop());
});

test('a leader whose page is frozen loses the connection to a tab that is visible', async () => {
  const tabs = new Tabs(3);
  const first = tabs.open();
  await tabs.settled();
  const second = tabs.open();
  await tabs.settled();
  tabs.browser.freeze(first.page);
  // A frozen page's requests make no progress either.
  for (const response of tabs.world.server.open) response.look = () => {};
  tabs.world.server.publish('a', 'while frozen');
  await tabs.world.clock.advance(40_000);
  assert.deepEqual(second.contents, ['while frozen']);
  assert.equal(second.client.state, 'open');
  tabs.browser.thaw(first.page);
  tabs.world.server.publish('a', 'after');
  await tabs.world.clock.advance(20_000);
  assert.equal(first.client.state, 'following');
  assert.deepEqual([first.contents, second.contents], [['while frozen', 'after'], ['while frozen', 'after']]);
  tabs.tabs.forEach(({ client }) => client.stop());
});

test('a tab that led, followed and leads again is connected again', async () => {
  const tabs = new Tabs(8, { pattern: 'longpoll' });
  const first = tabs.open();
  await tabs.settled();
  const second = tabs.open();
  await tabs.settled();
  tabs.browser.freeze(first.page);
  await tabs.world.clock.until(() => second.client.state === 'open', 60_000);
  tabs.world.server.publish('a', 1);
  await tabs.world.clock.advance(1000);
  // What the new leader said meanwhile is lost on this page, so it has to catch up.
  first.page.pending.length = 0;
  tabs.browser.thaw(first.page);
  await tabs.world.clock.until(() => first.client.state === 'following' && first.contents.length === 1, 60_000);
  tabs.close(second);
  await tabs.world.clock.until(() => first.client.state === 'open', 60_000);
  assert.equal(first.of('connected').length, 2);
  first.client.stop();
});

test('the connection pauses when all tabs are hidden, and only then', async () => {
  const tabs = new Tabs(4, { hidden: 'pause' });
  const show = (tab, state) => {
    tab.document.visibilityState = state;
    tab.document.dispatchEvent(new Event('visibilitychange'));
  };
  const [first, second] = [tabs.open(), tabs.open()];
  await tabs.settled();
  show(tabs.leader, 'hidden');
  await tabs.world.clock.advance(1000);
  assert.equal(tabs.world.server.open.size, 1);
  tabs.world.server.publish('a', 1);
  await tabs.world.clock.advance(1000);
  show(tabs.leader === first ? second : first, 'hidden');
  await tabs.world.clock.advance(1000);
  assert.equal(tabs.world.server.open.size, 0);
  tabs.world.server.publish('a', 2);
  await tabs.world.clock.advance(30_000);
  assert.deepEqual([first.contents, second.contents], [[1], [1]]);
  show(tabs.leader === first ? second : first, 'visible');
  await tabs.world.clock.advance(1000);
  assert.deepEqual([first.contents, second.contents], [[1, 2], [1, 2]]);
  tabs.tabs.forEach(({ client }) => client.stop());
});

test('tabs with other channels, patterns or users do not share', async () => {
  const tabs = new Tabs(5);
  const jwt = (sub, exp) => `h.${btoa(JSON.stringify({ sub, exp }))}.s`;
  const all = [
    tabs.open(),
    tabs.open({ channel: 'b' }),
    tabs.open({ pattern: 'longpoll' }),
    tabs.open({ token: jwt('u', 4e9) }),
    tabs.open({ token: jwt('v', 4e9) }),
    tabs.open({ headers: { 'x-client-id': 'one' } }),
    tabs.open({ share: false }),
  ];
  await tabs.world.clock.until(() => all.every(({ client }) => client.state === 'open'), 10_000);
  // The same user with a renewed token, and another order of channels, are the same.
  const same = tabs.open({ token: () => jwt('u', 5e9) });
  await tabs.world.clock.until(() => same.client.state === 'following', 10_000);
  tabs.tabs.forEach(({ client }) => client.stop());
});

test('without locks each tab has a connection of its own', async () => {
  const tabs = new Tabs(6);
  for (let count = 0; count < 3; count += 1) tabs.tabs.push(tabs.world.client({ pattern: 'stream' }, { ...tabs.browser.page(), locks: undefined }));
  await tabs.world.clock.until(() => tabs.world.server.open.size === 3, 10_000);
  tabs.tabs.forEach(({ client }) => client.stop());
});

test('the end of the channel and what was missed reach every tab', async () => {
  const tabs = new Tabs(7);
  const all = [tabs.open(), tabs.open(), tabs.open()];
  await tabs.settled();
  tabs.world.server.retained = 2;
  tabs.world.server.publish('a', 0);
  await tabs.world.clock.advance(100);
  tabs.world.server.isDown = true;
  tabs.world.server.cut();
  for (let number = 1; number <= 5; number += 1) tabs.world.server.publish('a', number);
  tabs.world.server.isDown = false;
  await tabs.world.clock.advance(10_000);
  tabs.world.server.publish('a', 6);
  tabs.world.server.close('a');
  await tabs.world.clock.advance(10_000);
  for (const { contents, of, client } of all) {
    assert.deepEqual(contents, [0, 4, 5, 6]);
    assert.deepEqual(of('missed').map(({ missed }) => missed), [3]);
    assert.equal(of('ended').length, 1);
    assert.equal(client.state, 'ended');
  }
});

// The model: every tab has got, in order, each message that was published since it opened (and all that was there).
for (const pattern of ['auto', 'stream', 'longpoll', 'shortpoll']) {
  for (const channel of [['a'], ['a', 'b']]) {
    test(`${pattern}, ${channel.length} channels: tabs open, close, freeze and stop; nothing is lost or doubled in any`, async () => {
      for (let seed = 1; seed <= 40; seed += 1) await model(seed, pattern, channel);
    });
  }
}

async function model(seed, pattern, channel) {
  const tabs = new Tabs(seed, { pattern, channel });
  const { server, clock, random } = tabs.world;
  const pick = (list) => list[Math.floor(random() * list.length)];
  const published = [];
  const steps = [
    () => tabs.tabs.length < 5 && tabs.open(),
    () => tabs.tabs.length > 1 && tabs.close(pick(tabs.tabs)),
    () => tabs.leader && tabs.tabs.length > 1 && tabs.close(tabs.leader),
    () => server.cut(),
    () => {
      server.isDown = true;
      server.cut();
      clock.setTimeout(() => (server.isDown = false), 4000);
    },
    () => {
      const tab = pick(tabs.tabs);
      tabs.browser.freeze(tab.page);
      clock.setTimeout(() => tabs.browser.thaw(tab.page), random() * 60_000);
    },
    () => {
      const { client } = pick(tabs.tabs);
      client.stop();
      clock.setTimeout(() => client.start(), random() * 3000);
    },
  ];
  tabs.open();
  for (let step = 0; step < 50; step += 1) {
    for (let count = Math.floor(random() * 3); count > 0; count -= 1) {
      const name = pick(channel);
      server.publish(name, published.length);
      published.push(name);
    }
    if (random() < 0.5) pick(steps)();
    await clock.advance(random() ** 4 * 10_000);
  }
  const isDone = ({ contents }) => contents.length >= published.length;
  await clock.until(() => tabs.tabs.every(isDone), 300_000, 1000).catch(() => {});
  for (const tab of tabs.tabs) {
    for (const name of channel) {
      const got = tab.of('message').filter((message) => message.channel === name).map(({ content }) => content);
      const sent = published.flatMap((where, content) => (where === name ? [content] : []));
      assert.deepEqual(got, sent, `seed ${seed}, ${pattern}`);
    }
  }
  assert.ok(server.open.size <= 1, `seed ${seed}: ${server.open.size} connections`);
  tabs.tabs.forEach(({ client }) => client.stop());
}
