// A proxy of TCP between client and server that breaks what it is told to break.
//
// A fault hits the next request (of the path that it names, if it names one) and is then used up.

import { readFileSync } from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';

function built() {
  const text = readFileSync(new URL('../../dist/poll.js', import.meta.url));
  const head = `HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: ${text.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), text]);
}

export class Proxy {
  #target;
  #server;
  #connections = new Set();
  /** What happens to the next request; see the kinds in `faults.js`. */
  fault;
  /** Nobody answers at all. */
  isRefusing = false;
  /** Requests seen, as their first lines. */
  requests = [];
  /** Connections at once, at most. */
  most = 0;

  static async start(target) {
    const proxy = new Proxy();
    proxy.#target = target;
    proxy.#server = net.createServer((client) => proxy.#accept(client)).listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get address() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  get count() {
    return this.#connections.size;
  }

  /** Connections whose last request is for this path and is not answered to its end. */
  waiting(path) {
    return [...this.#connections].filter(({ line }) => line?.includes(path)).length;
  }

  cut() {
    for (const { client } of this.#connections) client.destroy();
  }

  close() {
    this.cut();
    this.#server.close();
  }

  #accept(client) {
    if (this.isRefusing) return client.resetAndDestroy();
    const upstream = net.connect(this.#target(), '127.0.0.1');
    const connection = { client, upstream, sent: 0, held: [] };
    this.#connections.add(connection);
    this.most = Math.max(this.most, this.#connections.size);
    const end = () => {
      this.#connections.delete(connection);
      client.destroy();
      upstream.destroy();
    };
    client.on('error', end).on('close', end);
    upstream.on('error', end).on('close', () => {
      for (const piece of connection.held.splice(0)) client.write(piece);
      if (connection.fault?.kind !== 'stall') client.end();
    });
    client.on('data', (bytes) => this.#asked(connection, bytes));
    upstream.on('data', (bytes) => this.#answered(connection, bytes));
  }

  #asked(connection, bytes) {
    connection.line = bytes.toString('latin1').split('\r\n', 1)[0];
    this.requests.push(connection.line);
    connection.sent = 0;
    connection.fault = undefined;
    const { fault } = this;
    // Pages get the client as it is now, not as it was when the server was built.
    if (connection.line.startsWith('GET /poll.js ')) return connection.client.write(built());
    if (fault && connection.line.includes(fault.path ?? '')) {
      if (!fault.isLasting) this.fault = undefined;
      connection.fault = fault;
      fault.hits = (fault.hits ?? 0) + 1;
      if (fault.kind === 'unsent') return connection.client.destroy();
      if (fault.kind === 'answer') return connection.client.write(fault.text);
      if (fault.kind === 'half request') {
        connection.upstream.write(bytes.subarray(0, bytes.length / 2));
        return connection.client.destroy();
      }
    }
    connection.upstream.write(bytes);
  }

  #answered(connection, bytes) {
    const { client, fault, sent } = connection;
    connection.sent += bytes.length;
    switch (fault?.kind) {
      case 'cut': {
        if (connection.sent < fault.at) return client.write(bytes);
        const last = bytes.subarray(0, fault.at - sent);
        return fault.isReset ? client.write(last, () => client.resetAndDestroy()) : client.end(last);
      }
      case 'hold':
      case 'stall':
        return connection.held.push(bytes);
      case 'drip':
        for (const byte of bytes) client.write(Buffer.from([byte]));
        return undefined;
      default:
        return client.write(bytes);
    }
  }
}
