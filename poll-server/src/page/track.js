// The picture of a lane: a track on which messages travel from the server to this page, and below it a timeline of the
// lane's requests.
//
// Only a picture: what it shows is also in the lane's figures, so it is hidden from screen readers.

import { element } from './words.js';

const FLIGHT_MS = 700;
const ASK_MS = 260;
const QUEUE_SHOWN = 6;
// More dots than these at once say nothing more.
const MOST_DOTS = 40;
/** What the timeline spans. */
const SPAN_MS = 30_000;

const still = matchMedia('(prefers-reduced-motion: reduce)');
const AT_SERVER = 'translateX(0)';
const HALF_WAY = 'translateX(52cqw)';
const AT_HOME = 'translateX(calc(100cqw - 100%))';

export class Track {
  #track;
  #dots = new Map();
  #asking = Promise.resolve();
  #kind;

  /** `kind`: what connects the two ends while nothing happens: 'none', 'waiting' (a request) or 'open' (an answer). */
  constructor(view, kind) {
    this.#track = view.querySelector('.track');
    this.#kind = kind;
  }

  /** Whether the ends are connected now. */
  wire(isConnected) {
    this.#track.dataset.wire = isConnected ? this.#kind : 'none';
  }

  /** A request leaves for the server; on a cut line it comes half the way. */
  ask(isCut) {
    this.#asking = this.#fly(element('span', 'ask'), AT_HOME, isCut ? HALF_WAY : AT_SERVER, ASK_MS);
  }

  /** It was answered, and brought nothing. */
  async nothing() {
    await this.#asking;
    await this.#fly(element('span', 'ask empty'), AT_SERVER, AT_HOME, ASK_MS);
  }

  /** The server has a message that is not here yet. */
  expect(key, kind = '') {
    if (this.#dots.has(key) || this.#dots.size >= MOST_DOTS || document.hidden) return;
    const dot = element('span', `dot ${kind}`);
    this.#dots.set(key, dot);
    this.#track.append(dot);
    this.#queue();
  }

  /** It is on its way: with the request that fetches it, where one has to arrive first. */
  async arrive(key) {
    const dot = this.#dots.get(key);
    if (!dot) return;
    if (this.#kind === 'none') await this.#asking;
    this.#dots.delete(key);
    this.#queue();
    dot.classList.add('flying');
    await this.#fly(dot, AT_SERVER, AT_HOME, FLIGHT_MS);
  }

  clear() {
    this.#dots.clear();
    this.#track.querySelectorAll('.dot, .ask').forEach((one) => one.remove());
    this.#queue();
  }

  // Dots that wait stand in a queue at the server; how many are more than can be seen stands beside it.
  #queue() {
    let place = 0;
    for (const dot of this.#dots.values()) {
      dot.style.setProperty('--place', String(Math.min(place, QUEUE_SHOWN)));
      place += 1;
    }
    this.#track.dataset.waiting = place > QUEUE_SHOWN ? `${place} waiting` : '';
  }

  async #fly(mark, from, to, duration) {
    this.#track.append(mark);
    if (still.matches || document.hidden) {
      mark.style.transform = to;
      setTimeout(() => mark.remove(), FLIGHT_MS);
      return;
    }
    await mark.animate({ transform: [from, to] }, { duration, easing: 'cubic-bezier(.45, .05, .35, 1)' }).finished.catch(() => {});
    mark.remove();
  }
}

function look(state, messages, down) {
  if (state === 'done' && !messages) return 'empty';
  // What was answered and then cut was not for nothing.
  return state === 'failed' && down ? 'broken' : state;
}

export class Timeline {
  #strip;
  #origin;
  #bars = new Map();

  constructor(view, now) {
    this.#strip = view.querySelector('.strip');
    this.#origin = now;
  }

  /** A request began or changed. */
  request({ id, began, ended, messages, state, path, up, down }) {
    let bar = this.#bars.get(id);
    if (!bar) {
      bar = { mark: element('span', 'request'), began };
      this.#bars.set(id, bar);
      this.#strip.append(bar.mark);
    }
    bar.ended = ended;
    bar.mark.dataset.state = look(state, messages, down);
    bar.mark.title = `GET ${path}: ${messages || 'no'} message${messages === 1 ? '' : 's'}, ${up} bytes up, ${down} down`;
    if (ended) this.#place(bar, ended);
  }

  message(at, kind = '') {
    const mark = element('span', `message ${kind}`);
    mark.style.left = this.#percent(at - this.#origin);
    const bar = { mark, ended: at };
    this.#bars.set(bar, bar);
    this.#strip.append(mark);
  }

  /** Moves on; what is over for longer than the span goes. */
  frame(now) {
    const start = now - SPAN_MS;
    this.#strip.style.transform = `translateX(${-((start - this.#origin) / SPAN_MS) * 100}%)`;
    for (const [key, bar] of this.#bars) {
      if (bar.ended === undefined) this.#place(bar, now);
      else if (bar.ended < start - 1000) {
        bar.mark.remove();
        this.#bars.delete(key);
      }
    }
  }

  clear() {
    this.#bars.clear();
    this.#strip.replaceChildren();
  }

  #place({ mark, began }, end) {
    // Not further back than can be seen: a box of hours is too wide for a browser.
    const from = Math.max(began, end - SPAN_MS - 2000);
    mark.style.left = this.#percent(from - this.#origin);
    mark.style.width = this.#percent(end - from);
  }

  #percent(ms) {
    return `${(ms / SPAN_MS) * 100}%`;
  }
}
