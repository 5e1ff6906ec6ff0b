// The states of a client and what leads from one to the next: the whole of it, as a table.
//
// An event that a state's row does not name changes nothing. Final states can be started again.

export const STATES = {
  // Not started yet.
  idle: { start: 'joining' },
  // Finding out whether another tab has the connection.
  joining: { lead: 'connecting', follow: 'following', end: 'ended', fail: 'failed', stop: 'stopped' },
  // Another tab has the connection and passes on what it receives.
  following: { lead: 'connecting', end: 'ended', fail: 'failed', stop: 'stopped' },
  // A request is on its way, nothing has been answered yet.
  connecting: {
    open: 'open', lose: 'waiting', pause: 'paused', follow: 'following', end: 'ended', fail: 'failed', stop: 'stopped',
  },
  // The server answers. `reopen`: connect anew at once, on another pattern or after a sleep.
  open: {
    reopen: 'connecting', lose: 'waiting', pause: 'paused', follow: 'following', end: 'ended', fail: 'failed', stop: 'stopped',
  },
  // Waiting to try again.
  waiting: { retry: 'connecting', pause: 'paused', follow: 'following', stop: 'stopped' },
  // Hidden, and told to pause then.
  paused: { resume: 'connecting', follow: 'following', stop: 'stopped' },
  // The channel is closed and all of it was delivered.
  ended: { start: 'joining' },
  // Refused for good, or out of retries.
  failed: { start: 'joining' },
  // By stop().
  stopped: { start: 'joining' },
};
