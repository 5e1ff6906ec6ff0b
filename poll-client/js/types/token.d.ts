// The interface of poll-client/token.

/** What a link allows, and for how long. */
export interface Link {
  /** Exactly this one. */
  channel: string;
  right: 'subscribe' | 'publish';
  /** How long it is good, in seconds. */
  seconds: number;
  /** As in the server's `--jwt-secret-file`, without the end of the line: 32 bytes or more. */
  secret: string;
  /** The client of the limits. */
  subject?: string;
  /** Where the server has `--jwt-issuer`. */
  issuer?: string;
  /** Where the server has `--jwt-audience`. */
  audience?: string;
}

/**
 * Signs a link: gives its token, which is `access_token` in a URL, or a bearer token. For a program that has the server's
 * secret, never for a page. Rejects with a `TypeError` if the link is incomplete.
 */
export function signLink(link: Link): Promise<string>;
