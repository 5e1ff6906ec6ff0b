// Short poll: ask at an interval. Also how every pattern catches up and how the polling ones begin.
//
// An unchanged answer is an empty 304, since each request carries the last entity tag (RFC 9110 section 13.1.2).

import { PollError } from './failure.js';

const DEADLINE = 10_000;

export const stuckError = () => new PollError('stuck', 'always the same answer');

/** Asks until there is nothing more at the moment; gives 'ended' if the channel is closed. */
export async function catchUp(connection, signal) {
  const { position } = connection;
  for (;;) {
    const asked = position.cursor;
    const answer = await connection.poll('api/poll', [], DEADLINE, signal);
    await connection.answered(answer);
    if (answer.closed) return 'ended';
    if (answer.isAll) return undefined;
    if (position.cursor === asked) throw stuckError();
  }
}

export async function shortPoll(connection, signal) {
  const { position, settings, place, ladder } = connection;
  let tag;
  for (;;) {
    if (ladder.isTimeToClimb) return 'climb';
    const { count } = position;
    const answer = await connection.poll('api/poll', [], DEADLINE, signal, tag);
    if (answer) {
      tag = answer.tag;
      await connection.answered(answer);
      if (answer.closed) return 'ended';
    }
    connection.well();
    // There is more, unless the server gives the same for ever.
    const hasMore = answer && !answer.isAll && position.count > count;
    // Some jitter, so that pages loaded together do not ask together.
    if (!hasMore) await connection.sleep(settings.interval * (0.9 + place.random() / 5), signal);
  }
}
