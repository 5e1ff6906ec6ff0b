// The built client in Deno: `DENO` says how it is called.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RealServer } from '../real/server.js';

const [program, ...words] = (process.env.DENO ?? 'deno').split(' ');

test('in Deno', async () => {
  const server = await RealServer.start();
  const script = fileURLToPath(new URL('program.js', import.meta.url));
  // A host and a port, as people type it.
  const child = spawn(program, [...words, 'run', '--allow-net', script, new URL(server.address).host], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  const [code] = await once(child, 'exit');
  await server.close();
  assert.equal(code, 0);
  assert.equal(said, ['auto', 'stream', 'sse', 'longpoll', 'shortpoll'].map((pattern) => `${pattern} 1,2,3,4,5 50,100\n`).join(''));
});
