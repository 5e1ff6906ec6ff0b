// Which pattern `auto` uses now: down when one does not get through, and up again later.
//
// A fall counts only once the lower pattern was answered: while nothing gets through at all, the network is to blame
// and not the pattern. Pure: told of what happened, it says which pattern comes next.

const RUNGS = ['stream', 'longpoll', 'shortpoll'];

// Weights of what goes wrong; three are a fall. A proxy that holds a stream back does so every time.
const STRIKES = { buffered: 3, unsupported: 3, malformed: 3, silent: 2, cut: 1.5, timeout: 1.5, stuck: 1.5 };
const LIMIT = 3;
// Milliseconds until the upper pattern is tried again: doubled with each fall, to the second number.
const LATER = 60_000;
const LATEST = 600_000;

/** The pattern that is wanted, as long as it can be used. */
export function ladderFor(wanted, place) {
  let rung = 0;
  let strikes = 0;
  let falls = 0;
  let tryAt = Infinity;
  /** A fall that is not confirmed yet: from which rung, and why. */
  let probe;
  const isAuto = wanted === 'auto';

  return {
    isAuto,

    get pattern() {
      return isAuto ? RUNGS[rung] : wanted;
    },

    /** The connection failed; says whether a lower pattern is to be tried at once. */
    fell({ kind, status }, wasOpen) {
      if (!isAuto || status < 500 || status === 503) return false;
      if (probe && !wasOpen) {
        // The lower pattern is not answered either.
        rung = probe.rung;
        probe = undefined;
        strikes = 0;
        return false;
      }
      strikes += STRIKES[kind] ?? (wasOpen ? 0 : 1);
      if (strikes < LIMIT || rung === RUNGS.length - 1) return false;
      probe = { rung, reason: kind };
      rung += 1;
      strikes = 0;
      return true;
    },

    /** The pattern is answered; gives the fall that this confirms. */
    opened() {
      if (!probe) return undefined;
      const fall = { from: RUNGS[probe.rung], to: RUNGS[rung], reason: probe.reason };
      probe = undefined;
      tryAt = place.now() + Math.min(LATEST, LATER * 2 ** falls);
      falls += 1;
      return fall;
    },

    /** The pattern does what it should. */
    well() {
      strikes = 0;
      if (!rung) falls = 0;
    },

    get isTimeToClimb() {
      return rung > 0 && place.now() >= tryAt;
    },

    climb() {
      rung = strikes = 0;
      tryAt = Infinity;
    },
  };
}
