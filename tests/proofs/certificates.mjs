// Certificates of connections (RFC 8705 section 3): an authority and clients' certificates by `@peculiar/x509`, TLS by Node, thumbprints
// by Node, requests and challenges by `oauth4webapi`.
import { X509Certificate, webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import https from 'node:https';
import { accessToken, challenges, configure, end, equal, folder, headers, list, oauth, port, start, step } from './program.mjs';

const x509 = await import(`${process.env.TOOLS}/proofs/node_modules/@peculiar/x509/build/x509.cjs.js`).then((all) => all.default ?? all);
x509.cryptoProvider.set(webcrypto);

const base = `https://localhost:${port}`;
const endpoint = new URL(`${base}/mcp`);
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const hour = 3_600_000;
const valid = { notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + 60 * 24 * hour), signingAlgorithm: algorithm };

async function authority(name) {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const extensions = [
    new x509.BasicConstraintsExtension(true, 0, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
  ];
  const made = await x509.X509CertificateGenerator.createSelfSigned({ name: `CN=${name}`, keys, extensions, ...valid });
  return { keys, made, pem: made.toString('pem') };
}

/// A certificate of this authority, for a server or for a client, with its key.
async function certificate(ca, name, usage) {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const made = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`, issuer: ca.made.subject, publicKey: keys.publicKey, signingKey: ca.keys.privateKey, ...valid,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
      await x509.AuthorityKeyIdentifierExtension.create(ca.keys.publicKey),
    ],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64').match(/.{1,64}/g);
  return { cert: made.toString('pem'), key: `-----BEGIN PRIVATE KEY-----\n${key.join('\n')}\n-----END PRIVATE KEY-----\n` };
}

/// As `fetch`, over a connection of its own with this certificate.
function over(own) {
  return (url, { method, headers: given, body } = {}) => new Promise((resolve, reject) => {
    const options = { method, headers: Object.fromEntries(new Headers(given)), ca: ours.pem, agent: false, ...own };
    const request = https.request(url, options, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => {
        const found = new Headers(Object.entries(answer.headers).flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
        resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: found }));
      });
      answer.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

const ask = (token, own) =>
  oauth.protectedResourceRequest(token, 'POST', endpoint, headers(), list, { [oauth.customFetch]: over(own) });

/// RFC 8705 section 3.1: the SHA-256 of the certificate, by Node.
const thumbprint = ({ cert }) => Buffer.from(new X509Certificate(cert).fingerprint256.replaceAll(':', ''), 'hex').toString('base64url');
const bound = (own) => accessToken(endpoint, { 'x5t#S256': thumbprint(own) });

const [ours, others] = [await authority('authority of clients'), await authority('another authority')];
const [alice, thief] = [await certificate(ours, 'alice.test', x509.ExtendedKeyUsage.clientAuth), await certificate(ours, 'thief.test', x509.ExtendedKeyUsage.clientAuth)];
const stranger = await certificate(others, 'stranger.test', x509.ExtendedKeyUsage.clientAuth);
const server = await certificate(ours, 'localhost', x509.ExtendedKeyUsage.serverAuth);
writeFileSync(`${folder}/ca.pem`, ours.pem);
writeFileSync(`${folder}/chain.pem`, server.cert);
writeFileSync(`${folder}/key.pem`, server.key, { mode: 0o600 });
const tls = 'tls = { certificate_file = "chain.pem", key_file = "key.pem", client_ca = "ca.pem", client_auth = "optional" }';
await configure(base, tls, '');
await start(() => over({})(`${base}/readyz`, { method: 'GET' }));

await step('the metadata says that tokens are bound to certificates', async () => {
  const found = await oauth.resourceDiscoveryRequest(endpoint, { [oauth.customFetch]: over({}) });
  const metadata = await oauth.processResourceDiscoveryResponse(endpoint, found);
  equal(metadata.tls_client_certificate_bound_access_tokens, true);
});

await step('a bound token counts over connections with its certificate, each time', async () => {
  const token = await bound(alice);
  for (let n = 0; n < 3; n += 1) {
    const answer = await ask(token, alice);
    equal(answer.status, 200);
    equal((await answer.json()).result.tools, []);
  }
});

await step('a bound token is worth nothing with another certificate, and with none', async () => {
  const token = await bound(alice);
  for (const own of [thief, {}]) {
    const [refused] = await challenges(ask(token, own));
    equal([refused.scheme, refused.parameters.error], ['bearer', 'invalid_token']);
  }
  equal((await ask(token, alice)).status, 200);
});

await step('a certificate is no token', async () => {
  const answer = await over(alice)(endpoint, { method: 'POST', headers: headers(), body: list });
  equal(answer.status, 401);
});

await step('a token that is bound to no certificate counts with any', async () => {
  const token = await accessToken(endpoint);
  for (const own of [alice, {}]) equal((await ask(token, own)).status, 200);
});

await step('a certificate of another authority opens no connection', async () => {
  const token = await bound(stranger);
  const failed = await ask(token, stranger).then(() => null, (error) => error);
  equal(typeof failed?.code, 'string');
});

end();
