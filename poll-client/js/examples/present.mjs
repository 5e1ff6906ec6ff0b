// Prints who is present on a channel, whenever it changes: node examples/present.mjs [channel] [name]
// The server must keep presence (--presence). With a name, this program is present as well.

import { PollClient } from 'poll-client';

const [, , channel = 'default', name] = process.argv;
const server = process.env.POLL_SERVER ?? 'http://127.0.0.1:8080';
if (name) new PollClient(server, { channel, headers: { 'X-Client-ID': name } }).start();

const there = new Set();
for await (const change of new PollClient(server, { channel }).presence()) {
  if (change.event === 'present') {
    there.clear();
    for (const { id } of change.clients) there.add(id);
  } else if (change.event === 'join') there.add(change.id);
  else there.delete(change.id);
  console.log([...there].join(', ') || 'none');
}
