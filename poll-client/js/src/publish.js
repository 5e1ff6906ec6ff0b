// Publishing once, however often it has to be sent: every attempt carries the same idempotency key.
//
// A connection that breaks, or a 503, leaves open whether the server has the message; the key makes asking again safe.

import { late } from './failure.js';
import { parse } from './requests.js';
import { retrying } from './retrying.js';
import { sleep, within } from './within.js';

const DEADLINE = 10_000;
// The server remembers a key for 300 s; after that another attempt might be another message.
const WINDOW = 200_000;

/** The body and its content type: text and bytes as they are, anything else as JSON. */
function bodyOf(content) {
  if (typeof content === 'string' && content) return [content, 'text/plain; charset=utf-8'];
  if (content instanceof ArrayBuffer || ArrayBuffer.isView(content) || content instanceof Blob) {
    return [content, 'application/octet-stream'];
  }
  return [JSON.stringify(content), 'application/json'];
}

/** Posts until the server has answered for good; gives its answer. */
export async function post(shared, path, query, content, { key, signal = new AbortController().signal } = {}) {
  const { place, requests, settings } = shared;
  const [body, type] = bodyOf(content);
  const began = place.now();
  // Pages on plain http have no randomUUID.
  const headers = { 'content-type': type, 'idempotency-key': key ?? crypto.getRandomValues(new Uint32Array(4)).join('-') };
  const attempt = async (inner) => {
    const response = await requests.ask(path, { query, method: 'POST', body, headers, signal: inner });
    return parse(await response.text());
  };
  const tooLate = async (inner) => {
    await sleep(place, DEADLINE, inner);
    throw late('timeout');
  };
  const work = (inner) => Promise.race([attempt(inner), tooLate(inner)]);
  return retrying(shared, signal, () => within(signal, work), (error, failures) => {
    if (error.fatal || failures > settings.maxRetries || place.now() - began > WINDOW) throw error;
  });
}
