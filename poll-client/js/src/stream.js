// Stream: one response that stays open, a line of JSON for each message.
//
// A proxy that buffers is noticed because `connected`, which the server sends at once, has not come; later, because
// heartbeats are missing.

import { itemOfLine } from './answer.js';
import { PollError } from './failure.js';
import { linesOf } from './lines.js';
import { parse } from './requests.js';

// Milliseconds within which `connected` must have come: short where another pattern can be tried, patient elsewhere.
const SOON = 2000;
const PATIENT = 10_000;

export async function stream(connection, signal) {
  connection.expect(patience(connection), 'buffered');
  const { position, requests } = connection;
  const response = await requests.ask('api/stream', {
    query: requests.where(position.cursor),
    headers: { accept: 'application/x-ndjson' },
    signal,
  });
  if (!response.body?.getReader) throw new PollError('unsupported', 'no streaming fetch');
  for await (const lines of linesOf(response.body)) {
    const outcome = await take(connection, lines.map(parse), signal);
    if (outcome) return outcome;
  }
  throw new PollError('network', 'the stream was cut');
}

export function patience(connection) {
  return connection.ladder.isAuto ? SOON : PATIENT;
}

/** Delivers what the lines say; gives 'ended' when the stream is over for good. */
export async function take(connection, lines, signal) {
  const { place, position, requests, settings } = connection;
  const items = [];
  let cursor;
  let outcome;
  for (const line of lines) {
    const item = itemOfLine(line, requests.channels);
    if (item) items.push(item);
    if (line.type === 'connected') {
      // In the case of a reset this is already behind it: another cut must not hide the reset.
      position.cursor ??= line.cursor;
      await connection.opened();
    } else {
      cursor = line.cursor ?? cursor;
      if (line.type !== 'closed') connection.well();
    }
    if (line.refused) connection.refused(line.refused);
    if (line.type === 'closed') outcome = line.reason;
  }
  if (items.length || cursor) await connection.sink(items, cursor);
  // Given up meanwhile: what comes next is another attempt's business.
  if (signal.aborted) throw signal.reason;
  connection.expect(settings.heartbeat * 1.5, 'silent');
  if (!outcome || outcome === 'ended') return outcome;
  // The server has its reasons to end a stream and expects its reader back: no failure, unless it is about the token.
  let isQuiet = true;
  let fatal;
  if (outcome === 'unauthorized') {
    const { isRenewable, reject } = requests.credential;
    reject();
    // The new one has to last, or to bring something.
    isQuiet = isRenewable && !(place.now() - connection.renewedAt < PATIENT);
    connection.renewedAt = place.now();
    fatal = !isRenewable;
  }
  throw new PollError(outcome, outcome, { isQuiet, fatal });
}
