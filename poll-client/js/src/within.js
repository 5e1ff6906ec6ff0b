// Work with an end: an outer signal, and optionally a deadline.
//
// Whatever the work leaves open (a response that was not read) is released when it is over.

/** Runs `work(signal, abort)`; rejects with the signal's reason as soon as it is aborted, whatever the work does. */
export async function within(place, outer, work, ms, late) {
  const own = new AbortController();
  const abort = (reason) => own.abort(reason);
  const stop = () => abort(outer.reason);
  if (outer.aborted) stop();
  outer.addEventListener('abort', stop);
  const timer = ms && place.setTimeout(() => abort(late()), ms);
  try {
    return await Promise.race([work(own.signal, abort), whenAborted(own.signal)]);
  } catch (error) {
    throw own.signal.aborted ? own.signal.reason : error;
  } finally {
    place.clearTimeout(timer);
    outer.removeEventListener('abort', stop);
    abort();
  }
}

/** Rejects once the signal is aborted. */
function whenAborted(signal) {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** Waits; rejects with the signal's reason when that comes first. */
export function sleep(place, ms, signal) {
  return new Promise((done, reject) => {
    const stop = () => {
      place.clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = place.setTimeout(() => {
      signal.removeEventListener('abort', stop);
      done();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}
