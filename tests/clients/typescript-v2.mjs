// The TypeScript client, second line: both eras, answers a question by URL by itself.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { tools, url, walk } from './walk.mjs';

const require = createRequire(join(tools, 'typescript-v2/package.json'));
const { Client, StreamableHTTPClientTransport } = await import(
  pathToFileURL(require.resolve('@modelcontextprotocol/client'))
);

async function connect(mode, token, answer) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const client = new Client(
    { name: 'typescript-v2', version: '1' },
    { capabilities: { elicitation: { url: {}, form: {} } }, versionNegotiation: { mode } },
  );
  client.setRequestHandler('elicitation/create', async ({ params }) => ({ action: await answer(params.url) }));
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return {
    version: client.getNegotiatedProtocolVersion(),
    listTools: async () => (await client.listTools()).tools,
    callTool: (name, args) => client.callTool({ name, arguments: args }),
    close: () => client.close(),
  };
}

for (const [mode, version, asks] of [['auto', '2026-07-28', true], ['legacy', '2025-11-25', false]]) {
  const client = `typescript-v2-${asks ? 'modern' : 'legacy'}`;
  await walk({ client, version, asks, connect: (...how) => connect(mode, ...how) });
}
process.exit(0); // a client that was left hanging in a failed step does not keep us
