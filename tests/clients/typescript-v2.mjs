// The TypeScript client, second line: both eras, answers a question by URL by itself.
import { connect } from './connect.mjs';
import { sessions, walk } from './walk.mjs';

const kinds = [
  ['typescript-v2-modern', 'auto', '2026-07-28'],
  ['typescript-v2-legacy', 'legacy', '2025-11-25'],
  // No client chooses this revision by itself; this one can be told to know no other.
  ['typescript-v2-2025-06-18', 'legacy', '2025-06-18', '2025-06-18'],
];
for (const [client, mode, version, only] of kinds) {
  const asks = mode === 'auto' || (sessions && !only);
  await walk({ client, version, asks, connect: (token, answer) => connect({ mode, only, token, answer }) });
}
process.exit(0); // a client that was left hanging in a failed step does not keep us
