// The token: given as text or by a function, renewed shortly before it expires and after a 401.
//
// Not here: checking it. What a JWT (RFC 7519) says is only read to know when to renew it and whose it is.

import { PollError } from './failure.js';

// Milliseconds before its end at which a token is renewed.
const EARLY = 10_000;

export class Credential {
  #given;
  #place;
  #pending;
  #renewAt = Infinity;
  token;

  constructor(given, place) {
    this.#given = given;
    this.#place = place;
    if (!this.isRenewable) this.token = given;
  }

  get isRenewable() {
    return typeof this.#given === 'function';
  }

  async get() {
    if (this.isRenewable && (this.token === undefined || this.#place.now() >= this.#renewAt)) await this.#renew();
    return this.token;
  }

  /** The server refused this token. One that came meanwhile is not thrown away. */
  reject(token) {
    if (this.token === token) this.token = undefined;
  }

  // Requests that need it at the same time share one renewal.
  #renew() {
    this.#pending ??= (async () => {
      try {
        const token = await this.#given();
        const end = claims(token)?.exp * 1000 - EARLY;
        // A new token that seems to be over already: this clock is wrong, and only a 401 can tell.
        this.#renewAt = end > this.#place.now() ? end : Infinity;
        this.token = token;
      } catch (error) {
        throw new PollError('token', `no token: ${error?.message}`, { cause: error });
      } finally {
        this.#pending = undefined;
      }
    })();
    return this.#pending;
  }

  /** Whose token it is, the same for each one that a user gets: a JWT without its times and id. */
  async identity() {
    const token = await this.get();
    const { exp, iat, nbf, jti, ...whose } = claims(token) ?? { token };
    return whose;
  }
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
