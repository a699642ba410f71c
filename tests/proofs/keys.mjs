// Proofs by keys (RFC 9449): `oauth4webapi` makes them, keeps the nonces and reads the challenges.
import { accessToken, challenges, configure, end, equal, headers, list, oauth, port, start, step } from './program.mjs';

const base = `http://127.0.0.1:${port}`;
const endpoint = new URL(`${base}/mcp`);
const insecure = { [oauth.allowInsecureRequests]: true };

/// A request as the library sends it; what it took for a proof is kept.
async function ask(token, proofs, kept = {}) {
  const fetched = (url, options) => {
    kept.headers = new Headers(options.headers);
    return fetch(url, options);
  };
  const options = { DPoP: proofs, [oauth.customFetch]: fetched, ...insecure };
  return oauth.protectedResourceRequest(token, 'POST', endpoint, headers(), list, options);
}

const client = { client_id: 'third-party' };
const held = async (algorithm) => {
  const proofs = oauth.DPoP(client, await oauth.generateKeyPair(algorithm));
  return { proofs, token: await accessToken(endpoint, { jkt: await proofs.calculateThumbprint() }) };
};

await configure(base, '', 'dpop = "required"\ndpop_nonce = true');
await start(() => fetch(`${base}/readyz`));

await step('the metadata says that tokens are bound, and which proofs are taken', async () => {
  const found = await oauth.resourceDiscoveryRequest(endpoint, insecure);
  const metadata = await oauth.processResourceDiscoveryResponse(endpoint, found);
  equal(metadata.dpop_bound_access_tokens_required, true);
  equal(metadata.bearer_methods_supported, []);
  equal(metadata.dpop_signing_alg_values_supported.includes('ES256'), true);
});

for (const algorithm of ['ES256', 'Ed25519', 'PS256', 'RS256']) {
  await step(`${algorithm}: a nonce is asked for, and with it the proof counts`, async () => {
    const { proofs, token } = await held(algorithm);
    const refused = await ask(token, proofs).then(() => null, (error) => error);
    equal(oauth.isDPoPNonceError(refused), true);
    for (let n = 0; n < 3; n += 1) {
      const answer = await ask(token, proofs);
      equal(answer.status, 200);
      equal((await answer.json()).result.tools, []);
    }
  });
}

await step('a proof counts once, for its own request', async () => {
  const { proofs, token } = await held('ES256');
  await ask(token, proofs).catch(() => {});
  const kept = {};
  equal((await ask(token, proofs, kept)).status, 200);
  const again = await fetch(endpoint, { method: 'POST', headers: kept.headers, body: list });
  equal(again.status, 401);
  equal(again.headers.get('www-authenticate').startsWith('DPoP error="invalid_dpop_proof"'), true);
});

await step('a token is worth nothing without its key', async () => {
  const [alice, thief] = [await held('ES256'), await held('ES256')];
  await ask(thief.token, thief.proofs).catch(() => {});
  const [stolen] = await challenges(ask(alice.token, thief.proofs));
  equal([stolen.scheme, stolen.parameters.error], ['dpop', 'invalid_dpop_proof']);
  const [bearer] = await challenges(ask(alice.token));
  equal([bearer.scheme, bearer.parameters.error], ['dpop', 'invalid_token']);
  const [free] = await challenges(ask(await accessToken(endpoint), thief.proofs));
  equal(free.parameters.error, 'invalid_token');
});

end();
