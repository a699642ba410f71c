// The Inspector's command line: one process per request, no question can be answered in between,
// so it does not declare elicitation. Also in the modern era it is shown the link.
import { cli } from './cli.mjs';
import { url, walk } from './walk.mjs';

async function connect(era, token) {
  const header = token ? ['--header', `Authorization: Bearer ${token}`] : [];
  const common = ['--cli', url, '--transport', 'http', '--protocol-era', era, '--format', 'json', ...header];
  const request = async (args, options) => (await cli('mcp-inspector', [...common, '--method', ...args], options)).result;
  const ask = (...args) => request(args);
  const listTools = async () => (await ask('tools/list')).tools;
  await listTools(); // there is no connection; that a request works is what it has for one
  return {
    listTools,
    callTool: (name, args, options) =>
      request(['tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(args)], options),
    close: async () => {},
  };
}

const cannot = {
  progress: 'it prints the reply and nothing before it',
  'cancel a call that streams': 'it asks for no progress, so there is no stream',
  'close during a call': 'it keeps no connection; the process is the call',
};

for (const [era, version] of [['modern', '2026-07-28'], ['legacy', '2025-11-25']]) {
  await walk({ client: `inspector-${era}`, version, asks: false, cannot, connect: (token) => connect(era, token) });
}
