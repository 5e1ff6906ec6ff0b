// Against the real server, through a proxy that breaks things: on each pattern, whatever breaks, nothing is lost,
// doubled or out of order; and what is published through broken connections is published once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { QUICK, TOLD, breakEverything } from './breaking.js';
import { FAULTS } from './faults.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

const isShort = process.env.POLL_JS_TESTS === 'short';
const faults = FAULTS.filter((_, index) => !isShort || index % 3 === 0);

assert.ok(FAULTS.length >= 60, `${FAULTS.length} faults`);

test(`${faults.length} faults on each pattern: nothing lost, doubled or out of order`, { concurrency: true }, async (all) => {
  const patterns = ['auto', 'stream', 'sse', 'longpoll', 'shortpoll'];
  await Promise.all(patterns.map((pattern) => all.test(pattern, () => breakEverything(pattern, faults, open))));
});

/** A client in this process, with a page that is played. */
async function open(address, pattern) {
  const document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  const window = new EventTarget();
  const frozen = [];
  let isFrozen = false;
  let offset = 0;
  let token = 0;
  const client = new PollClient(
    address,
    { ...QUICK, pattern, token: () => `t${(token += 1)}`, EventSource },
    {
      document,
      window,
      locks: undefined,
      now: () => Date.now() + offset,
      // Nothing runs in a page that stands still, timers included.
      setTimeout: (run, ms) => setTimeout(() => (isFrozen ? frozen.push(run) : run()), ms),
    },
  );
  const got = [];
  const said = [];
  let current;
  client.on('message', ({ content }) => got.push(content));
  client.on('connected', (what) => (current = what.pattern));
  for (const event of TOLD) client.on(event, (what) => said.push(`${event} ${what.message ?? JSON.stringify(what)}`));
  const page = {
    jump: (ms) => (offset += ms),
    offline: (isOffline) => window.dispatchEvent(new Event(isOffline ? 'offline' : 'online')),
    show: (state) => {
      document.visibilityState = state;
      document.dispatchEvent(new Event('visibilitychange'));
    },
    freeze: (isNow) => {
      isFrozen = isNow;
      document.dispatchEvent(new Event(isNow ? 'freeze' : 'resume'));
      if (!isNow) for (const run of frozen.splice(0)) run();
    },
  };
  return {
    page,
    got: () => got,
    said: () => said,
    forget: () => (said.length = 0),
    state: () => client.state,
    current: () => current,
    start: () => client.start(),
    close: () => client.stop(),
  };
}
