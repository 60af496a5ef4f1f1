// The same call of Stripe's client, with the same idempotency key.
import { isComplete, only, readers, same } from './compare.mjs';

const item = { id: 'ii_1', object: 'invoiceitem' };

export default ({ require, record }) => {
  const Stripe = require('stripe');
  const description = '10 GB & "more" = 100%+ü';
  return {
    host: 'api.stripe.com',
    statements: [[
      "INSERT INTO shop.usage_charges (id, stripe_customer, amount, currency, description) VALUES (42, 'cus_7', 12.30, 'eur', ?)",
      [description],
    ]],
    isComplete: isComplete(1),
    answer: () => ({ json: item }),
    judge: async (requests) => {
      const ours = only(requests);
      const theirs = await record(async (url, port) => {
        const client = new Stripe(process.env.STRIPE_SECRET_KEY, { host: 'localhost', port, telemetry: false });
        const params = { customer: 'cus_7', amount: 1230, currency: 'eur', description, metadata: { charge_id: 42 } };
        await client.invoiceItems.create(params, { idempotencyKey: ours.headers['idempotency-key'] });
      }, { json: item });
      same(ours, only(theirs), readers.form, { headers: ['idempotency-key'] });
    },
  };
};
