// An issuer of a few lines, and a client by `oauth4webapi`: it makes the proofs, keeps the nonces and reads the challenges.
import { spawn } from 'node:child_process';
import { randomUUID, webcrypto } from 'node:crypto';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';

const { BAILIWICK, PORT, TOOLS, WORK } = process.env;
const oauth = await import(`${TOOLS}/proofs/node_modules/oauth4webapi/build/index.js`);
const base = `http://127.0.0.1:${PORT}`;
const endpoint = new URL(`${base}/mcp`);
const issuer = 'https://as.example';
const insecure = { [oauth.allowInsecureRequests]: true };

const encode = (value) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

const key = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);

async function accessToken(cnf) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: issuer, sub: 'alice', aud: endpoint.href, client_id: 'third-party', scope: 'tools:call',
    iat: now, exp: now + 600, jti: randomUUID(), ...(cnf && { cnf }),
  };
  const signed = `${encode({ alg: 'ES256', typ: 'at+jwt', kid: 'a' })}.${encode(claims)}`;
  const signature = await webcrypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key.privateKey, Buffer.from(signed));
  return `${signed}.${Buffer.from(signature).toString('base64url')}`;
}

async function configure() {
  for (const folder of ['tools.d', 'policy.d']) mkdirSync(`${WORK}/${folder}`);
  const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', key.publicKey);
  const jwk = { kty, crv, x, y, kid: 'a', alg: 'ES256', use: 'sig' };
  writeFileSync(`${WORK}/keys.json`, JSON.stringify({ keys: [jwk] }));
  writeFileSync(`${WORK}/bailiwick.toml`, `
[server]
listen = "127.0.0.1:${PORT}"
public_url = "${base}"
[[issuer]]
issuer = "${issuer}"
jwks_file = "keys.json"
algorithms = ["ES256"]
dpop = "required"
dpop_nonce = true
[tools]
dir = "tools.d"
[policy]
dir = "policy.d"
[state]
url = "sqlite://state.db"
`);
}

async function start() {
  const log = openSync(`${WORK}/server.log`, 'w');
  const server = spawn(BAILIWICK, ['serve', '--config', `${WORK}/bailiwick.toml`], { stdio: ['ignore', log, log] });
  process.on('exit', () => server.kill());
  for (let tries = 0; tries < 300; tries += 1) {
    if (server.exitCode !== null) break;
    const ready = await fetch(`${base}/readyz`).then((answer) => answer.ok, () => false);
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the server does not start: ${readFileSync(`${WORK}/server.log`)}`);
}

const list = JSON.stringify({
  jsonrpc: '2.0', id: 1, method: 'tools/list',
  params: {
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
      'io.modelcontextprotocol/clientInfo': { name: 'proofs', version: '1' },
    },
  },
});

function headers() {
  return new Headers({
    'content-type': 'application/json', accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list',
  });
}

/// A request as the library sends it; what it took for a proof is kept.
async function ask(token, proofs, kept = {}) {
  const fetched = (url, options) => {
    kept.headers = new Headers(options.headers);
    return fetch(url, options);
  };
  const options = { DPoP: proofs, [oauth.customFetch]: fetched, ...insecure };
  return oauth.protectedResourceRequest(token, 'POST', endpoint, headers(), list, options);
}

/// The challenges of a refusal, as the library reads them.
async function challenges(asked) {
  const error = await asked.then(
    async (answer) => { throw new Error(`not refused: ${answer.status} ${await answer.text()}`); },
    (refused) => refused,
  );
  if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
  equal(error.status, 401);
  return error.cause;
}

function equal(found, wanted) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`found ${a}, wanted ${b}`);
}

let failed = false;
async function step(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAILED ${name}`);
    console.error(error);
  }
}

const client = { client_id: 'third-party' };
const held = async (algorithm) => {
  const proofs = oauth.DPoP(client, await oauth.generateKeyPair(algorithm));
  return { proofs, token: await accessToken({ jkt: await proofs.calculateThumbprint() }) };
};

await configure();
await start();

await step('the metadata says that tokens are bound, and which proofs are taken', async () => {
  const found = await oauth.resourceDiscoveryRequest(endpoint, insecure);
  const metadata = await oauth.processResourceDiscoveryResponse(endpoint, found);
  equal(metadata.dpop_bound_access_tokens_required, true);
  equal(metadata.bearer_methods_supported, []);
  equal(metadata.dpop_signing_alg_values_supported.includes('ES256'), true);
});

for (const algorithm of ['ES256', 'Ed25519', 'PS256', 'RS256']) {
  await step(`${algorithm}: a nonce is asked for, and with it the proof counts`, async () => {
    const { proofs, token } = await held(algorithm);
    const refused = await ask(token, proofs).then(() => null, (error) => error);
    equal(oauth.isDPoPNonceError(refused), true);
    for (let n = 0; n < 3; n += 1) {
      const answer = await ask(token, proofs);
      equal(answer.status, 200);
      equal((await answer.json()).result.tools, []);
    }
  });
}

await step('a proof counts once, for its own request', async () => {
  const { proofs, token } = await held('ES256');
  await ask(token, proofs).catch(() => {});
  const kept = {};
  equal((await ask(token, proofs, kept)).status, 200);
  const again = await fetch(endpoint, { method: 'POST', headers: kept.headers, body: list });
  equal(again.status, 401);
  equal(again.headers.get('www-authenticate').startsWith('DPoP error="invalid_dpop_proof"'), true);
});

await step('a token is worth nothing without its key', async () => {
  const [alice, thief] = [await held('ES256'), await held('ES256')];
  await ask(thief.token, thief.proofs).catch(() => {});
  const [stolen] = await challenges(ask(alice.token, thief.proofs));
  equal([stolen.scheme, stolen.parameters.error], ['dpop', 'invalid_dpop_proof']);
  const [bearer] = await challenges(ask(alice.token));
  equal([bearer.scheme, bearer.parameters.error], ['dpop', 'invalid_token']);
  const [free] = await challenges(ask(await accessToken(), thief.proofs));
  equal(free.parameters.error, 'invalid_token');
});

process.exit(failed ? 1 : 0);
