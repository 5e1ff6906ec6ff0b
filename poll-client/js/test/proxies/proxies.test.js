// Behind proxies as their packages come and with the files that we ship: how much later things come, that `auto` notices
// one that buffers, that no poll is cut, and that a native EventSource outlives a restart. Prints the figures as a table.
//
// POLL_PROXIES names the proxies; POLL_PROXIES_WAITS says whether the longest waits are part of it: `none`, `default` for
// those up to the default of `--max-poll-seconds`, or `golongpoll`, whose wait may be 120 s.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import { PollClient } from '../../src/index.js';
import { RealServer, until } from '../real/server.js';
import { PROXIES, Proxy, versionOf } from './proxies.js';
import { ask, compare, median } from './timing.js';

const names = process.env.POLL_PROXIES?.split(',') ?? Object.keys(PROXIES);
const waits = process.env.POLL_PROXIES_WAITS ?? 'default';

// Milliseconds behind direct access.
const LATE = 20;
// A bare HAProxy holds each piece of a response for 200 ms.
const LATE_BARE_HAPROXY = 300;
// Another process may have the core; what a proxy adds itself it adds each time.
const TRIES = 4;
// The client gives a stream 2 s; the rest is for a machine that is busy.
const NOTICED = 2250;

const started = [];
// What ends clients: one that goes on would keep this process alive when a test has failed.
const open = [];
const rows = new Map(names.map((name) => [name, {}]));
let servers;
let waiting;

const start = async (name, kind, server) => {
  const proxy = await Proxy.start(name, kind, `127.0.0.1:${server.port}`);
  started.push(proxy);
  return proxy;
};
const startAll = (kinds, server) =>
  Promise.all(names.flatMap((name) => kinds.filter((kind) => PROXIES[name][kind]).map((kind) => start(name, kind, server))));

before(async () => {
  // Each its own, so that the waits are not counted among what is timed, and one may be started anew.
  const starting = ['timed', 'waiting', 'restarted'].map(async (use) => [use, await RealServer.start('--heartbeat-seconds', '1')]);
  servers = Object.fromEntries(await Promise.all(starting));
  waiting = waits === 'none' ? [] : await beginWaits();
});

after(async () => {
  for (const close of open) close();
  await Promise.all(started.map((proxy) => proxy.close()));
  await Promise.all(Object.values(servers).map((server) => server.close()));
  print();
});

/** The longest polls that there are by default, through each; they wait while the rest runs. */
async function beginWaits() {
  const paths = [
    ['/api/longpoll?channel=quiet&timeout=50', 48],
    ['/api/poll/quiet?last_message_id=00000000-0000-0000-0000-000000000000&timeout=50', 48],
  ];
  const proxies = await startAll(['bare', 'shipped'], servers.waiting);
  return proxies.flatMap((proxy) => {
    const long = waits === 'golongpoll' && proxy.kind === 'shipped' ? [['/events?category=quiet&timeout=120', 119]] : [];
    return [...paths, ...long].map(([path, least]) => ({
      what: `${proxy.name} (${proxy.kind}) ${path}`,
      least,
      proxy,
      ended: ask(proxy.address + path).catch(({ message }) => ({ status: 0, body: message, took: 0 })),
    }));
  });
}

test('the first byte and each message come at most 20 ms later than without the proxy', async () => {
  for (const { name, kind, address } of await startAll(['bare', 'shipped'], servers.timed)) {
    const limit = name === 'HAProxy' && kind === 'bare' ? LATE_BARE_HAPROXY : LATE;
    let best = {};
    for (let time = 0; time < TRIES; time += 1) {
      const figures = await compare(servers.timed.address, address);
      best = Object.fromEntries(Object.entries(figures).map(([what, ms]) => [what, Math.min(ms, best[what] ?? Infinity)]));
      if (Object.values(best).every((ms) => ms <= limit)) break;
    }
    rows.get(name)[kind] = best;
    assert.ok(Object.values(best).every((ms) => ms <= limit), `${name} (${kind}): ${JSON.stringify(best)}`);
  }
});

