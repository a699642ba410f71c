// A third-party MCP client (TypeScript, second line) that gets its own token: it finds the provider by discovery from the
// server's 401, and its user signs in with a browser.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SERVER } from './browser.mjs';

const require = createRequire(join(process.env.TOOLS, 'clients/typescript-v2/package.json'));
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = await import(
  pathToFileURL(require.resolve('@modelcontextprotocol/client'))
);

export const CLIENT_ID = 'mcp-client';

// What the client keeps between the steps of its sign-in. Its client id is registered; a secret it has none.
class Keeps {
  clientMetadata = { client_name: 'MCP client', redirect_uris: [], token_endpoint_auth_method: 'none' };

  constructor(redirectUrl) {
    this.redirectUrl = redirectUrl;
    this.clientMetadata.redirect_uris = [redirectUrl];
  }
  state = () => (this.sent = randomBytes(16).toString('hex'));
  clientInformation = () => ({ client_id: CLIENT_ID });
  tokens = () => this.saved;
  saveTokens = (tokens) => void (this.saved = tokens);
  redirectToAuthorization = (url) => void (this.url = url);
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  codeVerifier = () => this.verifier;
  saveDiscoveryState = (found) => void (this.found = found);
  discoveryState = () => this.found;
}

// Signs the browser's user in and connects. `answer(link)` decides what becomes of a question: accept or cancel.
export async function connect(browser, answer) {
  const listener = createServer((_, reply) => reply.end('You can close this page.')).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const keeps = new Keeps(`http://127.0.0.1:${listener.address().port}/callback`);
  const transport = () => new StreamableHTTPClientTransport(new URL(`${SERVER}/mcp`), { authProvider: keeps });
  const make = () => {
    const client = new Client(
      { name: 'provider-walk', version: '1' },
      { capabilities: { elicitation: { url: {} } }, versionNegotiation: { mode: 'auto' } },
    );
    client.setRequestHandler('elicitation/create', async ({ params }) => ({ action: await answer(params.url) }));
    return client;
  };
  try {
    const first = transport();
    await make().connect(first).then(
      () => assert.fail('it was let in without a token'),
      (error) => assert(error instanceof UnauthorizedError, error.stack),
    );
    await browser.open(keeps.url.href);
    const back = new URL(browser.page.url());
    assert(back.href.startsWith(keeps.redirectUrl), `the browser ended at ${back}: ${await browser.text()}`);
    assert.equal(back.searchParams.get('state'), keeps.sent);
    await first.finishAuth(back.searchParams);
  } finally {
    listener.close();
    listener.closeAllConnections();
  }
  const client = make();
  await client.connect(transport());
  return {
    asked: keeps.url.searchParams,
    token: keeps.saved.access_token,
    version: client.getNegotiatedProtocolVersion(),
    listTools: async () => (await client.listTools()).tools,
    callTool: (name, args) => client.callTool({ name, arguments: args }),
    close: () => client.close(),
  };
}
