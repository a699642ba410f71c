// What alice, bob and a third-party client see of the server when an OpenID provider that is not ours signs them in.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { browserOf, closeAll, ISSUER, SERVER } from './browser.mjs';
import { CLIENT_ID, connect } from './client.mjs';
import { step, STEP_MS_MAX } from './step.mjs';
import { mustNotWork } from './wrong.mjs';

const NOTE = { name: 'ada', text: 'first' };

const textOf = (result) => (result.content ?? []).map((block) => block.text ?? '').join('\n');
const json = async (url) => (await fetch(url)).json();

function part(token, n) {
  return JSON.parse(Buffer.from(token.split('.')[n], 'base64url').toString());
}

function audited(kind) {
  const script = `${process.env.AUDIT} --json --kind "$1"`;
  const lines = execFileSync('sh', ['-c', script, 'audit', kind], { encoding: 'utf8', timeout: STEP_MS_MAX });
  return lines.split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

const [alice, bob] = [await browserOf('alice'), await browserOf('bob')];
let client;
let answer = () => assert.fail('the client was asked without a cause');
const links = [];

// Calls the tool; `decide(link)` says what the user does with the question, and what the client then says.
async function call(decide) {
  links.length = 0;
  answer = async (link) => (links.push(link), decide(link));
  return client.callTool('notes_write', NOTE);
}

// Opens the link as alice and chooses for everything that is asked.
async function choose(link, value) {
  assert.equal(await alice.open(link), 200);
  assert.equal(await alice.heading(), 'May “Write a note” do this?');
  for (const choice of await alice.page.locator(`input[type=radio][value=${value}]`).all()) await choice.check();
  assert.equal((await alice.press('Save my decision')).status(), 200);
  return 'accept';
}

// What the receipt of alice's newest decision says.
async function receipt() {
  assert.equal(await alice.open(`${SERVER}/consents`), 200);
  const path = await alice.page.locator('.records a[href$="/receipt"]').first().getAttribute('href');
  const reply = await alice.context.request.get(SERVER + path);
  return part(`.${(await reply.json()).payload}`, 1).consent;
}

// Presses the one button of this name on a page of alice's.
async function pressOne(name) {
  assert.equal(await alice.page.getByRole('button', { name }).count(), 1);
  assert.equal((await alice.press(name)).status(), 200);
}

await step('no token: 401 that leads to the provider', async () => {
  const headers = { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} });
  const reply = await fetch(`${SERVER}/mcp`, { method: 'POST', headers, body });
  assert.equal(reply.status, 401);
  const challenge = reply.headers.get('www-authenticate');
  const metadata = await json(/resource_metadata="([^"]+)"/.exec(challenge)?.[1]);
  assert.equal(metadata.resource, `${SERVER}/mcp`);
  assert.deepEqual(metadata.authorization_servers, [ISSUER]);
  const provider = await json(`${ISSUER}/.well-known/openid-configuration`);
  assert.equal(provider.issuer, ISSUER);
  assert(provider.code_challenge_methods_supported.includes('S256'));
});

await step('a third-party client finds the provider by itself, and alice signs in there in Chromium', async () => {
  client = await connect(alice, (link) => answer(link));
  assert.deepEqual(alice.asked, ['login', 'consent']);
  assert.equal(client.asked.get('resource'), `${SERVER}/mcp`);
  assert.equal(client.asked.get('code_challenge_method'), 'S256');
  assert.equal(client.asked.get('scope'), 'tools:call');
  assert.equal(part(client.token, 0).typ, 'at+jwt');
  const { iss, sub, aud, client_id, scope } = part(client.token, 1);
  assert.deepEqual([iss, sub, aud, client_id, scope], [ISSUER, 'alice', `${SERVER}/mcp`, CLIENT_ID, 'tools:call']);
  assert.equal(client.version, '2026-07-28');
});

await step('list', async () => {
  const names = (await client.listTools()).map((tool) => tool.name).sort();
  assert.deepEqual(names, ['notes_delete', 'notes_list', 'notes_read', 'notes_write']);
});

