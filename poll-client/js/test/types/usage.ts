// The declarations as a program uses them: compiled, never run.

import { PollClient, PollError, STATES, type Message, type Options } from 'poll-client';
import { signLink, type Link } from 'poll-client/token';

interface Order {
  total: number;
}

const options: Options = { channel: ['a', 'b'], pattern: 'longpoll', token: async () => 't', maxRetries: 5, keep: 'session' };
const client = new PollClient<Order>('/', options).start();
const off: () => void = client.on('message', ({ content, id }) => content.total + id);
client.on('error', (error) => error instanceof PollError && error.kind === 'buffered' && error.status);
client.on('fallback', ({ from, to, reason }) => `${from} ${to} ${reason}`);
client.on('stalled', () => client.on('resumed', () => {}));
client.on('missed', ({ channel, missed }) => channel + missed.toFixed());
off();
const last: Message<Order>[] = [];
for await (const message of client) last.push(message);
const { id } = await client.publish({ total: 1 }, { key: 'k', channel: 'b', signal: AbortSignal.timeout(1000) });
const job = client.job('import');
await job.report({ step: id, total: 3, status: 'done' });
for await (const { percentage } of job) percentage.toFixed();
const presence = client.presence('a');
const { count, clients } = await presence.list(AbortSignal.timeout(1000));
clients[count - 1]?.since.length;
for await (const change of presence) {
  if (change.event === 'present') change.clients.map(({ id }) => id);
  else `${change.event} ${change.id} ${change.at}`.length;
  presence.stop();
}
STATES[client.state].start?.length;
new PollClient(new URL('https://example.org'), { from: 'now', headers: () => ({ a: 'b' }), share: 'user 7', getState: async ({ type }) => type });
const link: Link = { channel: 'orders.7', right: 'subscribe', seconds: 60, secret: 'thirty-two bytes or more of a secret' };
new PollClient('/', { channel: link.channel, token: await signLink({ ...link, subject: 'ann' }) });

// @ts-expect-error a link has a right
signLink({ channel: 'a', seconds: 1, secret: 's' });
// @ts-expect-error there is no such right
signLink({ ...link, right: 'all' });
// @ts-expect-error there is no such event
client.on('open', () => {});
// @ts-expect-error there is no such option
new PollClient('/', { channels: ['a'] });
// @ts-expect-error there is no such pattern
new PollClient('/', { pattern: 'websocket' });
// @ts-expect-error the state is the client's own
client.state = 'idle';
