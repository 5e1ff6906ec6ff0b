// The live page: one log read by every pattern, and what each costs and how late it is.
//
// Connections are the client's (poll.js), here as for every other page. No build step, nothing from elsewhere.

import { PollClient } from './poll.js';
import { Arrivals } from './arrivals.js';
import { chat } from './chat.js';
import { Cost, Latency, costSaid } from './charts.js';
import { clock } from './clock.js';
import { DEMO_CHANNEL, Demo } from './demo.js';
import { jobs } from './job.js';
import { Lane, PATTERNS, SHORT_POLL_MS } from './lane.js';
import { Line } from './meter.js';
import { PushLane, pushSaid } from './push.js';
import { terminal } from './terminal.js';
import { byId, copyButton, counted, query, say, showMs } from './words.js';

const DRAW_MS = 250;
const CROWDED_MS = 3000;
const CONNECTIONS_OF_A_BROWSER = 6;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;

// A server that asks for tokens is opened as /#token=T: a fragment is never sent and appears in no server's log.
const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? undefined;
const parameters = new URLSearchParams(location.search);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- the stage ------------------------------------------------------------------------------------------------

const line = new Line();
const session = { channels: [], turn: 0, simulated: 0 };
const isDemo = (channel) => channel === DEMO_CHANNEL && !session.channels.includes(channel);

/** What lanes say. */
const heard = {
  message(lane, message, latency) {
    if (message.channel === DEMO_CHANNEL) demo.heard();
    know(message);
    arrivals.arrived(lane, message, latency);
    lane.track.arrive(`${message.channel}#${message.id}`);
    changed.add(lane);
  },
  gap: (lane, channel, text) => arrivals.note(`${lane.title}: ${text} in ${channel}`),
  record: (lane, record) => windows.postMessage({ about: session.channels.join('\n'), lane: lane.key, record }),
  refused(lane, error) {
    if (error.channels?.every(isDemo)) return;
    if (error.channels) say(`This token may not read ${error.channels.join(', ')}.`, 'bad');
    else say(error.status === 401 || error.status === 403 ? 'This server asks for a token: open the page as /#token=…' : `${lane.title}: ${error.message}.`, 'bad');
  },
  drawn: () => showLink(),
};

const lanes = PATTERNS.map((pattern) => new Lane(pattern, { line, heard, where: byId('lanes') }));
const push = new PushLane(byId('lanes'));
const arrivals = new Arrivals(lanes);
const latency = new Latency([...lanes, push]);
const cost = new Cost([...lanes, push]);
const changed = new Set();

/** A message is known to be in the log: it is expected in every lane. */
function know(message) {
  if (!arrivals.know(message, isDemo(message.channel))) return;
  const key = `${message.channel}#${message.id}`;
  for (const lane of lanes) if (!['failed', 'ended', 'resting'].includes(lane.state)) lane.track.expect(key);
  push.play(key);
}

function showLink() {
  const states = lanes.map(({ state }) => state);
  const live = states.filter((state) => state === 'live').length;
  const state = live === states.length ? 'live' : ['cut', 'retrying', 'failed'].find((one) => states.includes(one)) ?? states[0];
  const link = byId('link');
  link.dataset.state = state;
  link.textContent = live === states.length ? 'all live' : live ? `${live} of ${states.length} live` : state;
}

// One clock for all pictures. Who wants less motion gets a picture a second.
const still = matchMedia('(prefers-reduced-motion: reduce)');
function frame() {
  const now = clock.local();
  for (const { timeline } of [...lanes, push]) timeline.frame(now);
  if (still.matches) setTimeout(frame, 1000);
  else requestAnimationFrame(frame);
}

setInterval(() => {
  for (const lane of changed) latency.draw(lane);
  changed.clear();
  cost.draw();
}, DRAW_MS);

// ---- channels -------------------------------------------------------------------------------------------------

