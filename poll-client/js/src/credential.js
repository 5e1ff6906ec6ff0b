// The token: given as text or by a function, renewed shortly before it expires and after a 401.
//
// Not here: checking it. What a JWT (RFC 7519) says is only read to know when to renew it and whose it is.

import { PollError } from './failure.js';

// Milliseconds before its end at which a token is renewed.
const EARLY = 10_000;

/** A credential from what the program gave: a token, or a function that gives one. */
export function credentialOf(given, place) {
  const isRenewable = typeof given === 'function';
  let token = isRenewable ? undefined : given;
  let renewAt = Infinity;
  let pending;

  // Requests that need it at the same time share one renewal.
  async function renew() {
    try {
      const fresh = await given();
      const end = claims(fresh)?.exp * 1000 - EARLY;
      // A new token that seems to be over already: this clock is wrong, and only a 401 can tell.
      renewAt = end > place.now() ? end : Infinity;
      token = fresh;
    } catch (error) {
      throw new PollError('token', `no token: ${error?.message}`, { cause: error });
    } finally {
      pending = undefined;
    }
  }

  async function get() {
    if (isRenewable && (token === undefined || place.now() >= renewAt)) await (pending ??= renew());
    return token;
  }

  return {
    isRenewable,
    get,

    /** The server refused this token, or the last one. One that came meanwhile is not thrown away. */
    reject(refused = token) {
      if (token === refused && isRenewable) token = undefined;
    },

    /** Whose token it is, the same for each one that a user gets: a JWT without its times and id. */
    async identity() {
      const held = await get();
      const { exp, iat, nbf, jti, ...whose } = claims(held) ?? { token: held };
      return whose;
    },
  };
}

function claims(token) {
  try {
    const [, body, signature] = token.split('.');
    const json = atob(body.replace(/-/g, '+').replace(/_/g, '/'));
    return signature && JSON.parse(json);
  } catch {
    return undefined;
  }
}
