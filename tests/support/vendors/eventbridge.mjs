// The same PutEvents of AWS's client; the signature, made again by AWS's library.
import assert from 'node:assert/strict';
import { readers, same } from './compare.mjs';
import { verify } from './aws.mjs';

export default ({ require }) => {
  const { EventBridgeClient, PutEventsCommand } = require('@aws-sdk/client-eventbridge');
  const entries = (requests) => requests.flatMap(({ body }) => readers.json(body).Entries);
  const answer = ({ body }) => ({
    FailedEntryCount: 0,
    Entries: readers.json(body).Entries.map((_, n) => ({ EventId: `e-${n}` })),
  });
  return {
    host: 'events.eu-central-1.amazonaws.com',
    isComplete: (requests) => entries(requests).length >= 4,
    answer: (request) => ({ headers: { 'Content-Type': 'application/x-amz-json-1.1' }, text: JSON.stringify(answer(request)) }),
    judge: async (requests) => {
      const details = entries(requests).map(({ Detail: detail }) => JSON.parse(detail)).sort((one, other) => one.order - other.order);
      const of = (order, status, previous, total) => ({ order, status, previous, total });
      assert.deepEqual(details.map(({ id, ...rest }) => rest), [
        of(42, 'new', null, '1250.10'), of(42, 'paid', 'new', '1250.10'), of(42, 'shipped', 'paid', '1250.10'), of(43, 'paid', null, '999.99'),
      ]);
      assert.equal(new Set(details.map(({ id }) => id)).size, 4);
      for (const ours of requests) {
        await verify(require, { service: 'events', region: 'eu-central-1' }, ours);
        const events = readers.json(ours.body).Entries.map((entry) => {
          const { status } = JSON.parse(entry.Detail);
          assert.ok(Math.abs(Date.now() / 1000 - entry.Time) < 300, entry.Time);
          return {
            EventBusName: 'shop', Source: 'shop.orders', DetailType: `order ${status}`, Time: new Date(entry.Time * 1000), Detail: entry.Detail,
          };
        });
        const theirs = await sent(EventBridgeClient, new PutEventsCommand({ Entries: events }), answer(ours));
        same({ ...ours, headers: { ...ours.headers, authorization: undefined } }, theirs, readers.json, { headers: ['host', 'x-amz-target'] });
      }
    },
  };
};

/// What the client sends: its last stage is this function, so that the request has its real host.
async function sent(Client, command, answer) {
  let request;
  const requestHandler = {
    handle: async (last) => {
      request = last;
      const body = new Blob([JSON.stringify(answer)]).stream();
      return { response: { statusCode: 200, headers: { 'content-type': 'application/x-amz-json-1.1' }, body } };
    },
  };
  const credentials = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY };
  await new Client({ region: 'eu-central-1', credentials, requestHandler }).send(command);
  const headers = { ...request.headers, authorization: undefined };
  return { method: request.method, url: request.path, headers, body: Buffer.from(request.body) };
}
