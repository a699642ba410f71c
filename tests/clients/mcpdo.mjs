// mcpdo: a daemon holds the connection and parks a call that asks something, until a later command
// answers it. The way in which an agent would use us. `run` stops the daemon.
import { cli } from './cli.mjs';
import { url, walk } from './walk.mjs';

let connections = 0;

async function connect(era, elicit, token, answer) {
  const name = `c${++connections}`;
  // --stored-auth-only: without a token it fails at once, and starts no sign-in of its own.
  const mcpdo = (...args) => cli('mcpdo', ['--connection', name, '--format', 'json', '--stored-auth-only', ...args]);
  const header = token ? ['--header', `Authorization: Bearer ${token}`] : [];
  const { protocolEra } = await mcpdo('connect', url, '--transport', 'http', '--era', era, '--elicit', elicit, ...header);
  return {
    version: { modern: '2026-07-28', legacy: '2025-11-25' }[protocolEra],
    listTools: async () => (await mcpdo('tools/list')).tools,
    callTool: async (tool, args) => {
      let reply = await mcpdo('tools/call', tool, JSON.stringify(args));
      while (reply.elicitationPending) {
        const { elicitationId, url: link } = reply.elicitationPending;
        const flag = (await answer(link)) === 'accept' ? '--done' : '--cancel';
        reply = await mcpdo('elicitation/respond', elicitationId, flag);
      }
      return reply;
    },
    close: () => mcpdo('disconnect'),
  };
}

const kinds = [
  ['mcpdo-modern', 'modern', '2026-07-28', 'both'],
  ['mcpdo-modern-silent', 'modern', '2026-07-28', 'off'], // modern, but cannot be asked
  ['mcpdo-legacy', 'legacy', '2025-11-25', 'both'],
];
for (const [client, era, version, elicit] of kinds) {
  const asks = era === 'modern' && elicit === 'both';
  await walk({ client, version, asks, connect: (...how) => connect(era, elicit, ...how) });
}
