// Requests to one server: address, headers, token, and what an answer's status means.
//
// Not here: when to ask, and when to ask again (but for a renewed token after a 401).

import { PollError, failureOf } from './failure.js';

/** Requests below `base`, a URL that ends in a slash, about these channels. */
export function requestsTo(base, { channels, credential, place, settings }) {
  const given = () => (typeof settings.headers === 'function' ? settings.headers() : settings.headers);

  /** The address of a path below the server's, with a query given as pairs. */
  function address(path, query) {
    const url = new URL(path, base);
    for (const [name, value] of query) if (value !== undefined) url.searchParams.append(name, value);
    return url;
  }

  return {
    base,
    channels,
    credential,
    address,

    /** Which channels, and from where: the query of every pattern. */
    where: (cursor) => [...channels.map((name) => ['channel', name]), ['cursor', cursor]],

    /** Who asks: what tabs that share a connection have in common. */
    identity: async () => [await credential.identity(), await given()],

    /** The response to a request, whose status is a success or 304. */
    async ask(path, { query, headers, ...init }) {
      for (let again = false; ; again = true) {
        const token = await credential.get();
        const sent = new Headers(await given());
        if (token) sent.set('authorization', `Bearer ${token}`);
        for (const name in headers) if (headers[name]) sent.set(name, headers[name]);
        const response = await place.fetch(address(path, query), {
          cache: 'no-store',
          credentials: settings.credentials,
          ...init,
          headers: sent,
        });
        if (response.ok || response.status === 304) return response;
        const failure = await failureOf(response, place.now());
        if (failure.status === 401 && credential.isRenewable) {
          credential.reject(token);
          failure.fatal = false;
          if (!again) continue;
        }
        throw failure;
      }
    },
  };
}

/** The JSON of a text that a server of ours wrote. */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new PollError('malformed', `not from poll: ${text.slice(0, 80)}`);
  }
}
