// The table of states: what it promises by itself, and that a client does what each row says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATES } from '../../src/states.js';
import { settle } from '../fake/clock.js';
import { Browser } from '../fake/browser.js';
import { problem } from '../fake/server.js';
import { World } from '../fake/world.js';

const FINAL = ['idle', 'ended', 'failed', 'stopped'];

test('every state can be reached, and every state that is not final can be stopped', () => {
  const reached = new Set(['idle']);
  for (const state of reached) for (const next of Object.values(STATES[state])) reached.add(next);
  assert.deepEqual([...reached].sort(), Object.keys(STATES).sort());
  for (const [state, row] of Object.entries(STATES)) {
    if (FINAL.includes(state)) assert.deepEqual(Object.keys(row), ['start'], state);
    else assert.equal(row.stop, 'stopped', state);
  }
});

// A scene is one client that shares with other tabs, and everything that can happen to it.
class Scene {
  world = new World();
  browser = new Browser(this.world.clock);

  constructor() {
    this.surroundings = this.browser.page();
    this.world.server.publish('a', 1);
    this.heard = this.world.client({ hidden: 'pause', retryDelay: 8000, pattern: 'stream', start: false }, this.surroundings);
    this.client = this.heard.client;
  }

  advance(ms = 50) {
    return this.world.clock.advance(ms);
  }

  until(state) {
    return this.world.clock.until(() => this.client.state === state, 120_000, 10);
  }

  show(visibilityState) {
    const { document } = this.surroundings;
    document.visibilityState = visibilityState;
    document.dispatchEvent(new Event('visibilitychange'));
  }

  /** Requests hang until they are released. */
  hold() {
    const { server } = this.world;
    server.intercept = () => new Promise((release) => (this.release = release));
  }

  letGo(answer) {
    this.world.server.intercept = () => answer;
    this.release?.(answer);
  }

  async otherTab() {
    const surroundings = this.browser.page();
    this.other = { ...this.world.client({ pattern: 'stream' }, surroundings), page: surroundings.page };
    await this.world.clock.until(() => this.other.client.state === 'open', 10_000, 10);
  }
}

const reach = {
  idle: async () => {},
  joining: async (scene) => {
    // The lock of the connection is held by a page that says nothing.
    const held = scene.browser.page();
    scene.surroundings.locks.request = (name, options, run) => {
      scene.name = name;
      if (!options.steal && !scene.blocker) scene.blocker = held.locks.request(name, {}, () => new Promise((free) => (scene.free = free)));
      scene.lock = run;
      return held.locks.request(name, options, run);
    };
    scene.client.start();
    await scene.world.clock.until(() => scene.blocker, 1000, 1);
    await settle();
  },
  following: async (scene) => {
    await scene.otherTab();
    scene.client.start();
    await scene.until('following');
    await scene.advance();
  },
  connecting: async (scene) => {
    scene.hold();
    scene.client.start();
    await scene.until('connecting');
    await scene.world.clock.until(() => scene.release, 1000, 1);
  },
  open: async (scene) => {
    scene.client.start();
    await scene.until('open');
  },
  waiting: async (scene) => {
    scene.world.server.isDown = true;
    scene.client.start();
    await scene.until('waiting');
  },
  paused: async (scene) => {
    scene.client.start();
    await scene.until('open');
    scene.show('hidden');
    await scene.until('paused');
  },
  ended: async (scene) => {
    scene.client.start();
    await scene.until('open');
    scene.world.server.close('a');
    await scene.until('ended');
  },
  failed: async (scene) => {
    scene.world.server.intercept = () => problem(403, 'Forbidden');
    scene.client.start();
    await scene.until('failed');
  },
  stopped: async (scene) => {
    scene.client.start();
    await scene.until('open');
    scene.client.stop();
  },
};

const refuse = (scene) => scene.letGo(problem(403, 'Forbidden'));

const make = {
  start: (scene) => scene.client.start(),
  stop: (scene) => scene.client.stop(),
  lead: (scene, state) => (state === 'joining' ? scene.free() : scene.browser.close(scene.other.page)),
  follow: async (scene, state) => {
    if (state === 'joining') return scene.surroundings.page.ports.forEach((port) => port.onmessage({ data: { from: 'x', term: 1, number: 0, items: [] } }));
    // Another tab takes the lock and says that it leads.
    const thief = scene.browser.page();
    const [port] = scene.surroundings.page.ports;
    thief.locks.request(port.name, { steal: true }, () => new Promise(() => {})).catch(() => {});
  },
  open: (scene) => {
    scene.world.server.intercept = () => undefined;
    scene.release(undefined);
  },
  lose: (scene, state) => {
    if (state === 'connecting') scene.letGo(new TypeError('broken'));
    else scene.world.server.cut();
  },
  retry: (scene) => scene.advance(30_000),
  reopen: (scene) => scene.surroundings.window.dispatchEvent(new Event('online')),
  pause: (scene) => scene.show('hidden'),
  resume: (scene) => scene.show('visible'),
  end: (scene, state) => {
    if (state === 'joining') return endedByLeader(scene);
    scene.world.server.close('a');
    if (state === 'connecting') make.open(scene);
  },
  fail: async (scene, state) => {
    if (state === 'connecting') return refuse(scene);
    if (state === 'joining' || state === 'following') {
      // What it lacks cannot be fetched.
      scene.world.server.intercept = () => problem(403, 'Forbidden');
      const leader = state === 'joining' ? 'x' : 'y';
      const data = { from: leader, term: 9e15, number: 7, items: [], cursor: 'z' };
      return scene.surroundings.page.ports.forEach((port) => port.onmessage({ data }));
    }
    scene.world.server.intercept = () => problem(403, 'Forbidden');
    scene.world.server.cut();
  },
};

function endedByLeader(scene) {
  const data = { from: 'x', term: 9e15, number: 7, items: [{ type: 'ended' }], cursor: 'z' };
  scene.surroundings.page.ports.forEach((port) => port.onmessage({ data }));
}

for (const [state, row] of Object.entries(STATES)) {
  for (const [event, next] of Object.entries(row)) {
    test(`a client that is ${state} becomes ${next} by ${event}`, async () => {
      const scene = new Scene();
      await reach[state](scene);
      assert.equal(scene.client.state, state);
      const before = scene.heard.events.length;
      await make[event](scene, state);
      const taken = () =>
        scene.heard.events.slice(before).some((said) => said.type === 'state' && said.event === event && said.state === next);
      await scene.world.clock.until(taken, 120_000, 10);
      const said = scene.heard.events.slice(before).filter(({ type, before }) => type === 'state' && before);
      assert.ok(said.some((step) => step.before === state || STATES[state][step.event]), `${state} ${event}`);
      scene.client.stop();
      scene.other?.client.stop();
    });
  }
}
