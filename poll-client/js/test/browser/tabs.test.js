// The client in a real browser, as the server gives it at /poll.js: tabs, frozen and hidden pages, offline, reloads.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Proxy } from '../real/proxy.js';
import { RealServer, until } from '../real/server.js';
import { Browser } from './browsers.js';

const isShort = process.env.POLL_JS_TESTS === 'short';
const options = { skip: Browser.isInstalled ? false : `there is no ${Browser.program}` };
let browser;
let server;
let proxy;

before(async () => {
  if (!Browser.isInstalled) return;
  [browser, server] = await Promise.all([Browser.start(), RealServer.start('--heartbeat-seconds', '5')]);
  proxy = await Proxy.start(() => server.port);
});

after(async () => {
  proxy?.close();
  await browser?.close();
  await server?.close();
});

/** A tab whose client follows a channel and keeps what it gets in `window.got`. */
async function open(channel, more = {}) {
  const tab = await browser.tab(`${proxy.address}/healthz`);
  await follow(tab, channel, more);
  return { ...tab, got: () => tab.run(() => window.got), state: () => tab.run(() => client.state) };
}

function follow(tab, channel, more) {
  return tab.run(
    async (channel, more) => {
      const { PollClient } = await import('/poll.js');
      window.got = [];
      window.said = [];
      window.client = new PollClient('/', { channel, pattern: 'stream', retryDelay: 100, ...more });
      for (const event of ['connected', 'disconnected', 'error', 'fallback', 'missed', 'reset']) {
        client.on(event, (what) => said.push(`${event} ${JSON.stringify(what)}`));
      }
      client.on('message', ({ content }) => got.push(content));
      client.start();
    },
    channel,
    more,
  );
}

function publisher(channel) {
  let last = 0;
  return {
    async publish() {
      last += 1;
      const body = JSON.stringify(last);
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${server.address}/api/message?channel=${channel}`, { method: 'POST', body, headers });
      assert.equal(response.status, 201);
    },
    async reach(tabs) {
      const all = Array.from({ length: last }, (_, at) => at + 1);
      for (const tab of tabs) {
        let got = [];
        await until(async () => (got = await tab.got()).length >= last, () => `${got} of ${last}`, 40_000);
        assert.deepEqual(got, all);
      }
    },
  };
}

const isLeading = async (tab) => !['joining', 'following'].includes(await tab.state());

async function leaderOf(tabs) {
  let leader;
  await until(async () => {
    for (const tab of tabs) if (await isLeading(tab)) leader = tab;
    return leader;
  }, 'a leader');
  return leader;
}

test('eight tabs hold one connection, and each gets everything', options, async () => {
  const { publish, reach } = publisher('eight');
  await publish();
  const tabs = await Promise.all(Array.from({ length: 8 }, () => open('eight')));
  await leaderOf(tabs);
  for (let count = 0; count < 5; count += 1) await publish();
  await reach(tabs);
  assert.equal(proxy.waiting('/api/stream?channel=eight'), 1);
  assert.equal(proxy.requests.filter((line) => line.includes('/api/stream?channel=eight')).length, 1);
  for (const tab of tabs) assert.equal(await tab.run(() => said.filter((what) => what.startsWith('connected')).length), 1);
  await Promise.all(tabs.map((tab) => tab.close()));
});

const CLOSINGS = isShort ? 5 : 20;

test(`the leader is closed ${CLOSINGS} times: nothing is lost or doubled`, options, async () => {
  const { publish, reach } = publisher('closings');
  await publish();
  const tabs = [await open('closings'), await open('closings'), await open('closings')];
  await reach(tabs);
  for (let round = 0; round < CLOSINGS; round += 1) {
    const leader = await leaderOf(tabs);
    await publish();
    tabs.splice(tabs.indexOf(leader), 1);
    await Promise.all([leader.close(), publish()]);
    tabs.push(await open('closings'));
    await publish();
    await reach(tabs);
  }
  assert.ok(proxy.waiting('/api/stream?channel=closings') <= 1);
  await Promise.all(tabs.map((tab) => tab.close()));
});

for (const pattern of ['auto', 'sse', 'longpoll', 'shortpoll']) {
  test(`${pattern}: cuts, a killed server and a page that is offline`, options, async () => {
    const channel = `faults-${pattern}`;
    const { publish, reach } = publisher(channel);
    await publish();
    const tab = await open(channel, { pattern, interval: 200, timeout: 2000 });
    await reach([tab]);
    for (const at of [0, 100, 350]) {
      proxy.fault = { kind: 'cut', at, path: channel };
      proxy.cut();
      await publish();
      await reach([tab]);
    }
    await publish();
    await server.down();
    await server.up();
    await publish();
    await reach([tab]);
    // What was delivered may have come by the poll that a connection begins with.
    await until(async () => (await tab.state()) === 'open', 'the connection');
    await tab.offline(true);
    await until(async () => (await tab.state()) === 'waiting', 'offline is seen');
    await publish();
    await tab.offline(false);
    await publish();
    await reach([tab]);
    assert.deepEqual(await tab.run(() => said.filter((what) => /^(missed|reset)/.test(what))), []);
    await tab.close();
  });
}

test('a hidden page pauses if it is told to; all tabs hidden, the connection is closed; one seen, it is back', options, async () => {
  const { publish, reach } = publisher('hidden');
  const tabs = [await open('hidden', { hidden: 'pause' }), await open('hidden', { hidden: 'pause' })];
  await leaderOf(tabs);
  const show = (tab, state) =>
    tab.run((state) => {
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  await until(() => proxy.waiting('/api/stream?channel=hidden') === 1, 'one connection');
  await show(tabs[0], 'hidden');
  await publish();
  await reach(tabs);
  await show(tabs[1], 'hidden');
  await until(() => proxy.waiting('/api/stream?channel=hidden') === 0, 'no connection');
  await publish();
  await show(tabs[0], 'visible');
  await reach(tabs);
  await Promise.all(tabs.map((tab) => tab.close()));
});

test('the position is kept over a reload', options, async () => {
  const { publish } = publisher('reload');
  await publish();
  const tab = await open('reload', { keep: 'session' });
  await until(async () => (await tab.got()).length === 1, 'the first');
  await tab.reload();
  await publish();
  await follow(tab, 'reload', { keep: 'session' });
  await until(async () => (await tab.got()).length, 'the second');
  assert.deepEqual(await tab.got(), [2]);
  await tab.close();
});

test('in a worker, too', options, async () => {
  const { publish } = publisher('worker');
  await publish();
  const tab = await browser.tab(`${proxy.address}/healthz`);
  const first = await tab.run(
    () =>
      new Promise((done) => {
        const code = `import { PollClient } from '${location.origin}/poll.js';
          new PollClient('${location.origin}', { channel: 'worker' }).start().on('message', ({ content }) => postMessage(content));`;
        const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), { type: 'module' });
        worker.onmessage = ({ data }) => done(data);
      }),
  );
  assert.equal(first, 1);
  await tab.close();
});

test('a leader whose page is frozen: a visible tab takes over, and the frozen one loses nothing', { skip: options.skip || isShort || !Browser.canFreeze }, async () => {
  const { publish, reach } = publisher('frozen');
  const tabs = [await open('frozen'), await open('frozen')];
  const leader = await leaderOf(tabs);
  const other = tabs.find((tab) => tab !== leader);
  await publish();
  await reach(tabs);
  await leader.freeze(true);
  await publish();
  await reach([other]);
  await leader.freeze(false);
  await publish();
  await reach(tabs);
  await Promise.all(tabs.map((tab) => tab.close()));
});
