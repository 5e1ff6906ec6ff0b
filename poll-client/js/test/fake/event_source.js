// The browser's EventSource over the server in memory, as far as the client uses it: one connection, no retries.

/** The class for a `fetch`. */
export function eventSourceOver(fetch) {
  return class extends EventTarget {
    #stop = new AbortController();

    constructor(url) {
      super();
      this.#read(url).catch(() => {}).then(() => this.#stop.signal.aborted || this.onerror?.(new Event('error')));
    }

    async #read(url) {
      const { body, ok } = await fetch(url, { signal: this.#stop.signal });
      if (!ok) return;
      const decoder = new TextDecoder();
      // The server in memory writes a line at a time.
      for await (const bytes of body) {
        const data = decoder.decode(bytes).trim();
        const { type } = JSON.parse(data);
        if (type !== 'heartbeat') this.dispatchEvent(new MessageEvent(type === 'update' ? 'message' : type, { data }));
      }
    }

    close() {
      this.#stop.abort();
    }
  };
}
