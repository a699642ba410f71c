// After a restart of both, with other keys: a provider that takes our secret in the form alone, as its metadata say.
import assert from 'node:assert/strict';
import { browserOf, closeAll, SERVER } from './browser.mjs';
import { step } from './step.mjs';

await step('a provider that takes secrets in the form alone signs alice in; what she decided is still there', async () => {
  const alice = await browserOf('alice');
  assert.equal(await alice.open(`${SERVER}/consents`), 200);
  assert.deepEqual(alice.asked, ['login', 'consent']);
  assert.match(await alice.text(), /notes_write[^]*Allowed until/);
  assert(await alice.signedIn());
});

await closeAll();
