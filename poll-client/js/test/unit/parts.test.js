// The small parts by themselves: backoff, lines, positions, the ladder, credentials.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff, retryAfter, CAP } from '../../src/backoff.js';
import { credentialOf } from '../../src/credential.js';
import { ladderFor } from '../../src/ladder.js';
import { linesOf } from '../../src/lines.js';
import { positionAt } from '../../src/position.js';
import { chance } from '../fake/clock.js';

test('backoff is uniform from nothing to a bound that doubles up to the cap', () => {
  for (let failures = 1; failures < 100; failures += 1) {
    const bound = Math.min(CAP, 1000 * 2 ** (failures - 1));
    assert.equal(backoff(failures, 1000, () => 0), 0);
    assert.equal(backoff(failures, 1000, () => 1), bound);
    assert.equal(backoff(failures, 1000, () => 0.5), bound / 2);
  }
});

test('Retry-After is a lower bound, in seconds or as a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const table = [
    [null, undefined], ['', undefined], ['soon', undefined], ['-1', undefined], ['0', 0], ['7', 7000],
    ['Thu, 01 Jan 2026 00:00:10 GMT', 10_000], ['Wed, 31 Dec 2025 00:00:00 GMT', undefined],
  ];
  for (const [field, expected] of table) assert.equal(retryAfter(field, now), expected, field);
  assert.equal(backoff(1, 1000, () => 0, 7000), 7000);
  assert.equal(backoff(9, 1000, () => 1, 7000), 8000);
  assert.equal(backoff(1, 1000, () => 0, 1e12), 86_400_000);
});

test('lines are the same however the bytes are cut', async () => {
  const lines = ['{"a":1}', '{"b":"ü€😀"}', '', '  ', '{"c":"' + 'x'.repeat(5000) + '"}', '{"last":true}'];
  const bytes = new TextEncoder().encode(lines.join('\n') + '\n{"never ended"');
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = chance(seed);
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; ) {
          const length = 1 + Math.floor(random() ** 3 * 3000);
          controller.enqueue(bytes.slice(at, at + length));
          at += length;
        }
        controller.close();
      },
    });
    const got = [];
    for await (const piece of linesOf(body)) got.push(...piece);
    assert.deepEqual(got, lines.filter((line) => line.trim()), `seed ${seed}`);
  }
});

test('a position knows what was given, what is missing and what a reset changes', () => {
  const position = positionAt();
  const at = (id, timestamp, channel = 'a') => ({ channel, id, timestamp });
  assert.ok(position.isNew(at(1, '2026-01-01T00:00:00.1Z')));
  position.passed(at(5, '2026-01-01T00:00:00.15Z'));
  assert.ok(!position.isNew(at(5, '2026-01-01T00:00:00.15Z')));
  assert.ok(!position.isNew(at(4, '2026-01-01T00:00:00.1Z')));
  assert.ok(position.isNew(at(6, '2026-01-01T00:00:00.2Z')));
  assert.ok(position.isNew(at(1, '2026-01-01T00:00:00.151Z')), 'born anew: a lower number and a later time');
  assert.ok(position.isNew(at(1, '2026-01-01T00:00:00Z', 'b')));
  assert.ok(!position.isBeyond(at(6, '')) && position.isBeyond(at(7, '')) && !position.isBeyond(at(9, '', 'b')));
  position.forget('a');
  assert.ok(position.isNew(at(1, '2026-01-01T00:00:00Z')));
});

test('a kept position that cannot be read is a first visit', () => {
  for (const text of ['', 'null', '{', '"x"', null]) {
    assert.equal(positionAt(undefined, { getItem: () => text }, 'k').cursor, undefined, text);
  }
  const forbidden = { getItem: () => { throw new Error('denied'); }, setItem: () => { throw new Error('full'); } };
  positionAt(undefined, forbidden, 'k').save();
});

test('the ladder: what leads down, what does not, and when it goes up', () => {
  const place = { time: 0, now: () => place.time, random: () => 0.5 };
  const down = (...failures) => {
    const ladder = ladderFor('auto', place);
    ladder.opened();
    for (const [kind, wasOpen, more] of failures) if (ladder.fell({ kind, ...more }, wasOpen)) return ladder.pattern;
    return ladder.pattern;
  };
  const table = [
    [[['buffered', false]], 'longpoll'],
    [[['unsupported', false]], 'longpoll'],
    [[['silent', true]], 'stream'],
    [[['silent', true], ['silent', true]], 'longpoll'],
    [[['network', true], ['network', true], ['network', true], ['network', true]], 'stream'],
    [[['network', false], ['network', false]], 'stream'],
    [[['network', false], ['network', false], ['network', false]], 'longpoll'],
    [[['http', false, { status: 429 }], ['http', false, { status: 429 }], ['http', false, { status: 429 }]], 'stream'],
    [[['http', false, { status: 503 }], ['http', false, { status: 503 }], ['http', false, { status: 503 }]], 'stream'],
    [[['http', false, { status: 502 }], ['http', false, { status: 502 }], ['http', false, { status: 502 }]], 'longpoll'],
  ];
  for (const [failures, pattern] of table) assert.equal(down(...failures), pattern, JSON.stringify(failures));

  const ladder = ladderFor('auto', place);
  const waits = [];
  for (let round = 0; round < 6; round += 1) {
    assert.ok(ladder.fell({ kind: 'buffered' }, false));
    assert.deepEqual(ladder.opened(), { from: 'stream', to: 'longpoll', reason: 'buffered' });
    const began = place.time;
    while (!ladder.isTimeToClimb) place.time += 1000;
    waits.push(place.time - began);
    ladder.climb();
    assert.equal(ladder.pattern, 'stream');
  }
  assert.deepEqual(waits, [60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);

  const fixed = ladderFor('longpoll', place);
  assert.equal(fixed.fell({ kind: 'buffered' }, false), false);
  assert.equal(fixed.pattern, 'longpoll');
});

test('a token: shared renewals, renewed early, and a wrong clock does not renew it each time', async () => {
  const place = { time: 1e12, now: () => place.time };
  const jwt = (exp) => `h.${Buffer.from(JSON.stringify({ sub: 'ü', exp, jti: Math.random() })).toString('base64url')}.s`;
  let calls = 0;
  let exp = 1e9 + 60;
  const credential = credentialOf(async () => (calls += 1) && jwt(exp), place);
  await Promise.all([credential.get(), credential.get()]);
  assert.equal(calls, 1);
  place.time += 49_000;
  await credential.get();
  assert.equal(calls, 1);
  place.time += 2000;
  await credential.get();
  assert.equal(calls, 2, 'renewed ten seconds before its end; the new one is over already, by this clock');
  await credential.get();
  assert.equal(calls, 2);
  credential.reject('another');
  await credential.get();
  assert.equal(calls, 2);
  credential.reject();
  exp += 600;
  await credential.get();
  assert.equal(calls, 3);
  const before = JSON.stringify(await credential.identity());
  credential.reject();
  assert.equal(JSON.stringify(await credential.identity()), before);
  assert.deepEqual(await credentialOf('opaque', place).identity(), { token: 'opaque' });
});
