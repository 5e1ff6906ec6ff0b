// The page of administration: asks the server every two seconds, and shows what it says. Rows stay where they are while
// their figures change, so that a button keeps its focus. What came over the wire goes through textContent.

const PERIOD_MS = 2_000;
const SHOWN_MESSAGES = 20;
const SHOWN_CHARACTERS = 2_000;

const $ = (id) => document.getElementById(id);
const places = { channels: '', connections: '' };
let paused = false;
// The channel that was opened.
let opened;
let keepsPresence = true;
let timer;
let before;

class Refused extends Error {
  constructor(status) {
    super(`the server answered ${status}`);
    this.status = status;
  }
}

async function ask(path, options) {
  const answer = await fetch(path, { cache: 'no-store', ...options });
  if (!answer.ok) throw new Refused(answer.status);
  return answer;
}

const json = async (path) => (await ask(path)).json();

const bytes = (count) => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) [count, unit] = [count / 1024, unit + 1];
  return `${unit === 0 ? count : count.toFixed(1)} ${units[unit]}`;
};

const age = (seconds) => {
  if (seconds < 60) return `${seconds.toFixed(0)} s`;
  return seconds < 3_600 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3_600).toFixed(1)} h`;
};

/** The samples of the metrics, by name and label. */
function samples(text) {
  const found = new Map();
  for (const line of text.split('\n')) {
    const match = /^([a-z_]+)(?:\{[a-z]+="([^"]*)"\})? ([0-9.e+-]+)$/.exec(line);
    if (match) found.set(match[2] === undefined ? match[1] : `${match[1]} ${match[2]}`, Number(match[3]));
  }
  return found;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes the rows those of `items`, and keeps the ones that are there. */
function sync(body, items, keyOf, cellsOf, make) {
  const rows = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  items.forEach((item, at) => {
    const key = String(keyOf(item));
    let row = rows.get(key);
    rows.delete(key);
    if (!row) {
      row = document.createElement('tr');
      row.dataset.key = key;
      for (const _ of cellsOf(item)) row.insertCell();
      make?.(row, item);
    }
    cellsOf(item).forEach((text, cell) => {
      if (text !== undefined) setText(row.cells[cell], text);
    });
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
  });
  for (const row of rows.values()) row.remove();
}

function button(cell, text, label, act) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = text;
  if (label) made.setAttribute('aria-label', label);
  made.addEventListener('click', act);
  cell.append(made);
  return made;
}

function showMetrics(found) {
  const now = { at: performance.now(), published: found.get('poll_messages_published_total'), delivered: found.get('poll_messages_delivered_total') };
  const seconds = before ? (now.at - before.at) / 1_000 : 0;
  const rate = (name) => (before ? ((now[name] - before[name]) / seconds).toFixed(1) : '–');
  const facts = [
    ['published a second', rate('published')],
    ['delivered a second', rate('delivered')],
    ['open connections', String(found.get('poll_sockets_open') ?? '–')],
    ['long polls', String(found.get('poll_waiters long') ?? 0)],
    ['streams', String(found.get('poll_waiters stream') ?? 0)],
    ['pushes', String(found.get('poll_waiters push') ?? 0)],
    ['resident memory', bytes(found.get('process_resident_memory_bytes') ?? 0)],
  ];
  before = now;
  const list = $('rates');
  while (list.children.length < facts.length) {
    const pair = document.createElement('div');
    pair.append(document.createElement('dt'), document.createElement('dd'));
    list.append(pair);
  }
  facts.forEach(([name, value], at) => {
    setText(list.children[at].children[0], name);
    setText(list.children[at].children[1], value);
  });
  const kinds = [...found.keys()].filter((key) => key.startsWith('poll_memory_bytes ')).map((key) => key.split(' ')[1]);
  const of = (name, kind) => found.get(`${name} ${kind}`) ?? 0;
  const bound = (most) => (most >= 2 ** 53 ? 'no limit' : bytes(most));
  sync($('memory'), kinds, (kind) => kind, (kind) => [kind, bytes(of('poll_memory_bytes', kind)), bound(of('poll_memory_bytes_max', kind)), String(of('poll_memory_refused', kind))]);
}

function showChannels({ channels, next }) {
  const cells = ({ messages, bytes: size, newest, waiters, closed }) =>
    [undefined, messages, bytes(size), newest, waiters.long, waiters.stream, waiters.push, closed ? 'closed' : 'open']
      .map((cell) => (cell === undefined ? cell : String(cell)));
  sync($('channels'), channels, ({ channel }) => channel, cells, (row, { channel }) => {
    row.cells[0].className = 'long';
    button(row.cells[0], channel, `Messages of ${channel}`, () => open(channel)).className = 'open-channel';
  });
  showPlace('channels', channels.length, next);
}

function showConnections({ connections, next }) {
  const waits = ({ waiting, waits: [first] }) => {
    if (!first) return '–';
    const more = first.channels > 1 ? ` and ${first.channels - 1} channels` : '';
    const others = waiting > first.requests ? `, ${waiting - first.requests} more` : '';
    return `${first.pattern} ${first.channel}${more}${others}`;
  };
  const cells = (one) => [
    String(one.id), one.peer, one.client ?? '–', (one.protocol ?? '–') + (one.tls ? ' + TLS' : ''), age(one.age_seconds),
    String(one.requests), bytes(one.bytes_received), bytes(one.bytes_sent), waits(one), undefined,
  ];
  sync($('connections'), connections, ({ id }) => id, cells, (row, { id, peer }) => {
    for (const long of [row.cells[2], row.cells[8]]) long.className = 'long';
    button(row.cells[9], 'Cut', `Cut connection ${id} of ${peer}`, () => cut(id));
  });
  showPlace('connections', connections.length, next);
}

function showPlace(list, count, next) {
  const more = next !== null || places[list] !== '';
  setText($(`${list}-said`), count === 0 ? 'None.' : more ? `${count} of more.` : `${count} in all.`);
  const turn = $(`${list}-next`);
  turn.hidden = !more;
  turn.dataset.next = next ?? '';
  setText(turn, next === null ? `First page of ${list}` : `Next page of ${list}`);
}

async function cut(id) {
  try {
    await ask(`/admin/connections/${id}`, { method: 'DELETE' });
    setText($('cut-said'), `Connection ${id} is cut. Its client may come back.`);
  } catch (error) {
    setText($('cut-said'), error.status === 404 ? `Connection ${id} was closed already.` : `Connection ${id} was not cut: ${error.message}.`);
  }
  $('connections-title').focus();
  await refresh();
}

function open(channel) {
  opened = channel;
  $('present-panel').hidden = true;
  showMessages(channel);
  refresh();
}

/** Which named clients wait on the channel that was opened, on any server of the log; nothing where that is not kept. */
async function showPresent() {
  const channel = opened;
  if (channel === undefined || !keepsPresence) return;
  let present;
  try {
    present = await json(`/admin/channels/${encodeURIComponent(channel)}/presence`);
  } catch (error) {
    if (error.status !== 404) throw error;
    keepsPresence = false;
  }
  if (channel !== opened || !present) return;
  $('present-panel').hidden = false;
  const { count, clients } = present;
  setText($('present-title'), `Present on ${channel}`);
  setText($('present-said'), count > clients.length ? `${count} in all, of whom the first ${clients.length} are listed.` : count === 0 ? 'None.' : `${count} in all.`);
  sync($('present'), clients, ({ id }) => id, ({ id, since }) => [id, since], (row) => {
    row.cells[0].className = 'long';
  });
}

async function showMessages(channel) {
  $('messages-panel').hidden = false;
  setText($('messages-title'), `Messages of ${channel}`);
  $('messages-title').focus();
  const list = $('messages');
  list.replaceChildren();
  const name = encodeURIComponent(channel);
  try {
    const { newest } = await json(`/admin/channels/${name}`);
    const { messages } = await json(`/api/poll?channel=${name}&last_id=${Math.max(0, newest - SHOWN_MESSAGES)}&limit=${SHOWN_MESSAGES}`);
    for (const { id, timestamp, content } of messages.reverse()) {
      const item = document.createElement('li');
      const [said, code] = [document.createElement('span'), document.createElement('code')];
      said.className = 'hint';
      said.textContent = `${id} at ${timestamp}`;
      const text = typeof content === 'string' ? content : JSON.stringify(content);
      code.textContent = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
      item.append(said, code);
      list.append(item);
    }
    setText($('messages-said'), messages.length === 0 ? 'None is retained.' : `The newest ${messages.length}, newest first.`);
  } catch (error) {
    setText($('messages-said'), `They cannot be read here: ${error.message}. The token of administration gives no message; where reading needs another, use \`poll tail\`.`);
  }
}

