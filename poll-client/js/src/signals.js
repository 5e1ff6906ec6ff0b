// What a browser says about the page and the network: hidden, visible, offline, online, awake again.

import { sleep } from './within.js';

// A timer that is late by so many milliseconds means that the machine slept; those of a hidden page may be late anyway.
const TICK = 5000;
const SLEPT = 5000;

/** Calls `told(type, isHidden)` with the type of each event until the signal; what a sleep ends with is 'online', too. */
export async function watch(place, signal, told) {
  const { document, window } = place;
  const isHidden = () => document?.visibilityState === 'hidden';
  const tell = (type) => told(type, isHidden());
  const listen = (target, ...types) => {
    for (const type of types) target?.addEventListener?.(type, () => tell(type), { signal });
  };
  listen(document, 'visibilitychange', 'resume', 'freeze');
  listen(window, 'pageshow', 'online', 'offline');
  for (let late = 0; ; ) {
    tell(late > SLEPT && !isHidden() ? 'online' : 'tick');
    const due = place.now() + TICK;
    await sleep(place, TICK, signal);
    late = place.now() - due;
  }
}
