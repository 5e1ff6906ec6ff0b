// What a browser says about the page and the network: hidden, visible, offline, online, awake again.

import { sleep } from './within.js';

// A timer that is late by so many milliseconds, in a page that is visible, means that the machine slept.
const TICK = 5000;
const SLEPT = 5000;

/** Calls `told` with 'hidden', 'visible', 'offline', 'online', 'slept', 'freeze' or 'resume' until the signal. */
export async function watch(place, signal, told) {
  const { document, window } = place;
  const isHidden = () => document?.visibilityState === 'hidden';
  const listen = (target, type, word = () => type) => target?.addEventListener?.(type, () => told(word()), { signal });
  listen(document, 'visibilitychange', () => (isHidden() ? 'hidden' : 'visible'));
  listen(document, 'resume');
  listen(document, 'freeze');
  listen(window, 'pageshow');
  listen(window, 'online');
  listen(window, 'offline');
  if (isHidden()) told('hidden');
  for (;;) {
    const due = place.now() + TICK;
    await sleep(place, TICK, signal);
    told(place.now() - due > SLEPT && !isHidden() ? 'slept' : 'resume');
  }
}
