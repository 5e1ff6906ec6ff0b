// Other people's clients, over three restarts of the server: killed, stopped in good order, and behind a proxy that
// answers 502 meanwhile. Each message comes once and in order; a client that gives up is started again where it was.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BAD_GATEWAY } from '../real/faults.js';
import { Proxy } from '../real/proxy.js';
import { RealServer, until } from '../real/server.js';
import { OTHERS } from './others.js';

let server;
let readers;
let last = 0;

class Reader {
  got = [];
  /** Messages of nothing. */
  empty = 0;
  /** How often it gave up. */
  ends = 0;
  #position;

  constructor(name, proxy) {
    Object.assign(this, { name, proxy });
    this.#open();
  }

  #open() {
    this.close = OTHERS[this.name].open(`${this.proxy.address}/api/stream?channel=c&format=sse&last_id=0`, this.#position, {
      message: (data, id) => {
        if (!data) this.empty += 1;
        else this.got.push(JSON.parse(data).message);
        this.#position = id;
      },
      over: () => {
        this.ends += 1;
        this.close();
        this.#open();
      },
    });
  }
}

before(async () => {
  server = await RealServer.start('--heartbeat-seconds', '1');
  readers = await Promise.all(Object.keys(OTHERS).map(async (name) => new Reader(name, await Proxy.start(() => server.port))));
});

after(async () => {
  for (const { close, proxy } of readers) {
    close();
    proxy.close();
  }
  await server.close();
});

async function publish(count) {
  for (; count > 0; count -= 1) {
    last += 1;
    const headers = { 'content-type': 'application/json' };
    const { status } = await fetch(`${server.address}/api/message?channel=c`, { method: 'POST', headers, body: `${last}` });
    assert.equal(status, 201);
  }
}

/** All have everything, once and in order, and gave up that often. */
async function haveAll(what, endsOf) {
  const all = Array.from({ length: last }, (_, at) => at + 1);
  for (const reader of readers) {
    const { name, got } = reader;
    await until(() => got.length >= last, () => `${what}: ${name} has ${got}`);
    assert.deepEqual(got, all, `${what}: ${name}`);
    assert.equal(reader.ends, endsOf(OTHERS[name]), `${what}: how often ${name} gave up`);
    assert.equal(reader.empty, 0, `${what}: empty messages of ${name}`);
    reader.ends = 0;
  }
}

test('heartbeats are no messages', async () => {
  await publish(5);
  await haveAll('at first', () => 0);
  const quiet = await fetch(`${server.address}/api/stream?channel=c&format=sse`);
  const reader = quiet.body.getReader();
  for (let heartbeats = 0; heartbeats < 2; ) {
    const { value } = await reader.read();
    heartbeats += Buffer.from(value).toString().split('\n').filter((line) => line.startsWith(':')).length;
  }
  await reader.cancel();
  await publish(1);
  await haveAll('after two heartbeats', () => 0);
});

test('the server is killed', async () => {
  await server.down();
  await server.up();
  await publish(5);
  await haveAll('killed', () => 0);
});

test('the server is stopped in good order', async () => {
  await server.down('SIGTERM');
  await server.up();
  await publish(5);
  await haveAll('stopped', ({ stopsAtEnd }) => (stopsAtEnd ? 1 : 0));
});

test('the server is killed, and the proxy in front of it answers 502 meanwhile', async () => {
  const faults = readers.map(({ proxy }) => (proxy.fault = { kind: 'answer', text: BAD_GATEWAY }));
  await server.down();
  for (const [index, { name }] of readers.entries()) await until(() => faults[index].hits, () => `${name} meets the 502`);
  await server.up();
  await publish(5);
  await haveAll('502', ({ stopsAt502 }) => (stopsAt502 ? 1 : 0));
});
