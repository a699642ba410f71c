// The TypeScript SDK, first line: older revisions only. Most clients in use are built on it.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { sessions, tools, url, walk } from './walk.mjs';

const require = createRequire(join(tools, 'typescript-v1/package.json'));
const load = (path) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${path}`)));
const { Client } = await load('client/index.js');
const { ElicitRequestSchema } = await load('types.js');
const { StreamableHTTPClientTransport } = await load('client/streamableHttp.js');

async function connect(token, answer) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const client = new Client({ name: 'typescript-v1', version: '1' }, { capabilities: { elicitation: { url: {} } } });
  client.setRequestHandler(ElicitRequestSchema, async ({ params }) => ({ action: await answer(params.url) }));
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  await client.connect(transport);
  return {
    version: transport.protocolVersion,
    listTools: async () => (await client.listTools()).tools,
    callTool: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    close: () => client.close(),
  };
}

await walk({ client: 'typescript-v1', version: '2025-11-25', asks: sessions, connect });
process.exit(0);
