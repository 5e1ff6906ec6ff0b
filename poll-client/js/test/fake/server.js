// A server in memory that says what the wire says, behind a `fetch`; with faults on demand.
//
// It is a model to test against, not an implementation: no limits, no dialects.

const HEARTBEAT = 15_000;

export class Server {
  channels = new Map();
  /** Each request: path, query and headers. */
  requests = [];
  /** Responses that are still open. */
  open = new Set();
  /** How many responses were open at once, at most. */
  most = 0;
  /** `(request) => Response | Error | undefined`: what is answered instead. */
  intercept = () => undefined;
  /** 'streams' or 'all': what is not passed on before it is whole. */
  holds;
  isDown = false;
  retained = Infinity;
  token;
  /** By channel, the names of those who are present; a server that keeps no presence has none. */
  present;

  constructor(clock) {
    this.clock = clock;
  }

  channel(name) {
    if (!this.channels.has(name)) this.channels.set(name, { epoch: '0'.repeat(16), gone: 0, messages: [], isClosed: false });
    return this.channels.get(name);
  }

  publish(name, content, more) {
    const channel = this.channel(name);
    if (channel.epoch === '0'.repeat(16)) channel.epoch = this.#newEpoch();
    const id = channel.gone + channel.messages.length + 1;
    this.micros = Math.max((this.micros ?? 0) + 1, this.clock.now() * 1000);
    channel.messages.push({ id, uuid: `uuid-${name}-${id}`, content, timestamp: rfc3339(this.micros), ...more });
    while (channel.messages.length > this.retained) {
      channel.messages.shift();
      channel.gone += 1;
    }
    this.#wake();
    return { id, cursor: cursorOf(channel.epoch, id) };
  }

  close(name) {
    this.channel(name).isClosed = true;
    this.#wake();
  }

  /** All is forgotten: channels are born anew. */
  forget() {
    this.channels.clear();
    this.cut();
  }

  #epochs = 0;

