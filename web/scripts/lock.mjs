// npm silently leaves platforms out of the lock file whose packages its registry did not have yet; `npm ci` then fails
// or breaks on another system. Every optional dependency must have its own entry, with a hash.
import { readFileSync } from 'node:fs';

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const faults = [];
for (const [path, entry] of Object.entries(packages)) {
  for (const name of Object.keys(entry.optionalDependencies ?? {})) {
    const nested = `${path}/node_modules/${name}`;
    if (!packages[nested] && !packages[`node_modules/${name}`])
      faults.push(`${path} wants ${name}, which has no entry`);
  }
  if (path && !entry.link && !entry.inBundle && !entry.integrity) faults.push(`${path} has no hash`);
}
console.log(faults.join('\n') || 'the lock file is whole');
process.exit(faults.length ? 1 : 0);
