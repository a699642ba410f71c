// Walks through the pages as two users do, and looks at each: see `run`.
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const { BAILIWICK, CHROMIUM, DEV, LATER, PICTURES, TOOLS } = process.env;
const at = process.argv[2];
const require = createRequire(join(TOOLS, 'pages', 'package.json'));
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const SCHEMES = ['light', 'dark'];
const WIDTHS = [390, 1100];
const STOPS_MAX = 80; // places of the keyboard on one page; more is a loop
const WAIT_MS = 15_000;

const findings = [];
let looked = 0;

/** Changes the sessions of browsers in the state of the server: what a test cannot wait for, or its provider does not do. */
function change(sessions) {
  const state = new DatabaseSync(join(DEV, 'state.db'), { timeout: WAIT_MS });
  state.exec(`UPDATE browser_session SET ${sessions}`);
  state.close();
}

const bailiwick = (...args) =>
  execFileSync(BAILIWICK, [...args, '--dir', DEV], { encoding: 'utf8' }).trim();

/** Calls a tool for alice, and gives the link to the question, if one is asked. */
async function call(client, tool, args) {
  const token = bailiwick('token', '--user', 'alice', '--client', client);
  const answer = await fetch(`${at}/mcp`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`,
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2025-06-18',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: tool, arguments: args } }),
  });
  return (await answer.text()).match(/http:\/\/[^\s"\\]*\/consent\/[\w-]{43}/)?.[0];
}

/** The same where a question must be asked. */
async function question(...what) {
  const link = await call(...what);
  if (!link) throw new Error(`no question: ${JSON.stringify(what)}`);
  return link;
}

/** Looks at the page that is open: axe, keyboard, width, pictures. */
async function look(page, language, name) {
  looked += 1;
  const found = (what) => findings.push(`${language} ${name}: ${what}`);
  const lang = await page.getAttribute('html', 'lang');
  if (lang !== language) found(`the page says that it is in ${lang}`);
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(PICTURES, `${name}-${language}-${width}-${colorScheme}.png`), fullPage: true });
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      for (const { id, help, nodes } of violations) {
        found(`${width} ${colorScheme}: ${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 120)).join(' | ')}`);
      }
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (wide > 0) found(`${wide} px wider than a window of ${width} px`);
  }
  await keyboard(page, found);
}

/** Tab reaches everything that can be used, in the order of the page, and one sees where it is. */
async function keyboard(page, found) {
  await page.evaluate(() => {
    const usable = 'a[href], button, input:not([type=hidden]), summary';
    const shown = [...document.querySelectorAll(usable)].filter((one) => one.checkVisibility());
    // Of a group of radio buttons the keyboard stops at one.
    const group = (one) => (one.type === 'radio' ? one.name : one);
    globalThis.stops = shown.filter((one, n) => shown.findIndex((other) => group(other) === group(one)) === n);
  });
  // Where a page begins in a field, the keyboard goes on from there.
  let last = -1;
  for (let n = 0; n < STOPS_MAX; n += 1) {
    if (n > 0 || !(await page.evaluate(() => globalThis.stops.includes(document.activeElement)))) await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const one = document.activeElement;
      if (!one || one === document.body) return undefined;
      const place = globalThis.stops.findIndex((other) => other === one || (one.type === 'radio' && other.name === one.name));
      const style = getComputedStyle(one);
      const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
      return { place, seen, html: one.outerHTML.slice(0, 120) };
    });
    if (!stop) break;
    if (!stop.seen) found(`one does not see that the keyboard is at ${stop.html}`);
    // The parts of a date are stops of their own.
    if (stop.place !== last && stop.place !== last + 1) found(`the keyboard goes from ${last} to ${stop.place}: ${stop.html}`);
    last = stop.place;
  }
  const all = await page.evaluate(() => globalThis.stops.length);
  if (last !== all - 1) found(`the keyboard reaches ${last + 1} of ${all}`);
}

const signInAs = async (page, user) => {
  await page.fill('input[name=user]', user);
  await page.fill('input[name=password]', user);
  await Promise.all([page.waitForURL((url) => url.href.startsWith(at)), page.click('main button[type=submit]')]);
};

/** Chooses the same for each capability, and sends the form. */
async function choose(page, choice) {
  for (const radio of await page.locator(`input[type=radio][value=${choice}]`).all()) await radio.check();
  await page.click('button[name=decide]');
}

async function walk(browser, language) {
  const open = async () => {
    const context = await browser.newContext({ locale: language === 'ja' ? 'ja-JP' : 'en-GB' });
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    page.on('console', (message) => {
      // A refusal that is meant is no complaint of the browser about the page.
      const status = /the server responded with a status of 4\d\d/.test(message.text());
      if (message.type() === 'error' && !status) findings.push(`${language}: the browser says: ${message.text()}`);
    });
    return page;
  };
  const show = async (page, url, name) => {
    await page.goto(new URL(url, at).href);
    await look(page, language, name);
  };
  const client = `https://client-${language}.example/metadata.json`;
  const page = await open();

  await show(page, '/consents', 'sign-in');
  await page.fill('input[name=user]', 'alice');
  await page.fill('input[name=password]', 'wrong');
  await page.click('main button[type=submit]');
  await look(page, language, 'sign-in-wrong');
  await page.goto(`${at}/consents`);
  await signInAs(page, 'alice');
  if (language === 'en') await look(page, language, 'consents-none');
  if (language === 'en') await show(page, '/consents/history', 'history-none');

  const notes = await question(client, 'notes_write', { name: 'a', text: 'b' });
  await show(page, notes, 'question');
  await page.locator('input[value=allow-until]').check();
  await page.fill('input[type=number]', '3');
  await page.click('button[name=decide]');
  await look(page, language, 'decided');
  await call(client, 'notes_write', { name: 'a', text: 'b' });
  await show(page, notes, 'decided-before');

  // Until its user signs out.
  const session = await question(`session-${language}`, 'notes_write', { name: 'a', text: 'b' });
  await page.goto(session);
  await choose(page, 'allow-session');
  await look(page, language, 'decided-session');

  // What rules have asked about at every call, with arguments that hide and are long.
  const every = await question(`bank-${language}`, 'notes_write', {
    name: 'transfer',
    text: `Pay 12 000 € to <b>Ada</b> \u202eecilA\u202c\u200b, 東京都千代田区\nand ${'a very long word'.repeat(4)} ${'x'.repeat(300)}`,
  });
  await show(page, every, 'question-every-call');
  change('auth_time = auth_time - 600000');
  await show(page, every, 'question-stale');
  await choose(page, 'allow-once');
  await look(page, language, 'answer-stale');
  change('acr = NULL');
  await show(page, every, 'question-no-acr');
  await choose(page, 'allow-once');
  await look(page, language, 'answer-no-acr');
  change("acr = 'dev', auth_time = auth_time + 600000");
  await page.goto(every);
  await choose(page, 'allow-once');
  await look(page, language, 'decided-every-call');

  const pretender = await question(`desk\u200btop-${language}`, 'fetch', { url: 'https://example.com/' });
  await show(page, pretender, 'question-pretender');
  // Without a choice, sent by force: the page that says what is missing.
  await page.evaluate(() => { document.querySelector('main form').noValidate = true; });
  await page.click('button[name=decide]');
  await look(page, language, 'answer-incomplete');
  await page.goto(pretender);
  await choose(page, 'deny');
  await look(page, language, 'decided-refused');

  // A link that was forwarded, and what its user sees of that.
  const forwarded = await question(`other-${language}`, 'notes_write', { name: 'a', text: 'b' });
  const root = await open();
  await root.goto(`${at}/consents`);
  await signInAs(root, 'root');
  await show(root, forwarded, 'question-not-for-you');
  await page.goto(forwarded);
  await choose(page, 'allow-until');
  const revoked = await question(`third-${language}`, 'notes_write', { name: 'a', text: 'b' });
  await page.goto(revoked);
  await choose(page, 'allow-until');
  bailiwick('consent', 'revoke', '--client', `third-${language}`, '--reason', 'This client is retired.');

  await show(page, '/consents', 'consents');
  await show(page, '/consents?by=client', 'consents-by-client');
  await show(page, '/consents/history', 'history');

  await show(page, '/sign-in?next=//elsewhere.example', 'link-incomplete');
  await show(page, '/sign-in/callback?state=x', 'sign-in-failed');
  await show(page, '/consents/x/receipt', 'receipt-unknown');
  return { page, client, show };
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-quic'] });
try {
  const walks = [];
  for (const language of ['en', 'ja']) walks.push([language, await walk(browser, language)]);
  // Another build of the notes, which says something else of itself.
  copyFileSync(LATER, join(DEV, 'tools.d', 'notes.wasm'));
  for (const [language, { page, client, show }] of walks) {
    let link;
    for (let tries = 0; !link && tries < 50; tries += 1) {
      await new Promise((done) => setTimeout(done, 200));
      link = await call(client, 'notes_write', { name: 'a', text: 'b' });
    }
    if (!link) throw new Error('the changed tool is not asked about');
    await show(page, link, 'question-changed');
  }
  // Here in the one, in the other everywhere.
  for (const [language, { page }] of walks) {
    await page.click(`footer button${language === 'en' ? ':not([name])' : '[name=everywhere]'}`);
    await look(page, language, 'signed-out');
  }
} finally {
  await browser.close();
}
for (const finding of findings) console.error(`FOUND ${finding}`);
console.log(`${looked} pages, ${findings.length} findings`);
if (findings.length > 0 || looked === 0) process.exitCode = 1;
