// How late messages were and what they cost, pattern beside pattern.

import { LONG_POLL_MS, SHORT_POLL_MS } from './lane.js';
import { MEASURED } from './push.js';
import { byId, element, quantile, showBytes, showMs } from './words.js';

const HOUR_MS = 3_600_000;
// The server's default, and the client's: an open stream says this often that it is there.
const HEARTBEAT_MS = 15_000;
// `:` and a comment's end, in a chunk; a line with a cursor beside it.
const COMMENT_BYTES = 18;
const HEARTBEAT_LINE_BYTES = 40;
// A poll's answer without messages, beside its cursor.
const EMPTY_ANSWER_BYTES = 80;

// Of the latency's axis: from 1 ms to 10 s, bins of equal ratio.
const FIRST_MS = 1;
const DECADES = 4;
const BINS = 48;
const AXIS = ['1 ms', '10 ms', '100 ms', '1 s', '10 s'];

const place = (ms) => Math.min(1, Math.max(0, Math.log10(Math.max(ms, FIRST_MS) / FIRST_MS) / DECADES));

const svg = (tag, attributes) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

/** The distribution of each lane's latencies, all on one axis. */
export class Latency {
  #rows = new Map();

  constructor(lanes) {
    for (const lane of lanes) {
      const row = element('div', 'bins');
      row.dataset.lane = lane.key;
      const picture = svg('svg', { viewBox: `0 0 ${BINS} 10`, preserveAspectRatio: 'none', role: 'img' });
      const bars = Array.from({ length: BINS }, (_, bin) => svg('rect', { x: bin + 0.08, y: 10, width: 0.84, height: 0 }));
      picture.append(...bars);
      const said = element('span', 'value', '–');
      row.append(element('span', 'label', lane.isRecorded ? `${lane.title}, recorded` : lane.title), picture, said);
      byId('latency').append(row);
      this.#rows.set(lane, { picture, bars, said });
      this.draw(lane);
    }
    const axis = element('div', 'axis hint');
    axis.setAttribute('aria-hidden', 'true');
    axis.append(...AXIS.map((text) => element('span', '', text)));
    byId('latency').append(axis);
  }

  draw(lane) {
    const { picture, bars, said } = this.#rows.get(lane);
    const counts = new Array(BINS).fill(0);
    for (const ms of lane.latencies) counts[Math.min(BINS - 1, Math.floor(place(ms) * BINS))] += 1;
    const most = Math.max(1, ...counts);
    bars.forEach((bar, bin) => {
      const height = counts[bin] ? Math.max(1, (counts[bin] / most) * 10) : 0;
      bar.setAttribute('y', String(10 - height));
      bar.setAttribute('height', String(height));
    });
    const [median, most95] = [0.5, 0.95].map((share) => showMs(quantile(lane.latencies, share)));
    said.textContent = lane.latencies.length ? median : '–';
    picture.setAttribute('aria-label', lane.latencies.length ? `${lane.title}: median ${median}, 95 % within ${most95}` : `${lane.title}: no message yet`);
  }
}

/** Bytes both ways in an hour without messages: an empty exchange, as often as there is one. */
function idleHour(lane) {
  if (!lane.heads) return NaN;
  const { heads, emptyCosts } = lane;
  const cursor = lane.cursor?.length ?? 32;
  const shortPoll = emptyCosts.get('/api/poll') ?? heads;
  switch (lane.key) {
    case 'short':
      return (shortPoll * HOUR_MS) / SHORT_POLL_MS;
    case 'long':
      // It is answered a thirtieth before its time.
      return ((emptyCosts.get('/api/longpoll') ?? heads + EMPTY_ANSWER_BYTES + cursor) * HOUR_MS) / (LONG_POLL_MS * (29 / 30));
    case 'stream':
      return ((HEARTBEAT_LINE_BYTES + cursor) * HOUR_MS) / HEARTBEAT_MS;
    default:
      // EventSource keeps heartbeats to itself, so the client asks after two of them whether it missed something.
      return (COMMENT_BYTES * HOUR_MS) / HEARTBEAT_MS + (shortPoll * HOUR_MS) / (2 * HEARTBEAT_MS);
  }
}

/** What each lane's messages and silence cost in bytes, heads included. */
export class Cost {
  #rows = new Map();

  constructor(lanes) {
    for (const lane of lanes) {
      const row = element('tr');
      row.dataset.lane = lane.key;
      const name = element('th', '', lane.title);
      name.scope = 'row';
      const requests = element('td', '', '–');
      const [message, idle] = [bar(), bar()];
      row.append(name, requests, message.cell, idle.cell);
      byId('cost').tBodies[0].append(row);
      this.#rows.set(lane, { requests, message, idle });
    }
  }

  draw() {
    const costs = [...this.#rows].map(([lane, row]) => {
      const message = lane.isRecorded ? MEASURED.bytesPerMessage : lane.bytes / lane.messages;
      const idle = lane.isRecorded ? MEASURED.bytesPerIdleHour : idleHour(lane);
      if (!lane.isRecorded) row.requests.textContent = lane.empty ? `${lane.requests} (${lane.empty} empty)` : String(lane.requests);
      if (lane.messages) row.message.cell.title = `${lane.bytes} bytes for ${lane.messages} messages`;
      return { row, message, idle };
    });
    for (const kind of ['message', 'idle']) {
      const most = Math.max(...costs.map((cost) => cost[kind]).filter(Number.isFinite), 1);
      for (const cost of costs) cost.row[kind].set(cost[kind], most);
    }
  }
}

function bar() {
  const cell = element('td', 'bar-cell');
  const [text, track, fill] = [element('span', 'value', '–'), element('span', 'bar-track'), element('span', 'bar')];
  track.append(fill);
  cell.append(text, track);
  return {
    cell,
    set(value, most) {
      text.textContent = showBytes(value);
      fill.style.inlineSize = Number.isFinite(value) ? `${Math.max(1, (value / most) * 100)}%` : '0';
    },
  };
}

/** How the figures came about, in words. */
export function costSaid(protocol) {
  const said = 'Bytes both ways since this page began to count, heads included, by messages delivered. Bodies and the fields of answers are'
    + ' measured; what the browser adds to a request, chunks and the idle hour are reckoned from them.';
  return protocol === 'h2' ? `${said} HTTP/2 compresses heads, which here are counted as HTTP/1.1 writes them.` : said;
}
