// The page of every example in a real Chromium: it opens, does its one thing, and the console stays empty.
//
// Run by `examples.rs`, which says where the built examples are.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { Chromium } from '../../../../poll-client/js/test/browser/chromium.js';
import { until } from '../../../../poll-client/js/test/real/server.js';

const EXAMPLES = process.env.EXAMPLES ?? new URL('../../../../target/debug/examples', import.meta.url).pathname;
let browser;

before(async () => (browser = await Chromium.start()));
after(() => browser.close());

/** A running example. */
class Example {
  static async start(name, ...more) {
    const example = new Example();
    Object.assign(example, { name, more, port: 0 });
    await example.up();
    return example;
  }

  /** Starts it, on the port that it had before. */
  async up() {
    this.child = spawn(join(EXAMPLES, this.name), [this.port, ...this.more], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface({ input: this.child.stdout })) {
      const [, port] = line.match(/^open http:\/\/127\.0\.0\.1:(\d+)\/$/) ?? assert.fail(line);
      this.port = Number(port);
      this.child.stdout.resume();
      return;
    }
    assert.fail(`${this.name} did not start`);
  }

  async kill() {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }

  url(path) {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** A tab at a path, which keeps what its console is told in `faults`. */
  async open(path = '/') {
    const tab = await browser.tab('about:blank');
    // Before anything of the page runs.
    const source = `window.faults = [];
      for (const kind of ['error', 'warn']) console[kind] = (...told) => faults.push(told.join(' '));
      addEventListener('error', ({ message, target }) => faults.push(message ?? 'cannot load ' + (target.href ?? target.src)), true);
      addEventListener('unhandledrejection', ({ reason }) => faults.push(String(reason)));`;
    await tab.send('Page.enable');
    await tab.send('Page.addScriptToEvaluateOnNewDocument', { source });
    await tab.send('Page.navigate', { url: this.url(path) });
    const isLoaded = () => tab.run(() => location.protocol === 'http:' && document.readyState === 'complete').catch(() => false);
    await until(isLoaded, `the page of ${this.name}`);
    const shows = (what, ms) =>
      until(async () => (await tab.run(() => document.body?.innerText ?? '').catch(() => '')).includes(what), () => `${this.name} shows ${what}`, ms);
    const isLive = () => tab.run(() => /^live/.test(document.querySelector('#state')?.value)).catch(() => false);
    return { ...tab, shows, live: () => until(isLive, `${this.name} is live`) };
  }
}

/** A test of one example's page: at its path it shows a text, and does what `work` asks of it. */
function page(name, path, shown, work) {
  test(name, async () => {
    const example = await Example.start(name);
    try {
      const tab = await example.open(path);
      await tab.shows(shown);
      await work(tab, example);
      assert.deepEqual(await tab.run(() => faults), []);
      for (const width of [320, 1280]) {
        await tab.send('Emulation.setDeviceMetricsOverride', { width, height: 700, deviceScaleFactor: 1, mobile: width < 400 });
        await until(() => tab.run((width) => innerWidth === width, width), 'the width');
        assert.equal(await tab.run(() => document.documentElement.scrollWidth), width, 'nothing is wider than the window');
      }
      const icon = await fetch(example.url(await tab.run(() => new URL(document.querySelector('link[rel=icon]').href).pathname)));
      assert.equal(icon.status, 200, 'the icon is there');
      await tab.close();
    } finally {
      await example.kill();
    }
  });
}

const click = (tab, text) =>
  tab.run((text) => [...document.querySelectorAll('button, a')].find((one) => one.innerText === text).click(), text);

const submit = (tab, id, text) =>
  tab.run((id, text) => {
    const field = document.getElementById(id);
    field.value = text;
    field.dispatchEvent(new Event('input'));
    field.form.requestSubmit();
  }, id, text);

page('basic', '/', 'On the farm', async (tab) => {
  await tab.live();
  await tab.shows('went');
});

page('advanced', '/', 'Who are you?', async (tab, example) => {
  await click(tab, 'alice');
  await tab.live();
  const bob = await example.open('/as/bob');
  await click(tab, 'waves');
  await bob.shows('alice waves');
  await tab.run(() => document.getElementById('is-public').click());
  await click(tab, 'sings');
  await tab.shows('alice sings');
  await click(bob, 'leaves');
  await bob.shows('bob leaves');
  assert.ok(!(await bob.run(() => document.body.innerText)).includes('alice sings'));
  await bob.close();
});

page('chat', '/', 'You are', async (tab, example) => {
  const other = await example.open();
  await submit(tab, 'text', '<b>hello</b>');
  await other.shows('<b>hello</b>');
  await submit(other, 'text', 'hello yourself');
  await tab.shows('hello yourself');
  await fetch(example.url('/messages'), { method: 'POST', body: '{"body":"from curl"}' });
  await tab.shows('from curl');
  await other.close();
});

page('dashboard', '/', 'Memory', async (tab) => {
  await tab.live();
  await tab.shows('The charts show the last 3 s');
  assert.match(await tab.run(() => document.querySelector('#tiles b').innerText), /^\d+\.\d %$/);
});

page('form_validation', '/', 'User name', async (tab, example) => {
  await tab.live();
  const type = (tab, text) =>
    tab.run((text) => {
      const field = document.getElementById('name');
      field.value = text;
      field.dispatchEvent(new Event('input'));
    }, text);
  await type(tab, 'admin');
  await tab.shows('It is taken.');
  await type(tab, 'zoe');
  await tab.shows('It is free.');
  const other = await example.open();
  await type(other, 'zoe');
  await other.shows('It is free.');
  await click(other, 'Take it');
  await other.shows('zoe is yours.');
  await tab.shows('It was taken a moment ago.');
  await other.close();
});

page('notifications', '/', 'Who are you?', async (tab, example) => {
  await click(tab, 'I am Ann');
  await tab.live();
  const notify = (user, body) => fetch(example.url(`/notify/${user}`), { method: 'POST', body });
  await notify('bob', 'not for Ann');
  await notify('ann', 'Tea is ready');
  await tab.shows('Tea is ready');
  assert.ok(!(await tab.run(() => document.body.innerText)).includes('not for Ann'));
  assert.equal(await tab.run(() => document.getElementById('count').innerText), '1');
  await click(tab, 'Mark as read');
  await tab.reload();
  await until(() => tab.run(() => document.querySelectorAll('#list li').length === 1), 'the list');
  assert.equal(await tab.run(() => document.getElementById('count').innerText), '');
});

page('progress', '/', 'Run 1', async (tab) => {
  await tab.shows('100 %');
  await click(tab, 'Count again');
  await tab.shows('Run 2');
  await until(() => tab.run(() => [...document.querySelectorAll('progress')].every((bar) => bar.value === 100)), 'both bars');
});

page('report_job', '/', 'Word report', async (tab) => {
  await submit(tab, 'text', 'the cat and the dog');
  await tab.shows('The report is there');
  await until(() => tab.run(() => document.getElementById('report').innerText.startsWith('the')), 'the report');
});

page('scoreboard', '/', 'Red', async (tab, example) => {
  await tab.live();
  const other = await example.open();
  await other.shows('Gold');
  await tab.run(() => [...document.querySelectorAll('li')].find((line) => line.innerText.startsWith('Gold')).querySelector('button').click());
  const leader = () => document.querySelector('#table li').innerText.replaceAll(/\s+/g, ' ');
  for (const one of [tab, other]) await until(async () => (await one.run(leader)) === 'Gold 1 Goal!', 'Gold leads');
  await other.close();
});

test('llm_stream: reloads, a second tab, a tab that was away and a killed server leave the text whole', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'poll-llm-'));
  const example = await Example.start('llm_stream', join(folder, 'disturbed'));
  // What the same model says when nothing disturbs it.
  const calm = await Example.start('llm_stream', join(folder, 'calm'));
  try {
    const [tab, undisturbed] = [await example.open(), await calm.open()];
    for (const one of [tab, undisturbed]) {
      await one.live();
      await submit(one, 'prompt', 'Is it whole?');
      await one.shows('Is it whole?');
      await submit(one, 'prompt', 'And the second one?');
    }
    const texts = (one) => one.run(() => [...document.querySelectorAll('.answer')].map((answer) => answer.textContent)).catch(() => []);
    const reach = (one, length) => until(async () => (await texts(one))[0]?.length > length, `${length} characters`);
    await reach(tab, 100);
    const second = await example.open();
    await reach(second, 150);
    await second.reload();
    const away = await example.open();
    await reach(away, 180);
    await away.freeze(true);
    await reach(tab, 200);
    await example.kill();
    await example.up();
    await reach(tab, 300);
    await away.freeze(false);
    const late = await example.open();
    const isDone = (one) => one.run(() => document.querySelectorAll('.answer').length === 2 && !document.querySelector('.live'));
    for (const one of [tab, second, away, late, undisturbed]) await until(() => isDone(one).catch(() => false), 'both answers', 90_000);
    const whole = await texts(undisturbed);
    assert.match(whole[0], /^You ask: “Is it whole\?” .{300,}$/);
    for (const one of [tab, second, away, late]) assert.deepEqual(await texts(one), whole);
    assert.deepEqual(await late.run(() => faults), []);
  } finally {
    await Promise.all([example.kill(), calm.kill()]);
    await rm(folder, { recursive: true, force: true });
  }
});
