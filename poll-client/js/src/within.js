// Work with an end: an outer signal, and the work's own.
//
// Whatever the work leaves open (a response that was not read, a timer) is released when it is over.

/** Runs `work(signal, abort)`; rejects with the signal's reason as soon as it is aborted, whatever the work does. */
export async function within(outer, work) {
  const own = new AbortController();
  const { signal } = own;
  const abort = (reason) => own.abort(reason);
  const stop = () => abort(outer.reason);
  if (outer.aborted) stop();
  outer.addEventListener('abort', stop);
  try {
    return await Promise.race([work(signal, abort), new Promise((_, reject) => onAbort(signal, reject))]);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    outer.removeEventListener('abort', stop);
    abort();
  }
}

/** Waits; rejects with the signal's reason when that comes first. */
export function sleep(place, ms, outer) {
  return within(outer, (signal) => new Promise((done) => {
    const timer = place.setTimeout(done, ms);
    onAbort(signal, () => place.clearTimeout(timer));
  }));
}

function onAbort(signal, run) {
  if (signal.aborted) run(signal.reason);
  else signal.addEventListener('abort', () => run(signal.reason), { once: true });
}
