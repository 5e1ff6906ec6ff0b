// Prints a channel's messages, over restarts of the server: node examples/tail.mjs [channel]

import { PollClient } from 'poll-client';

const client = new PollClient(process.env.POLL_SERVER ?? 'http://127.0.0.1:8080', { channel: process.argv[2] ?? 'default' });
client.on('connected', ({ pattern }) => console.error(`connected by ${pattern}`));
client.on('disconnected', ({ reason, retryIn }) => console.error(`disconnected: ${reason}, again in ${retryIn ?? '-'} ms`));
client.on('missed', ({ missed }) => console.error(`${missed} messages are gone`));
for await (const { id, content } of client) console.log(id, content);
