// The TypeScript client, second line: both eras, answers a question by URL by itself.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { sessions, tools, url, walk } from './walk.mjs';

const require = createRequire(join(tools, 'typescript-v2/package.json'));
const { Client, StreamableHTTPClientTransport } = await import(
  pathToFileURL(require.resolve('@modelcontextprotocol/client'))
);

async function connect(mode, only, token, answer) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const client = new Client(
    { name: 'typescript-v2', version: '1' },
    {
      capabilities: { elicitation: { url: {}, form: {} } },
      versionNegotiation: { mode },
      ...(only && { supportedProtocolVersions: [only] }),
    },
  );
  client.setRequestHandler('elicitation/create', async ({ params }) => ({ action: await answer(params.url) }));
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return {
    version: client.getNegotiatedProtocolVersion(),
    listTools: async () => (await client.listTools()).tools,
    callTool: (name, args, options) => client.callTool({ name, arguments: args }, options),
    close: () => client.close(),
  };
}

const kinds = [
  ['typescript-v2-modern', 'auto', '2026-07-28'],
  ['typescript-v2-legacy', 'legacy', '2025-11-25'],
  // No client chooses this revision by itself; this one can be told to know no other.
  ['typescript-v2-2025-06-18', 'legacy', '2025-06-18', '2025-06-18'],
];
for (const [client, mode, version, only] of kinds) {
  await walk({ client, version, asks: mode === 'auto' || (sessions && !only), connect: (...how) => connect(mode, only, ...how) });
}
process.exit(0); // a client that was left hanging in a failed step does not keep us
