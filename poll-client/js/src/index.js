// The module's interface.

export { PollClient } from './client.js';
export { PollError } from './failure.js';
export { STATES } from './states.js';
