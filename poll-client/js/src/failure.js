// What can go wrong, as one class of error whose `kind` says which.
//
// Errors of HTTP keep the status and what the problem document (RFC 9457) says.

import { retryAfter } from './backoff.js';

export class PollError extends Error {
  constructor(kind, message, more) {
    super(message);
    this.name = 'PollError';
    this.kind = kind;
    Object.assign(this, more);
  }

  static from(reason) {
    return reason instanceof PollError ? reason : new PollError('network', String(reason?.message ?? reason), { cause: reason });
  }
}

export const late = (kind) => new PollError(kind, 'no answer in time');

// Statuses of 4xx that say nothing about the request itself, so that the same request may succeed later.
const PASSING = [408, 425, 429];

/** The error of an answer that is not a success. */
export async function failureOf(response, now) {
  const { status } = response;
  const text = await response.text().catch(() => '');
  let problem;
  try {
    problem = JSON.parse(text);
  } catch {
    // Not ours: a proxy's page.
  }
  const said = problem?.detail ?? problem?.error ?? response.statusText;
  const kind = { 401: 'unauthorized', 403: 'forbidden' }[status] ?? 'http';
  return new PollError(kind, `${status} ${said}`, {
    status,
    type: problem?.type,
    retryAfter: retryAfter(response.headers.get('retry-after'), now),
    fatal: status < 500 && !PASSING.includes(status),
  });
}
