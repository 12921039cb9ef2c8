// What the tests ask of openid-client: an order as JSON on each line of standard input, its outcome on one of standard output.
import { webcrypto } from 'node:crypto';
import { createInterface } from 'node:readline';
import * as client from 'openid-client';

// Node 18 has these, but not as globals.
globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;

const RSA = { hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
const PARAMETERS = {
  RS256: { name: 'RSASSA-PKCS1-v1_5', ...RSA },
  PS256: { name: 'RSA-PSS', ...RSA },
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  EdDSA: { name: 'Ed25519' },
};

async function makeKey({ algorithm }) {
  const pair = await crypto.subtle.generateKey(PARAMETERS[algorithm], true, ['sign', 'verify']);
  const [secret, shown] = await Promise.all([pair.privateKey, pair.publicKey].map(key => crypto.subtle.exportKey('jwk', key)));
  const kid = crypto.randomUUID();
  return { private: { ...secret, kid }, public: { ...shown, kid } };
}

async function authentication({ method, algorithm, credential }) {
  switch (method) {
    case 'client_secret_basic': return client.ClientSecretBasic(credential);
    case 'client_secret_post': return client.ClientSecretPost(credential);
    case 'client_secret_jwt': return client.ClientSecretJwt(credential);
    case 'none': return client.None();
  }
  const key = await crypto.subtle.importKey('jwk', credential, PARAMETERS[algorithm], false, ['sign']);
  return client.PrivateKeyJwt({ key, kid: credential.kid });
}

async function call(order) {
  let form;
  const options = {
    algorithm: order.discovery,
    execute: [client.allowInsecureRequests],
    [client.customFetch]: (url, request) => {
      form = Object.fromEntries(new URLSearchParams(request.body ?? ''));
      return fetch(url, request);
    },
  };
  const issuer = new URL(order.issuer);
  const config = await client.discovery(issuer, order.client_id, {}, await authentication(order), options);
  const calls = { revoke: client.tokenRevocation, introspect: client.tokenIntrospection };
  try {
    return { answer: await calls[order.do](config, order.token) ?? null, form };
  } catch (error) {
    // Anything but an answer of the server is the test's own mistake.
    if (!error.status) throw error;
    const { error: code } = error.error ? error : await error.response.json();
    return { refused: code, status: error.status, reported: error.code, form };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const outcome = await (order.do === 'key' ? makeKey(order) : call(order));
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
