// A job with its bar: one client reports its steps, another follows them to the end.

import { PollClient } from './poll.js';
import { byId, copyButton, element, say, shellWord } from './words.js';

const STEPS = 10;
const STEP_MS = 1000;

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function work(job) {
  for (let step = 1; step <= STEPS; step += 1) {
    const isLast = step === STEPS;
    await job.report({ step, total: STEPS, message: isLast ? 'Complete!' : `Step ${step} of ${STEPS}`, ...(isLast && { status: 'done' }) });
    if (!isLast) await wait(STEP_MS);
  }
}

async function watch(job) {
  for await (const { percentage, message, status } of job) {
    byId('job-bar').value = percentage;
    say(status === 'done' ? 'Done: the channel ended with the job.' : `${message} (${Math.round(percentage)} %)`, status === 'done' ? 'good' : '', byId('job-said'));
  }
}

function command(name) {
  const path = `/api/progress/${encodeURIComponent(name)}`;
  const line = `curl -N ${shellWord(location.origin + path)}`;
  byId('job-command').replaceChildren(element('code', '', line), copyButton(() => line, 'the line that follows this job'));
  byId('job-command').hidden = false;
}

export function jobs(token) {
  const button = byId('job-run');
  button.addEventListener('click', async () => {
    button.disabled = true;
    byId('job-bar').value = 0;
    say('Started.', '', byId('job-said'));
    const client = new PollClient('/', { pattern: 'longpoll', token, share: false });
    const job = client.job(`live-page-${Date.now()}`);
    command(job.name);
    try {
      await Promise.all([work(job), watch(job)]);
    } catch (error) {
      say(`Not followed to its end: ${error.message}.`, 'bad', byId('job-said'));
    } finally {
      job.stop();
      button.disabled = false;
    }
  });
}
