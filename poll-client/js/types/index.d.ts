// The interface of poll-client.

/** How messages are read. `auto` begins with `stream` and goes down to `longpoll` and `shortpoll` where it has to. */
export type Pattern = 'auto' | 'stream' | 'sse' | 'longpoll' | 'shortpoll';

export type State =
  | 'idle' | 'joining' | 'following' | 'connecting' | 'open' | 'waiting' | 'paused' | 'ended' | 'failed' | 'stopped';

export interface Options {
  /** One channel or several, which are read by one request. Default: `default`. */
  channel?: string | readonly string[];
  /** Default: `auto`. */
  pattern?: Pattern;
  /** Where a first visit begins: with what is retained (`oldest`, the default), with what is published from now on, or after a cursor. */
  from?: 'oldest' | 'now' | (string & {});
  /** A bearer token, or a function that gives one; it is called again before a JWT expires and after a 401. */
  token?: string | (() => string | Promise<string>);
  /** Headers of every request, or a function that gives them. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  /** As in `fetch`: whether cookies are sent. */
  credentials?: 'omit' | 'same-origin' | 'include';
  /** Milliseconds that a long poll waits. Default: 30 000. */
  timeout?: number;
  /** Milliseconds between short polls. Default: 5 000. */
  interval?: number;
  /** Milliseconds between the server's heartbeats (`--heartbeat-seconds`). Default: 15 000. */
  heartbeat?: number;
  /** Milliseconds of the first wait after a failure, doubled with each, at most 30 s, of which a random part is waited. Default: 1 000. */
  retryDelay?: number;
  /** Failures in a row after which the client gives up. Default: it does not. */
  maxRetries?: number;
  /** Whether a hidden page goes on (`continue`, the default) or closes its connection until it is seen again. */
  hidden?: 'continue' | 'pause';
  /** Whether tabs share one connection. Default: `true`. A text names whose it is, in place of token and headers. */
  share?: boolean | string;
  /** Where the position is kept over a reload. Default: nowhere. */
  keep?: 'session' | 'local' | Pick<Storage, 'getItem' | 'setItem'>;
  /** Called when messages are gone for ever, before what follows them: loads the state that they led to. Tried until it succeeds. */
  getState?: (gap: Gap & { type: 'missed' | 'reset' }) => unknown;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** In place of the global `EventSource`. */
  EventSource?: typeof EventSource;
}

export interface Message<T = any> {
  channel: string;
  /** 1, 2, 3, … within the channel. */
  id: number;
  /** JSON as it was published, text, or a `Uint8Array`. */
  content: T;
  /** RFC 3339. */
  timestamp: string;
  /** Where the message stands, if the pattern says so. */
  cursor?: string;
  uuid?: string;
}

export interface Gap {
  channel: string;
  /** How many messages are gone, if known. */
  missed?: number;
}

export type ErrorKind =
  | 'network' | 'timeout' | 'silent' | 'buffered' | 'cut' | 'stuck' | 'malformed' | 'unsupported'
  | 'http' | 'unauthorized' | 'forbidden' | 'token';

export declare class PollError extends Error {
  readonly kind: ErrorKind;
  /** Of HTTP, if the server answered. */
  readonly status?: number;
  /** The problem's type (RFC 9457). */
  readonly type?: string;
  /** Milliseconds that the server asks to wait. */
  readonly retryAfter?: number;
  /** Trying again cannot help. */
  readonly fatal?: boolean;
  /** Those of several channels that are refused. */
  readonly channels?: readonly string[];
}

export interface Events<T = any> {
  message: Message<T>;
  /** A request failed. Without a listener it goes to the console. */
  error: PollError;
  /** `isShared`: by another tab. */
  connected: { pattern: Exclude<Pattern, 'auto'>; isShared?: boolean };
  /**
   * `reason`: `stopped`, `max_retries` or `refused` (over), or the kind of the error, `offline`, `hidden`, `woken`,
   * `draining` or `unauthorized` (it comes back, after `retryIn` milliseconds).
   */
  disconnected: { reason: string; retryIn?: number; error?: PollError };
  /** Messages were removed before they were read. */
  missed: Gap & { missed: number };
  /** The channel began anew; what follows does not continue what was read. */
  reset: Gap;
  /** The server's store is away: nothing comes before `resumed`. Streams only. */
  stalled: {};
  resumed: {};
  /** The channel is closed and all of it was delivered. */
  ended: {};
  /** `auto` uses a lower pattern, because `reason` (the kind of the error). The upper one is tried again later. */
  fallback: { from: Pattern; to: Pattern; reason: ErrorKind };
  state: { state: State; before: State; event: string };
}

export interface PublishOptions {
  /** Default: the first of the client's channels. */
  channel?: string;
  /** The idempotency key. Default: a random one, the same for each attempt. */
  key?: string;
  signal?: AbortSignal;
}

export interface Published {
  channel: string;
  id: number;
  cursor: string;
  uuid?: string;
  timestamp?: string;
}

export interface Step {
  step: number;
  total: number;
  message?: string;
  /** Ends the job. */
  status?: 'done' | 'failed';
}

export interface Progress extends Step {
  percentage: number;
  timestamp: string;
}

export interface Job extends AsyncIterable<Progress> {
  readonly name: string;
  report(step: Step): Promise<Published>;
  stop(): void;
}

/** A client that waits on the channel under a name. */
export interface PresentClient {
  id: string;
  /** RFC 3339: the start of its first wait. */
  since: string;
}

export interface Present {
  channel: string;
  count: number;
  /** The first of them by name; a server lists at most 1 000. */
  clients: PresentClient[];
}

/** `present` comes first, and again when joins or leaves were missed: all present clients, which replace what was known. */
export type PresenceChange =
  | { event: 'present'; count: number; clients: PresentClient[] }
  | { event: 'join' | 'leave'; id: string; at: string };

export interface Presence extends AsyncIterable<PresenceChange> {
  readonly channel: string;
  /** Asks once. */
  list(signal?: AbortSignal): Promise<Present>;
  /** Ends the loops. */
  stop(): void;
}

export declare class PollClient<T = any> implements AsyncIterable<Message<T>> {
  /**
   * `url`: the server's address, relative to the page's; `localhost:8080` means `http://localhost:8080`. Throws a
   * `TypeError` that says what is wrong with an address, an option or a value of one.
   */
  constructor(url: string | URL, options?: Options);
  readonly state: State;
  readonly channels: readonly string[];
  /** Gives a function that ends the listening. Throws a `TypeError` if there is no such event. */
  on<E extends keyof Events<T>>(event: E, listener: (value: Events<T>[E]) => void): () => void;
  off<E extends keyof Events<T>>(event: E, listener: (value: Events<T>[E]) => void): void;
  start(): this;
  /** The position is kept: `start()` goes on from there. */
  stop(): void;
  /** Starts the client. Leaving the loop stops it, if it was this loop that started it. */
  [Symbol.asyncIterator](): AsyncGenerator<Message<T>, void, void>;
  /**
   * Resolves once the server has the message. Sent again, with the same key, until it is answered: after 200 s the
   * promise is rejected, and whether the message was published is not known unless the error is `fatal`.
   */
  publish(content: unknown, options?: PublishOptions): Promise<Published>;
  job(name: string): Job;
  /** Who is present on a channel, by default the first of the client's. The server must keep presence (`--presence`). */
  presence(channel?: string): Presence;
}

/** By state, what leads to which other. */
export declare const STATES: Readonly<Record<State, Readonly<Record<string, State>>>>;
