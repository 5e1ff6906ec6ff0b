// What the client takes from the browser or runtime around it, in one object that tests replace.
//
// Everything optional is undefined where it does not exist: Node has no document, plain http has no locks.

const g = globalThis;

export function surroundings({ fetch = (url, init) => g.fetch(url, init), EventSource = g.EventSource }) {
  return {
    fetch,
    EventSource,
    now: () => Date.now(),
    random: () => Math.random(),
    setTimeout: (run, ms) => g.setTimeout(run, ms),
    clearTimeout: (timer) => g.clearTimeout(timer),
    BroadcastChannel: g.BroadcastChannel,
    locks: g.navigator?.locks,
    document: g.document,
    location: g.location,
    window: g,
    isOffline: () => g.navigator?.onLine === false,
    storage: (kind) => g[`${kind}Storage`],
  };
}
