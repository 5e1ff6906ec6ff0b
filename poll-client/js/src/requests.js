// Requests to one server: address, headers, token, and what an answer's status means.
//
// Not here: when to ask, and when to ask again (but for a renewed token after a 401).

import { PollError, failureOf } from './failure.js';

export class Requests {
  constructor(url, parts) {
    Object.assign(this, parts);
    this.base = new URL(url, this.place.location?.href);
    if (!this.base.pathname.endsWith('/')) this.base.pathname += '/';
  }

  /** The address of a path below the server's, with a query given as pairs. */
  address(path, query = []) {
    const address = new URL(path, this.base);
    for (const [name, value] of query) if (value !== undefined) address.searchParams.append(name, value);
    return address;
  }

  /** Which channels, and from where: the query of every pattern. */
  where(cursor) {
    return [...this.channels.map((name) => ['channel', name]), ['cursor', cursor]];
  }

  /** Who asks: what tabs that share a connection have in common. */
  async identity() {
    return [await this.credential.identity(), await this.#given()];
  }

  #given() {
    const { headers } = this.settings;
    return typeof headers === 'function' ? headers() : headers;
  }

  /** The response to a request, whose status is a success or 304. */
  async ask(path, { query, headers, ...init }) {
    for (let again = false; ; again = true) {
      const token = await this.credential.get();
      const sent = new Headers(await this.#given());
      if (token) sent.set('authorization', `Bearer ${token}`);
      for (const name in headers) if (headers[name]) sent.set(name, headers[name]);
      const response = await this.place.fetch(this.address(path, query), {
        cache: 'no-store',
        credentials: this.settings.credentials,
        ...init,
        headers: sent,
      });
      if (response.ok || response.status === 304) return response;
      const failure = await failureOf(response, this.place.now());
      if (failure.status === 401 && this.credential.isRenewable) {
        this.credential.reject(token);
        failure.fatal = false;
        if (!again) continue;
      }
      throw failure;
    }
  }
}

/** The JSON of a text that a server of ours wrote. */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new PollError('malformed', `not from poll: ${text.slice(0, 80)}`);
  }
}
