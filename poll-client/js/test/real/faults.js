// Sixty faults: cuts at every stage of a request and its response, refusals, proxies' own answers, restarts.

const answer = (status, headers, body) =>
  `HTTP/1.1 ${status}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: keep-alive\r\n\r\n${body}`;
const expired = answer('401 Unauthorized', 'WWW-Authenticate: Bearer error="invalid_token"\r\n', '');
export const BAD_GATEWAY = answer('502 Bad Gateway', 'Content-Type: text/html\r\n', '<html><h1>502 Bad Gateway</h1></html>');

// Bytes of the response: none, in its first line, in its fields, around its first chunk, within messages.
const PLACES = [0, 1, 9, 12, 15, 40, 77, 120, 160, 200, 240, 260, 280, 290, 300, 310, 320, 340, 360, 380, 400, 430, 460, 500, 560, 640];

// What a pattern asks for.
const PATHS = { stream: '/api/stream', sse: '/api/stream', longpoll: '/api/longpoll', shortpoll: '/api/poll' };

/** Each: a name, and what it does to the proxy and the server (`world`). */
export const FAULTS = [
  ...PLACES.map((at) => [`cut after ${at} bytes`, ({ next }) => next({ kind: 'cut', at })]),
  ...PLACES.filter((_, index) => index % 2 === 0).map((at) => [`reset after ${at} bytes`, ({ next }) => next({ kind: 'cut', at, isReset: true })]),
  ['the request is not sent', ({ next }) => next({ kind: 'unsent' })],
  ['half the request is sent', ({ next }) => next({ kind: 'half request' })],
  ['a byte at a time', ({ next }) => next({ kind: 'drip' })],
  ...['408 Request Timeout', '425 Too Early', '500 Internal Server Error', '504 Gateway Timeout'].map((status) => [
    status, ({ next }) => next({ kind: 'answer', text: answer(status, '', '') }),
  ]),
  ['502 with a page', ({ next }) => next({ kind: 'answer', text: BAD_GATEWAY })],
  ['429 with Retry-After: 0', ({ next }) => next({ kind: 'answer', text: answer('429 Too Many Requests', 'Retry-After: 0\r\n', '') })],
  ['429 with Retry-After: 1', ({ next }) => next({ kind: 'answer', text: answer('429 Too Many Requests', 'Retry-After: 1\r\n', '') })],
  ['503 with a date', ({ next }) => next({ kind: 'answer', text: answer('503 Unavailable', `Retry-After: ${new Date(Date.now() + 1000).toUTCString()}\r\n`, '') })],
  ['401 of a token that has expired', ({ next }) => next({ kind: 'answer', text: expired })],
  ['a page of another server with 200', ({ next }) => next({ kind: 'answer', text: answer('200 OK', 'Content-Type: text/html\r\n', '<html>Please log in</html>\n') })],
  ['an empty 200', ({ next }) => next({ kind: 'answer', text: answer('200 OK', 'Content-Type: application/json\r\n', '') })],
  ['half of an answer', ({ next }) => next({ kind: 'answer', text: answer('200 OK', 'Content-Type: application/json\r\n', '{"messages":[{"id":') })],
  ['what is no HTTP', ({ next }) => next({ kind: 'answer', text: 'SSH-2.0-OpenSSH\r\n\r\n' })],
  ['502 five times', async ({ next, proxy }) => {
    const fault = { kind: 'answer', text: BAD_GATEWAY, isLasting: true };
    await next(fault, 5);
    proxy.fault = undefined;
  }],
  ['refused for a while', async ({ proxy, pause }) => {
    proxy.isRefusing = true;
    proxy.cut();
    await pause(100);
    proxy.isRefusing = false;
  }],
  ['cut three times', async ({ proxy, pause }) => {
    for (let time = 0; time < 3; time += 1) {
      proxy.cut();
      await pause(30);
    }
  }],
  ['the server is killed', async ({ server }) => {
    await server.down();
    await server.up();
  }],
  ['the server is killed and stays away for a while', async ({ server, pause }) => {
    await server.down();
    await pause(200);
    await server.up();
  }],
  ['the server is stopped in good order', async ({ server }) => {
    await server.down('SIGTERM');
    await server.up();
  }],
  ['the clock jumps ahead', ({ page }) => page.jump(3_600_000)],
  ['the clock jumps back', ({ page }) => page.jump(-3_600_000)],
  ['offline and online', async ({ page, pause }) => {
    await page.offline(true);
    await pause(50);
    await page.offline(false);
  }],
  ['offline, and the server is started anew meanwhile', async ({ page, server }) => {
    await page.offline(true);
    await server.down();
    await server.up();
    await page.offline(false);
  }],
  ['hidden and seen', async ({ page, pause }) => {
    await page.show('hidden');
    await pause(50);
    await page.show('visible');
  }],
  ['a sleep', async ({ page, pause }) => {
    await page.freeze(true);
    await pause(200);
    await page.freeze(false);
  }],
  ['a sleep in which the connection dies', async ({ page, proxy, pause }) => {
    await page.freeze(true);
    proxy.cut();
    await pause(200);
    await page.freeze(false);
  }],
  ['the token of what is open expires', async ({ next, current }) => {
    const used = await current();
    const line = '{"type":"closed","reason":"unauthorized"}\n';
    const text = {
      stream: answer('200 OK', 'Content-Type: application/x-ndjson\r\n', line),
      sse: answer('200 OK', 'Content-Type: text/event-stream\r\n', `event: closed\ndata: ${line}\n`),
    }[used];
    await next({ kind: 'answer', path: PATHS[used], text: text ?? expired });
  }],
  // Last, because `auto` then stays with what gets through.
  ['a proxy that buffers', async ({ next, pattern, current, proxy, told }) => {
    const used = await current();
    await next({ kind: 'hold', path: PATHS[used], isLasting: true });
    await told(pattern === 'auto' && used === 'stream' ? 'fallback' : 'error');
    proxy.fault = undefined;
    proxy.cut();
  }],
];
