// The same upsert of HubSpot's client, and rowhook's body through the client's own model.
import assert from 'node:assert/strict';
import { isComplete, only, readers, same } from './compare.mjs';

const answer = {
  json: { status: 'COMPLETE', results: [], startedAt: '2026-11-20T12:00:00Z', completedAt: '2026-11-20T12:00:01Z' },
};

export default ({ require, record }) => {
  const { Client } = require('@hubspot/api-client');
  const insert = 'INSERT INTO shop.contacts (id, email, first_name, last_name, phone, newsletter) VALUES (?, ?, ?, ?, ?, ?)';
  return {
    host: 'api.hubapi.com',
    statements: [[`${insert}, (8, 'grace@shop.example', NULL, NULL, NULL, 0)`, [7, 'ada@shop.example', 'Ada', 'Ünal', '+49 151', 1]]],
    isComplete: isComplete(1),
    answer: () => answer,
    judge: async (requests) => {
      const input = (id, properties) => ({ idProperty: 'shop_customer_id', id, properties });
      const inputs = [
        input('7', { email: 'ada@shop.example', firstname: 'Ada', lastname: 'Ünal', phone: '+49 151', shop_newsletter: 'true' }),
        input('8', { email: 'grace@shop.example', firstname: '', lastname: '', phone: '', shop_newsletter: 'false' }),
      ];
      const ours = only(requests);
      const theirs = await record(async (url) => {
        const client = new Client({ accessToken: process.env.HUBSPOT_TOKEN, basePath: url });
        await client.crm.contacts.batchApi.upsert({ inputs });
      }, answer);
      same(ours, only(theirs), readers.json);
      const { ObjectSerializer } = require('@hubspot/api-client/lib/codegen/crm/contacts/models/ObjectSerializer');
      const model = 'BatchInputSimplePublicObjectBatchInputUpsert';
      const sent = readers.json(ours.body);
      const read = ObjectSerializer.deserialize(sent, model, '');
      assert.deepEqual(JSON.parse(JSON.stringify(ObjectSerializer.serialize(read, model, ''))), sent);
    },
  };
};
