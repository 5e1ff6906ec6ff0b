// Server-sent events by the browser's own EventSource (WHATWG HTML section 9.2).
//
// EventSource says neither status nor reason of a failure, and some it takes for final. So it is used for one
// connection at a time: coming back is ours, and begins with a poll, which learns the status and catches up.

import { PollError } from './failure.js';
import { parse } from './requests.js';
import { catchUp } from './short_poll.js';
import { begin, patience, take } from './stream.js';

const NAMES = ['message', 'connected', 'reset', 'closed'];

export async function sse(connection, signal) {
  const { place, requests } = connection;
  const { EventSource } = place;
  if (!EventSource) throw new PollError('unsupported', 'no EventSource here', { fatal: true });
  if (connection.attempts && (await catchUp(connection, signal))) return 'ended';
  const begun = await begin(connection, signal);
  if (begun.ended) return 'ended';
  const query = [...begun.query, ['format', 'sse'], ['access_token', await requests.credential.get()]];
  const source = new EventSource(requests.address('api/stream', query), {
    withCredentials: requests.credentials === 'include',
  });
  connection.expect(patience(connection), 'buffered');
  const heard = { at: place.now() };
  try {
    return await new Promise((resolve, reject) => {
      let queue = Promise.resolve();
      const hear = ({ data }) => {
        heard.at = place.now();
        queue = queue.then(() => take(connection, [parse(data)], signal)).then((outcome) => {
          // Heartbeats are comments, which EventSource keeps to itself: silence alone means nothing here.
          connection.expect(Infinity);
          if (outcome) resolve(outcome);
        });
        queue.catch(reject);
      };
      for (const name of NAMES) source.addEventListener(name, hear);
      source.onerror = () => queue.then(() => reject(new PollError('network', 'the event stream was cut')), reject);
      signal.addEventListener('abort', () => reject(signal.reason));
      watch(connection, heard, signal).catch(reject);
    });
  } finally {
    source.close();
  }
}

// After two heartbeats' time without an event a poll asks whether there is anything that has not come.
async function watch(connection, heard, signal) {
  const { place, position, settings } = connection;
  const patience = settings.heartbeat * 2;
  for (;;) {
    await connection.sleep(Math.min(patience, Math.max(0, heard.at + patience - place.now())), signal);
    if (place.now() < heard.at + patience) continue;
    const asked = position.cursor;
    const { at } = heard;
    const answer = await connection.poll('api/poll', [], 10_000, signal);
    if (heard.at !== at || position.cursor !== asked) continue;
    if (answer.count || answer.closed) throw new PollError('silent', 'the event stream has stopped');
    heard.at = place.now();
  }
}
