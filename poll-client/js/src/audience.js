// Who is told: listeners, and loops of `for await`, which take one message at a time.
//
// Delivery waits for the loops, so that what is read from the server never piles up here.

export class Audience {
  #listeners = {};
  #loops = new Set();

  on(type, listener) {
    (this.#listeners[type] ??= new Set()).add(listener);
    return () => this.off(type, listener);
  }

  off(type, listener) {
    this.#listeners[type]?.delete(listener);
  }

  hears(type) {
    return this.#listeners[type]?.size > 0;
  }

  /** Calls the listeners. One that throws stops neither the others nor the client. */
  emit(type, value) {
    for (const listener of [...(this.#listeners[type] ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Hands a message to listeners and loops; resolves to whether anyone took it. */
  async hand(message) {
    this.emit('message', message);
    const taken = await Promise.all([...this.#loops].map((loop) => loop.offer(message)));
    return this.hears('message') || !taken.length || taken.includes(true);
  }

  /** Ends all loops, with an error or without. */
  finish(error) {
    for (const loop of this.#loops) loop.finish(error);
  }

  /** Messages until the end; `left` is called when the loop is over, for whatever reason. */
  async *loop(left) {
    const offers = [];
    let end;
    let wake;
    const loop = {
      offer: (message) =>
        new Promise((taken) => {
          offers.push({ message, taken });
          wake?.();
        }),
      finish: (error) => {
        end ??= { error };
        wake?.();
      },
    };
    this.#loops.add(loop);
    try {
      for (;;) {
        const offer = end ? undefined : offers.shift();
        if (offer) {
          offer.taken(true);
          yield offer.message;
        } else if (end?.error) throw end.error;
        else if (end) return;
        else await new Promise((woken) => (wake = woken));
      }
    } finally {
      this.#loops.delete(loop);
      for (const { taken } of offers) taken(false);
      left();
    }
  }
}
