// mcpdo: a daemon holds the connection and parks a call that asks something, until a later command
// answers it. The way in which an agent would use us. `run` stops the daemon.
import { cli } from './cli.mjs';
import { sessions, url, walk } from './walk.mjs';

let connections = 0;

async function connect(era, elicit, token, answer) {
  const name = `c${++connections}`;
  // --stored-auth-only: without a token it fails at once, and starts no sign-in of its own.
  const command = (args, options) =>
    cli('mcpdo', ['--connection', name, '--format', 'json', '--stored-auth-only', ...args], options);
  const mcpdo = (...args) => command(args);
  const header = token ? ['--header', `Authorization: Bearer ${token}`] : [];
  const { protocolEra } = await mcpdo('connect', url, '--transport', 'http', '--era', era, '--elicit', elicit, ...header);
  return {
    version: { modern: '2026-07-28', legacy: '2025-11-25' }[protocolEra],
    listTools: async () => (await mcpdo('tools/list')).tools,
    callTool: async (tool, args, options) => {
      let reply = await command(['tools/call', tool, JSON.stringify(args)], options);
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
// Only a command with text output at a terminal takes its call with it when it ends.
const parked = 'a command with JSON output leaves its call to the daemon when it ends';
const cannot = {
  progress: 'it prints the reply and nothing before it',
  'cancel a running call': parked,
  'cancel a call that streams': parked,
};
for (const [client, era, version, elicit] of kinds) {
  const asks = (era === 'modern' || sessions) && elicit === 'both';
  await walk({ client, version, asks, cannot, connect: (...how) => connect(era, elicit, ...how) });
}
