/**
 * Signed links: a token for one right on one channel, until it expires. For a program that has the server's secret, in Node,
 * Deno, Bun or a worker at the edge; never for a page. By WebCrypto alone.
 *
 * @param {object} link
 * @param {string} link.channel exactly this one
 * @param {"subscribe" | "publish"} link.right
 * @param {number} link.seconds how long it is good
 * @param {string} link.secret as in the server's --jwt-secret-file, without the end of the line: 32 bytes or more
 * @param {string} [link.subject] the client of the limits
 * @param {string} [link.issuer] where the server has --jwt-issuer
 * @param {string} [link.audience] where the server has --jwt-audience
 * @returns {Promise<string>} the token: `access_token` in a URL, or a bearer token
 */
export async function signLink({ channel, right, seconds, secret, subject, issuer, audience }) {
  if (!channel) throw new TypeError("channel is missing");
  if (right !== "subscribe" && right !== "publish") throw new TypeError("right is subscribe or publish");
  if (!(seconds > 0)) throw new TypeError("seconds is a number above zero");
  if (!secret) throw new TypeError("secret is missing");
  const exp = Math.floor(Date.now() / 1000 + seconds);
  const claims = { exp, iss: issuer, aud: audience, sub: subject, poll: { channel, right } };
  const signed = `${encode({ typ: "JWT", alg: "HS256" })}.${encode(claims)}`;
  const bytes = (text) => new TextEncoder().encode(text);
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes(secret), hmac, false, ["sign"]);
  return `${signed}.${base64url(new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(signed))))}`;
}

/** JSON as a part of a token. */
function encode(value) {
  return base64url(new TextEncoder().encode(JSON.stringify(value)));
}

function base64url(bytes) {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
