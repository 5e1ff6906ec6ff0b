// What came, in order, to this reader: a message once, a gap before what follows it, the position behind it.
//
// Used alike for what this tab has read and for what another tab passes on.

import { retrying } from './retrying.js';

/** Delivers for a client: `take` what came, `error` for what went wrong elsewhere. */
export function deliveryFor({ audience, place, position, settings, signal }) {
  /** A failure that no listener is told of is at least seen. */
  function error(what) {
    if (audience.hears('error')) audience.emit('error', what);
    else console.warn(`poll: ${what.message}`);
  }

  async function deliver(item) {
    const { type, ...said } = item;
    if (type.endsWith('connected')) delivery.isConnected = type === 'connected';
    if (type === 'error') return error(said.error);
    if (type === 'message') {
      if (!position.isNew(said)) return;
      if (!(await audience.hand(said)) && signal.aborted) throw signal.reason;
      position.passed(said);
      // Half a batch is a position, too.
      if (signal.aborted) position.save();
      return;
    }
    audience.emit(type, said);
    if (type !== 'missed' && type !== 'reset') return;
    position.forget(said.channel);
    // Messages describe changes; when some are gone, the state they led to has to come from elsewhere first.
    const { getState } = settings;
    if (getState) await retrying({ place, settings }, signal, () => getState(item), error);
  }

  const delivery = {
    isConnected: false,
    error,

    /** Delivers items and moves the position to the cursor behind them. */
    async take(items, cursor) {
      for (const item of items) {
        if (signal.aborted) throw signal.reason;
        await deliver(item);
      }
      if (!cursor || (cursor === position.cursor && !items.length)) return;
      position.cursor = cursor;
      position.save();
    },
  };
  return delivery;
}
