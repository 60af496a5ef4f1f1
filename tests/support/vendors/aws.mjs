// Signatures, made again by AWS's own library from the request that arrived.
import assert from 'node:assert/strict';

/// Throws unless the signature is the one that AWS makes of this request, with its host and all headers that it names.
export async function verify(require, { service, region }, { method, url, headers, host, body }) {
  const { SignatureV4 } = require('@smithy/signature-v4');
  const { Sha256 } = require('@aws-crypto/sha256-js');
  const credentials = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY };
  const [, names] = headers.authorization.match(/SignedHeaders=([^,]+)/);
  const signed = names.split(';');
  const { pathname, searchParams } = new URL(url, `https://${host}`);
  const signer = new SignatureV4({ service, region, credentials, sha256: Sha256, applyChecksum: signed.includes('x-amz-content-sha256') });
  const [, year, month, day, hour, minute, second] = headers['x-amz-date'].match(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/);
  const { headers: again } = await signer.sign({
    method,
    protocol: 'https:',
    hostname: host,
    path: pathname,
    query: Object.fromEntries(searchParams),
    headers: Object.fromEntries(signed.map((name) => [name, headers[name]])),
    body,
  }, { signingDate: new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`), signableHeaders: new Set(signed) });
  assert.equal(headers.authorization, again.authorization);
  // What AWS demands to be signed.
  const demanded = Object.keys(headers).filter((name) => name === 'host' || name.startsWith('x-amz-'));
  assert.deepEqual(demanded.filter((name) => !signed.includes(name)), []);
}
