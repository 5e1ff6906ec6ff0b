// The chat of the seed project: channel `messages`, read by long polling, in two panes and in windows of its own.
//
// Each pane is a client; all of them, in whatever window, hold one connection.

import { PollClient } from './poll.js';
import { byId, copyOf, element, say, showContent } from './words.js';

const CHANNEL = 'messages';
const SHOWN = 50;
const NAMES = ['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald'];

/** `who: text`, as a line of the chat is published. What others published may have no name. */
const SAID = /^([^:\n]{1,40}): ([\s\S]*)$/;

class Pane {
  #client;
  #talk;
  #pill;

  constructor(name, token) {
    this.view = copyOf('chat-pane');
    this.#talk = this.view.querySelector('.talk');
    this.#talk.setAttribute('aria-label', `What ${name}’s window shows`);
    this.#pill = this.view.querySelector('.pill');
    this.view.elements.name.value = name;
    this.#client = new PollClient('/', { channel: CHANNEL, pattern: 'longpoll', token, hidden: 'pause' });
    this.#client.on('message', (message) => this.#show(message));
    this.#client.on('state', () => this.#draw());
    this.#client.on('connected', () => this.#draw());
    this.#client.on('error', (error) => error.fatal && say(`Not read: ${error.message}.`, 'bad', this.view.querySelector('.said')));
    this.view.addEventListener('submit', (event) => this.#send(event));
  }

  start() {
    this.#client.start();
  }

  async #send(event) {
    event.preventDefault();
    const { name, body } = this.view.elements;
    const text = body.value.trim();
    if (!text) return;
    body.value = '';
    body.focus();
    const said = this.view.querySelector('.said');
    try {
      await this.#client.publish(`${name.value.trim()}: ${text}`);
      say('', '', said);
    } catch (error) {
      say(`Not sent: ${error.message}.`, 'bad', said);
      body.value ||= text;
    }
  }

  #show({ content, timestamp }) {
    const text = showContent(content);
    const [, who, words] = SAID.exec(text) ?? [null, '', text];
    const line = element('li', who && who === this.view.elements.name.value.trim() ? 'own' : '');
    if (who) line.append(element('b', '', who), ' ');
    line.append(element('span', '', words));
    line.title = String(timestamp);
    this.#talk.append(line);
    while (this.#talk.children.length > SHOWN) this.#talk.firstElementChild.remove();
    this.#talk.scrollTop = this.#talk.scrollHeight;
  }

  #draw() {
    const { state } = this.#client;
    const word = { open: 'live', following: 'live', waiting: 'retrying', paused: 'resting' }[state] ?? state;
    this.#pill.dataset.state = word;
    this.#pill.textContent = state === 'following' ? 'live, shared' : word;
  }
}

/** Puts panes on the page; they connect when they are first seen or touched. */
export function chat(count, token) {
  const place = byId('chat');
  const first = count === 1 ? Math.floor(Math.random() * NAMES.length) : 0;
  const panes = Array.from({ length: count }, (_, at) => new Pane(NAMES[(first + at) % NAMES.length], token));
  place.append(...panes.map(({ view }) => view));
  new IntersectionObserver((entries, observer) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    panes.forEach((pane) => pane.start());
  }).observe(place);
}
