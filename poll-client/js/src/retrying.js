// Trying until it succeeds: the loop for everything that is not the connection itself.

import { backoff } from './backoff.js';
import { PollError } from './failure.js';
import { sleep } from './within.js';

/** Runs the work until it succeeds. `failed(error, failures)` is told of each failure, and ends it by throwing. */
export async function retrying({ place, settings }, signal, work, failed) {
  for (let failures = 1; ; failures += 1) {
    try {
      return await work();
    } catch (reason) {
      if (signal.aborted) throw signal.reason;
      const error = PollError.from(reason);
      failed(error, failures);
      await sleep(place, backoff(failures, settings.retryDelay, place.random, error.retryAfter), signal);
    }
  }
}
