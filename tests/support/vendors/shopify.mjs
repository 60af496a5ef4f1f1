// The same request of Shopify's client. The query and its variables are judged, and answered, by Shopify's own schema of that version.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { isComplete, only, readers, same } from './compare.mjs';

export default ({ require, folder, record }) => {
  const { buildClientSchema, graphql, parse, validate } = require('graphql');
  const { createAdminApiClient } = require('@shopify/admin-api-client');
  const text = gunzipSync(readFileSync(`${folder}/shopify-admin.json.gz`)).toString();
  const schema = buildClientSchema(JSON.parse(text).data);
  const done = { inventorySetQuantities: { userErrors: [] } };
  // An answer with a code that the schema does not have is an error.
  const isAtWork = { inventorySetQuantities: { userErrors: [{ code: 'IDEMPOTENCY_CONCURRENT_REQUEST', field: null, message: 'later' }] } };
  const answered = async ({ query, variables }, rootValue) => {
    const answer = await graphql({ schema, source: query, variableValues: variables, rootValue });
    assert.deepEqual(JSON.parse(JSON.stringify(answer)), { data: rootValue });
    return answer;
  };
  return {
    host: 'example-shop.myshopify.com',
    statements: [["INSERT INTO shop.stock (sku, quantity, shopify_item) VALUES ('TEA-100', 5, 44)", []]],
    isComplete: isComplete(2),
    answer: async ({ body }, { length }) => ({ json: await answered(readers.json(body), length === 1 ? isAtWork : done) }),
    judge: async ([first, ours, ...more]) => {
      assert.deepEqual([first.body, more.length], [ours.body, 0]);
      const { query, variables } = readers.json(ours.body);
      assert.deepEqual(validate(schema, parse(query)), []);
      const answer = await answered({ query, variables }, done);
      const quantity = { inventoryItemId: 'gid://shopify/InventoryItem/44', locationId: 'gid://shopify/Location/1', quantity: 5 };
      const input = { name: 'available', reason: 'correction', quantities: [{ ...quantity, changeFromQuantity: null }] };
      const theirs = await record(async (url) => {
        const client = createAdminApiClient({
          storeDomain: 'example-shop.myshopify.com',
          apiVersion: '2026-07',
          accessToken: process.env.SHOPIFY_ACCESS_TOKEN,
          customFetchApi: (address, options) => fetch(address.replace('https://example-shop.myshopify.com', url), options),
          // The default one prints.
          logger: () => {},
        });
        const { errors } = await client.request(query, { variables: { key: `${ours.headers['idempotency-key']}-a`, input } });
        assert.equal(errors, undefined);
      }, { json: answer });
      same(ours, only(theirs), readers.json, { headers: ['x-shopify-access-token'] });
    },
  };
};
