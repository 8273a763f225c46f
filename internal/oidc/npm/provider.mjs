// Runs two providers until its standard input closes, and says on its first line where they are. Whoever signs in
// needs no password; that their name begins with "unverified" is what the provider says of their e-mail address.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [redirect, secret] = process.argv.slice(2);

const key = (kid, alg, type, options) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig',
});

const client = (settings) => ({
  client_id: 'annals', client_secret: secret, redirect_uris: [redirect], grant_types: ['authorization_code'], ...settings,
});

async function start(settings) {
  const server = createServer();
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    cookies: { keys: ['only for the test'] },
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: !id.startsWith('unverified'), name: `The one called ${id}` }),
    }),
    pkce: { methods: ['S256'], required: () => true },
    ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 60, IdToken: 60, Interaction: 60, Session: 60 },
    ...settings,
  });
  provider.on('server_error', (_, err) => console.error(err));
  server.on('request', provider.callback());
  return issuer;
}

console.log(JSON.stringify({
  // To the letter: e-mail addresses are only told at the userinfo endpoint (OpenID Connect Core 1.0 §5.4).
  strict: await start({
    clients: [client({}), client({ client_id: 'public', client_secret: undefined, token_endpoint_auth_method: 'none' })],
    jwks: { keys: [key('rsa', 'RS256', 'rsa', { modulusLength: 2048 })] },
  }),
  // As many are: in the ID token.
  lax: await start({
    clients: [client({ id_token_signed_response_alg: 'ES256', token_endpoint_auth_method: 'client_secret_post' })],
    clientAuthMethods: ['client_secret_post'],
    conformIdTokenClaims: false,
    jwks: { keys: [key('ec', 'ES256', 'ec', { namedCurve: 'P-256' })] },
  }),
}));

process.stdin.on('close', () => process.exit(0)).resume();
