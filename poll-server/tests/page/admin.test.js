// The page of administration in a real Chromium: what is on the server is on it, who is on a channel as they come and leave, a
// connection is cut from it, and it holds on every screen, without a word in the console.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RealServer, close, open, press, resize, startBrowser, until } from './browser.js';

let browser;
let server;

before(async () => {
  [browser, server] = await Promise.all([startBrowser(), RealServer.start('--admin-token', 'operator', '--presence')]);
});

after(async () => {
  await browser?.close();
  await server?.close();
});

const rowsOf = (tab, id) =>
  tab.run((id) => [...document.getElementById(id).rows].map(({ cells }) => [...cells].map(({ textContent }) => textContent)), id);
const textOf = (tab, id) => tab.run((id) => document.getElementById(id).textContent, id);

async function openAdmin(scheme) {
  const tab = await open(browser, 'about:blank', { 'color-scheme': scheme });
  await tab.send('Network.enable');
  const headers = { Authorization: `Basic ${btoa('me:operator')}` };
  await tab.send('Network.setExtraHTTPHeaders', { headers });
  await tab.send('Page.navigate', { url: `${server.address}/admin/` });
  await until(() => tab.run(() => document.getElementById('link')?.textContent === 'live'), 'what the server says');
  return tab;
}

test('shows channels, their messages and who waits, and cuts a connection', async () => {
  const markup = '<b>not bold</b>';
  await fetch(`${server.address}/api/message?channel=orders`, { method: 'POST', body: markup, headers: { 'content-type': 'text/plain' } });
  const waiting = fetch(`${server.address}/api/longpoll?channel=orders&last_id=1`, { headers: { 'x-client-id': 'ann' } }).then(
    () => 'answered',
    () => 'cut',
  );
  const tab = await openAdmin('light');
  const connection = async () => (await rowsOf(tab, 'connections')).find((cells) => cells[8] === 'long orders');
  await until(connection, 'the connection that waits');
  const [id, , client, protocol] = await connection();
  assert.deepEqual([client, protocol], ['ann', 'HTTP/1.1']);
  const [channel] = await rowsOf(tab, 'channels');
  assert.deepEqual(channel, ['orders', '1', '143 B', '1', '1', '0', '0', 'open']);
  assert.ok((await rowsOf(tab, 'memory')).length > 3);

  await tab.run(() => document.querySelector('#channels button').focus());
  await press(tab, 'Enter');
  await until(async () => (await textOf(tab, 'messages')).endsWith(markup), () => textOf(tab, 'messages-said'));

  await tab.run((id) => document.querySelector(`#connections tr[data-key="${id}"] button`).focus(), id);
  await press(tab, ' ', 'Space');
  await until(async () => (await textOf(tab, 'cut-said')) === `Connection ${id} is cut. Its client may come back.`, () => textOf(tab, 'cut-said'));
  assert.equal(await waiting, 'cut');
  await until(async () => !(await rowsOf(tab, 'connections')).some(([other]) => other === id), 'a list without it');
  await close(tab);
});

/** A client that waits on the channel under a name, until it is told to end. */
function come(channel, name) {
  const end = new AbortController();
  const streaming = fetch(`${server.address}/api/stream?channel=${channel}`, { headers: { 'x-client-id': name }, signal: end.signal });
  streaming.then((answer) => answer.text()).catch(() => {});
  return () => end.abort();
}

test('shows who is on a channel that is opened by the keyboard, as they come and leave', async () => {
  const [markup, room] = ['<i>ann</i>', 'room'];
  await fetch(`${server.address}/api/message?channel=${room}&content=x`, { method: 'POST' });
  const leave = come(room, markup);
  const tab = await openAdmin('dark');
  assert.equal(await tab.run(() => document.getElementById('present-panel').hidden), true);
  await until(() => tab.run(() => document.querySelector('#channels tr[data-key="room"]')), 'the channel');
  await tab.run(() => document.querySelector('#channels tr[data-key="room"] button').focus());
  await press(tab, 'Enter');
  const names = async () => (await rowsOf(tab, 'present')).map(([client]) => client).join();
  await until(async () => (await names()) === markup, names);
  assert.match((await rowsOf(tab, 'present'))[0][1], /^\d{4}-\d\d-\d\dT/);
  assert.equal(await textOf(tab, 'present-title'), `Present on ${room}`);
  assert.equal(await textOf(tab, 'present-said'), '1 in all.');
  const leaveToo = come(room, 'bob');
  await until(async () => (await names()) === `${markup},bob`, names);
  leave();
  // Ten seconds after its last wait.
  await until(async () => (await names()) === 'bob', names, 60_000);
  // The focus stayed where it was put, and a client's long name widens nothing.
  assert.equal(await tab.run(() => document.activeElement.id), 'messages-title');
  const leaveAll = [leaveToo, come(room, 'x'.repeat(256))];
  await until(async () => (await textOf(tab, 'present-said')) === '2 in all.', names);
  for (const width of [320, 768, 1280]) {
    await resize(tab, width);
    const page = await tab.run(() => document.documentElement.scrollWidth);
    assert.ok(page <= width, `${page} wide on ${width}`);
    const [cell, room] = await tab.run(() => {
      const cells = [...document.querySelectorAll('#present td')];
      return [Math.max(...cells.map(({ offsetWidth }) => offsetWidth)), document.getElementById('present-panel').offsetWidth];
    });
    assert.ok(cell < room, `a cell ${cell} wide in a panel ${room} wide`);
  }
  const { nodes } = await tab.send('Accessibility.getFullAXTree');
  const regions = nodes.filter(({ role }) => role?.value === 'region').map(({ name }) => name?.value);
  assert.ok(regions.includes(`Present on ${room}`), regions.join());
  for (const end of leaveAll) end();
  await close(tab);
});

test('holds on every screen, and each control has a name', async () => {
  const tab = await openAdmin('dark');
  assert.notEqual(await tab.run(() => getComputedStyle(document.body).backgroundColor), 'rgb(245, 246, 250)');
  for (const width of [320, 768, 1280]) {
    await resize(tab, width);
    const page = await tab.run(() => document.documentElement.scrollWidth);
    assert.ok(page <= width, `${page} wide on ${width}`);
  }
  const { nodes } = await tab.send('Accessibility.getFullAXTree');
  const nameless = nodes.filter(({ ignored, role, name }) => !ignored && ['button', 'link', 'textbox'].includes(role?.value) && !name?.value);
  assert.deepEqual(nameless, []);
  await close(tab);
});
