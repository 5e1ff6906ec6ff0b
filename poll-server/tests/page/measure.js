// What goes over the wire between a client and the server, in bytes of TCP both ways.

import { spawn } from 'node:child_process';
import net from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { until } from './browser.js';

const SERVER = process.env.POLL_SERVER_BINARY ?? new URL('../../../target/debug/poll-server', import.meta.url).pathname;
const POLL = SERVER.replace(/poll-server$/, 'poll');
// As the page's demonstration says them.
const TEXTS = ['build 412 passed', 'order shipped', '21.4 °C in the hall', 'deploy 38 % done', 'two seats left', 'Ada is typing…'];

/** A proxy that counts. */
export class Counter {
  bytes = 0;
  #server;
  #sockets = new Set();

  static async start(port) {
    const counter = new Counter();
    counter.#server = net.createServer((client) => counter.#pass(client, net.connect(port, '127.0.0.1'))).listen(0, '127.0.0.1');
    await once(counter.#server, 'listening');
    return counter;
  }

  get address() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  #pass(client, upstream) {
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      this.#sockets.add(from.setNoDelay());
      from.on('data', (bytes) => {
        this.bytes += bytes.length;
        to.write(bytes);
      });
      from.on('error', () => {}).on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  close() {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#server.close();
  }
}

/** Bytes that a message takes by HTTP/2 push, as the command `poll` reads it. */
export async function pushMeasured(server, count = 60) {
  const channel = 'live-page-push';
  const counter = await Counter.start(server.port);
  const client = spawn(POLL, ['tail', channel, '--pattern', 'push', '--from', 'start', '--format', 'json', '--server', counter.address], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let read = 0;
  createInterface({ input: client.stdout }).on('line', () => (read += 1));
  const publish = async (text) => {
    await fetch(`${server.address}/api/message?channel=${channel}`, { method: 'POST', body: text, headers: { 'content-type': 'text/plain' } });
  };
  try {
    // The first tells that the connection is open, whose price is no message's.
    await publish(TEXTS[0]);
    await until(() => read === 1, 'the first message by push');
    const before = counter.bytes;
    for (let number = 0; number < count; number += 1) {
      await publish(TEXTS[number % TEXTS.length]);
      await until(() => read === number + 2, 'a message by push');
    }
    return (counter.bytes - before) / count;
  } finally {
    client.kill();
    counter.close();
  }
}
