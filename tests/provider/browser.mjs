// People with a browser each: headless Chromium, driven by Playwright. Nothing but loopback is reached.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.TOOLS, 'provider/package.json'));
const { chromium } = require('playwright-core');

const PAGE_MS_MAX = 20_000;
const PROVIDER_PAGES_MAX = 4; // sign-in and consent, and some room; more is a loop

export const SERVER = process.env.SERVER;
export const ISSUER = process.env.ISSUER;

const chrome = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1', '--no-proxy-server'],
});
export const closeAll = () => chrome.close();

// One browser of one person: cookies of its own.
export async function browserOf(name) {
  const context = await chrome.newContext({ locale: 'en-GB' });
  context.setDefaultTimeout(PAGE_MS_MAX);
  return new Browser(name, context, await context.newPage());
}

class Browser {
  asked = []; // what the provider asked: `login`, `consent`

  constructor(name, context, page) {
    Object.assign(this, { name, context, page });
  }

  // Opens a URL and does what the provider asks on the way. The status of the page where it ends.
  async open(url) {
    this.asked = [];
    let response = await this.page.goto(url);
    for (let seen = 0; this.page.url().startsWith(`${ISSUER}/interaction/`); seen++) {
      assert(seen < PROVIDER_PAGES_MAX, `the provider asks again and again: ${await this.text()}`);
      const login = this.page.locator('input[name=login]');
      const isLogin = (await login.count()) > 0;
      this.asked.push(isLogin ? 'login' : 'consent');
      if (isLogin) {
        await login.fill(this.name);
        await this.page.locator('input[name=password]').fill(this.name);
      }
      response = await this.press(isLogin ? 'Sign-in' : 'Continue');
    }
    return response.status();
  }

  // Presses a button, and waits for the page to which it leads.
  async press(name) {
    const button = this.page.getByRole('button', { name, exact: typeof name === 'string' });
    const [response] = await Promise.all([this.page.waitForNavigation(), button.click()]);
    return response;
  }

  text() {
    return this.page.locator('body').innerText();
  }

  heading() {
    return this.page.locator('h1').innerText();
  }

  // The page where it is: status, heading, what it says, and where its button leads if it has one.
  async seen(status) {
    const link = this.page.locator('main a.button');
    const leads = (await link.count()) ? [await link.innerText(), await link.getAttribute('href')] : undefined;
    return { status, heading: await this.heading(), text: await this.text(), leads };
  }

  // Begins a sign-in and stops before the answer of the provider reaches the server: that answer. Through the protocol
  // of Chromium itself, since Playwright's routes do not see where a redirect leads.
  async answerOfProvider() {
    let answer;
    const tools = await this.context.newCDPSession(this.page);
    await tools.send('Fetch.enable', { patterns: [{ urlPattern: `${SERVER}/sign-in/callback*` }] });
    tools.on('Fetch.requestPaused', ({ requestId, request }) => {
      answer = request.url;
      return tools.send('Fetch.fulfillRequest', { requestId, responseCode: 200, body: btoa('held') });
    });
    await this.open(`${SERVER}/sign-in?next=/consents`);
    await tools.detach();
    assert(answer, `the provider sent the browser to ${this.page.url()}`);
    return new URL(answer);
  }

  cookies() {
    return this.context.cookies(SERVER);
  }

  // Whether the server knows who sits here. Not followed: the provider might sign the user in again without a word.
  async signedIn() {
    const reply = await this.context.request.get(`${SERVER}/consents`, { maxRedirects: 0 });
    if (reply.status() === 303) assert.match(reply.headers().location, /^\/sign-in\?/);
    else assert.equal(reply.status(), 200);
    return reply.status() === 200;
  }
}
