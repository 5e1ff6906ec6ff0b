// What a client is given: what works by habit works, and what does not exist is said when the client is made.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf } from '../../src/options.js';
const { PollClient } = await import(process.env.POLL_JS ?? '../../src/index.js');

test('the address of the server: whole, relative to the page, or a host and a port', () => {
  const page = { href: 'https://example.org/app/page.html?a=b' };
  const table = [
    ['localhost:8080', undefined, 'http://localhost:8080/'],
    ['localhost:8080', page, 'http://localhost:8080/'],
    ['127.0.0.1:8080/poll', undefined, 'http://127.0.0.1:8080/poll/'],
    ['[::1]:8080', page, 'http://[::1]:8080/'],
    ['http://a.test', undefined, 'http://a.test/'],
    ['https://a.test:1/b/', page, 'https://a.test:1/b/'],
    [new URL('http://a.test/b'), page, 'http://a.test/b/'],
    ['/', page, 'https://example.org/'],
    ['/poll', page, 'https://example.org/poll/'],
    ['poll', page, 'https://example.org/app/poll/'],
    ['//a.test', page, 'https://a.test/'],
  ];
  for (const [given, location, address] of table) assert.equal(addressOf(given, location).href, address, String(given));
});

test('what is no address of a server is refused at once', () => {
  for (const given of ['/', 'poll', 'ftp://a.test', 'ws://a.test', 'mailto:a@b.test', 'http://', undefined, null, {}]) {
    assert.throws(() => new PollClient(given), { name: 'TypeError', message: `not the address of a server: ${given}` });
  }
});

test('what does not exist is refused, with what was probably meant', () => {
  const make = (options) => () => new PollClient('http://a.test', options);
  const on = (event) => () => new PollClient('http://a.test').on(event, () => {});
  const table = [
    [make({ channels: ['a'] }), 'no option channels: did you mean channel?'],
    [make({ maxRetry: 5 }), 'no option maxRetry: did you mean maxRetries?'],
    [make({ retries: undefined }), 'no option retries: did you mean maxRetries?'],
    [make({ eventsource: class {} }), 'no option eventsource: did you mean EventSource?'],
    [make({ getstate: () => {} }), 'no option getstate: did you mean getState?'],
    [make({ onmessage: () => {} }), /^no option onmessage: there are channel, pattern, from, /],
    [make({ pattern: 'longPoll' }), 'no pattern longPoll: did you mean longpoll?'],
    [make({ pattern: 'toString' }), /^no pattern toString: there are auto, stream, sse, longpoll, shortpoll$/],
    [make({ hidden: 'paused' }), 'no value of hidden paused: did you mean pause?'],
    [make({ pattern: 'sse', headers: {} }), 'EventSource sends no headers'],
    [on('messages'), 'no event messages: did you mean message?'],
    [on('disconnect'), 'no event disconnect: did you mean disconnected?'],
    [on('open'), /^no event open: there are message, error, /],
  ];
  for (const [work, message] of table) assert.throws(work, { name: 'TypeError', message });
});

test('an option that is undefined is one that is not given', () => {
  assert.deepEqual(new PollClient('http://a.test', { channel: undefined, token: undefined }).channels, ['default']);
});
