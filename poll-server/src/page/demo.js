// The demonstration: a message every few seconds on a channel of its own, so that the page moves before anyone does
// anything. It is published once however many pages are open: a page publishes only when no other has.

import { clock } from './clock.js';

/** Never a channel that the visitor named. */
export const DEMO_CHANNEL = 'live-page';
export const DEMO_MS = 3000;
const SOON_MS = 100;

const TEXTS = ['build 412 passed', 'order shipped', '21.4 °C in the hall', 'deploy 38 % done', 'two seats left', 'Ada is typing…'];

export class Demo {
  #publish;
  #simulate;
  #isReady;
  #timer;
  #heardAt = -Infinity;
  #turn = 0;
  isPlaying = false;
  isRefused = false;

  /** `publish(text)` rejects if the server refuses; then `simulate(text)` is called, each time. Not before `isReady()`. */
  constructor({ publish, simulate, isReady }) {
    this.#isReady = isReady;
    this.#publish = publish;
    this.#simulate = simulate;
  }

  play() {
    this.isPlaying = true;
    this.#next(SOON_MS);
  }

  pause() {
    this.isPlaying = false;
    clearTimeout(this.#timer);
  }

  /** The channel had a message, from this page or another. */
  heard() {
    this.#heardAt = clock.local();
  }

  #next(ms) {
    clearTimeout(this.#timer);
    // Some jitter, so that of several pages one is first and the others hear it.
    this.#timer = setTimeout(() => this.#beat(), ms * (0.9 + Math.random() / 5));
  }

  async #beat() {
    const since = clock.local() - this.#heardAt;
    if (document.hidden || !this.#isReady() || since < DEMO_MS * 0.9) {
      this.#next(since < DEMO_MS ? Math.max(SOON_MS, DEMO_MS - since) : SOON_MS);
      return;
    }
    const text = TEXTS[this.#turn % TEXTS.length];
    this.#turn += 1;
    try {
      if (this.isRefused) this.#simulate(text);
      else await this.#publish(text);
    } catch {
      this.isRefused = true;
      this.#simulate(text);
    }
    this.heard();
    if (this.isPlaying) this.#next(DEMO_MS);
  }
}
