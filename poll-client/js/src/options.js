// What a client is given, checked when it is made: a name or a value that does not exist is said at once.

import { PATTERNS } from './connection.js';

// Each with the reason for its value.
const DEFAULTS = {
  channel: 'default',
  pattern: 'auto',
  // As a poll without a position: what is retained, then what comes.
  from: 'oldest',
  // The server's default wait; it answers a second before.
  timeout: 30_000,
  interval: 5000,
  // The server's default; a stream that is silent for one and a half of these is given up.
  heartbeat: 15_000,
  retryDelay: 1000,
  maxRetries: Infinity,
  hidden: 'continue',
  share: true,
};
const NAMES = [
  ...Object.keys(DEFAULTS), 'token', 'headers', 'credentials', 'keep', 'getState', 'fetch', 'EventSource',
];

/** The settings that follow from the options. */
export function settingsOf(options) {
  const settings = { ...DEFAULTS };
  for (const name in options) {
    expectOne('option', name, NAMES);
    if (options[name] !== undefined) settings[name] = options[name];
  }
  const { pattern, hidden, headers } = settings;
  expectOne('pattern', pattern, ['auto', ...Object.keys(PATTERNS)]);
  expectOne('value of hidden', hidden, ['continue', 'pause']);
  if (pattern === 'sse' && headers) throw new TypeError('EventSource sends no headers');
  return settings;
}

/** The server's address: relative to the page's, or a host and port without a scheme. */
export function addressOf(url, location) {
  const scheme = /^(\[.+\]|[^/:]+):\d/.test(url) ? 'http://' : '';
  let address;
  try {
    address = new URL(scheme + url, location?.href);
  } catch {
    // Said below.
  }
  if (!/^http/.test(address?.protocol)) throw new TypeError(`not the address of a server: ${url}`);
  if (!address.pathname.endsWith('/')) address.pathname += '/';
  return address;
}

/** Throws unless the name is one of these; says which was probably meant: the one with the most pairs of letters in common. */
export function expectOne(what, name, names) {
  if (names.includes(name)) return;
  const text = String(name).toLowerCase();
  const likeness = (known) => [...known].filter((_, at) => text.includes(known.slice(at, at + 2).toLowerCase())).length / known.length;
  const [best] = [...names].sort((one, other) => likeness(other) - likeness(one));
  throw new TypeError(`no ${what} ${name}: ${likeness(best) > 0.5 ? `did you mean ${best}?` : `there are ${names.join(', ')}`}`);
}
