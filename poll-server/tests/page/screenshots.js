// Pictures of the live page for the documents: light, dark and on a phone. Called by `cargo xtask screenshots`.

import { mkdir, stat, writeFile } from 'node:fs/promises';
import { RealServer, allLive, close, lanesOf, open, startBrowser, until } from './browser.js';

const FOLDER = new URL('../../../docs/img/', import.meta.url);
const MOST_BYTES = 150_000;
// So that the timeline has something on it.
const MESSAGES = 8;

const PICTURES = [
  { name: 'live-page-light', width: 1080, height: 960, 'color-scheme': 'light' },
  { name: 'live-page-dark', width: 1080, height: 960, 'color-scheme': 'dark' },
  { name: 'live-page-phone', width: 390, height: 1000, 'color-scheme': 'light' },
];

async function shoot(tab, { name, width, height }) {
  const clip = { x: 0, y: 0, width, height, scale: 1 };
  const { data } = await tab.send('Page.captureScreenshot', { format: 'png', clip, captureBeyondViewport: true });
  const file = new URL(`${name}.png`, FOLDER);
  await writeFile(file, Buffer.from(data, 'base64'));
  const { size } = await stat(file);
  console.log(`${name}.png: ${size} bytes`);
  if (size > MOST_BYTES) throw new Error(`${name}.png is larger than ${MOST_BYTES} bytes`);
}

await mkdir(FOLDER, { recursive: true });
const browser = await startBrowser();
for (const picture of PICTURES) {
  // A server each, so that all of them begin at the first message.
  const server = await RealServer.start();
  const tab = await open(browser, `${server.address}/`, picture);
  await until(async () => (await allLive(tab)) && (await lanesOf(tab)).every(({ messages }) => messages >= MESSAGES), 'messages', 60_000);
  // Short polling is the slow one, so while it has a message to fetch, the others are just being shown.
  await tab.run(() => document.getElementById('burst').click());
  await until(() => tab.run(() => document.querySelector('[data-lane=short] .track').dataset.waiting !== ''), 'a queue');
  await shoot(tab, picture);
  await close(tab);
  await server.close();
}
await browser.close();