/** Where the channels end now: a stream says so in its first line, and is left again. */
async function endOf(channels) {
  const leave = new AbortController();
  try {
    const sent = clock.local();
    const headers = { Accept: 'application/x-ndjson', ...(token && { Authorization: `Bearer ${token}` }) };
    const response = await fetch(query('/api/stream', channels), { headers, signal: leave.signal });
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw Object.assign(new Error(problem.detail ?? `status ${response.status}`), { status: response.status });
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('\n')) {
      const { done, value } = await reader.read();
      if (done) throw new Error('the stream was cut');
      text += value;
    }
    const { cursor, timestamp } = JSON.parse(text.slice(0, text.indexOf('\n')));
    clock.learn(sent, timestamp);
    return cursor;
  } finally {
    leave.abort();
  }
}

/** A browser opens six connections to a host by HTTP/1.1, over all its windows: says so if they are taken. */
async function sayIfCrowded(turn) {
  await wait(CROWDED_MS);
  if (turn !== session.turn || document.hidden || lanes.every(({ state }) => state === 'live')) return;
  const { held } = (await navigator.locks?.query()) ?? { held: [] };
  if (held.filter(({ name }) => name.startsWith('poll ')).length < CONNECTIONS_OF_A_BROWSER) return;
  say('A browser opens six connections to a server by HTTP/1.1, and other windows hold them. Close one, or give it the same channels.', 'bad');
}

/** All lanes begin at the same place, so that they can be compared. */
async function listenTo(channels) {
  session.turn += 1;
  const { turn } = session;
  session.channels = channels;
  terminal(channels, token);
  sayIfCrowded(turn);
  arrivals.clear();
  demo.isRefused = false;
  const all = [...new Set([...channels, DEMO_CHANNEL])];
  for (let pause = FIRST_RETRY_MS; turn === session.turn; pause = Math.min(LAST_RETRY_MS, pause * 2)) {
    try {
      const cursor = await endOf(all);
      if (turn === session.turn) for (const lane of lanes) lane.follow(all, cursor, token);
      return;
    } catch (error) {
      if ([401, 403].includes(error.status)) say('This server asks for a token: open the page as /#token=…', 'bad');
      else if (error.status === 400) say(`${error.message}.`, 'bad');
      else say('The server does not answer; trying again.', 'bad');
      await wait(pause);
    }
  }
}

const named = (text) => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

byId('channel').addEventListener('change', () => {
  const channels = named(byId('channel').value);
  if (!channels.length || channels.join() === session.channels.join()) return;
  history.replaceState(null, '', query('/', channels) + location.hash);
  listenTo(channels);
});

copyButton(() => new URL(query('/', session.channels), location.href).href, '', byId('share'));

// ---- publishing -----------------------------------------------------------------------------------------------

// By way of no lane, so that it goes on while these are cut.
const publisher = new PollClient('/', { token, maxRetries: 3 });

async function publish(content, channel) {
  const sent = clock.local();
  const answer = await publisher.publish(content, { channel });
  clock.learn(sent, answer.timestamp);
  know({ ...answer, content });
  return { answer, took: clock.local() - sent };
}

async function publishAll(contents) {
  const [channel] = session.channels;
  try {
    let last;
    for (const content of contents) last = await publish(content, channel);
    const what = contents.length > 1 ? `${contents.length} messages` : `#${last.answer.id}`;
    say(`Published ${what} to ${channel}${contents.length > 1 ? '' : ` in ${showMs(last.took)}`}.`, 'good');
  } catch (error) {
    say(`Not published: ${error.message}.`, 'bad');
  }
}

byId('publish').addEventListener('submit', async (event) => {
  event.preventDefault();
  const field = byId('content');
  const text = field.value || (byId('json').checked ? '{"hello":"world"}' : 'Hello, everyone');
  let content = text;
  if (byId('json').checked) {
    try {
      content = JSON.parse(text);
    } catch {
      say('That is not JSON.', 'bad');
      field.focus();
      return;
    }
  }
  await publishAll([content]);
  field.select();
});

byId('burst').addEventListener('click', () => publishAll(Array.from({ length: 10 }, (_, at) => `burst ${at + 1} of 10`)));

// ---- the demonstration ----------------------------------------------------------------------------------------

