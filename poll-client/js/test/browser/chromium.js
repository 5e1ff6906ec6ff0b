// A headless Chromium, driven through the DevTools protocol over a pipe.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../real/server.js';

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';

export class Chromium {
  static program = CHROMIUM;
  static isInstalled = existsSync(CHROMIUM);
  /** Pages can be made to stand still, as a machine that sleeps does it to them. */
  static canFreeze = true;
  #process;
  #folder;
  #last = 0;
  #waiting = new Map();
  #rest = '';
  /** Called with each event of the protocol. */
  onEvent;

  static async start() {
    const browser = new Chromium();
    browser.#folder = await mkdtemp(join(tmpdir(), 'poll-chromium-'));
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions', '--disable-background-networking', '--mute-audio'];
    browser.#process = spawn(CHROMIUM, [...flags, '--remote-debugging-pipe', `--user-data-dir=${browser.#folder}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    browser.#process.stdio[4].setEncoding('utf8').on('data', (text) => browser.#hear(text));
    browser.#process.on('exit', () => browser.#waiting.forEach(({ reject }) => reject(new Error('Chromium has ended'))));
    return browser;
  }

  #hear(text) {
    const parts = (this.#rest + text).split('\0');
    this.#rest = parts.pop();
    for (const part of parts) {
      const { id, result, error, ...event } = JSON.parse(part);
      if (event.method) this.onEvent?.(event);
      const { resolve, reject } = this.#waiting.get(id) ?? {};
      this.#waiting.delete(id);
      if (error) reject?.(new Error(error.message));
      else resolve?.(result);
    }
  }

  send(method, params = {}, sessionId) {
    this.#last += 1;
    const id = this.#last;
    this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** A new tab at an address. `more`: what else the protocol knows about it. */
  async tab(url, more) {
    const { targetId } = await this.send('Target.createTarget', { url, newWindow: true, ...more });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const send = (method, params) => this.send(method, params, sessionId);
    const run = async (work, ...given) => {
      const expression = `(${work})(...${JSON.stringify(given)})`;
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    };
    const { windowId } = await this.send('Browser.getWindowForTarget', { targetId });
    const { pathname } = new URL(url);
    await until(() => run((path) => location.pathname === path && document.readyState === 'complete', pathname).catch(() => false), url);
    return {
      /** A command of the DevTools protocol; the other browsers have none. */
      send,
      run,
      sessionId,
      close: () => this.send('Target.closeTarget', { targetId }),
      reload: async () => {
        await run(() => (window.isOld = true));
        await send('Page.reload');
        await until(() => run(() => !window.isOld && document.readyState === 'complete').catch(() => false), 'the reload');
      },
      offline: async (isOffline) => {
        await send('Network.enable');
        await send('Network.emulateNetworkConditions', { offline: isOffline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
      },
      /** A page that is to stand still is hidden first, and seen again afterwards: so its window is minimized meanwhile. */
      freeze: async (isFrozen) => {
        const resize = (windowState) => this.send('Browser.setWindowBounds', { windowId, bounds: { windowState } });
        if (isFrozen) await resize('minimized');
        await send('Page.setWebLifecycleState', { state: isFrozen ? 'frozen' : 'active' });
        if (!isFrozen) await resize('normal');
      },
    };
  }

  async close() {
    const ended = once(this.#process, 'exit');
    this.send('Browser.close').catch(() => {});
    await ended;
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
