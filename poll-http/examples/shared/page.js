// What the pages of the examples share: elements, times, and the client's state in the page's head.

/** An element with properties and children: texts and other elements. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A round mark of a name: its first letter, in a colour that follows from it. */
export function avatar(name) {
  const mark = element('span', { className: 'avatar', ariaHidden: 'true' }, [...name][0]?.toUpperCase() ?? '?');
  mark.style.setProperty('--hue', hue(name));
  return mark;
}

/** A colour of a name, in degrees. */
export function hue(name) {
  return [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
}

/** The time of day of a message. */
export function time(timestamp) {
  return element('time', { dateTime: timestamp }, new Date(timestamp).toLocaleTimeString());
}

const WORDS = {
  open: 'live',
  following: 'live, shared',
  waiting: 'reconnecting…',
  paused: 'paused',
  ended: 'ended',
  failed: 'refused',
  stopped: 'stopped',
};

/** Shows a client's state in the page's head. */
export function showState(client) {
  const pill = element('output', { id: 'state', ariaLive: 'polite' }, 'connecting…');
  document.querySelector('header').append(pill);
  client.on('state', ({ state }) => {
    pill.value = WORDS[state] ?? 'connecting…';
    pill.dataset.state = state;
  });
  // It tries again by itself; the pill says so, and why.
  client.on('error', ({ message }) => (pill.title = message));
}
