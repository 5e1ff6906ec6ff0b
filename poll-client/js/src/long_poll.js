// Long poll: ask, and the server holds the request until there is something.

import { backoff } from './backoff.js';
import { stuckError } from './short_poll.js';

// Beyond the server's wait, for the way.
const GRACE = 5000;

export async function longPoll(connection, signal) {
  const { position, settings, place, ladder } = connection;
  let stuck = 0;
  for (;;) {
    if (ladder.isTimeToClimb) return 'climb';
    const { count } = position;
    const began = place.now();
    let answer;
    try {
      answer = await connection.poll('api/longpoll', [['timeout', settings.timeout / 1000]], settings.timeout + GRACE, signal);
    } catch (error) {
      // Short polls get through and a waiting request does not.
      if (error.kind === 'network' || error.status > 501) error.kind = 'cut';
      throw error;
    }
    await connection.answered(answer);
    if (answer.closed) return 'ended';
    // Neither news nor a wait: a cache on the way, or a server that is ill. Asking on would be a busy loop.
    if (position.count === count && place.now() - began < Math.min(1000, settings.timeout / 4)) {
      stuck += 1;
      if (stuck === 3) throw stuckError();
      await connection.sleep(backoff(stuck, settings.retryDelay, place.random), signal);
    } else {
      stuck = 0;
      connection.well();
    }
  }
}
