// Which message was where when: a table of the latest messages, a column for each lane.

import { byId, element, showContent, showMs } from './words.js';

const SHOWN = 8;
// Messages that one lane has and another may still bring.
const KEPT = 2000;

export class Arrivals {
  #lanes;
  #entries = new Map();

  /** `lanes`: of which a message can come. */
  constructor(lanes) {
    this.#lanes = lanes;
    const head = byId('arrivals').tHead.rows[0];
    for (const lane of lanes) {
      const cell = element('th');
      const brief = element('span', 'brief', lane.brief);
      brief.setAttribute('aria-hidden', 'true');
      cell.append(element('span', 'full', lane.title), brief);
      cell.scope = 'col';
      cell.dataset.lane = lane.key;
      head.append(cell);
    }
  }

  /** Whether it was unknown until now. */
  know({ channel, id, content }, isDemo) {
    const key = `${channel}#${id}`;
    if (this.#entries.has(key)) return false;
    if (this.#entries.size >= KEPT) this.#entries.delete(this.#entries.keys().next().value);
    const row = element('tr');
    const name = element('th');
    name.scope = 'row';
    if (isDemo) name.append(element('span', 'tag', 'demo'));
    name.append(element('span', 'seq', isDemo ? `#${id}` : key), ' ', element('span', 'text', showContent(content)));
    name.title = key;
    row.append(name);
    const cells = new Map(this.#lanes.map((lane) => {
      const cell = element('td', '', '·');
      cell.dataset.lane = lane.key;
      row.append(cell);
      return [lane, cell];
    }));
    this.#entries.set(key, cells);
    this.#show(row);
    return true;
  }

  arrived(lane, { channel, id }, latency) {
    const cell = this.#entries.get(`${channel}#${id}`)?.get(lane);
    if (!cell) return;
    cell.textContent = latency === undefined ? 'caught up' : showMs(latency);
    cell.dataset.came = latency === undefined ? 'late' : 'live';
  }

  /** Something about a channel that is no message. */
  note(text) {
    const row = element('tr', 'note');
    const cell = element('td', '', text);
    cell.colSpan = this.#lanes.length + 1;
    row.append(cell);
    this.#show(row);
  }

  clear() {
    this.#entries.clear();
    byId('arrivals').tBodies[0].replaceChildren();
    byId('arrivals-none').hidden = false;
  }

  #show(row) {
    const [body] = byId('arrivals').tBodies;
    body.prepend(row);
    while (body.rows.length > SHOWN) body.lastElementChild.remove();
    byId('arrivals-none').hidden = true;
  }
}
