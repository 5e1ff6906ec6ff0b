import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";

import { signLink } from "../../token.js";

const secret = "a secret of more than thirty-two bytes";

test("a link is signed as the server verifies it", async () => {
  const token = await signLink({ channel: "bestellungen.ü", right: "subscribe", seconds: 60, secret, subject: "ann" });
  const [header, claims, signature] = token.split(".");
  assert.equal(createHmac("sha256", secret).update(`${header}.${claims}`).digest("base64url"), signature);
  assert.deepEqual(JSON.parse(Buffer.from(header, "base64url")), { typ: "JWT", alg: "HS256" });
  const { exp, ...rest } = JSON.parse(Buffer.from(claims, "base64url"));
  assert.deepEqual(rest, { sub: "ann", poll: { channel: "bestellungen.ü", right: "subscribe" } });
  assert.ok(Math.abs(exp - Date.now() / 1000 - 60) < 5);
});

test("what cannot be a link is refused", async () => {
  const link = { channel: "c", right: "publish", seconds: 1, secret };
  for (const wrong of [{ channel: "" }, { right: "all" }, { seconds: 0 }, { seconds: NaN }, { secret: "" }]) {
    await assert.rejects(signLink({ ...link, ...wrong }), TypeError);
  }
});
