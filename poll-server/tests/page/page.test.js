// The live page in a real Chromium, served by a real server: it moves by itself, its controls do what they say, what is
// cut resumes, what it counts is what is on the wire, and it holds on every screen.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { RealServer, allLive, close, lanesOf, open, press, resize, startBrowser, until } from './browser.js';
import { Counter, pushMeasured } from './measure.js';

const WIDTHS = [320, 375, 768, 1280, 1920];
let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([startBrowser(), RealServer.start()]);
});

after(async () => {
  await browser?.close();
  await server?.close();
});

const click = (tab, id) => tab.run((id) => document.getElementById(id).click(), id);
const textOf = (tab, id) => tab.run((id) => document.getElementById(id).textContent, id);

async function openLive(url, options) {
  const tab = await open(browser, url, options);
  await until(() => allLive(tab), () => 'every lane live');
  return tab;
}

/** Types into a field and leaves it, as a visitor does. */
const fill = (tab, id, value) =>
  tab.run(
    (id, value) => {
      const field = document.getElementById(id);
      field.value = value;
      field.dispatchEvent(new Event('change', { bubbles: true }));
    },
    id,
    value,
  );

async function publish(channel, count = 1, { address } = server) {
  for (let number = 1; number <= count; number += 1) {
    const url = `${address}/api/message?channel=${channel}`;
    const { status } = await fetch(url, { method: 'POST', body: `message ${number}`, headers: { 'content-type': 'text/plain' } });
    assert.equal(status, 201);
  }
}

async function countOf(channel) {
  return (await (await fetch(`${server.address}/api/poll?channel=${channel}`)).json()).count;
}

/** Waits until every lane has had so many messages. */
async function reach(tab, messages) {
  let lanes;
  const isReached = async () => (lanes = await lanesOf(tab)).every((lane) => lane.messages >= messages);
  await until(isReached, () => `${messages} messages in each of ${JSON.stringify(lanes)}`);
  for (const lane of lanes) assert.equal(lane.messages, messages, JSON.stringify(lane));
}

const waiting = async ({ address }) => {
  const text = await (await fetch(`${address}/metrics`)).text();
  const of = (pattern) => Number(new RegExp(`poll_waiters\\{pattern="${pattern}"\\} (\\d+)`).exec(text)[1]);
  return { long: of('long'), stream: of('stream') };
};