await step('a call asks alice; bob opens her link and is refused; she signs in on the page and allows it; it runs', async () => {
  const result = await call(async (link) => {
    assert(link.startsWith(`${SERVER}/consent/`), link);
    assert.equal(await bob.open(link), 404);
    assert.deepEqual(bob.asked, ['login', 'consent']);
    assert.equal(await bob.heading(), 'This question is not for you, or no longer open');
    assert.match(await bob.text(), /Signed in as bob/);
    await choose(link, 'allow-until');
    // The provider knows her; it asks only whether this server may know who she is.
    assert.deepEqual(alice.asked, ['consent']);
    assert.equal(await alice.heading(), 'Decided: the tool may go on');
    return 'accept';
  });
  assert(!result.isError, textOf(result));
  assert.equal(links.length, 1);
  const written = readdirSync(process.env.NOTES, { recursive: true }).filter((file) => file.endsWith('ada.md'));
  assert.equal(written.length, 1, `${written}`);
  assert.equal(readFileSync(join(process.env.NOTES, written[0]), 'utf8'), NOTE.text);
});

await step('the next call is not asked', async () => {
  const result = await call(() => assert.fail('asked again'));
  assert(!result.isError, textOf(result));
});

await step('her receipt says for whom, for what and when she gave her password, though she did so for the client', async () => {
  const { user, client_id, tool, capability, decision, decided } = await receipt();
  assert.deepEqual([user.iss, user.sub, client_id], [ISSUER, 'alice', CLIENT_ID]);
  assert.deepEqual([decision, tool.name, capability.text], ['given', 'notes_write', 'files write notes']);
  assert(Date.parse(decided.auth_time) <= Date.parse(decided.at), JSON.stringify(decided));
});

await step('alice takes it back on her page, and the call is asked again', async () => {
  assert.equal(await alice.open(`${SERVER}/consents`), 200);
  await pressOne(/^Take back/);
  assert.match(await alice.text(), /Taken back/);
  const result = await call(() => 'cancel').catch((error) => error);
  assert.equal(links.length, 1);
  assert(result.isError || result instanceof Error, textOf(result));
});

await step('alice refuses: the call ends, and says so without a link', async () => {
  const result = await call((link) => choose(link, 'deny'));
  assert.equal(await alice.heading(), 'Decided: the tool will not run');
  assert(result.isError, textOf(result));
  assert.doesNotMatch(textOf(result), /\/consent\//);
  assert.equal(links.length, 1);
});

await step('on record: who allowed, took back and refused, by which sign-in, and who came with a forwarded link', async () => {
  for (const kind of ['consent.given', 'consent.revoked', 'consent.denied', 'consent.foreign-user']) {
    const records = audited(kind);
    assert.equal(records.length, 1, `${kind}: ${JSON.stringify(records)}`);
  }
});

await step('she may be asked again if she wants; a fresh sign-in takes her password, and its time is in the receipt', async () => {
  const before = Math.floor(Date.now() / 1000) * 1000;
  assert.equal(await alice.open(`${SERVER}/sign-in?next=/consents&fresh=1`), 200);
  assert.deepEqual(alice.asked, ['login']);
  await pressOne(/^Ask me again/);
  const result = await call((link) => choose(link, 'allow-until'));
  assert(!result.isError, textOf(result));
  const { decision, decided } = await receipt();
  assert.equal(decision, 'given');
  assert(Date.parse(decided.auth_time) >= before, decided.auth_time);
});

await mustNotWork(alice, bob);

await step('each of them is on record with its reason', async () => {
  const reasons = new Set(audited('sign-in.failed').map((record) => record.facts.reason));
  assert.deepEqual([...reasons].sort(), ['code', 'declined', 'finished-or-expired', 'other-browser', 'other-issuer', 'state']);
});

await step('sign-out everywhere ends the sessions of both of her browsers, and not of his', async () => {
  const other = await browserOf('alice');
  assert.equal(await other.open(`${SERVER}/consents`), 200);
  assert.equal(await bob.open(`${SERVER}/consents`), 200);
  assert.equal(await alice.open(`${SERVER}/consents`), 200);
  for (const browser of [alice, other, bob]) assert(await browser.signedIn(), browser.name);
  assert.equal((await alice.press('Sign out everywhere')).status(), 200);
  assert.equal(await alice.heading(), 'Signed out');
  for (const browser of [alice, other]) assert(!(await browser.signedIn()), browser.name);
  assert(await bob.signedIn());
});

await client.close();
await closeAll();
