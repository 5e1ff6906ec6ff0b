// The server's clock as seen from here: the offset measured over the quickest of the last exchanges.

import { byId, showMs } from './words.js';

const KEPT = 12;
const samples = [];
let offset = 0;

const local = () => performance.timeOrigin + performance.now();

/** RFC 3339 with any number of decimals, as milliseconds; `Date.parse` alone would cut microseconds. */
export function parseTime(text) {
  const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(String(text));
  return parts ? Date.parse(parts[1] + parts[3]) + Number(parts[2] || 0) * 1000 : NaN;
}

export const clock = {
  /** This page's clock, in milliseconds with decimals. */
  local,
  /** The server's. */
  now: () => local() + offset,
  /** An exchange that began at `sent` and ends now gave this time of the server. */
  learn(sent, timestamp) {
    const received = local();
    const time = parseTime(timestamp);
    if (!Number.isFinite(time)) return;
    samples.push({ trip: received - sent, offset: time - (sent + received) / 2 });
    if (samples.length > KEPT) samples.shift();
    const best = samples.reduce((a, b) => (b.trip < a.trip ? b : a));
    // Less than half the round trip cannot be told from none.
    offset = Math.abs(best.offset) > best.trip / 2 ? best.offset : 0;
    const said = offset
      ? `The clocks differ by ${showMs(Math.abs(offset))}, which is allowed for.`
      : `The clocks agree within ${showMs(best.trip / 2)}.`;
    byId('clock').textContent = `From the server’s timestamp to this page, on a logarithmic scale. ${said}`;
  },
};
