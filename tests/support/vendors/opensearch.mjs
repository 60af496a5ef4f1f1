// The same bulk request of OpenSearch's client.
import assert from 'node:assert/strict';
import { mediaType } from './compare.mjs';
import { bulk } from './elasticsearch.mjs';

export default ({ require, record }) => {
  const { Client } = require('@opensearch-project/opensearch');
  return bulk({
    rowhookPassword: process.env.OPENSEARCH_PASSWORD,
    statements: [],
    // Two changes of row 43 within a second are one.
    documents: ([green]) => [{
      id: 42, name: 'Green "tea"\n{"delete":{}}', description: 'Leaves\u2028', price: '12.30', tags: ['green', 'ü'], active: 1,
      updated_at: green.updated_at,
    }],
    record,
    client: (node, auth) => {
      const client = new Client({ node, auth, maxRetries: 0 });
      return (body) => client.bulk({ body });
    },
    checkType: (theirs) => assert.equal(mediaType(theirs.headers), 'application/x-ndjson'),
    product: 'none',
    actions: 2,
  });
};
