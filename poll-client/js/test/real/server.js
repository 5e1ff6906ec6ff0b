// The real server as a child process: started on a free port, killed and started again on the same one and its store.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const BINARY = process.env.POLL_SERVER_BINARY ?? new URL('../../../../target/debug/poll-server', import.meta.url).pathname;

export class RealServer {
  #child;
  #folder;
  port = 0;

  static async start(...flags) {
    const server = new RealServer();
    server.flags = flags;
    server.#folder = await mkdtemp(join(tmpdir(), 'poll-js-'));
    await server.up();
    return server;
  }

  get address() {
    return `http://127.0.0.1:${this.port}`;
  }

  async up() {
    const listen = ['--listen', `127.0.0.1:${this.port}`];
    if (!this.flags.includes('--store')) listen.push('--store', `disk:${this.#folder}/data`);
    this.#child = spawn(BINARY, [...listen, ...this.flags], { stdio: ['ignore', 'ignore', 'pipe'] });
    for await (const line of createInterface({ input: this.#child.stderr })) {
      const [, port] = line.match(/listening on http:\/\/127\.0\.0\.1:(\d+)/) ?? [];
      if (!port) continue;
      this.port = Number(port);
      this.#child.stderr.resume();
      return;
    }
    throw new Error(`${BINARY} did not start; build it by \`cargo build -p poll-server\``);
  }

  async down(signal = 'SIGKILL') {
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }

  async close() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.down();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A port of loopback that is free now. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits for a condition, at most so long. */
export async function until(condition, what, ms = 20_000) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what instanceof Function ? await what() : what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}
