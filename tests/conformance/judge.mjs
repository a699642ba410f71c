// judge.mjs REVISION RESULTS LOG BASELINE
//
// The suite's own verdict lets warnings pass, and leaves out the scenarios that it does not score.
// This one reads every `checks.json` and wants each FAILURE and WARNING named in the baseline, and
// each entry of the baseline still needed. One summary line on stdout, the reasons on stderr.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [revision, results, log, baselineFile] = process.argv.slice(2);
const complain = (line) => console.error(`${revision}: ${line}`);

// The baseline is a YAML list; the subset used here is one `- scenario:check-id` a line.
const baseline = new Map();
for (const line of readFileSync(baselineFile, 'utf8').split('\n')) {
  const entry = /^\s*-\s+([^\s:]+(?::[^\s:]\S*)?)\s*(?:#.*)?$/.exec(line);
  if (entry) baseline.set(entry[1], 0);
  else if (!/^\s*(#.*|server:)?$/.test(line)) throw new Error(`${baselineFile}: cannot read ${line}`);
}

let passed = 0, failed = 0, listed = 0, scenarios = 0;
for (const dir of readdirSync(results).sort()) {
  const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT.*$/.exec(dir)?.[1];
  if (!scenario) throw new Error(`${results}: what is ${dir}?`);
  const file = join(results, dir, 'checks.json');
  if (!existsSync(file)) {
    failed++;
    complain(`${scenario} did not finish`);
    continue;
  }
  scenarios++;
  for (const check of JSON.parse(readFileSync(file, 'utf8'))) {
    if (check.status === 'SUCCESS') passed++;
    if (check.status !== 'FAILURE' && check.status !== 'WARNING') continue;
    const entry = [`${scenario}:${check.id}`, scenario].find((name) => baseline.has(name));
    if (entry) {
      listed++;
      baseline.set(entry, baseline.get(entry) + 1);
    } else {
      failed++;
      complain(`${scenario}:${check.id} ${check.status} ${check.errorMessage ?? check.description}`);
    }
  }
}

for (const [entry, uses] of baseline) {
  if (uses > 0) continue;
  failed++;
  complain(`the baseline's \`${entry}\` does not fail any more; remove it`);
}

// A suite that stops half-way leaves less to judge, and that must not look like a pass.
const announced = Number(/\((\d+) scenarios\)/.exec(readFileSync(log, 'utf8'))?.[1]);
if (scenarios !== announced) {
  failed++;
  complain(`${scenarios} of ${announced} scenarios left results`);
}

console.log(`${revision}: ${passed} passed, ${failed} failed, ${listed} in the baseline`);
process.exit(failed === 0 ? 0 : 1);
