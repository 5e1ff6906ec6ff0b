// The faults of `real/faults.js` on a page of a real browser: nothing lost, doubled or out of order on any pattern.
//
// Each run has a server, a proxy and a page of its own, and several run at once. The page loads the client as the server
// gives it; what happens to the page (offline, standing still) happens to it for real where the browser can.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { QUICK, TOLD, breakEverything } from '../real/breaking.js';
import { FAULTS } from '../real/faults.js';
import { Browser } from './browsers.js';

const isShort = process.env.POLL_JS_TESTS === 'short';
// Pages at once for each pattern: two cores are busy with ten of them.
const PAGES = isShort ? 1 : 2;
const faults = FAULTS.filter((_, index) => !isShort || index % 4 === 1);
const options = { skip: Browser.isInstalled ? false : `there is no ${Browser.program}`, concurrency: true };
let browser;

before(async () => {
  if (Browser.isInstalled) browser = await Browser.start();
});

after(() => browser?.close());

assert.ok(FAULTS.length >= 60, `${FAULTS.length} faults`);

test(`${faults.length} faults on each pattern, on a page: nothing lost, doubled or out of order`, options, async (all) => {
  const runs = [];
  for (const pattern of ['auto', 'stream', 'sse', 'longpoll', 'shortpoll']) {
    for (let part = 0; part < PAGES; part += 1) {
      const own = faults.filter((_, index) => index % PAGES === part);
      runs.push(all.test(`${pattern}, ${own.length} faults`, () => breakEverything(pattern, own, open)));
    }
  }
  await Promise.all(runs);
});

/** A page whose client keeps what it is given. */
async function open(address, pattern) {
  const tab = await browser.tab(`${address}/healthz`);
  await tab.run(
    async (settings, told) => {
      const { PollClient } = await import('/poll.js');
      let token = 0;
      const client = new PollClient('/', { ...settings, token: () => `t${(token += 1)}` });
      Object.assign(window, { client, got: [], said: [], offset: 0 });
      const { now } = Date;
      Date.now = () => now.call(Date) + window.offset;
      client.on('connected', (what) => (window.current = what.pattern));
      client.on('message', ({ content }) => window.got.push(content));
      for (const event of told) client.on(event, (what) => window.said.push(`${event} ${what.message ?? JSON.stringify(what)}`));
    },
    { ...QUICK, pattern },
    TOLD,
  );
  const show = (state) =>
    tab.run((state) => {
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  // A page that cannot be made to stand still runs nothing while it is busy, which is the same to its client.
  const busy = () => tab.run(() => {
    const end = performance.now() + 200;
    while (performance.now() < end);
  });
  return {
    page: {
      show,
      jump: (ms) => tab.run((ms) => void (window.offset += ms), ms),
      offline: tab.offline,
      freeze: tab.freeze ?? ((isFrozen) => isFrozen && busy()),
    },
    got: () => tab.run(() => window.got),
    said: () => tab.run(() => window.said),
    forget: () => tab.run(() => void (window.said.length = 0)),
    state: () => tab.run(() => window.client.state),
    current: () => tab.run(() => window.current),
    start: () => tab.run(() => void window.client.start()),
    close: () => tab.close(),
  };
}
