// Sign-ins that must not count: each ends on a page that says what to do, and makes no session.
import assert from 'node:assert/strict';
import { browserOf, ISSUER, SERVER } from './browser.mjs';
import { step } from './step.mjs';

const SESSION = '__Host-bw-session';

export async function mustNotWork(alice, bob) {
  // Opens `url` in a browser that nobody signed in; it must be refused with this status and these words.
  const refused = async (browser, url, status, words) => {
    const page = await browser.seen(await browser.open(url));
    assert.equal(page.status, status, page.text);
    assert.equal(page.heading, 'You are not signed in');
    assert.match(page.text, words);
    assert.deepEqual(page.leads, ['Sign in again', '/sign-in?next=/consents']);
    assert(!(await browser.signedIn()), 'there is a session');
  };
  // A browser of alice that has begun a sign-in, and the answer of the provider.
  const begun = async () => {
    const browser = await browserOf('alice');
    return { browser, answer: await browser.answerOfProvider() };
  };
  const changed = (answer, name, value) => {
    const url = new URL(answer);
    if (value === undefined) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
    return url.href;
  };

  await step('the answer with an altered state is refused', async () => {
    const { browser, answer } = await begun();
    const state = answer.searchParams.get('state');
    const other = state.slice(0, -1) + (state.endsWith('A') ? 'Q' : 'A');
    await refused(browser, changed(answer, 'state', other), 403, /did not begin it/);
    await refused(browser, changed(answer, 'state', undefined), 400, /not complete/);
    // Nothing was lost by it: the right answer still counts.
    assert.equal(await browser.open(answer.href), 200);
    assert(await browser.signedIn());
  });

  await step('the answer that was used is refused: back in the browser, and sent again', async () => {
    const browser = await browserOf('alice');
    const answer = await browser.answerOfProvider();
    const flow = await browser.cookies();
    assert.equal(await browser.open(answer.href), 200);
    const before = (await browser.cookies()).find((cookie) => cookie.name === SESSION);
    await browser.page.goBack();
    const again = await browser.seen(await browser.open(answer.href));
    assert.deepEqual([again.status, again.heading], [403, 'You are not signed in']);
    // Neither is the session that there is lost to it, nor is there another.
    const after = (await browser.cookies()).find((cookie) => cookie.name === SESSION);
    assert.equal(after.value, before.value);
    // Also where the cookie of the sign-in comes back.
    await browser.context.clearCookies();
    await browser.context.addCookies(flow);
    await refused(browser, answer.href, 400, /finished before/);
  });

  await step('a code that was used is refused in a sign-in of its own', async () => {
    const first = await begun();
    assert.equal(await first.browser.open(first.answer.href), 200);
    const second = await begun();
    await refused(second.browser, changed(second.answer, 'code', first.answer.searchParams.get('code')), 403, /does not take the answer/);
  });

  await step('the answer in a browser that did not begin is refused: nobody is signed in as somebody else', async () => {
    const { answer } = await begun();
    const stranger = await browserOf('bob');
    await refused(stranger, answer.href, 403, /did not begin it/);
    // Nor where bob began a sign-in of his own.
    await stranger.answerOfProvider();
    await refused(stranger, answer.href, 403, /did not begin it/);
  });

  await step('the answer in the name of another issuer, or of none, is refused', async () => {
    for (const iss of ['https://other.example', `${ISSUER}/`, undefined]) {
      const { browser, answer } = await begun();
      assert.equal(answer.searchParams.get('iss'), ISSUER);
      await refused(browser, changed(answer, 'iss', iss), 403, /did not come from the identity provider/);
    }
  });

  await step('who cancels at the provider is not signed in', async () => {
    const browser = await browserOf('alice');
    await browser.page.goto(`${SERVER}/sign-in?next=/consents`);
    const cancel = browser.page.getByRole('link', { name: 'Cancel' });
    const [response] = await Promise.all([browser.page.waitForNavigation(), cancel.click()]);
    const page = await browser.seen(response.status());
    assert.deepEqual([page.status, page.heading], [403, 'You are not signed in']);
    assert.match(page.text, /did not sign you in/);
    assert(!(await browser.signedIn()));
  });

  await step('the sessions that there were are not touched', async () => {
    for (const browser of [alice, bob]) assert(await browser.signedIn(), browser.name);
  });
}
