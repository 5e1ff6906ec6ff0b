// How long to wait after a failure: full jitter, doubling, capped.
//
// Full jitter (uniform from zero) spreads clients that failed together over the whole window, so a server that comes
// back is not met by all of them at once. `Retry-After` (RFC 9110 section 10.2.3) is a lower bound.

/** The longest wait in milliseconds that is the client's own choice. */
export const CAP = 30_000;

// A timer of browsers and Node holds 31 bits; longer waits would fire at once.
const LONGEST = 86_400_000;

/** Milliseconds to wait after the `failures`th failure in a row (1 is the first). */
export function backoff(failures, base, random, atLeast) {
  if (atLeast >= 0) return Math.min(LONGEST, atLeast + random() * base);
  return random() * Math.min(CAP, base * 2 ** Math.min(failures - 1, 30));
}

/** Milliseconds that a `Retry-After` field asks for, undefined if there is none that can be read. */
export function retryAfter(field, now) {
  if (!field) return undefined;
  const ms = /^\d+$/.test(field) ? field * 1000 : Date.parse(field) - now;
  return ms >= 0 ? ms : undefined;
}