async function refresh() {
  clearTimeout(timer);
  const state = (word, name) => {
    setText($('link'), word);
    $('link').dataset.state = name;
  };
  try {
    const prefix = encodeURIComponent($('prefix').value);
    const [channels, connections, metrics] = await Promise.all([
      json(`/admin/channels?prefix=${prefix}&after=${encodeURIComponent(places.channels)}`),
      json(`/admin/connections?after=${places.connections}`),
      ask('/metrics').then((answer) => answer.text()),
      showPresent(),
    ]);
    showMetrics(samples(metrics));
    showChannels(channels);
    showConnections(connections);
    state('live', 'live');
  } catch (error) {
    state(error instanceof Refused ? error.message : 'not reached', 'lost');
  }
  clearTimeout(timer);
  if (paused) state('paused', 'resting');
  else if (!document.hidden) timer = setTimeout(refresh, PERIOD_MS);
}

$('play').addEventListener('click', () => {
  paused = !paused;
  setText($('play'), paused ? 'Go on' : 'Pause');
  refresh();
});
$('prefix').addEventListener('input', () => {
  places.channels = '';
  refresh();
});
for (const list of ['channels', 'connections']) {
  $(`${list}-next`).addEventListener('click', ({ currentTarget }) => {
    places[list] = currentTarget.dataset.next;
    refresh();
  });
}
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && !paused) refresh();
});
refresh();
