// Which pattern `auto` uses now: down when one does not get through, and up again later.
//
// A fall counts only once the lower pattern was answered: while nothing gets through at all, the network is to blame
// and not the pattern. Pure: told of what happened, it says which pattern comes next.

export const RUNGS = ['stream', 'longpoll', 'shortpoll'];

// Weights of what goes wrong; three are a fall. A proxy that holds a stream back does so every time.
const STRIKES = { buffered: 3, unsupported: 3, malformed: 3, silent: 2, cut: 1.5, timeout: 1.5, stuck: 1.5 };
const LIMIT = 3;
// Milliseconds until the upper pattern is tried again: doubled with each fall, to the second number.
const LATER = 60_000;
const LATEST = 600_000;

export class Ladder {
  #place;
  #rung = 0;
  #strikes = 0;
  #falls = 0;
  #tryAt = Infinity;
  #probe;

  constructor(pattern, place) {
    this.isAuto = pattern === 'auto';
    this.fixed = pattern;
    this.#place = place;
  }

  get pattern() {
    return this.isAuto ? RUNGS[this.#rung] : this.fixed;
  }

  /** The connection failed; says whether a lower pattern is to be tried at once. */
  fell({ kind, status }, wasOpen) {
    if (!this.isAuto || status < 500 || status === 503) return false;
    if (this.#probe && !wasOpen) {
      // The lower pattern is not answered either.
      this.#rung = this.#probe.rung;
      this.#probe = undefined;
      this.#strikes = 0;
      return false;
    }
    this.#strikes += STRIKES[kind] ?? (wasOpen ? 0 : 1);
    if (this.#strikes < LIMIT || this.#rung === RUNGS.length - 1) return false;
    this.#probe = { rung: this.#rung, reason: kind };
    this.#rung += 1;
    this.#strikes = 0;
    return true;
  }

  /** The pattern is answered; gives the fall that this confirms. */
  opened() {
    const probe = this.#probe;
    this.#probe = undefined;
    if (probe) {
      this.#falls += 1;
      const later = Math.min(LATEST, LATER * 2 ** (this.#falls - 1));
      this.#tryAt = this.#place.now() + later;
    }
    return probe && { from: RUNGS[probe.rung], to: this.pattern, reason: probe.reason };
  }

  /** The pattern does what it should. */
  well() {
    this.#strikes = 0;
    if (this.#rung === 0) this.#falls = 0;
  }

  get isTimeToClimb() {
    return this.#rung > 0 && this.#place.now() >= this.#tryAt;
  }

  climb() {
    this.#rung = 0;
    this.#strikes = 0;
    this.#tryAt = Infinity;
  }
}
