// What npm would publish: the files that are meant to be, and a program that uses them from there.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const run = (...command) => execute(...command).catch((error) => assert.fail(`${error.message}\n${error.stdout}`));
const root = fileURLToPath(new URL('../..', import.meta.url));

test('the package holds the client, its types, its source, its examples and its licences, and works', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'poll-package-'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root });
  const [{ filename, files }] = JSON.parse(stdout);
  const known = /^(README\.md|LICENSE-(MIT|APACHE)|package\.json|token\.js|dist\/poll\.js|types\/(index|token)\.d\.ts|src\/\w+\.js|examples\/\w+\.(mjs|html))$/;
  const paths = files.map(({ path }) => path);
  assert.deepEqual(paths.filter((path) => !known.test(path)), []);
  for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) {
    assert.ok(paths.includes(licence), licence);
    assert.deepEqual(await readFile(join(root, licence)), await readFile(join(root, '../..', licence)), 'as the repository has it');
  }
  for (const path of ['dist/poll.js', 'types/index.d.ts', 'types/token.d.ts', 'examples/chat.html']) assert.ok(paths.includes(path), path);
  // As npm unpacks it.
  const modules = join(folder, 'node_modules');
  await mkdir(join(modules, 'poll-client'), { recursive: true });
  await run('tar', ['-xzf', join(folder, filename), '--strip-components', '1', '-C', join(modules, 'poll-client')]);
  const program = "import { PollClient, PollError, STATES } from 'poll-client';\nconst client: PollClient<number> = new PollClient('localhost:1');\nconsole.log(client.state, typeof PollError, Object.keys(STATES).length);\n";
  await writeFile(join(folder, 'program.ts'), program);
  const types = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2022,dom', '--skipLibCheck', 'false'];
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...types, 'program.ts'], { cwd: folder });
  await writeFile(join(folder, 'program.js'), program.replace(': PollClient<number>', ''));
  const said = await run(process.execPath, ['program.js'], { cwd: folder });
  assert.equal(said.stdout, 'idle function 10\n');
  await rm(folder, { recursive: true });
});