const demo = new Demo({
  publish: (text) => publish(text, DEMO_CHANNEL),
  // Once the page is up; a lane that is cut later is no reason to be silent.
  isReady: () => line.isCut || lanes.some(({ messages }) => messages) || lanes.every(({ state }) => ['live', 'failed', 'ended'].includes(state)),
  // Drawn with the usual delays, hollow, and counted nowhere.
  simulate() {
    session.simulated += 1;
    const key = `simulated ${session.simulated}`;
    byId('demo-said').textContent = 'This server does not let this page publish, so the demonstration is only drawn: hollow dots that are counted nowhere.';
    for (const lane of lanes) {
      lane.track.expect(key, 'hollow');
      setTimeout(() => {
        lane.track.arrive(key);
        lane.timeline.message(clock.local(), 'hollow');
      }, lane.key === 'short' ? Math.random() * SHORT_POLL_MS : 5);
    }
    push.play(key);
  },
});

function showPlay() {
  byId('play').dataset.playing = String(demo.isPlaying);
  byId('play').querySelector('.word').textContent = demo.isPlaying ? 'Pause' : 'Play';
  byId('demo-said').textContent = demo.isPlaying
    ? `The page publishes a demonstration every three seconds, on the channel ${DEMO_CHANNEL} and no other.`
    : 'The demonstration is paused.';
}

byId('play').addEventListener('click', () => {
  if (demo.isPlaying) demo.pause();
  else demo.play();
  showPlay();
});

// ---- cut and restore ------------------------------------------------------------------------------------------

// The window that has the connection may be another, so all of this browser are cut together.
const windows = new BroadcastChannel('poll page');

function setCut(isCut, whose) {
  if (isCut === line.isCut) return;
  const since = clock.local();
  if (isCut) line.cut();
  else line.restore();
  document.body.classList.toggle('cut', isCut);
  byId('cut').textContent = isCut ? 'Restore the connection' : 'Cut the connection';
  if (isCut) {
    lanes.forEach((lane) => lane.cut());
    say(`${whose} cut the lanes’ connection. What is published now waits in the log.`);
    return;
  }
  say('Restored: each lane goes on from its cursor.');
  // The clients wait before they try again, unless the browser says that the network is back.
  window.dispatchEvent(new Event('online'));
  summarise(since);
}

/** Says what came late, once every lane is up again. */
async function summarise(since) {
  while (clock.local() - since < LAST_RETRY_MS && !line.isCut) {
    await wait(DRAW_MS);
    // They began at the same place, so they are level when they have had as many messages.
    if (lanes.every(({ state }) => state === 'live') && new Set(lanes.map(({ messages }) => messages)).size === 1) break;
  }
  if (line.isCut) return;
  const faults = lanes.reduce((sum, { lost, doubled }) => sum + lost + doubled, 0);
  const outcome = faults ? `${counted(faults, 'message')} lost or doubled` : 'nothing lost or doubled';
  say(`Restored, ${outcome}. Caught up: ${lanes.map((lane) => lane.resumption).join(', ')}.`, faults ? 'bad' : 'good');
}

byId('cut').addEventListener('click', () => {
  setCut(!line.isCut, 'This page');
  windows.postMessage({ isCut: line.isCut });
});
window.addEventListener('pagehide', () => line.isCut && windows.postMessage({ isCut: false }));

windows.addEventListener('message', ({ data }) => {
  if ('isCut' in data) setCut(data.isCut, 'Another window');
  else if (data.about === session.channels.join('\n')) lanes.find(({ key, isFollowing }) => key === data.lane && isFollowing)?.takeRecord(data.record);
});

// ---- begin ----------------------------------------------------------------------------------------------------

const protocol = performance.getEntriesByType('navigation')[0]?.nextHopProtocol;
const spoken = { 'http/1.1': 'HTTP/1.1', h2: 'HTTP/2', h3: 'HTTP/3' }[protocol];
if (spoken) byId('protocol').textContent = `this page: ${spoken}`;
byId('cost-said').textContent = costSaid(protocol);
byId('push-said').textContent = pushSaid;
if (token) byId('chat-window').hash = location.hash;

const isChatOnly = parameters.get('view') === 'chat';
document.body.classList.toggle('chat-only', isChatOnly);
chat(isChatOnly ? 1 : 2, token);
if (!isChatOnly) {
  const given = [...new Set(parameters.getAll('channel').filter(Boolean))];
  const channels = given.length ? given : ['default'];
  byId('channel').value = channels.join(' ');
  jobs(token);
  frame();
  listenTo(channels);
  if (!still.matches) demo.play();
  showPlay();
}
