// Time that moves only when a test says so, and chance that repeats.

import { setImmediate } from 'node:timers/promises';

export class Clock {
  /** Milliseconds that timers count. */
  time = 0;
  #wall = Date.parse('2026-01-01T00:00:00Z');
  #timers = new Map();
  #last = 0;

  now = () => Math.floor(this.#wall + this.time);

  setTimeout = (run, ms, argument) => {
    this.#last += 1;
    this.#timers.set(this.#last, { due: this.time + Math.max(0, ms), run: () => run(argument), id: this.#last });
    return this.#last;
  };

  clearTimeout = (id) => this.#timers.delete(id);

  /** Lets the time pass, timer by timer, and after each whatever follows from it. */
  async advance(ms) {
    const end = this.time + ms;
    for (;;) {
      await settle();
      const next = [...this.#timers.values()].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due || a.id - b.id)[0];
      if (!next) break;
      this.#timers.delete(next.id);
      this.time = Math.max(this.time, next.due);
      next.run();
    }
    this.time = end;
    await settle();
  }

  /** Lets time pass until the condition holds, at most so long. */
  async until(condition, ms = 600_000, step = 50) {
    const end = this.time + ms;
    while (!condition()) {
      if (this.time > end) throw new Error(`not within ${ms} ms: ${condition}`);
      await this.advance(step);
    }
  }

  /** The clock is set, or the machine slept: the time jumps and no timer runs. */
  jump(ms) {
    this.#wall += ms;
  }
}

// Digests are made on another thread, and time must not pass meanwhile.
let digests = 0;
const { digest } = crypto.subtle;
crypto.subtle.digest = (...what) => {
  digests += 1;
  return digest.apply(crypto.subtle, what).finally(() => (digests -= 1));
};

/** Lets everything that is ready run. */
export async function settle() {
  for (let turn = 0; turn < 6 || digests; turn += 1) await setImmediate();
}

/** Numbers from 0 to 1 that look random and are the same each time (mulberry32). */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
