// Sizes as they go over the wire in gzip. Limits: KiB.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const folder = 'dist/client';
const size = (path) => gzipSync(readFileSync(join(folder, path)), { level: 9 }).length / 1024;
const html = readFileSync(join(folder, 'index.html'), 'utf8');
const first = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map((match) => match[1]);
const assets = readdirSync(join(folder, 'assets')).map((name) => `assets/${name}`);
const sum = (paths) => paths.reduce((total, path) => total + size(path), 0);

const budgets = [
  ['first load, JavaScript', first, 60],
  ['whole app without wasm, JavaScript', assets.filter((path) => path.endsWith('.js')), 200],
  ['CSS', assets.filter((path) => path.endsWith('.css')), 10],
  ['engine (wasm)', assets.filter((path) => path.endsWith('.wasm')), 550],
];
let failed = false;
for (const [name, paths, max] of budgets) {
  const kib = sum(paths);
  const verdict = kib > max || paths.length === 0 ? 'TOO MUCH' : 'ok';
  failed ||= verdict !== 'ok';
  console.log(`${verdict.padEnd(9)} ${name}: ${kib.toFixed(1)} of ${max} KiB, ${paths.length} file(s)`);
}
process.exit(failed ? 1 : 0);
