// The live page in a headless Chromium: what the page's tests and the command for screenshots have in common.

import { Chromium } from '../../../poll-client/js/test/browser/chromium.js';
import { until } from '../../../poll-client/js/test/real/server.js';

export { RealServer, until } from '../../../poll-client/js/test/real/server.js';

/** What a tab complains about, by the tab's session. */
const complaints = new Map();

function complaintOf({ method, params }) {
  if (method === 'Runtime.exceptionThrown') return params.exceptionDetails.exception?.description ?? params.exceptionDetails.text;
  if (method === 'Runtime.consoleAPICalled') return params.args.map(({ value, description }) => value ?? description).join(' ');
  return method === 'Log.entryAdded' ? `${params.entry.text} ${params.entry.url ?? ''}` : undefined;
}

export async function startBrowser() {
  const browser = await Chromium.start();
  browser.onEvent = (event) => {
    const complaint = complaintOf(event);
    if (complaint) complaints.get(event.sessionId)?.push(complaint);
  };
  return browser;
}

/** Closes a tab, which must not have complained in its console but of what is expected. */
export async function close(tab, expected) {
  const said = complaints.get(tab.sessionId).filter((text) => !expected?.test(text));
  if (said.length) throw new Error(`the page complained: ${said.join('\n')}`);
  await tab.close();
}

/**
 * A window of a width and with media features: of the tabs of one window all but one are hidden, and rest. It has a
 * profile of its own, and connections of its own, unless it stands `beside` another.
 */
export async function open(browser, url, { width = 1280, height = 900, beside, ...features } = {}) {
  const { browserContextId } = beside ?? (await browser.send('Target.createBrowserContext'));
  const tab = { ...(await browser.tab('about:blank', { browserContextId })), browserContextId };
  complaints.set(tab.sessionId, []);
  for (const domain of ['Runtime', 'Log', 'Page']) await tab.send(`${domain}.enable`);
  await tab.send('Emulation.setScrollbarsHidden', { hidden: true });
  await tab.send('Emulation.setFocusEmulationEnabled', { enabled: true });
  await resize(tab, width, height);
  await tab.send('Emulation.setEmulatedMedia', {
    features: Object.entries(features).map(([name, value]) => ({ name: `prefers-${name}`, value })),
  });
  await tab.send('Page.navigate', { url });
  await until(() => tab.run((url) => location.href === url && document.readyState === 'complete', url), 'the page');
  return tab;
}

export function resize(tab, width, height = 900) {
  return tab.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
}

/** Presses a key as a keyboard does. */
export async function press(tab, key, code = key) {
  const text = { Enter: '\r', ' ': ' ' }[key];
  const windowsVirtualKeyCode = { Tab: 9, Enter: 13, ' ': 32 }[key];
  await tab.send('Input.dispatchKeyEvent', { type: text ? 'keyDown' : 'rawKeyDown', key, code, text, windowsVirtualKeyCode });
  await tab.send('Input.dispatchKeyEvent', { type: 'keyUp', key, code, windowsVirtualKeyCode });
}

/** What the page shows of each lane: state, messages, requests. */
export const lanesOf = (tab) =>
  tab.run(() =>
    [...document.querySelectorAll('.lane:not([data-lane=push])')].map((lane) => ({
      key: lane.dataset.lane,
      state: lane.querySelector('.pill').textContent,
      messages: Number(lane.querySelector('[data-figure=messages]').textContent),
      requests: Number(lane.querySelector('[data-figure=requests]').textContent),
      dots: lane.querySelectorAll('.strip .message').length,
    })),
  );

export const allLive = async (tab) => (await lanesOf(tab)).every(({ state }) => state === 'live');
