// A program for Deno: on each pattern it publishes, reads what was there and what comes, and follows a job.

import { PollClient } from '../../dist/poll.js';

const [server] = Deno.args;
const quick = { interval: 50, timeout: 1000, retryDelay: 40 };

for (const pattern of ['auto', 'stream', 'sse', 'longpoll', 'shortpoll']) {
  const client = new PollClient(server, { ...quick, pattern, channel: pattern });
  const got = [];
  for (let number = 1; number <= 3; number += 1) await client.publish({ number });
  for await (const { content } of client) {
    got.push(content.number);
    if (got.length < 3) continue;
    if (got.length === 5) break;
    await client.publish({ number: got.length + 1 });
  }
  const job = client.job(pattern);
  await job.report({ step: 1, total: 2 });
  await job.report({ step: 2, total: 2, status: 'done' });
  const steps = [];
  for await (const { percentage } of job) steps.push(percentage);
  console.log(pattern, got.join(), steps.join());
}
// Whatever is left open would keep this from ending.
