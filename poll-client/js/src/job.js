// A job's progress: reporting it, and following it to its end. A job is a channel that its last step closes.

import { post } from './publish.js';

export class Job {
  #client;
  #post;

  constructor(name, client, shared) {
    this.name = name;
    this.#client = client;
    this.#post = (step) => post(shared, `api/progress/${encodeURIComponent(name)}`, [], step);
  }

  /** Reports a step: `{ step, total, message?, status? }`; a status of `done` or `failed` ends the job. */
  report(step) {
    return this.#post(step);
  }

  /** All steps from the first, then each as it comes; over after the last. */
  async *[Symbol.asyncIterator]() {
    for await (const { content, timestamp } of this.#client) {
      // Anyone may publish into the channel; what is not a step is none of ours.
      if (isStep(content)) yield { ...content, timestamp };
    }
  }

  stop() {
    this.#client.stop();
  }
}

function isStep(content) {
  return Number.isInteger(content?.step) && Number.isInteger(content?.total);
}
