// The same from a terminal: a line for each pattern, to be copied.

import { byId, copyButton, element, query, shellWord } from './words.js';

function lines(channels, token) {
  const curl = token ? 'curl -H "Authorization: Bearer $TOKEN"' : 'curl';
  const at = (path, more) => shellWord(location.origin + query(path, channels, more));
  const names = channels.map(shellWord).join(' ');
  return [
    ['Publish', `${curl} -d hello ${shellWord(location.origin + query('/api/message', channels.slice(0, 1)))}`],
    ['Short poll', `${curl} ${at('/api/poll')}`],
    ['Long poll', `${curl} ${at('/api/longpoll')}`],
    ['Chunked stream', `${curl} -N ${at('/api/stream')}`],
    ['Server-sent events', `${curl} -N ${at('/api/stream', { format: 'sse' })}`],
    ['HTTP/2 push', `${token ? 'POLL_TOKEN=$TOKEN ' : ''}poll tail ${names} --pattern push --server ${location.host}`],
  ];
}

/** Writes the lines for these channels. */
export function terminal(channels, token) {
  byId('terminal').replaceChildren(...lines(channels, token).map(([title, line]) => {
    const row = element('p', 'command');
    row.append(element('b', '', title), element('code', '', line), copyButton(() => line, `the line for ${title}`));
    return row;
  }));
}
