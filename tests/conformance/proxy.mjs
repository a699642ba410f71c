// proxy.mjs PORT UPSTREAM_PORT TOKEN [TOOLS_DIR SPARE]
//
// The suite cannot send a token, so this adds one. All else (Host, Origin, bodies, the order and
// time of the chunks) passes untouched, because the suite checks how the server judges them.
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';

const [port, upstream, token, toolsDir, spare] = process.argv.slice(2);

http.createServer((req, res) => {
  if (req.headers['mcp-name'] === 'test_trigger_tool_change' && toolsDir) changeTools();
  const headers = [...req.rawHeaders, 'Authorization', `Bearer ${token}`];
  const to = { host: '127.0.0.1', port: upstream, method: req.method, path: req.url, headers };
  const out = http.request({ ...to, setHost: false, agent: false }, (reply) => {
    res.writeHead(reply.statusCode, reply.rawHeaders);
    res.flushHeaders();
    reply.pipe(res);
  });
  // A side that goes away takes the other with it: to the server, that is a cancelled call.
  out.on('error', () => res.destroy());
  res.on('close', () => out.destroy());
  req.pipe(out);
}).listen(port, '127.0.0.1', () => console.log('ready'));

// The suite expects a tool that changes the list of tools. No tool of ours can; the operator can,
// by putting a component into the tools folder or taking it away.
function changeTools() {
  const place = join(toolsDir, 'spare.wasm');
  if (existsSync(place)) rmSync(place);
  else copyFileSync(spare, place);
}
