// Runs one command of a client that is a program, and reads its JSON.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { tools } from './walk.mjs';

const COMMAND_MS_MAX = 45_000;

// Not spawnSync: a daemon that the command starts may hold its output open. Status 5 is a result
// with `isError`; anything else but 0 is a failure, whose reason comes as JSON on stderr.
// `signal` ends the command before its time, as a user would.
export function cli(program, args, { signal } = {}) {
  const path = join(tools, 'inspector/node_modules/.bin', program);
  return new Promise((yes, no) => {
    const child = execFile(path, args, { timeout: COMMAND_MS_MAX, killSignal: 'SIGINT', signal }, (error, stdout, stderr) => {
      if ((!error || error.code === 5) && stdout.trim()) return yes(JSON.parse(stdout));
      const reason = /^\{"error":.*$/m.exec(stderr)?.[0];
      const { code, message } = reason ? JSON.parse(reason).error : { message: stderr };
      no(Object.assign(new Error(message || String(error)), { code }));
    });
    child.stdin.end();
  });
}
