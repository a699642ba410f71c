// The steps that every client takes. A client script says how its client connects; this says what
// must come of it. Prints `ok CLIENT STEP` or `FAILED CLIENT STEP`, the reason on stderr.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const STEP_MS_MAX = 60_000;
const here = dirname(fileURLToPath(import.meta.url));

export const url = process.argv[2];
export const tools = join(process.env.TOOLS, 'clients');

// Each client has an OAuth client id of its own, because consent is per user and client.
export function token(client, ...more) {
  const script = `${process.env.BAILIWICK_TOKEN} "$@"`;
  const args = ['-c', script, 'token', '--client', client, ...more];
  return execFileSync('sh', args, { encoding: 'utf8', timeout: STEP_MS_MAX }).trim();
}

// Opens the consent page as the user and decides there; with `take-back`, takes back what `more` says.
export function decide(wish, link, ...more) {
  const { BAILIWICK_USER: user, BAILIWICK_PASSWORD: password } = process.env;
  const args = [join(here, 'browser.py'), wish, link, user, password, ...more];
  const { status, stdout, stderr } = spawnSync('python3', args, { encoding: 'utf8', timeout: STEP_MS_MAX });
  assert.equal(status, 0, `browser ${wish}: ${stderr}${stdout}`);
}

// Asks the audit log; see there. Not in step, so that the client goes on meanwhile.
export async function audit(...args) {
  const { stdout } = await promisify(execFile)('python3', [join(here, 'audit.py'), ...args], { timeout: STEP_MS_MAX });
  return stdout.trim();
}

// Whether the server gives sessions, in which clients on 2025-11-25 can be asked.
export const sessions = process.env.BAILIWICK_SESSIONS === 'true';

export const textOf = (result) => (result.content ?? []).map((block) => block.text ?? '').join('\n');

