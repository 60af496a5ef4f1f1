// The same call of Stripe's client, with the same idempotency key, and the same retry.
import assert from 'node:assert/strict';
import { isComplete, readers, same } from './compare.mjs';

const item = { json: { id: 'ii_1', object: 'invoiceitem' } };
const refusal = { error: { type: 'api_error', message: 'later' } };
// For a retry after the first attempt.
const answers = [{ status: 500, headers: { 'Stripe-Should-Retry': 'true' }, json: refusal }, item];

export default ({ require, record }) => {
  const Stripe = require('stripe');
  const description = '10 GB & "more" = 100%+ü';
  return {
    host: 'api.stripe.com',
    statements: [[
      "INSERT INTO shop.usage_charges (id, stripe_customer, amount, currency, description) VALUES (42, 'cus_7', 12.30, 'eur', ?)",
      [description],
    ]],
    isComplete: isComplete(2),
    answer: (_, { length }) => answers[length - 1] ?? item,
    judge: async (requests) => {
      const [ours] = requests;
      const theirs = await record(async (url, port) => {
        const client = new Stripe(process.env.STRIPE_SECRET_KEY, { host: 'localhost', port, telemetry: false, maxNetworkRetries: 1 });
        const params = { customer: 'cus_7', amount: 1230, currency: 'eur', description, metadata: { charge_id: 42 } };
        await client.invoiceItems.create(params, { idempotencyKey: ours.headers['idempotency-key'] });
      }, answers);
      assert.deepEqual([requests.length, theirs.length], [2, 2]);
      for (const [n, request] of requests.entries()) same(request, theirs[n], readers.form, { headers: ['idempotency-key'] });
    },
  };
};
