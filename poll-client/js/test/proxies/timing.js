// How much later things come through a proxy than straight from poll, measured side by side in one process: each message
// is awaited on both ways before the next one is published, so that nothing on the way waits for more.

import http from 'node:http';
import { until } from '../real/server.js';

const MESSAGES = 11;
const REQUESTS = 7;

export const median = (numbers) => [...numbers].sort((one, other) => one - other)[numbers.length >> 1];

/** One request to its end: its status, its body and the milliseconds that it took. */
export function ask(address, { method = 'GET', headers = {}, agent = false } = {}) {
  const begun = performance.now();
  return new Promise((done, fail) => {
    const request = http.request(address, { method, headers, agent }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (text) => (body += text));
      answer.on('end', () => done({ status: answer.statusCode, body, took: performance.now() - begun, at: performance.now() }));
      answer.on('error', fail).on('aborted', () => fail(new Error(`cut after ${Math.round(performance.now() - begun)} ms: ${address}`)));
    });
    request.on('error', fail).end();
  });
}

/** An open stream: `head`, the milliseconds to its first byte, and `arrival(text)`, when that came. */
async function openStream(address, accept) {
  const begun = performance.now();
  const stream = { text: '', arrivals: new Map() };
  const answer = await new Promise((done, fail) => {
    stream.request = http.get(address, { headers: { accept }, agent: false }, done).on('error', fail);
  });
  stream.head = performance.now() - begun;
  answer.setEncoding('utf8').on('error', () => {});
  answer.on('data', (text) => {
    const at = performance.now();
    stream.text += text;
    for (const [wanted, tell] of stream.arrivals) {
      if (!stream.text.includes(wanted)) continue;
      stream.arrivals.delete(wanted);
      tell(at);
    }
  });
  stream.arrival = (wanted) => new Promise((tell) => stream.arrivals.set(wanted, tell));
  return stream;
}

const publish = (address, channel, content) => ask(`${address}/api/message?channel=${channel}&content=${content}`, { method: 'POST' });

let channels = 0;

/** Milliseconds behind direct access, in the median: of the first byte, and of each message. */
export async function compare(direct, proxied) {
  const figures = { 'first byte': await shortPolls(direct, proxied) };
  for (const [name, accept] of [['stream', '*/*'], ['SSE', 'text/event-stream']]) {
    const { head, message } = await streams(direct, proxied, accept);
    figures['first byte'] = Math.max(figures['first byte'], head);
    figures[name] = message;
  }
  figures['long poll'] = await longPolls(direct, proxied);
  return figures;
}

/** Work on each way, one after the other, and in turn the other one first: the second finds everything warm. */
async function both(time, [direct, proxied], work) {
  if (time % 2) return [await work(proxied), await work(direct)].reverse();
  return [await work(direct), await work(proxied)];
}

async function shortPolls(direct, proxied) {
  const later = [];
  for (let time = 0; time < REQUESTS; time += 1) {
    const [one, other] = await both(time, [direct, proxied], (address) => ask(`${address}/api/poll?channel=none`));
    later.push(other.took - one.took);
  }
  return median(later);
}

async function streams(direct, proxied, accept) {
  const heads = [];
  let pair;
  const channel = `timed-${(channels += 1)}`;
  for (let time = 0; time < REQUESTS; time += 1) {
    for (const { request } of pair ?? []) request.destroy();
    pair = await both(time, [direct, proxied], (address) => openStream(`${address}/api/stream?channel=${channel}`, accept));
    heads.push(pair[1].head - pair[0].head);
  }
  await until(() => pair.every(({ text }) => text.includes('connected')), 'both streams are open');
  const later = [];
  for (let number = 0; number < MESSAGES; number += 1) {
    const arrivals = pair.map((stream) => stream.arrival(`"text-${number}-"`));
    await publish(direct, channel, `text-${number}-`);
    const [one, other] = await Promise.all(arrivals);
    later.push(other - one);
  }
  for (const { request } of pair) request.destroy();
  return { head: median(heads), message: median(later) };
}

async function longPolls(direct, proxied) {
  const channel = `timed-${(channels += 1)}`;
  const agent = new http.Agent({ keepAlive: true });
  let { cursor } = JSON.parse((await ask(`${direct}/api/poll?channel=${channel}`)).body);
  const later = [];
  for (let number = 0; number < MESSAGES; number += 1) {
    const polls = [direct, proxied].map((address) => ask(`${address}/api/longpoll?channel=${channel}&cursor=${cursor}&timeout=40`, { agent }));
    const waits = async () => /poll_waiters\{pattern="long"\} 2\b/.test((await ask(`${direct}/metrics`)).body);
    await until(waits, 'both polls wait');
    await publish(direct, channel, number);
    const [one, other] = await Promise.all(polls);
    later.push(other.at - one.at);
    ({ cursor } = JSON.parse(one.body));
  }
  agent.destroy();
  return median(later);
}
