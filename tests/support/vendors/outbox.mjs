// The signature, verified by the library of Standard Webhooks.
import assert from 'node:assert/strict';
import { isComplete, only } from './compare.mjs';

export default ({ require }) => {
  const { Webhook } = require('standardwebhooks');
  const payload = { order: 42, total: '12.30', note: 'ü "x" \u2028' };
  return {
    host: 'events.internal',
    statements: [[
      "INSERT INTO shop.outbox (id, aggregate_id, type, payload) VALUES (9, 'order 42/ü', 'order.paid', ?)", [JSON.stringify(payload)],
    ]],
    isComplete: isComplete(1),
    answer: () => ({ status: 202, text: '' }),
    judge: (requests) => {
      const { url, headers, body } = only(requests);
      const webhook = new Webhook(process.env.OUTBOX_SIGNING_SECRET);
      assert.deepEqual(webhook.verify(body, headers), payload);
      const changed = Buffer.from(body.toString().replace('42', '43'));
      assert.throws(() => webhook.verify(changed, headers), /signature/);
      assert.deepEqual([url, headers['x-aggregate']], ['/order.paid', encodeURIComponent('order 42/ü')]);
    },
  };
};
