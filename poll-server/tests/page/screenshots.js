// Pictures for the documents: the live page in light, in dark and on a phone, and two examples. Called by
// `cargo xtask screenshots`.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { RealServer, allLive, close, lanesOf, open, startBrowser, until } from './browser.js';

const FOLDER = new URL('../../../docs/img/', import.meta.url);
const EXAMPLES = new URL('../../../target/debug/examples/', import.meta.url);
const MOST_BYTES = 150_000;
// So that the timeline has something on it.
const MESSAGES = 8;

const LIVE_PAGE = [
  { name: 'live-page-light', screen: { width: 1080, height: 960, 'color-scheme': 'light' } },
  { name: 'live-page-dark', screen: { width: 1080, height: 960, 'color-scheme': 'dark' } },
  { name: 'live-page-phone', screen: { width: 390, height: 1000, 'color-scheme': 'light' } },
];

/** Each with what is done on its page, and what is seen then. */
const EXAMPLE_PAGES = [
  {
    name: 'llm_stream', screen: { width: 720, height: 540, 'color-scheme': 'light' },
    act: () => document.querySelector('.ideas button').click(),
    isReady: () => (document.querySelector('.answer')?.textContent.length ?? 0) > 300,
  },
  {
    name: 'dashboard', screen: { width: 960, height: 400, 'color-scheme': 'dark' },
    act: () => {},
    isReady: () => (document.querySelector('.tile path')?.getAttribute('d') ?? '').split('L').length > 12,
  },
];

async function shoot(tab, { name, screen: { width, height } }) {
  const clip = { x: 0, y: 0, width, height, scale: 1 };
  const { data } = await tab.send('Page.captureScreenshot', { format: 'png', clip, captureBeyondViewport: true });
  const file = new URL(`${name}.png`, FOLDER);
  await writeFile(file, Buffer.from(data, 'base64'));
  const { size } = await stat(file);
  console.log(`${name}.png: ${size} bytes`);
  if (size > MOST_BYTES) throw new Error(`${name}.png is larger than ${MOST_BYTES} bytes`);
}

async function shootLivePage(browser, picture) {
  // A server each, so that all of them begin at the first message.
  const server = await RealServer.start();
  const tab = await open(browser, `${server.address}/`, picture.screen);
  const isFull = async () => (await allLive(tab)) && (await lanesOf(tab)).every(({ messages }) => messages >= MESSAGES);
  await until(isFull, 'messages', 60_000);
  // Short polling is the slow one: while it has these still to fetch, the others are just being shown.
  await tab.run(() => document.getElementById('burst').click());
  await until(() => tab.run(() => document.querySelector('[data-lane=short] .track').dataset.waiting !== ''), 'a queue');
  await shoot(tab, picture);
  await close(tab);
  await server.close();
}

async function shootExample(browser, picture) {
  const program = spawn(new URL(picture.name, EXAMPLES).pathname, ['0'], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const [line] = await once(createInterface({ input: program.stdout }), 'line');
    const tab = await open(browser, `${line.replace('open ', '').replace(/\/?$/, '/')}`, picture.screen);
    await tab.run(picture.act);
    await until(() => tab.run(picture.isReady), `the page of ${picture.name}`, 60_000);
    await shoot(tab, picture);
    await close(tab);
  } finally {
    program.kill();
  }
}

await mkdir(FOLDER, { recursive: true });
const browser = await startBrowser();
for (const picture of LIVE_PAGE) await shootLivePage(browser, picture);
for (const picture of EXAMPLE_PAGES) await shootExample(browser, picture);
await browser.close();
