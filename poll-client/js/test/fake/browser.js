// Pages of one browser: locks, channels between pages, visibility, and pages that freeze or close.

export class Browser {
  #held = new Map();
  #queues = new Map();
  #ports = new Set();

  constructor(clock) {
    this.clock = clock;
  }

  /** What a new page has: to be passed as a client's surroundings. */
  page() {
    const postponed = [];
    const page = { isFrozen: false, isClosed: false, pending: [], postponed, unsaid: [], ports: new Set(), requests: new Set() };
    const document = new EventTarget();
    document.visibilityState = 'visible';
    const window = new EventTarget();
    const browser = this;
    class Channel {
      constructor(name) {
        this.name = name;
        this.page = page;
        browser.#ports.add(this);
        page.ports.add(this);
      }

      postMessage(data) {
        if (page.isClosed) return;
        // Nothing runs in a frozen page; what it would say, it says when it goes on.
        if (page.isFrozen) {
          page.unsaid.push([this, structuredClone(data)]);
          return;
        }
        for (const port of browser.#ports) {
          if (port !== this && port.name === this.name) browser.#deliver(port, structuredClone(data));
        }
      }

      close() {
        browser.#ports.delete(this);
      }
    }
    const setTimeout = (run, ms, argument) =>
      this.clock.setTimeout(() => (page.isFrozen ? postponed.push(() => run(argument)) : run(argument)), ms);
    return {
      page,
      setTimeout,
      document,
      window,
      location: { href: 'https://poll.test/' },
      BroadcastChannel: Channel,
      locks: { request: (name, options, run) => this.#request(page, name, options, run) },
      isOffline: () => page.isOffline === true,
    };
  }

  #deliver(port, data) {
    const { page } = port;
    if (page.isFrozen) page.pending.push([port, data]);
    else queueMicrotask(() => !page.isClosed && this.#ports.has(port) && port.onmessage?.({ data }));
  }

  freeze(page) {
    page.isFrozen = true;
  }

  thaw(page) {
    page.isFrozen = false;
    for (const run of page.postponed.splice(0)) run();
    for (const [port, data] of page.unsaid.splice(0)) port.postMessage(data);
    for (const [port, data] of page.pending.splice(0)) this.#deliver(port, data);
  }

  /** The page is gone at once: nothing of it runs any more, its locks are free. */
  close(page) {
    page.isClosed = true;
    for (const port of page.ports) this.#ports.delete(port);
    for (const request of page.requests) request.drop();
  }

  #request(page, name, { signal, steal }, run) {
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(name) ?? [];
      this.#queues.set(name, queue);
      const next = () => {
        this.#held.delete(name);
        queue.shift()?.grant();
      };
      const request = {
        grant: () => {
          this.#held.set(name, request);
          request.isHeld = true;
          queueMicrotask(async () => {
            try {
              const result = await run({ name });
              if (!request.isLost) resolve(result);
            } catch (error) {
              if (!request.isLost) reject(error);
            } finally {
              page.requests.delete(request);
              if (this.#held.get(name) === request) next();
            }
          });
        },
        lose: () => {
          request.isLost = true;
          reject(new DOMException('another request stole the lock', 'AbortError'));
        },
        drop: () => {
          request.isLost = true;
          if (queue.includes(request)) queue.splice(queue.indexOf(request), 1);
          if (this.#held.get(name) === request) next();
        },
      };
      page.requests.add(request);
      signal?.addEventListener('abort', () => {
        if (request.isHeld || !queue.includes(request)) return;
        queue.splice(queue.indexOf(request), 1);
        reject(signal.reason);
      });
      if (steal) {
        this.#held.get(name)?.lose();
        request.grant();
      } else if (this.#held.has(name)) queue.push(request);
      else request.grant();
    });
  }
}