  #newEpoch() {
    this.#epochs += 1;
    return `e${String(this.#epochs).padStart(15, '0')}`;
  }

  /** Breaks every open response. */
  cut(why = new TypeError('the connection was cut')) {
    for (const response of [...this.open]) response.fail(why);
  }

  #wake() {
    for (const response of [...this.open]) response.look();
  }

  fetch = async (url, init = {}) => {
    const { pathname, searchParams } = new URL(url);
    const request = { path: pathname, query: searchParams, headers: new Headers(init.headers), method: init.method ?? 'GET', body: init.body };
    this.requests.push(request);
    if (init.signal?.aborted) throw init.signal.reason;
    if (this.isDown) throw new TypeError('fetch failed');
    const instead = await this.intercept(request);
    if (instead instanceof Error) throw instead;
    if (instead) return instead;
    if (this.token && request.headers.get('authorization') !== `Bearer ${this.token}`) {
      return problem(401, 'Unauthorized');
    }
    if (pathname === '/api/message') return this.#post(request);
    if (pathname === '/api/poll') return this.#poll(request);
    if (pathname === '/api/longpoll') return this.#wait(request, init);
    if (pathname === '/api/stream') return this.#stream(request, init);
    if (pathname === '/api/presence' && this.present) return this.#present(request);
    return problem(404, 'Not Found');
  };

  #present({ query }) {
    const channel = query.get('channel');
    const clients = (this.present[channel] ?? []).map((id) => ({ id, since: rfc3339(0) }));
    return json({ channel, count: clients.length, clients }, 200);
  }

  keys = new Map();

  #post({ query, headers, body }) {
    const key = headers.get('idempotency-key');
    const known = this.keys.get(key);
    if (known) return json(known, 200);
    const content = headers.get('content-type') === 'application/json' ? JSON.parse(body) : body;
    const name = query.get('channel') ?? 'default';
    if (this.channel(name).isClosed) return problem(409, 'Conflict');
    const answer = { channel: name, ...this.publish(name, content) };
    this.keys.set(key, answer);
    return json(answer, 201);
  }

  /** What a request asks for: where it stands in each channel, and what is to be told about that. */
  #question({ query }) {
    const names = [...new Set(query.getAll('channel'))];
    const isList = names.length > 1;
    const given = query.get('cursor');
    const lastId = query.get('last_id');
    if (isList && lastId !== null) throw new Error('last_id with several channels');
    const parts = given && isList ? JSON.parse(atob(given)) : {};
    const places = names.map((name) => {
      const token = isList ? parts[name] : given;
      const place = { name, epoch: undefined, seq: 0, isReset: false, missed: 0, isBlank: !token && lastId === null };
      if (token) [place.epoch, place.seq] = [token.slice(0, 16), Number(token.slice(16))];
      else if (lastId !== null) place.seq = Number(lastId);
      return place;
    });
    return { isList, places };
  }

  #resolve(place) {
    const channel = this.channel(place.name);
    const isUnborn = place.epoch === undefined || place.epoch === '0'.repeat(16);
    if (!isUnborn && place.epoch !== channel.epoch) {
      [place.isReset, place.seq] = [true, channel.gone];
    }
    place.epoch = channel.epoch;
    if (place.seq < channel.gone) {
      place.missed = channel.gone - place.seq;
      place.seq = channel.gone;
    }
    return channel.messages.filter(({ id }) => id > place.seq);
  }

  #cursor({ isList, places }) {
    if (!isList) return cursorOf(places[0].epoch, places[0].seq);
    return btoa(JSON.stringify(Object.fromEntries(places.map((place) => [place.name, cursorOf(place.epoch, place.seq)]))));
  }

  /** The messages after the question's places, in the order of their times; moves the places. */
  #read(question, limit = 1000) {
    const found = question.places.flatMap((place) => this.#resolve(place).map((message) => ({ place, message })));
    found.sort((a, b) => (a.message.timestamp < b.message.timestamp ? -1 : 1));
    return found.slice(0, limit);
  }

  #isOver({ places }) {
    return places.every(({ name, seq }) => {
      const { isClosed, gone, messages } = this.channel(name);
      return isClosed && seq >= gone + messages.length;
    });
  }

  #answer(question, time) {
    const messages = this.#read(question).map(({ place, message }) => {
      place.seq = message.id;
      return question.isList ? { channel: place.name, ...message } : message;
    });
    const answer = { messages, count: messages.length, cursor: this.#cursor(question) };
    const missed = question.places.filter((place) => place.missed);
    const resets = question.places.filter((place) => place.isReset);
    if (missed.length) answer.missed = question.isList ? missed.map(({ name, missed }) => ({ channel: name, missed })) : missed[0].missed;
    if (resets.length) answer.reset = question.isList ? resets.map(({ name }) => name) : true;
    if (this.#isOver(question)) answer.closed = true;
    return { ...answer, [time]: rfc3339(this.clock.now() * 1000) };
  }

  #poll(request) {
    const question = this.#question(request);
    const asked = question.places.map(({ seq }) => seq).join();
    const answer = this.#answer(question, 'polled_at');
    const tag = `W/"${asked}-${answer.cursor}-${answer.closed}"`;
    if (request.headers.get('if-none-match') === tag) return new Response(null, { status: 304 });
    return json(answer, 200, { etag: tag });
  }


  #wait(request, { signal }) {
    const question = this.#question(request);
    const wait = Number(request.query.get('timeout')) * 1000;
    return new Promise((resolve, reject) => {
      const finish = (settle) => (value) => {
        this.clock.clearTimeout(timer);
        this.open.delete(response);
        settle(value);
      };
      const done = finish(resolve);
      const response = {
        path: '/api/longpoll',
        fail: finish(reject),
        look: () => {
          const before = question.places.map((place) => ({ ...place }));
          const answer = this.#answer(question, 'timestamp');
          if (answer.count || answer.closed) return done(json(answer));
          question.places.forEach((place, at) => Object.assign(place, { ...before[at], epoch: before[at].epoch }));
        },
      };
      const timer = this.clock.setTimeout(() => done(json(this.#answer(question, 'timestamp'))), wait - Math.min(1000, wait / 30));
      signal?.addEventListener('abort', () => response.fail(signal.reason));
      this.#opened(response);
      response.look();
    });
  }

  #opened(response) {
    this.open.add(response);
    this.most = Math.max(this.most, this.open.size);
  }

  #stream(request, { signal }) {
    const question = this.#question(request);
    for (const place of question.places) {
      const channel = this.channel(place.name);
      if (place.isBlank) place.seq = channel.gone + channel.messages.length;
      place.told = false;
    }
    const encoder = new TextEncoder();
    // What a proxy that buffers keeps back for now.
    const held = [];
    let controller;
    let timer;
    const response = {
      path: '/api/stream',
      fail: (why) => this.#end(response, timer, () => controller.error(why)),
      /** A line that is about the server and no message. */
      say: (type) => line({ type, cursor: this.#cursor(question) }),
      end: (reason) => {
        line({ type: 'closed', reason, cursor: this.#cursor(question) });
        this.#end(response, timer, () => controller.close());
      },
      look: () => {
        for (const { place, message } of this.#read(question)) {
          gap(place);
          place.seq = message.id;
          const { id, content, timestamp, ...more } = message;
          delete more.uuid;
          line({ type: 'update', counter: id, id, message: content, cursor: this.#cursor(question), timestamp, ...more, ...of(place) });
        }
        for (const place of question.places) gap(place);
        if (this.#isOver(question)) response.end('ended');
      },
    };
    const of = ({ name }) => (question.isList ? { channel: name } : {});
    const gap = (place) => {
      if (place.missed || place.isReset) line({ type: 'reset', missed: place.missed || undefined, cursor: this.#cursor(question), ...of(place) });
      [place.missed, place.isReset] = [0, false];
    };
    const line = (value) => {
      held.push(encoder.encode(`${JSON.stringify(value)}\n`));
      if (!this.holds) for (const piece of held.splice(0)) controller.enqueue(piece);
      this.clock.clearTimeout(timer);
      timer = this.clock.setTimeout(() => line({ type: 'heartbeat', cursor: this.#cursor(question) }), HEARTBEAT);
    };
    const body = new ReadableStream({ start: (given) => (controller = given), cancel: () => this.#end(response, timer, () => {}) });
    for (const place of question.places) this.#resolve(place);
    line({ type: 'connected', client_id: 'c', cursor: this.#cursor(question), timestamp: rfc3339(this.clock.now() * 1000) });
    this.#opened(response);
    signal?.addEventListener('abort', () => response.fail(signal.reason));
    response.look();
    return new Response(body, { headers: { 'content-type': 'application/x-ndjson' } });
  }

  #end(response, timer, last) {
    this.clock.clearTimeout(timer);
    if (this.open.delete(response)) last();
  }
}

function cursorOf(epoch, seq) {
  return epoch + String(seq).padStart(16, '0');
}

function rfc3339(micros) {
  return new Date(Math.floor(micros / 1000)).toISOString().replace('Z', `${String(micros % 1000).padStart(3, '0')}Z`);
}

export function json(value, status = 200, headers = {}) {
  return new Response(JSON.stringify(value), { status, headers: { 'content-type': 'application/json', ...headers } });
}

export function problem(status, title, headers = {}) {
  return new Response(JSON.stringify({ type: 'about:blank', title, status, detail: title }), {
    status,
    headers: { 'content-type': 'application/problem+json', ...headers },
  });
}
