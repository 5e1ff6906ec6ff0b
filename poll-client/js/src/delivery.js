// What came, in order, to this reader: a message once, a gap before what follows it, the position behind it.
//
// Used alike for what this tab has read and for what another tab passes on.

import { retrying } from './retrying.js';

export class Delivery {
  isConnected = false;

  constructor(parts) {
    Object.assign(this, parts);
  }

  /** Delivers items and moves the position to the cursor behind them. */
  async take(items, cursor) {
    const { position, signal } = this;
    for (const item of items) {
      if (signal.aborted) throw signal.reason;
      await this.#deliver(item);
    }
    if (!cursor || (cursor === position.cursor && !items.length)) return;
    position.cursor = cursor;
    position.save();
  }

  async #deliver(item) {
    const { audience, position, signal } = this;
    const { type, ...said } = item;
    if (type.endsWith('connected')) this.isConnected = type === 'connected';
    switch (type) {
      case 'message':
        if (!position.isNew(said)) return;
        if (!(await audience.hand(said)) && signal.aborted) throw signal.reason;
        position.passed(said);
        // Half a batch is a position, too.
        if (signal.aborted) position.save();
        return;
      case 'missed':
      case 'reset':
        position.forget(said.channel);
        audience.emit(type, said);
        return this.#reload(item);
      case 'error':
        return this.error(said.error);
      default:
        audience.emit(type, said);
    }
  }

  /** A failure that nobody listens for is at least seen. */
  error(error) {
    if (this.audience.hears('error')) this.audience.emit('error', error);
    else console.warn(`poll: ${error.message}`);
  }

  // Messages describe changes; when some are gone, the state they led to has to come from elsewhere first.
  async #reload(gap) {
    const { getState } = this.settings;
    if (!getState) return;
    await retrying(this, this.signal, () => getState(gap), (error) => this.error(error));
  }
}
