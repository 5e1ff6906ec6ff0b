// The live page: four readers of one channel or several, each by another pattern, and someone to publish.
// Everything that came over the wire is shown through textContent only. No build step, no dependencies.
'use strict';

(() => {
  const SHORT_POLL_PAUSE_MS = 2000;
  const LONG_POLL_SECONDS = 25;
  const FIRST_BACKOFF_MS = 500;
  const LAST_BACKOFF_MS = 15000;
  const LINES_SHOWN = 6;
  const LATENCIES_KEPT = 60;

  const byId = (id) => document.getElementById(id);
  const encoder = new TextEncoder();

  // ---- time -------------------------------------------------------------------------------------------------

  /** The server's clock as seen from here: the offset measured over the quickest of the last exchanges. */
  const clock = {
    samples: [],
    offset: 0,
    local: () => performance.timeOrigin + performance.now(),
    now() { return this.local() + this.offset; },
    learn(sent, received, serverTime) {
      if (!Number.isFinite(serverTime)) return;
      this.samples.push({ trip: received - sent, offset: serverTime - (sent + received) / 2 });
      if (this.samples.length > 12) this.samples.shift();
      const best = this.samples.reduce((a, b) => (b.trip < a.trip ? b : a));
      // Less than half the round trip is no difference that could be told from none.
      this.offset = Math.abs(best.offset) > best.trip / 2 ? best.offset : 0;
      byId('clock').textContent = this.offset
        ? `this clock and the server’s differ by ${showMs(Math.abs(this.offset))}, which is allowed for`
        : `this clock and the server’s agree within ${showMs(best.trip / 2)}`;
    },
  };

  /** RFC 3339 with any number of fraction digits, as milliseconds. `Date.parse` alone would cut microseconds. */
  function parseTime(text) {
    const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(String(text));
    return parts ? Date.parse(parts[1] + parts[3]) + Number(parts[2] || 0) * 1000 : NaN;
  }

  function pause(ms, signal) {
    return new Promise((resolve) => {
      if (signal.aborted) { resolve(); return; }
      const done = () => { clearTimeout(timer); signal.removeEventListener('abort', done); resolve(); };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
    });
  }

  /** Exponential, capped, with full jitter above a floor: clients of one server must not come back in step. */
  function backoff(failures, retryAfterSeconds) {
    const ceiling = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures);
    return (retryAfterSeconds || 0) * 1000 + ceiling * (0.3 + 0.7 * Math.random());
  }

  // ---- words ------------------------------------------------------------------------------------------------

  function showMs(ms) {
    if (!Number.isFinite(ms)) return '–';
    if (ms < 1) return '< 1 ms';
    if (ms < 10) return `${ms.toFixed(1)} ms`;
    return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  }

  function showBytes(count) {
    if (count < 1024) return `${count} B`;
    return count < 1048576 ? `${(count / 1024).toFixed(1)} KB` : `${(count / 1048576).toFixed(1)} MB`;
  }

  function showContent(content) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    return text.length > 300 ? `${text.slice(0, 300)}…` : text;
  }

  function shellWord(text) {
    return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  }

  function median(values) {
    if (!values.length) return NaN;
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function query(path, parameters) {
    const entries = Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
      .filter(([, value]) => value !== null && value !== '');
    return `${path}?${new URLSearchParams(entries)}`;
  }

  // A server that asks for tokens is opened as /#token=T: a fragment is sent to nobody and stands in no server's log.
  const token = new URLSearchParams(location.hash.slice(1)).get('token');

  /** Where to ask; EventSource can set no header, so the token goes as a parameter, everywhere alike. */
  function target(path, parameters) {
    return query(path, { ...parameters, access_token: token });
  }

  // ---- asking -----------------------------------------------------------------------------------------------

  class Refused extends Error {
    constructor(status, detail, retryAfter) {
      super(detail || `status ${status}`);
      Object.assign(this, { status, retryAfter });
    }
  }

  /** An answer that is fine, or an error that says why not. */
  async function ask(path, options) {
    const response = await fetch(path, options);
    if (response.ok) return response;
    let detail = '';
    try {
      const problem = await response.json();
      detail = problem.detail || problem.title || problem.error || '';
    } catch { /* not every refusal has a JSON body */ }
    const retryAfter = Number(response.headers.get('Retry-After'));
    throw new Refused(response.status, detail, Number.isFinite(retryAfter) ? retryAfter : 0);
  }

  /** JSON lines as they come; a line may be split anywhere, also inside a character. */
  async function* jsonLines(response, count) {
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        count(value.byteLength);
        const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
        rest = lines.pop();
        for (const line of lines) if (line.trim()) yield JSON.parse(line);
      }
      if (rest.trim()) yield JSON.parse(rest);
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  // ---- the last message, by every pattern -------------------------------------------------------------------

  const race = {
    last: null,
    arrivals: new Map(),
    rows: new Map(),
    add(lane, title) {
      const row = element('div');
      row.dataset.lane = lane;
      const value = element('dd');
      const track = element('span', 'track');
      const bar = element('span', 'bar');
      const label = element('span', 'bar-label', '–');
      track.append(bar);
      value.append(track, label);
      row.append(element('dt', '', title), value);
      byId('race').append(row);
      this.rows.set(lane, { bar, label });
    },
    clear() {
      this.last = null;
      this.arrivals.clear();
      byId('race-what').textContent = 'none yet: publish one';
      this.draw();
    },
    arrived(lane, message, at, latency) {
      const name = `${message.channel || ''}#${message.id}`;
      if (this.last === null || at > this.last.at) {
        this.last = { name, at };
        this.arrivals.clear();
        byId('race-what').textContent = `${name}  ${showContent(message.content)}`;
      }
      if (name === this.last.name && !this.arrivals.has(lane)) this.arrivals.set(lane, latency);
      this.draw();
    },
    draw() {
      const longest = Math.max(1000, ...this.arrivals.values());
      for (const [lane, { bar, label }] of this.rows) {
        const ms = this.arrivals.get(lane);
        const share = ms === undefined ? 0 : Math.log1p(Math.max(0, ms) * 4) / Math.log1p(longest * 4);
        bar.style.inlineSize = `${(ms === undefined ? 0 : Math.max(2, share * 100)).toFixed(1)}%`;
        label.textContent = ms === undefined ? (this.last === null ? '–' : 'waiting') : showMs(ms);
        label.dataset.in = ms === undefined ? 'no' : 'yes';
      }
    },
  };

  // ---- a lane: one pattern, its figures and its place in the log -----------------------------------------------

  class Lane {
    constructor({ key, title, about, sample, round }) {
      Object.assign(this, { key, title, sample, round });
      this.view = byId('lane').content.firstElementChild.cloneNode(true);
      this.view.dataset.lane = key;
      this.view.querySelector('h3').textContent = title;
      this.view.querySelector('.about').textContent = about;
      this.pill = this.view.querySelector('.pill');
      this.list = this.view.querySelector('.messages');
      this.figures = Object.fromEntries(
        [...this.view.querySelectorAll('[data-figure]')].map((figure) => [figure.dataset.figure, figure]));
      byId('lanes').append(this.view);
      race.add(key, title);
    }

    /** Forgets everything and stands at `cursor` of the channels. */
    reset(channels, cursor) {
      Object.assign(this, { channels, cursor, messages: 0, requests: 0, bytes: 0, latencies: [], since: 0 });
      this.list.replaceChildren();
      this.view.querySelector('pre code').textContent = this.sample(channels);
      this.draw();
    }

    state(name) {
      this.pill.dataset.state = name;
      this.pill.textContent = name;
      this.current = name;
      showLink();
    }

    /** Asks again and again, from where it stands, until told to stop. */
    async run(signal) {
      let failures = 0;
      // What was published while nobody listened says nothing about latency.
      this.since = clock.now();
      const well = () => { failures = 0; if (!signal.aborted) this.state('live'); };
      this.state('connecting');
      while (!signal.aborted) {
        try {
          const ended = await this.round(this, signal, well);
          if (ended) { this.state('ended'); return; }
        } catch (error) {
          if (signal.aborted) return;
          this.state('retrying');
          await pause(backoff(failures, error.retryAfter), signal);
          failures += 1;
          this.since = clock.now();
        }
      }
    }

    asked() { this.requests += 1; this.draw(); }
    read(count) { this.bytes += count; this.draw(); }

    take(message) {
      const sent = parseTime(message.timestamp);
      const latency = clock.now() - sent;
      this.messages += 1;
      const line = element('li');
      const live = sent >= this.since;
      line.append(
        element('span', 'seq', `${message.channel || ''}#${message.id}`),
        element('span', 'text', showContent(message.content)),
        element('span', 'when', live ? showMs(latency) : 'caught up'));
      line.title = String(message.timestamp);
      this.show(line);
      if (live) {
        this.latencies.push(Math.max(0, latency));
        if (this.latencies.length > LATENCIES_KEPT) this.latencies.shift();
        race.arrived(this.key, message, sent, latency);
      }
      this.draw();
    }

    /** The server began a new log, so its numbers begin again too. Of several channels, this one's. */
    startedAnew(channel) {
      this.note('the log started anew', channel);
      race.clear();
    }

    /** Messages that were no longer retained, or a log that started anew: told, not hidden. */
    note(text, channel) {
      const line = element('li');
      line.dataset.kind = 'note';
      line.append(element('span', 'seq', `${channel || ''}!`), element('span', 'text', text));
      this.show(line);
    }

    show(line) {
      this.list.prepend(line);
      while (this.list.children.length > LINES_SHOWN) this.list.lastElementChild.remove();
    }

    draw() {
      this.figures.messages.textContent = this.messages.toLocaleString();
      this.figures.requests.textContent = this.requests.toLocaleString();
      this.figures.median.textContent = showMs(median(this.latencies));
      this.figures.bytes.textContent = showBytes(this.bytes);
      const highest = Math.max(5, ...this.latencies);
      const step = 120 / Math.max(1, this.latencies.length - 1);
      const points = this.latencies.map((ms, i) => `${(i * step).toFixed(1)},${(26 - (ms / highest) * 23).toFixed(1)}`);
      this.view.querySelector('polyline').setAttribute('points', points.join(' '));
    }
  }

  // ---- the patterns: each is one round, and goes on from the lane's cursor --------------------------------------

  /** A poll's answer, short or long. Returns whether the channel has ended and all of it was read. */
  async function poll(lane, path, signal) {
    lane.asked();
    const sent = clock.local();
    const response = await ask(path, { signal, headers: { Accept: 'application/json' } });
    const received = clock.local();
    const text = await response.text();
    lane.read(encoder.encode(text).length);
    const answer = JSON.parse(text);
    // After a 304 the browser hands out the copy it kept, whose time is that of its making: seen before, so skipped.
    if (answer.polled_at && answer.polled_at !== lane.polledAt) {
      lane.polledAt = answer.polled_at;
      clock.learn(sent, received, parseTime(answer.polled_at));
    }
    // Of several channels these are lists.
    if (answer.reset) [answer.reset].flat().forEach((channel) => lane.startedAnew(channel === true ? '' : channel));
    [answer.missed || []].flat().forEach((gap) => lane.note(`${gap.missed || gap} no longer retained`, gap.channel));
    for (const message of answer.messages) lane.take(message);
    lane.cursor = answer.cursor;
    return Boolean(answer.closed) && answer.count === 0;
  }

  async function shortPoll(lane, signal, well) {
    const ended = await poll(lane, target('/api/poll', { channel: lane.channels, cursor: lane.cursor }), signal);
    well();
    if (!ended) await pause(SHORT_POLL_PAUSE_MS * (0.9 + 0.2 * Math.random()), signal);
    return ended;
  }

  async function longPoll(lane, signal, well) {
    // Nothing is heard from a poll that waits; that it is on its way is all there is to show.
    well();
    const path = target('/api/longpoll', { channel: lane.channels, cursor: lane.cursor, timeout: LONG_POLL_SECONDS });
    return poll(lane, path, signal);
  }

  /** One line of a stream, whichever way it came. Returns whether the channel has ended for good. */
  function streamLine(lane, line) {
    if (line.type === 'update') {
      lane.take({ ...line, content: line.message });
    } else if (line.type === 'reset') {
      if (line.missed) lane.note(`${line.missed} no longer retained`, line.channel); else lane.startedAnew(line.channel);
    }
    if (line.cursor) lane.cursor = line.cursor;
    return line.type === 'closed' && line.reason === 'ended';
  }

  async function stream(lane, signal, well) {
    lane.asked();
    const path = target('/api/stream', { channel: lane.channels, cursor: lane.cursor });
    const response = await ask(path, { signal, headers: { Accept: 'application/x-ndjson' } });
    if (response.status === 204) return true;
    well();
    for await (const line of jsonLines(response, (count) => lane.read(count))) {
      if (streamLine(lane, line)) return true;
    }
    // A stream that ends without the channel's end was drained or cut: go on elsewhere, after a breath.
    throw new Refused(response.status, 'the stream ended');
  }

  function serverSentEvents(lane, signal, well) {
    return new Promise((resolve, reject) => {
      // The browser reconnects by itself with Last-Event-ID; only when it gives up does the lane begin again.
      const source = new EventSource(target('/api/stream', { channel: lane.channels, cursor: lane.cursor }));
      const finish = (settle, value) => { source.close(); signal.removeEventListener('abort', stop); settle(value); };
      const stop = () => finish(resolve, false);
      signal.addEventListener('abort', stop);
      const heard = (event) => {
        // What the line took on the wire: its fields' names, ids and line ends beside the data.
        const named = event.type === 'message' ? 0 : event.type.length + 8;
        const id = event.type === 'message' ? event.lastEventId.length + 5 : 0;
        lane.read(encoder.encode(event.data).length + 8 + named + id);
        let line;
        try { line = JSON.parse(event.data); } catch { return; }
        if (streamLine(lane, line)) finish(resolve, true);
      };
      lane.asked();
      source.onopen = well;
      source.onmessage = heard;
      for (const type of ['connected', 'reset', 'closed']) source.addEventListener(type, heard);
      source.onerror = () => {
        if (source.readyState !== EventSource.CONNECTING && lanes.some((other) => other.current === 'ended')) {
          // 204 at the end of an ended channel looks like any refusal here; the other readers know better.
          finish(resolve, true);
        } else if (source.readyState === EventSource.CLOSED) {
          finish(reject, new Refused(0, 'the event source was refused'));
        } else {
          lane.state('retrying');
          lane.since = clock.now();
          lane.asked();
        }
      };
    });
  }

  const curl = (path, flags = '') => (channel) => `curl ${flags}'${location.origin}${query(path, { channel })}'`;

  const lanes = [
    {
      key: 'short', title: 'Short poll', round: shortPoll, sample: curl('/api/poll'),
      about: 'Asks every two seconds and is answered at once. Simple, cacheable, and as late as its interval.',
    },
    {
      key: 'long', title: 'Long poll', round: longPoll, sample: curl('/api/longpoll'),
      about: 'Asks, and the server answers when there is something to say. One request a message.',
    },
    {
      key: 'stream', title: 'Chunked stream', round: stream, sample: curl('/api/stream', '-N '),
      about: 'One request whose answer never ends: a line, and a chunk, for every message.',
    },
    {
      key: 'sse', title: 'Server-sent events', round: serverSentEvents,
      sample: curl('/api/stream', "-NH 'Accept: text/event-stream' "),
      about: 'The same stream as the browser’s own EventSource reads it; it reconnects and resumes by itself.',
    },
  ].map((pattern) => new Lane(pattern));

  // ---- running, pausing, changing channels -------------------------------------------------------------------

  const session = { channels: ['default'], abort: null, paused: false, placed: false };

  /** Where the channels end now: a stream says so in its first line, and is left again. */
  async function endOf(channels, signal) {
    const leave = new AbortController();
    const stop = () => leave.abort();
    signal.addEventListener('abort', stop);
    try {
      const response = await ask(target('/api/stream', { channel: channels }),
        { signal: leave.signal, headers: { Accept: 'application/x-ndjson' } });
      for await (const line of jsonLines(response, () => {})) {
        if (line.refused) say(`This token may not read ${line.refused.join(', ')}.`, 'bad');
        if (line.cursor) return line.cursor;
      }
      return null;
    } finally {
      leave.abort();
      signal.removeEventListener('abort', stop);
    }
  }

  function halt() {
    if (session.abort) session.abort.abort();
    session.abort = null;
    for (const lane of lanes) lane.state('paused');
  }

  function go() {
    if (session.abort || session.paused || document.hidden) return;
    if (!session.placed) { listenTo(session.channels); return; }
    const abort = new AbortController();
    session.abort = abort;
    for (const lane of lanes) lane.run(abort.signal);
  }

  /** All four begin at the same place, so that they can be compared. */
  async function listenTo(channels) {
    halt();
    Object.assign(session, { channels, placed: false });
    byId('push-command').textContent = `poll tail ${channels.map(shellWord).join(' ')} --pattern push\n`
      + `nghttp -v '${location.origin}${query('/api/push', { channel: channels })}'`;
    const abort = new AbortController();
    session.abort = abort;
    for (let failures = 0; !abort.signal.aborted; failures += 1) {
      for (const lane of lanes) lane.state('connecting');
      try {
        const cursor = await endOf(channels, abort.signal);
        if (abort.signal.aborted) return;
        race.clear();
        for (const lane of lanes) lane.reset(channels, cursor);
        session.placed = true;
        break;
      } catch (error) {
        if (abort.signal.aborted) return;
        for (const lane of lanes) lane.state('retrying');
        if ([401, 403].includes(error.status)) say('This server asks for a token: open the page as /#token=…', 'bad');
        else if (error.status === 400) say(error.message, 'bad');
        await pause(backoff(failures, error.retryAfter), abort.signal);
      }
    }
    if (session.abort !== abort) return;
    session.abort = null;
    for (const lane of lanes) lane.state('paused');
    go();
  }

  function showLink() {
    const states = lanes.map((lane) => lane.current);
    const live = states.filter((state) => state === 'live').length;
    const link = byId('link');
    const all = states.every((state) => state === states[0]);
    const state = all ? states[0] : states.includes('retrying') ? 'retrying' : live ? 'live' : 'connecting';
    const text = all && live ? 'all live' : live ? `${live} of ${states.length} live` : state;
    if (link.dataset.state === state && link.textContent === text) return;
    link.dataset.state = state;
    link.textContent = text;
  }

  byId('pause').addEventListener('click', () => {
    session.paused = !session.paused;
    byId('pause').setAttribute('aria-pressed', String(session.paused));
    byId('pause').textContent = session.paused ? 'Resume' : 'Pause';
    if (session.paused) halt(); else go();
  });

  // A browser has six HTTP/1.1 connections to a host, for all its tabs: a hidden one gives its own back.
  document.addEventListener('visibilitychange', () => { if (document.hidden) halt(); else go(); });
  window.addEventListener('pagehide', halt);
  window.addEventListener('pageshow', (event) => { if (event.persisted) go(); });

  // ---- publishing ---------------------------------------------------------------------------------------------

  function say(text, tone = '') {
    byId('said').dataset.tone = tone;
    byId('said').textContent = text;
  }

  async function publish(body, type) {
    const sent = clock.local();
    try {
      const path = target('/api/message', { channel: session.channels[0] });
      const response = await ask(path, { method: 'POST', body, headers: { 'Content-Type': type } });
      const received = clock.local();
      const answer = await response.json();
      clock.learn(sent, received, parseTime(answer.timestamp));
      const what = answer.messages ? `${answer.count} messages to #${answer.messages[answer.count - 1].id}` : `#${answer.id}`;
      const where = session.channels.length > 1 ? ` to ${session.channels[0]}` : '';
      say(`Published ${what}${where} in ${showMs(received - sent)}.`, 'good');
    } catch (error) {
      say(`Not published: ${error.message}.`, 'bad');
    }
  }

  byId('channel').addEventListener('change', () => {
    const channels = [...new Set(byId('channel').value.split(/[\s,]+/).filter(Boolean))];
    if (channels.length && channels.join() !== session.channels.join()) listenTo(channels);
  });

  byId('publish').addEventListener('submit', async (event) => {
    event.preventDefault();
    const field = byId('content');
    const text = field.value || (byId('json').checked ? '{"hello":"world"}' : 'Hello, everyone');
    if (byId('json').checked) {
      try { JSON.parse(text); } catch { say('That is not JSON.', 'bad'); field.focus(); return; }
    }
    await publish(text, byId('json').checked ? 'application/json' : 'text/plain;charset=utf-8');
    field.select();
  });

  byId('burst').addEventListener('click', () => {
    const lines = Array.from({ length: 10 }, (_, index) => JSON.stringify(`burst ${index + 1} of 10`));
    publish(lines.join('\n'), 'application/x-ndjson');
  });

  // ---- the job ------------------------------------------------------------------------------------------------

  byId('job-run').addEventListener('click', async () => {
    const [button, bar, said, log] = ['job-run', 'job-bar', 'job-said', 'job-log'].map(byId);
    const tell = (text, tone) => { said.textContent = text; said.dataset.tone = tone; };
    button.disabled = true; bar.value = 0; log.replaceChildren();
    tell('Started.', '');
    let status = '';
    try {
      const response = await ask(target('/api/progress', {}), { headers: { Accept: 'application/x-ndjson' } });
      for await (const line of jsonLines(response, () => {})) {
        const share = Number(line.percentage);
        if (Number.isFinite(share)) bar.value = share;
        tell(`${line.message || `Step ${line.step} of ${line.total}`}`, '');
        const entry = element('li');
        entry.append(
          element('span', 'seq', `${line.step}/${line.total}`),
          element('span', 'text', showContent(line.message || '')),
          element('span', 'when', `${Math.round(share) || 0} %`));
        log.prepend(entry);
        while (log.children.length > LINES_SHOWN - 2) log.lastElementChild.remove();
        status = line.status || '';
      }
      if (status === 'done') tell('Done: the answer ended with the job.', 'good');
      else if (status === 'failed') tell('The job failed.', 'bad');
      else tell('The answer ended before the job did.', 'bad');
    } catch (error) {
      tell(`Not followed to its end: ${error.message}.`, 'bad');
    } finally {
      button.disabled = false;
    }
  });

  // ---- begin --------------------------------------------------------------------------------------------------

  const [navigation] = performance.getEntriesByType('navigation');
  const spoken = { 'http/1.1': 'HTTP/1.1', h2: 'HTTP/2' }[navigation && navigation.nextHopProtocol];
  if (spoken) byId('protocol').textContent = `this page: ${spoken}`;
  for (const lane of lanes) lane.reset(session.channels, null);
  listenTo(session.channels);
})();
