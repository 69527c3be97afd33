// Every package of the lock file has a licence of our list (the project's rule: deny.toml has the same for Rust).
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const allowed = new Set([
  'MIT',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'Zlib',
  '0BSD',
  'Unlicense',
]);
// In build and test tools only, by name: nothing of these goes to a browser.
const tools = {
  'BlueOak-1.0.0': [/^minimatch$/, /^graceful-fs$/, /^@isaacs\//],
  'Python-2.0': [/^argparse$/],
  'MPL-2.0': [/^lightningcss/, /^axe-core$/, /^@axe-core\/playwright$/],
  'CC-BY-4.0': [/^caniuse-lite$/],
};

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const faults = [];
for (const [path, entry] of Object.entries(packages)) {
  if (!path) continue;
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const manifest = join(path, 'package.json');
  const licence =
    entry.license ?? (existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')).license : undefined);
  const choices = String(licence).replace(/[()]/g, '').split(' OR ');
  const isAllowed = choices.some((choice) => choice.split(' AND ').every((part) => allowed.has(part)));
  const isTool = entry.dev && tools[licence]?.some((pattern) => pattern.test(name));
  if (!isAllowed && !isTool) faults.push(`${name}: ${licence}`);
}
console.log(faults.join('\n') || 'every licence is on the list');
process.exit(faults.length ? 1 : 0);
