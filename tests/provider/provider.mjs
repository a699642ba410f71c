// The OpenID provider: `oidc-provider` with the accounts alice and bob and two clients, on loopback.
//
// Everything about protocols and pages is its own. What is set here is what an operator of a provider sets: accounts,
// clients, keys, and that tokens for our resource are JWTs (RFC 9068, RFC 8707).
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(join(process.env.TOOLS, 'provider/package.json'));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { Provider } = await load('oidc-provider');
const { exportJWK, generateKeyPair } = await load('jose');

const { ISSUER, SERVER, CLIENT_SECRET, AUTH_METHOD } = process.env;
const RESOURCE = `${SERVER}/mcp`;
const ACCOUNTS = new Set(['alice', 'bob']);

const key = async (alg) => ({ ...(await exportJWK((await generateKeyPair(alg, { extractable: true })).privateKey)), alg, use: 'sig', kid: alg });

const provider = new Provider(ISSUER, {
  // Its own pages for sign-in and consent. They take any password.
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => {
        if (resource !== RESOURCE) throw new Error(`no such resource: ${resource}`);
        return {
          scope: 'tools:call',
          audience: RESOURCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: 'ES256' } },
        };
      },
    },
  },
  findAccount: (ctx, id) => (ACCOUNTS.has(id) ? { accountId: id, claims: () => ({ sub: id }) } : undefined),
  extraTokenClaims: () => ({ roles: ['user'] }),
  clientAuthMethods: [AUTH_METHOD, 'none'],
  scopes: ['openid', 'offline_access', 'tools:call'],
  clients: [
    {
      client_id: 'mcp-client',
      client_name: 'MCP client',
      application_type: 'native', // any port of loopback (RFC 8252 §7.3)
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
    },
    {
      client_id: 'bailiwick',
      client_secret: CLIENT_SECRET,
      token_endpoint_auth_method: AUTH_METHOD,
      redirect_uris: [`${SERVER}/sign-in/callback`],
    },
  ],
  // Two kinds of keys: ID tokens are signed with RS256, as is the default, and access tokens with ES256.
  jwks: { keys: [await key('RS256'), await key('ES256')] },
  cookies: { keys: [CLIENT_SECRET] },
});

provider.on('server_error', (ctx, error) => console.error('server_error', error));
provider.on('authorization.error', (ctx, error) => console.error('authorization.error', error.message, error.error_description));
provider.on('grant.error', (ctx, error) => console.error('grant.error', error.message, error.error_description, error.error_detail));

const { hostname, port } = new URL(ISSUER);
provider.listen(Number(port), hostname);
