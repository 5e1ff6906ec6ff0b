// What the client takes from the browser or runtime around it, in one object that tests replace.
//
// Everything optional is undefined where it does not exist: Node has no document, plain http has no locks.

export function surroundings(given) {
  const g = globalThis;
  return {
    fetch: (url, init) => g.fetch(url, init),
    now: () => Date.now(),
    random: () => Math.random(),
    setTimeout: (run, ms) => g.setTimeout(run, ms),
    clearTimeout: (timer) => g.clearTimeout(timer),
    EventSource: g.EventSource,
    BroadcastChannel: g.BroadcastChannel,
    locks: g.navigator?.locks,
    document: g.document,
    location: g.location,
    window: g,
    isOffline: () => g.navigator?.onLine === false,
    storage: (kind) => g[`${kind}Storage`],
    ...given,
  };
}
