// Server-sent events by the browser's own EventSource (WHATWG HTML section 9.2).
//
// EventSource says neither status nor reason of a failure, and some it takes for final. So it is used for one
// connection at a time: coming back is ours.

import { PollError } from './failure.js';
import { parse } from './requests.js';
import { patience, take } from './stream.js';

const NAMES = ['message', 'connected', 'reset', 'stalled', 'resumed', 'closed'];

export async function sse(connection, signal) {
  const { place, requests, settings } = connection;
  const { EventSource } = place;
  if (!EventSource) throw new PollError('unsupported', 'no EventSource', { fatal: true });
  const query = [...requests.where(connection.position.cursor), ['format', 'sse'], ['access_token', await requests.credential.get()]];
  const source = new EventSource(requests.address('api/stream', query), {
    withCredentials: settings.credentials === 'include',
  });
  connection.expect(patience(connection), 'buffered');
  const heard = { count: 0 };
  try {
    return await new Promise((resolve, reject) => {
      let queue = Promise.resolve();
      const hear = ({ data }) => {
        heard.count += 1;
        queue = queue.then(() => take(connection, [parse(data)], signal)).then((outcome) => {
          // Heartbeats are comments, which EventSource keeps to itself: silence alone means nothing here.
          connection.expect(Infinity);
          if (outcome) resolve(outcome);
        });
        queue.catch(reject);
      };
      for (const name of NAMES) source.addEventListener(name, hear);
      source.onerror = () => queue.then(() => reject(new PollError('network', 'the stream was cut')), reject);
      signal.addEventListener('abort', () => reject(signal.reason));
      watch(connection, heard, signal).catch(reject);
    });
  } finally {
    source.close();
  }
}

// After two heartbeats' time without an event a poll asks whether there is anything that has not come.
async function watch(connection, heard, signal) {
  for (;;) {
    const { count } = heard;
    await connection.sleep(connection.settings.heartbeat * 2, signal);
    if (heard.count !== count) continue;
    const answer = await connection.poll('api/poll', [], 10_000, signal);
    if (heard.count === count && answer.count) throw new PollError('silent', 'the stream was cut');
  }
}
