// The TypeScript client drives each capability by the tool that ships for it; the steps are in shipped.json, and what they
// check stands in shipped.py.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from './connect.mjs';
import { LINK, audit, decide, sessions, taken, textOf, token, url } from './walk.mjs';

const STEPS = JSON.parse(readFileSync(new URL('shipped.json', import.meta.url), 'utf8'));
const TOOLS = new Map(STEPS.filter((of) => of.tool).map((of) => [of.tool, of]));

// What the hosts behind the tools were asked up to now.
const upstream = async () => (await fetch(`${process.env.BAILIWICK_UPSTREAM}/seen`)).json();

// What a tool holds, and its client sees, in place of a value that was encrypted.
const HANDLE = /sealed_[a-z0-9]{26}/;

async function shipped(client, mode, asks) {
  let links, wish, form;
  const handles = {};
  const answer = (link) => (links.push(link), wish === 'cancel' ? 'cancel' : (decide(wish, link), 'accept'));
  const peer = await connect({ mode, token: token(client), answer, fill: () => form });
  // As they stand in the step, with the handle in its place that another tool gave.
  const given = ([name, value]) => [name, value?.handle_of ? handles[value.handle_of] : value];
  const argumentsOf = (of) => Object.fromEntries(Object.entries(of.arguments).map(given));
  const call = (of) => peer.callTool(of.tool, argumentsOf(of)).catch((error) => ({ isError: true, error }));

  // Calls until nothing more is asked; `is` is decided about each question.
  const callAndDecide = async (of, is) => {
    [links, wish, form] = [[], is, of.form];
    let result = await call(of);
    for (let link; !asks && is === 'allow' && (link = LINK.exec(textOf(result))?.[0]);) {
      answer(link);
      result = await call(of);
    }
    return result;
  };

  // Its user does not answer, so that it may do nothing, and does nothing.
  const refused = async (of) => {
    const [before, runs] = [await upstream(), await audit('runs', of.tool, client)];
    const result = await callAndDecide(of, 'cancel');
    assert(result.isError, JSON.stringify(result));
    assert(asks ? links.length : LINK.test(textOf(result)), `it was not asked: ${JSON.stringify(result)}`);
    assert.equal(await audit('runs', of.tool, client), runs, 'it was run');
    assert.deepEqual(await upstream(), before, 'a host was reached');
  };

  const done = async (of, is, questions) => {
    const before = await upstream();
    const result = await callAndDecide(of, is);
    assert(!result.isError && JSON.stringify(result).includes(of.says), `${result.error?.stack} ${JSON.stringify(result)}`);
    const said = JSON.stringify(result);
    assert(!of.never || !said.includes(of.never), said);
    handles[of.tool] = HANDLE.exec(said)?.[0];
    assert.equal(links.length, questions, `asked ${links.length} times`);
    const last = JSON.parse(await audit('last', of.tool, client));
    assert.equal(last.status, 'replied');
    for (const effect of of.used) assert(last.used.includes(effect), `${effect} is not in ${last.used}`);
    for (const grant of of.granted ?? []) assert(last.granted.includes(grant), `${grant} is not in ${last.granted}`);
    const reached = Object.entries(before).map(([host, count]) => [host, count + (of.upstream?.[host] ?? 0)]);
    assert.deepEqual(await upstream(), Object.fromEntries(reached));
  };

  const step = (name, run) => taken(client, name, run);
  for (const of of STEPS) {
    const name = of.capability;
    if (of.take_back) {
      const tool = TOOLS.get(of.take_back);
      await step(`${tool.capability}: taken back, refused`, async () => {
        decide('take-back', url, tool.tool, client);
        await refused(tool);
      });
    } else if (of.form && !asks) {
      console.log(`cannot ${client} ${name}: without a session a client of this revision is asked nothing`);
    } else {
      if (of.questions) await step(`${name}: asked, and nothing done before`, () => refused(of));
      await step(`${name}: allowed, done`, () => done(of, 'allow', of.questions));
      if (of.each_call) await step(`${name}: again, asked anew`, () => refused(of));
      else if (of.questions) await step(`${name}: again, without a question`, () => done(of, 'cancel', 0));
    }
  }
  await peer.close();
}

await shipped('shipped-typescript-modern', 'auto', true);
await shipped('shipped-typescript-legacy', 'legacy', sessions);
process.exit(0);
