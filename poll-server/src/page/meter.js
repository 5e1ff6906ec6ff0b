// What the lanes' clients use in place of `fetch` and `EventSource`: it measures each request, and can be cut.
//
// A request is a record: when it began and ended, bytes up and down, messages. Windows of one browser share the
// connection, so each change of a record is told to the others, and all of them draw the same.
//
// What is measured: bodies and an answer's fields as they came. What is reckoned: the request's head (a script does not
// see the fields that the browser adds), the frames of chunks, and the head of an EventSource's answer. transferSize of
// Resource Timing does not help: browsers give the body and a constant 300 for the head. Heads are counted as HTTP/1.1
// writes them.

import { clock } from './clock.js';

const encoder = new TextEncoder();
const sizeOf = (text) => encoder.encode(text).length;
const CHUNK_END = 4;

/** The fields that this browser adds to a request by a script of this page. */
function ownFields(accept) {
  const { userAgentData, userAgent, languages } = navigator;
  const fields = {
    Host: location.host,
    Connection: 'keep-alive',
    Pragma: 'no-cache',
    'Cache-Control': 'no-cache',
    'User-Agent': userAgent,
    Accept: accept,
    'Sec-Fetch-Site': 'same-origin',
    'Sec-Fetch-Mode': 'cors',
    'Sec-Fetch-Dest': 'empty',
    'Accept-Encoding': 'gzip, deflate, br, zstd',
    'Accept-Language': [...languages].map((language, at) => (at ? `${language};q=0.${10 - at}` : language)).join(),
  };
  if (userAgentData) {
    fields['sec-ch-ua'] = userAgentData.brands.map(({ brand, version }) => `"${brand}";v="${version}"`).join(', ');
    fields['sec-ch-ua-mobile'] = userAgentData.mobile ? '?1' : '?0';
    fields['sec-ch-ua-platform'] = `"${userAgentData.platform}"`;
  }
  return Object.entries(fields);
}

/** Bytes of a head: its first line, its fields, and the empty line. */
function headSize(line, fields) {
  return fields.reduce((sum, [name, value]) => sum + sizeOf(name) + sizeOf(value) + 4, sizeOf(line) + 4);
}

function requestSize(url, fields, accept = '*/*') {
  const { pathname, search } = new URL(url, location.href);
  const names = new Set(fields.map(([name]) => name.toLowerCase()));
  const added = ownFields(accept).filter(([name]) => !names.has(name.toLowerCase()));
  return headSize(`GET ${pathname}${search} HTTP/1.1`, [...fields, ...added]);
}

const responseSize = ({ status, statusText, headers }) => headSize(`HTTP/1.1 ${status} ${statusText}`, [...headers]);

/** The connection of all lanes, in this window and the others: up or cut. */
export class Line {
  #abort = new AbortController();
  isCut = false;

  get signal() {
    return this.#abort.signal;
  }

  cut() {
    this.isCut = true;
    this.#abort.abort(new TypeError('the connection is cut'));
  }

  restore() {
    this.isCut = false;
    this.#abort = new AbortController();
  }
}

export class Meter {
  #line;
  #told;
  #last = 0;
  #own = Math.random();
  /** The latest request. */
  record;
  /** Bytes of the latest heads: what an empty exchange costs, and how long its cursor is. */
  heads = 0;

  /** `told(record)` is called at each change. */
  constructor(line, told) {
    this.#line = line;
    this.#told = told;
  }

