// How two requests are compared: what rowhook sent, and what the vendor's own client sends for the same call.
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import { buffer } from 'node:stream/consumers';

/// record(call, answer): the requests that `call(url, port)` makes, which get `answer`, or one after the other those of a list.
export function recorder(keys) {
  return async (call, answer) => {
    const requests = [];
    const server = createServer(keys, async (message, response) => {
      const { method, url, headers } = message;
      requests.push({ method, url, headers, host: headers.host, body: await buffer(message) });
      const { status = 200, headers: named, json, text } = [answer].flat()[requests.length - 1] ?? answer;
      response.writeHead(status, { 'Content-Type': 'application/json', ...named });
      response.end(json === undefined ? text : JSON.stringify(json));
    });
    await new Promise((listening) => server.listen(0, 'localhost', listening));
    try {
      const { port } = server.address();
      await call(`https://localhost:${port}`, port);
    } finally {
      server.closeAllConnections();
      server.close();
    }
    return requests;
  };
}

const json = (body) => JSON.parse(body.toString());

export const readers = {
  json,
  form: (body) => Object.fromEntries(pairs(body)),
  lines: (body) => {
    assert.ok(body.toString().endsWith('\n'), 'the last line has no end');
    return body.toString().trimEnd().split('\n').map((line) => JSON.parse(line));
  },
};

function pairs(body) {
  const all = [...new URLSearchParams(body.toString())];
  assert.equal(new Set(all.map(([name]) => name)).size, all.length, 'a field is there twice');
  return all;
}

/// Method, address, login, media type and what the body says.
export function same(ours, theirs, read, { isOfOwnType = false, headers = [] } = {}) {
  const seen = ({ method, url, headers: all, body }) => ({
    method,
    url,
    authorization: all.authorization,
    type: isOfOwnType ? undefined : mediaType(all),
    headers: headers.map((name) => all[name]),
    body: read(body),
  });
  assert.deepEqual(seen(ours), seen(theirs));
}

export function mediaType(headers) {
  return headers['content-type']?.split(';')[0];
}

/// The one request of a job.
export function only(requests) {
  assert.equal(requests.length, 1, `${requests.length} requests`);
  return requests[0];
}

export const isComplete = (count) => (requests) => requests.length >= count;
