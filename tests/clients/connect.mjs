// How the second line of the TypeScript client connects.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { tools, url } from './walk.mjs';

const require = createRequire(join(tools, 'typescript-v2/package.json'));
const { Client, StreamableHTTPClientTransport } = await import(
  pathToFileURL(require.resolve('@modelcontextprotocol/client'))
);

// `answer` is given each link and says accept or cancel; `fill` gives the answer to a form. `only`: it knows this revision alone.
export async function connect({ mode, only, token, answer, fill }) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const client = new Client(
    { name: 'typescript-v2', version: '1' },
    {
      capabilities: { elicitation: { url: {}, form: {} } },
      versionNegotiation: { mode },
      ...(only && { supportedProtocolVersions: [only] }),
    },
  );
  client.setRequestHandler('elicitation/create', async ({ params }) =>
    params.mode === 'url' ? { action: await answer(params.url) } : { action: 'accept', content: fill() });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return {
    version: client.getNegotiatedProtocolVersion(),
    listTools: async () => (await client.listTools()).tools,
    callTool: (name, args, options) => client.callTool({ name, arguments: args }, options),
    close: () => client.close(),
  };
}
