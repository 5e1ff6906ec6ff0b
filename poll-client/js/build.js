// Makes dist/poll.js, the one file that browsers load and the server serves: `node build.js`, or `node build.js --check`
// to say whether it is what the source makes.
//
// esbuild puts the modules together, terser makes them small. Both are pinned, so that the same source gives the same
// bytes everywhere.

import { readFile, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const FILE = new URL('dist/poll.js', import.meta.url);
// Bytes, as gzip -9 leaves them.
const MOST = 8704;

// Properties that only the client's own parts use. Never one that is in the interface, in `surroundings`, in what
// travels over the wire or between tabs, or a key of a table that is also looked up by its text.
const OWN = `
  address answered ask audience base catchUp check climb connection credential delivery emit expect fell finish forget
  hand hears hold identity interrupt isAll isAuto isBeyond isConnected isNew isQuiet isRenewable isTimeToClimb ladder loop
  offer opened passed place poll position renewedAt requests rung run save settings sink sleep tag take taken well where stepDown
`;

const bundled = await build({
  entryPoints: [new URL('src/index.js', import.meta.url).pathname],
  bundle: true,
  write: false,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  mangleProps: new RegExp(`^(${OWN.trim().split(/\s+/).join('|')})$`),
});
// Without `unsafe_comps`, which takes `!(a < b)` for `a >= b`: they differ where one is undefined.
const small = await minify(bundled.outputFiles[0].text, {
  module: true,
  ecma: 2022,
  mangle: true,
  compress: { passes: 3, unsafe_arrows: true, unsafe_methods: true, pure_getters: true, unsafe: true },
});
const text = `${small.code}\n`;
const size = gzipSync(text, { level: 9 }).length;
if (size > MOST) fail(`dist/poll.js would be ${size} bytes gzipped; ${MOST} are allowed`);
if (process.argv.includes('--check')) {
  if ((await readFile(FILE, 'utf8')) !== text) fail('dist/poll.js is not what the source makes: run `cargo xtask js`');
} else {
  await writeFile(FILE, text);
}
console.log(`dist/poll.js: ${text.length} bytes, ${size} gzipped`);

function fail(why) {
  console.error(why);
  process.exit(1);
}