export const LINK = /https?:\/\/[^\s"'<>()[\]]*\/consent\/[A-Za-z0-9_-]+/;
const NOTE = { name: 'ada', text: 'first' };

// Takes a step, in at most a minute; whether it went well.
export async function taken(client, name, run) {
  let timer;
  const late = new Promise((_, no) => {
    timer = setTimeout(() => no(new Error(`no end after ${STEP_MS_MAX} ms`)), STEP_MS_MAX);
  });
  try {
    await Promise.race([run(), late]);
    console.log(`ok ${client} ${name}`);
    return true;
  } catch (error) {
    console.log(`FAILED ${client} ${name}`);
    console.error(`  ${error.stack ?? error}`);
    return false;
  } finally {
    clearTimeout(timer);
  }
}

// `connect(token, answer)` gives {version, listTools, callTool, close}; `token` may be undefined.
// `callTool(name, args, {signal, onprogress})`: the client's own way to cancel, and to tell progress.
// `asks`: the client declares `elicitation.url`, hands each URL to `answer` and acts on the word
// that comes back (accept, cancel). The others find the link in the text of the result.
// `cannot`: steps that the client has no means for, with the reason.
export async function walk({ client, version, asks, connect, cannot = {} }) {
  let answer = () => assert.fail('the client was asked without a cause');
  let failures = 0;

  const step = async (name, run) => {
    if (cannot[name]) return console.log(`cannot ${client} ${name}: ${cannot[name]}`);
    if (!await taken(client, name, run)) failures++;
  };

  const refused = async (bearer, expected) => {
    const attempt = async () => {
      const peer = await connect(bearer, () => 'cancel');
      try { await peer.listTools(); } finally { await peer.close(); }
    };
    const error = await attempt().then(() => assert.fail('it was let in'), (error) => error);
    const said = `${error.status} ${error.code} ${error.name} ${error.message}`;
    assert.match(said, expected);
  };

  // Clients say it in their own words; these are the words of the five.
  const unauthorized = /\b401\b|unauthorized|auth_required/i;
  await step('no token: 401', () => refused(undefined, unauthorized));
  await step('bad token: 401', () => refused('not.a.token', unauthorized));
  await step('too little scope: 403', () => refused(token(client, '--scope', 'openid'), /\b403\b|scope/i));

  let peer;
  await step(`connect ${version}`, async () => {
    peer = await connect(token(client), (link) => answer(link));
    if (peer.version) assert.equal(peer.version, version);
  });
  if (!peer) return 1;

  await step('list', async () => {
    const names = (await peer.listTools()).map((tool) => tool.name);
    for (const name of ['hello', 'notes_write']) assert(names.includes(name), `${name} is not in ${names}`);
    assert(!names.includes('whoami-admin'), 'a tool for others is listed');
  });

  await step('call', async () => {
    const result = await peer.callTool('hello', { name: 'Ada' });
    assert(!result.isError && /Ada/.test(textOf(result)), JSON.stringify(result));
  });

  // Growing, and all of it before the reply.
  await step('progress', async () => {
    const seen = [];
    const result = await peer.callTool('test_tool_with_progress', {}, { onprogress: ({ progress }) => seen.push(progress) });
    assert(!result.isError, JSON.stringify(result));
    assert.deepEqual(seen, [0, 50, 100]);
  });

  // `slow` runs for eight seconds if it is let. `end` is what the client does about that.
  const cancelled = async (end) => {
    const cut = new AbortController();
    const done = end.peer.callTool('slow', {}, { signal: cut.signal, ...end.options })
      .then((result) => assert.fail(`it came to a reply: ${JSON.stringify(result)}`), (error) => {
        if (error.code === 'ERR_ASSERTION') throw error;
      });
    done.catch(() => {}); // looked at below
    const event = await Promise.race([audit('running', 'slow', client), done.then(() => assert.fail('it did not run'))]);
    await end.now(cut);
    const { status, used } = JSON.parse(await audit('ended', event));
    assert.equal(status, 'cancelled');
    assert(used.wall_ms < 8_000, `it ran for ${used.wall_ms} ms`);
    await done;
  };

  const answersAgain = async (peer) => {
    const result = await peer.callTool('hello', { name: 'Ada' });
    assert(!result.isError && /Ada/.test(textOf(result)), JSON.stringify(result));
  };

  // Twice: an answer that has not begun, and a stream that has.
  for (const [name, options] of [['cancel a running call', {}], ['cancel a call that streams', { onprogress: () => {} }]]) {
    await step(name, async () => {
      await cancelled({ peer, options, now: (cut) => cut.abort() });
      await answersAgain(peer);
    });
  }

  await step('close during a call', async () => {
    const other = await connect(token(client), () => 'cancel');
    await cancelled({ peer: other, now: () => other.close() });
    await answersAgain(peer);
  });

  // The same answer as for a tool that does not exist. mcpdo and the Inspector look into the list
  // first and do not even ask (`tool_not_found`).
  await step('refusal', async () => {
    const result = await peer.callTool('whoami-admin', {}).catch((error) => error);
    const refused = result.isError || [-32602, 'tool_not_found'].includes(result.code);
    assert(refused, `${result.stack ?? JSON.stringify(result)}`);
  });

  // Calls, is asked, lets `wish` be decided on the page; the result of the call after that.
  const callAndDecide = async (wish) => {
    const links = [];
    if (asks) {
      answer = (link) => (links.push(link), wish === 'cancel' ? 'cancel' : (decide(wish, link), 'accept'));
      const result = await peer.callTool('notes_write', NOTE);
      assert.equal(links.length, 1, `asked ${links.length} times`);
      assert.match(links[0], LINK);
      return result;
    }
    const question = await peer.callTool('notes_write', NOTE);
    assert(question.isError, JSON.stringify(question));
    const link = LINK.exec(textOf(question))?.[0];
    assert(link, `no link in: ${textOf(question)}`);
    decide(wish, link);
    return peer.callTool('notes_write', NOTE);
  };

  await step('consent: allow, then the result', async () => {
    const result = await callAndDecide('allow');
    assert(!result.isError, JSON.stringify(result));
  });

  // The allowance was for once, so it asks again. Cancelling is an answer: no second question.
  if (asks) await step('consent: cancel', async () => {
    const result = await callAndDecide('cancel').catch((error) => error);
    assert(result.isError || (result instanceof Error && result.code !== 'ERR_ASSERTION'), String(result.stack ?? JSON.stringify(result)));
  });

  await step('consent: deny', async () => {
    const result = await callAndDecide('deny');
    assert(result.isError, JSON.stringify(result));
    assert.doesNotMatch(textOf(result), LINK, 'the user said no and is asked again');
  });

  await step('close', () => peer.close());
  return failures;
}