test('`auto` notices within 2 s that a proxy buffers, and reads on by long poll', async () => {
  const proxies = await startAll(['buffering'], servers.timed);
  const channel = 'buffered';
  const seen = proxies.flatMap((proxy) => [1, 2, 3].map(() => ({ proxy, calls: {}, got: [] })));
  for (const reader of seen) {
    const fetchNoting = (address, init) => {
      reader.calls[new URL(address).pathname] ??= performance.now();
      return fetch(address, init);
    };
    reader.client = new PollClient(reader.proxy.address, { channel, fetch: fetchNoting });
    reader.client.on('message', ({ content }) => reader.got.push(content));
    reader.client.on('fallback', (fallback) => (reader.fallback = fallback));
    reader.client.on('error', () => {});
    reader.client.start();
    open.push(() => reader.client.stop());
  }
  const state = () => seen.map(({ proxy, calls, got }) => `${proxy.name}: ${Object.keys(calls)}; got ${got}`).join('; ');
  await until(() => seen.every(({ calls }) => calls['/api/longpoll']), state);
  await ask(`${servers.timed.address}/api/message?channel=${channel}&content=after`, { method: 'POST' });
  await until(() => seen.every(({ got }) => got.length > 0), state);
  for (const proxy of proxies) {
    const readers = seen.filter((reader) => reader.proxy === proxy);
    const took = median(readers.map(({ calls }) => calls['/api/longpoll'] - calls['/api/stream']));
    rows.get(proxy.name).fallback = took;
    assert.ok(took <= NOTICED, `${proxy.name}: noticed after ${took} ms`);
    for (const { got, fallback } of readers) {
      assert.deepEqual(got, ['after']);
      assert.deepEqual(fallback, { from: 'stream', to: 'longpoll', reason: 'buffered' });
    }
  }
});

test('a native EventSource outlives restarts of the server behind each of our files', async () => {
  const server = servers.restarted;
  const proxies = await startAll(['bare', 'shipped'], server);
  const sources = proxies.map((proxy) => {
    const source = new EventSource(`${proxy.address}/api/stream?channel=c`);
    const reader = { proxy, source, got: [], errors: 0 };
    source.addEventListener('message', ({ data }) => reader.got.push(JSON.parse(data).message));
    source.addEventListener('error', () => (reader.errors += 1));
    open.push(() => source.close());
    return reader;
  });
  const ours = sources.filter(({ proxy }) => proxy.kind === 'shipped');
  const isOver = ({ source }) => source.readyState === EventSource.CLOSED;
  const publish = (content) => ask(`${server.address}/api/message?channel=c&content=${content}`, { method: 'POST' });
  const have = async (all) => {
    const isComplete = () => ours.every(({ got }) => got.length >= all.length);
    const state = () => ours.map(({ proxy, got, source }) => `${proxy.name}: ${got}, state ${source.readyState}, ${proxy.said}`).join('; ');
    await until(() => isComplete() || ours.some(isOver), state, 30_000);
    for (const { proxy, got } of ours) assert.deepEqual(got, all, `${proxy.name}; ${state()}`);
  };
  await until(() => sources.every(({ source }) => source.readyState === EventSource.OPEN), 'all are open');
  await publish('before');
  await have(['before']);
  await until(() => sources.every(({ got }) => got.length), 'the bare ones too');
  for (const [signal, content] of [['SIGTERM', 'drained'], ['SIGKILL', 'killed']]) {
    await server.down(signal);
    const errors = sources.map((reader) => reader.errors);
    // Each has asked twice while there was no server at all.
    await until(() => sources.every((reader, at) => reader.errors >= errors[at] + 2 || isOver(reader)), 'all ask again', 60_000);
    await server.up();
    await publish(content);
    await have(['before', 'drained', 'killed'].slice(0, content === 'drained' ? 2 : 3));
  }
  for (const { proxy, source } of sources) {
    rows.get(proxy.name)[`${proxy.kind} EventSource`] = source.readyState === EventSource.CLOSED ? 'gives up' : 'goes on';
  }
});

test('no poll up to the default cap is cut', { skip: waits === 'none' }, async () => {
  for (const { what, least, proxy, ended } of waiting) {
    const { status, body, took } = await ended;
    assert.equal(status, 200, `${what}: ${body}`);
    assert.ok(took >= least * 1000, `${what}: answered after ${took} ms: ${body}`);
    JSON.parse(body);
    rows.get(proxy.name)[`${proxy.kind} wait`] = Math.max(took, rows.get(proxy.name)[`${proxy.kind} wait`] ?? 0);
  }
});

function print() {
  const ms = (number) => (number === undefined ? '' : `${(Math.round(number * 10) / 10 + 0).toFixed(1)} ms`);
  const seconds = (number) => (number === undefined ? '' : `${(number / 1000).toFixed(1)} s`);
  const table = [['proxy', 'configuration', 'first byte', 'stream', 'SSE', 'long poll', 'longest wait', 'EventSource over restarts', 'fallback']];
  table.push(table[0].map(() => '---'));
  for (const [name, row] of rows) {
    for (const kind of ['bare', 'shipped']) {
      const figures = row[kind] ?? {};
      const late = ['first byte', 'stream', 'SSE', 'long poll'].map((what) => ms(figures[what]));
      const title = kind === 'bare' ? `${name} ${versionOf(name)}` : '';
      const fallback = kind === 'bare' ? seconds(row.fallback) : '';
      table.push([title, kind === 'bare' ? 'as it comes' : 'ours', ...late, seconds(row[`${kind} wait`]), row[`${kind} EventSource`] ?? '', fallback]);
    }
  }
  console.log(`\n${table.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`);
}
