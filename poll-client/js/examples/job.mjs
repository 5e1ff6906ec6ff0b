// Runs something in steps, reports each, and follows it as any other client would: node examples/job.mjs

import { setTimeout } from 'node:timers/promises';
import { PollClient } from 'poll-client';

const client = new PollClient(process.env.POLL_SERVER ?? 'http://127.0.0.1:8080');
const job = client.job(`example-${Date.now()}`);
const total = 5;

async function work() {
  for (let step = 1; step <= total; step += 1) {
    await setTimeout(200);
    await job.report({ step, total, ...(step === total && { status: /** @type {const} */ ('done') }) });
  }
}

const working = work();
for await (const { percentage, message } of job) console.log(`${percentage} % ${message}`);
await working;
