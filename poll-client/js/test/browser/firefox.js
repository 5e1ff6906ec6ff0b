// A headless Firefox, driven by WebDriver BiDi.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const FIREFOX = process.env.FIREFOX || '/usr/bin/firefox-esr';

export class Firefox {
  static program = FIREFOX;
  static isInstalled = existsSync(FIREFOX);
  static canFreeze = false;
  #process;
  #folder;
  #socket;
  #last = 0;
  #waiting = new Map();

  static async start() {
    const browser = new Firefox();
    browser.#folder = await mkdtemp(join(tmpdir(), 'poll-firefox-'));
    const flags = ['--headless', '--no-remote', '--remote-debugging-port', '0', '--profile', browser.#folder, 'about:blank'];
    browser.#process = spawn(FIREFOX, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
    for await (const line of createInterface({ input: browser.#process.stderr })) {
      const [, address] = line.match(/BiDi listening on (\S+)/) ?? [];
      if (!address) continue;
      browser.#process.stderr.resume();
      browser.#socket = new WebSocket(`${address}/session`);
      break;
    }
    await once(browser.#socket, 'open');
    browser.#socket.on('message', (data) => browser.#hear(JSON.parse(data)));
    browser.#socket.on('close', () => browser.#waiting.forEach(({ reject }) => reject(new Error('Firefox has ended'))));
    await browser.send('session.new', { capabilities: {} });
    return browser;
  }

  #hear({ id, type, result, error, message }) {
    const { resolve, reject } = this.#waiting.get(id) ?? {};
    this.#waiting.delete(id);
    if (type === 'error') reject?.(new Error(`${error}: ${message}`));
    else resolve?.(result);
  }

  send(method, params = {}) {
    this.#last += 1;
    const id = this.#last;
    this.#socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** A new window at an address; a tab behind another one would be hidden. */
  async tab(url) {
    const { context } = await this.send('browsingContext.create', { type: 'window' });
    await this.send('browsingContext.navigate', { context, url, wait: 'complete' });
    const run = async (work, ...given) => {
      const expression = `(async () => JSON.stringify(await (${work})(...${JSON.stringify(given)})))()`;
      const { result, exceptionDetails } = await this.send('script.evaluate', { expression, target: { context }, awaitPromise: true });
      if (exceptionDetails) throw new Error(exceptionDetails.text);
      return result.type === 'string' ? JSON.parse(result.value) : undefined;
    };
    return {
      run,
      close: () => this.send('browsingContext.close', { context }),
      reload: () => this.send('browsingContext.reload', { context, wait: 'complete' }),
      offline: (isOffline) =>
        this.send('emulation.setNetworkConditions', { networkConditions: isOffline ? { type: 'offline' } : null, contexts: [context] }),
    };
  }

  async close() {
    const ended = once(this.#process, 'exit');
    this.send('browser.close').catch(() => {});
    await ended;
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