  #begin(path, up) {
    this.#last += 1;
    // On a cut line nothing leaves.
    const sent = this.#line.isCut ? 0 : up;
    this.record = { id: `${this.#own} ${this.#last}`, path, began: clock.local(), up: sent, down: 0, messages: 0, state: 'waiting' };
    this.#told(this.record);
    return this.record;
  }

  #change(record, change) {
    Object.assign(record, change);
    this.#told(record);
  }

  #end(record, state) {
    if (record.ended === undefined) this.#change(record, { ended: clock.local(), state });
  }

  /** The latest request brought a message. */
  gave() {
    const { record } = this;
    if (record) this.#change(record, { messages: record.messages + 1 });
  }

  fetch = async (url, init = {}) => {
    const { pathname } = new URL(url, location.href);
    const sent = [...new Headers(init.headers)];
    const record = this.#begin(pathname, requestSize(url, sent));
    const signal = AbortSignal.any([this.#line.signal, ...(init.signal ? [init.signal] : [])]);
    try {
      const response = await fetch(url, { ...init, signal });
      const head = responseSize(response);
      this.heads = record.up + head;
      this.#change(record, { down: head, state: 'open' });
      const isChunked = response.headers.has('transfer-encoding');
      return new Response(this.#counted(response.body, record, isChunked), response);
    } catch (error) {
      this.#end(record, 'failed');
      throw error;
    }
  };

  #counted(body, record, isChunked) {
    if (!body) {
      this.#end(record, 'done');
      return null;
    }
    const reader = body.getReader();
    const pull = async (controller) => {
      try {
        const { done, value } = await reader.read();
        if (done) {
          this.#end(record, 'done');
          controller.close();
          return;
        }
        const frame = isChunked ? value.length.toString(16).length + CHUNK_END : 0;
        this.#change(record, { down: record.down + value.length + frame });
        controller.enqueue(value);
      } catch (error) {
        this.#end(record, 'failed');
        controller.error(error);
      }
    };
    const cancel = (reason) => {
      this.#end(record, 'done');
      return reader.cancel(reason);
    };
    return new ReadableStream({ pull, cancel });
  }

  /** A class to use in place of EventSource. */
  get EventSource() {
    const begin = (url) => this.#begin('/api/stream', requestSize(url, [], 'text/event-stream'));
    const change = (record, more) => this.#change(record, more);
    const end = (record, state) => this.#end(record, state);
    const line = this.#line;
    return class extends MeteredSource {
      constructor(url, options) {
        super(url, options, { record: begin(url), line, change, end });
      }
    };
  }
}

// An answer's fields, which EventSource does not show, as this server writes them.
const STREAM_FIELDS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
  vary: 'Accept',
  date: 'Thu, 01 Jan 1970 00:00:00 GMT',
  'keep-alive': 'timeout=75',
  'transfer-encoding': 'chunked',
};

/** EventSource with a meter, which fails when the line is cut. */
class MeteredSource extends EventTarget {
  #source;
  #meter;
  #cut = () => this.#fail();
  onerror = null;

  constructor(url, options, meter) {
    super();
    this.#meter = meter;
    const { line, record, change } = meter;
    if (line.isCut) {
      queueMicrotask(this.#cut);
      return;
    }
    line.signal.addEventListener('abort', this.#cut, { once: true });
    this.#source = new EventSource(url, options);
    this.#source.onopen = () => change(record, { down: headSize('HTTP/1.1 200 OK', Object.entries(STREAM_FIELDS)), state: 'open' });
    this.#source.onerror = this.#cut;
    for (const type of ['message', 'connected', 'reset', 'closed']) this.#source.addEventListener(type, (event) => this.#heard(event));
  }

  #heard({ type, data, lastEventId }) {
    const { record, change } = this.#meter;
    const name = type === 'message' ? '' : `event: ${type}\n`;
    const size = sizeOf(`${name}id: ${lastEventId}\ndata: ${data}\n\n`);
    change(record, { down: record.down + size + size.toString(16).length + CHUNK_END });
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId }));
  }

  #fail() {
    this.#leave('failed');
    this.onerror?.(new Event('error'));
  }

  close() {
    this.#leave('done');
  }

  #leave(state) {
    const { line, record, end } = this.#meter;
    line.signal.removeEventListener('abort', this.#cut);
    this.#source?.close();
    end(record, state);
  }
}
