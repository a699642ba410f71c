// What both drives share: an issuer of a few lines, the program with it, and a client by `oauth4webapi`.
import { spawn } from 'node:child_process';
import { randomUUID, webcrypto } from 'node:crypto';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';

const { BAILIWICK, PORT, TOOLS, WORK } = process.env;
export const oauth = await import(`${TOOLS}/proofs/node_modules/oauth4webapi/build/index.js`);
const issuer = 'https://as.example';
export const port = PORT;
export const folder = WORK;

const encode = (value) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

const key = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);

export async function accessToken(audience, cnf) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: issuer, sub: 'alice', aud: audience.href, client_id: 'third-party', scope: 'tools:call',
    iat: now, exp: now + 600, jti: randomUUID(), ...(cnf && { cnf }),
  };
  const signed = `${encode({ alg: 'ES256', typ: 'at+jwt', kid: 'a' })}.${encode(claims)}`;
  const signature = await webcrypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key.privateKey, Buffer.from(signed));
  return `${signed}.${Buffer.from(signature).toString('base64url')}`;
}

/// The files of a server at this address, with these lines for the server and for its issuer.
export async function configure(base, ofServer, ofIssuer) {
  for (const name of ['tools.d', 'policy.d']) mkdirSync(`${WORK}/${name}`);
  const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', key.publicKey);
  const jwk = { kty, crv, x, y, kid: 'a', alg: 'ES256', use: 'sig' };
  writeFileSync(`${WORK}/keys.json`, JSON.stringify({ keys: [jwk] }));
  writeFileSync(`${WORK}/bailiwick.toml`, `
[server]
listen = "127.0.0.1:${PORT}"
public_url = "${base}"
${ofServer}
[[issuer]]
issuer = "${issuer}"
jwks_file = "keys.json"
algorithms = ["ES256"]
${ofIssuer}
[tools]
dir = "tools.d"
[policy]
dir = "policy.d"
[state]
url = "sqlite://state.db"
`);
}

/// Starts it, and waits until `ready` says that it serves.
export async function start(ready) {
  const log = openSync(`${WORK}/server.log`, 'w');
  const server = spawn(BAILIWICK, ['serve', '--config', `${WORK}/bailiwick.toml`], { stdio: ['ignore', log, log] });
  process.on('exit', () => server.kill());
  for (let tries = 0; tries < 300; tries += 1) {
    if (server.exitCode !== null) break;
    if (await ready().then((answer) => answer.ok, () => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the server does not start: ${readFileSync(`${WORK}/server.log`)}`);
}

export const list = JSON.stringify({
  jsonrpc: '2.0', id: 1, method: 'tools/list',
  params: {
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
      'io.modelcontextprotocol/clientInfo': { name: 'proofs', version: '1' },
    },
  },
});

export function headers() {
  return new Headers({
    'content-type': 'application/json', accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list',
  });
}

/// The challenges of a refusal, as the library reads them.
export async function challenges(asked) {
  const error = await asked.then(
    async (answer) => { throw new Error(`not refused: ${answer.status} ${await answer.text()}`); },
    (refused) => refused,
  );
  if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
  equal(error.status, 401);
  return error.cause;
}

export function equal(found, wanted) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`found ${a}, wanted ${b}`);
}

let failed = false;
export async function step(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAILED ${name}`);
    console.error(error);
  }
}

export function end() {
  process.exit(failed ? 1 : 0);
}