describe('the live page', { concurrency: 3 }, () => {
  test('moves by itself, on a channel of its own', async () => {
    const tab = await openLive(`${server.address}/`);
    await until(async () => (await lanesOf(tab)).every(({ messages, dots }) => messages > 1 && dots > 1), 'two messages in each lane');
    assert.equal(await countOf('default'), 0);
    await until(async () => Number.parseFloat(await tab.run(() => document.querySelector('#latency .value').textContent)) > 0, 'a median');
    await click(tab, 'play');
    assert.equal(await textOf(tab, 'demo-said'), 'The demonstration is paused.');
    await close(tab);
  });

  test('publishes, and shows the message in every lane', async () => {
    const tab = await openLive(`${server.address}/?channel=one&channel=two`);
    await click(tab, 'play');
    await tab.run(() => {
      document.getElementById('content').value = 'hello';
      document.getElementById('publish').requestSubmit();
    });
    await until(async () => (await textOf(tab, 'said')).startsWith('Published #1 to one in '), () => 'publishing');
    const row = () => tab.run(() => [...document.querySelectorAll('#arrivals tbody tr')].map(({ cells }) => [...cells].map(({ textContent }) => textContent)).find(([name]) => name.includes('one#1')));
    await until(async () => (await row()).slice(1).every((text) => /\d m?s$/.test(text)), () => 'an arrival by each pattern');
    await publish('two');
    await until(async () => (await tab.run(() => document.getElementById('arrivals').textContent)).includes('two#1'), 'a message of the other channel');
    await tab.run(() => {
      document.getElementById('json').checked = true;
      document.getElementById('content').value = '{';
      document.getElementById('publish').requestSubmit();
    });
    assert.equal(await textOf(tab, 'said'), 'That is not JSON.');
    await fill(tab, 'channel', 'three, four');
    await until(() => tab.run(() => location.search === '?channel=three&channel=four'), 'the address');
    assert.match(await textOf(tab, 'terminal'), /stream\?channel=three&channel=four'/);
    await close(tab);
  });

  test('copies lines and its own address', async () => {
    const tab = await openLive(`${server.address}/?channel=copied`);
    // Browsers let a page write to the clipboard in answer to a key only.
    for (const selector of ['#share', '#terminal button']) {
      await tab.run((selector) => document.querySelector(selector).focus(), selector);
      await press(tab, 'Enter');
      await until(() => tab.run((selector) => document.querySelector(selector).textContent.startsWith('Copied'), selector), `the copy by ${selector}`);
    }
    await close(tab);
  });

  test('lanes that are cut resume, and nothing is lost or doubled', async () => {
    // No other page is to publish its demonstration here.
    const server = await RealServer.start();
    // Who wants less motion gets no demonstration, so that every message is one of these.
    const tab = await openLive(`${server.address}/?channel=cut`, { 'reduced-motion': 'reduce' });
    let messages = 0;
    for (let round = 1; round <= 3; round += 1) {
      await click(tab, 'cut');
      await until(async () => (await lanesOf(tab)).every(({ state }) => state === 'cut'), 'the cut');
      await publish('cut', 5, server);
      assert.deepEqual(new Set((await lanesOf(tab)).map((lane) => lane.messages)), new Set([messages]));
      await click(tab, 'cut');
      messages += 5;
      await reach(tab, messages);
      await until(async () => (await textOf(tab, 'said')).startsWith('Restored, '), 'the summary');
      // A short cut may fall between two short polls, and then nothing is late for them.
      assert.match(await textOf(tab, 'said'), /^Restored, nothing lost or doubled\. .* long poll 5, stream 5, SSE 5\.$/);
      await until(() => allLive(tab), 'every lane live');
    }
    await close(tab);
    await server.close();
  });

  test('counts what is on the wire, and short polling is not the cheapest', async () => {
    const counter = await Counter.start(server.port);
    const tab = await openLive(`${counter.address}/?channel=counted`);
    await click(tab, 'play');
    const costs = () => tab.run(() => [...document.querySelectorAll('#cost tbody tr')].map((row) => Number.parseInt(row.querySelector('.bar-cell').title, 10)));
    await publish('counted', 10);
    await until(async () => (await lanesOf(tab)).every(({ messages }) => messages >= 10), 'the messages');
    // What was counted and what went over the wire, from here on.
    const settle = async () => {
      let last;
      await until(async () => {
        const before = last;
        last = (await costs()).reduce((sum, bytes) => sum + (bytes || 0), 0);
        await tab.run(() => new Promise((done) => setTimeout(done, 300)));
        return last === before;
      }, 'a quiet moment');
      return { counted: last, wire: counter.bytes };
    };
    const first = await settle();
    await publish('counted', 40);
    await until(async () => (await lanesOf(tab)).every(({ messages }) => messages >= 50), 'the messages');
    const last = await settle();
    const [counted, wire] = [last.counted - first.counted, last.wire - first.wire];
    assert.ok(Math.abs(counted / wire - 1) < 0.1, `${counted} counted, ${wire} on the wire`);
    const shown = await tab.run(() => [...document.querySelectorAll('#cost tbody tr')].map((row) => row.querySelector('.bar-cell .bar').style.inlineSize));
    const [short, long, stream] = shown.map(Number.parseFloat);
    assert.ok(Math.max(short, long) > stream, shown);
    await close(tab);
    counter.close();
  });

  test('windows share one connection a lane, and are cut together', async () => {
    const server = await RealServer.start();
    const first = await openLive(`${server.address}/?channel=shared`);
    const isOneEach = async () => isDeepStrictEqual(await waiting(server), { long: 1, stream: 2 });
    await until(isOneEach, 'a connection for each lane');
    const second = await openLive(`${server.address}/?channel=shared`, { beside: first });
    await until(async () => (await lanesOf(second)).every(({ messages }) => messages > 1), 'messages in the other window');
    // Between two long polls there is none for a moment.
    await until(isOneEach, 'no connection more');
    assert.ok((await lanesOf(second))[0].requests > 0, 'the other window draws the requests, too');
    await click(second, 'cut');
    await until(async () => (await waiting(server)).stream === 0, 'the cut');
    assert.equal(await textOf(first, 'cut'), 'Restore the connection');
    await click(second, 'cut');
    await until(async () => (await allLive(first)) && (await allLive(second)), 'the connection');
    await close(first);
    await until(() => allLive(second), 'the other window goes on');
    await close(second);
    await server.close();
  });

  test('says so when other windows hold every connection that the browser opens', async () => {
    const first = await openLive(`${server.address}/?channel=crowd-1`);
    const second = await openLive(`${server.address}/?channel=crowd-2`, { beside: first });
    const third = await open(browser, `${server.address}/?channel=crowd-3`, { beside: first });
    await until(async () => (await textOf(third, 'said')).startsWith('A browser opens six connections'), 'the reason');
    await close(first);
    await until(() => allLive(third), 'connections for the third');
    await close(second);
    await close(third);
  });

  test('two panes and a window of a chat', async () => {
    const tab = await openLive(`${server.address}/`);
    await tab.run(() => document.getElementById('chat').scrollIntoView());
    const window = await open(browser, `${server.address}/?view=chat`, { beside: tab });
    await tab.run(() => {
      const [pane] = document.querySelectorAll('.chat');
      pane.elements.body.value = 'Hello World';
      pane.requestSubmit();
    });
    const talks = (tab) => tab.run(() => [...document.querySelectorAll('.talk')].map((talk) => talk.textContent));
    const isThere = async (tab, count) => {
      const texts = await talks(tab);
      return texts.length === count && texts.every((text) => text === 'Ada Hello World');
    };
    await until(() => isThere(tab, 2), 'the line in both panes');
    await until(() => isThere(window, 1), 'the line in the window');
    const seeds = await (await fetch(`${server.address}/messages`)).json();
    assert.deepEqual(seeds.map(({ body }) => body), ['Ada: Hello World']);
    await close(tab);
    await close(window);
  });

  test('a job with its bar', async () => {
    const tab = await openLive(`${server.address}/`);
    await click(tab, 'job-run');
    await until(() => tab.run(() => document.getElementById('job-bar').value === 100), 'the job');
    await until(async () => (await textOf(tab, 'job-said')) === 'Done: the channel ended with the job.', 'its end');
    assert.match(await textOf(tab, 'job-command'), /^curl -N http/);
    await close(tab);
  });

  test('where publishing is refused, the demonstration is drawn and says so', async () => {
    const guarded = await RealServer.start('--publish-token', 'a-token-of-some-length');
    const tab = await openLive(`${guarded.address}/`);
    await until(() => tab.run(() => document.querySelectorAll('[data-lane=long] .strip .message.hollow').length > 1), 'hollow dots');
    assert.match(await textOf(tab, 'demo-said'), /does not let this page publish/);
    assert.equal((await lanesOf(tab))[0].messages, 0);
    await close(tab, /status of 401/);
    await guarded.close();
  });

  for (const scheme of ['light', 'dark']) {
    test(`holds on screens of every width, ${scheme}`, async () => {
      const tab = await openLive(`${server.address}/?channel=${'a-rather-long-name-of-a-channel'.repeat(3)}`, { 'color-scheme': scheme });
      await click(tab, 'burst');
      await until(async () => (await textOf(tab, 'said')).startsWith('Published'), 'publishing');
      for (const width of WIDTHS) {
        await resize(tab, width);
        const [page, over] = await tab.run(() => {
          const isClipped = (element) => element?.closest('.scroll, .timeline, .visually-hidden, .skip, .track') !== null;
          const over = [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !isClipped(element));
          return [document.documentElement.scrollWidth, over.map(({ outerHTML }) => outerHTML.slice(0, 80))];
        });
        assert.ok(page <= width, `${page} wide on ${width}`);
        assert.deepEqual(over, [], `at ${width}`);
      }
      await close(tab);
    });
  }

  test('everything is reached and worked by keyboard, and has a name', async () => {
    const tab = await openLive(`${server.address}/?channel=keys`);
    const wanted = await tab.run(() => {
      const all = [...document.querySelectorAll('a[href], button, input, [tabindex="0"]')].filter((one) => one.checkVisibility());
      all.forEach((one, at) => (one.dataset.at = at));
      return all.length;
    });
    const reached = new Set();
    for (let turn = 0; turn < wanted + 5; turn += 1) {
      await press(tab, 'Tab');
      reached.add(await tab.run(() => document.activeElement.dataset.at));
    }
    reached.delete(undefined);
    reached.delete(null);
    assert.equal(reached.size, wanted);
    await tab.run(() => document.getElementById('play').focus());
    await press(tab, ' ', 'Space');
    assert.equal((await textOf(tab, 'play')).trim(), 'Play');
    await tab.run(() => document.getElementById('content').focus());
    await press(tab, 'Enter');
    await until(async () => (await textOf(tab, 'said')).startsWith('Published'), 'publishing by Enter');
    const { nodes } = await tab.send('Accessibility.getFullAXTree');
    const nameless = nodes.filter(({ ignored, role, name }) => !ignored && ['button', 'link', 'textbox', 'checkbox', 'progressbar', 'image'].includes(role?.value) && !name?.value);
    assert.deepEqual(nameless, []);
    await close(tab);
  });

  test('who wants less motion gets none until it is asked for', async () => {
    const tab = await openLive(`${server.address}/?channel=still`, { 'reduced-motion': 'reduce' });
    assert.equal((await textOf(tab, 'play')).trim(), 'Play');
    await publish('still');
    await until(async () => (await lanesOf(tab)).every(({ messages }) => messages > 0), 'the message');
    assert.equal(await tab.run(() => document.getAnimations().length), 0);
    await close(tab);
  });

  test('what is said of push is what a client of it measures', async () => {
    const said = await (await fetch(`${server.address}/push.js`)).text();
    const stated = Number(/bytesPerMessage: (\d+)/.exec(said)[1]);
    const measured = await pushMeasured(server);
    assert.ok(Math.abs(measured / stated - 1) < 0.1, `${measured} measured, ${stated} stated`);
  });
});
