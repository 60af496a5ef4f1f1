// The same bulk request of Elasticsearch's client.
import assert from 'node:assert/strict';
import { mediaType, only, readers, same } from './compare.mjs';

export default ({ require, record }) => {
  const { Client } = require('@elastic/elasticsearch');
  return bulk({
    rowhookPassword: process.env.ELASTIC_PASSWORD,
    statements: [
      [
        'INSERT INTO shop.products (id, name, description, price, tags, active, updated_at) VALUES '
          + "(42, ?, ?, 12.30, '[\"green\", \"ü\"]', 1, '2026-11-20 12:00:00.5'), (43, 'Black tea', NULL, NULL, NULL, 0, NULL)",
        ['Green "tea"\n{"delete":{}}', 'Leaves\u2028'],
      ],
      ['DELETE FROM shop.products WHERE id = 43', []],
    ],
    documents: ([green]) => [
      {
        name: 'Green "tea"\n{"delete":{}}', description: 'Leaves\u2028', price: 12.3, tags: ['green', 'ü'], active: true,
        updated_at: green.updated_at,
      },
      { name: 'Black tea', description: null, price: null, tags: [], active: false, updated_at: null },
    ],
    record,
    client: (node, auth) => {
      const client = new Client({ node, auth, maxRetries: 0 });
      return (operations) => client.bulk({ operations });
    },
    // The client names the version of the API that it was made for. Without that it is that of the server.
    checkType: (theirs) => assert.match(mediaType(theirs.headers), /^application\/(vnd\.elasticsearch\+)?x-ndjson$/),
    product: 'Elasticsearch',
    actions: 3,
  });
};

/// A job of Elasticsearch or OpenSearch, whose bulk requests are the same.
export function bulk({ rowhookPassword, statements, documents, record, client, checkType, product, actions }) {
  const auth = { username: 'rowhook', password: rowhookPassword };
  const login = `Basic ${Buffer.from(`rowhook:${rowhookPassword}`).toString('base64')}`;
  const lines = (requests) => requests.flatMap(({ body }) => readers.lines(body));
  const isAction = (line) => line.index !== undefined || line.delete !== undefined;
  const answer = ({ body }) => ({
    headers: { 'X-Elastic-Product': product },
    json: {
      took: 1,
      errors: false,
      items: readers.lines(body).filter(isAction).map((line) => {
        const [name] = Object.keys(line);
        return { [name]: { ...line[name], status: name === 'index' ? 201 : 404 } };
      }),
    },
  });
  return {
    host: 'search.internal:9200',
    takes: ({ headers }) => headers.authorization === login,
    statements,
    isComplete: (requests) => lines(requests).filter(isAction).length >= actions,
    answer,
    judge: async (requests) => {
      const sent = lines(requests);
      const [first, second] = documents(sent.filter((line) => !isAction(line)));
      const action = (id) => ({ _index: 'products', _id: id });
      const operations = actions === 3
        ? [{ index: action('42') }, first, { index: action('43') }, second, { delete: action('43') }]
        : [{ index: action('42') }, first, { delete: action('43') }];
      // All rows of one moment usually are one request; whatever it is, the lines in their order are these.
      const ours = { ...requests[0], body: Buffer.concat(requests.map(({ body }) => body)) };
      const theirs = only(await record((url) => client(url, auth)(operations), answer(ours)));
      checkType(theirs);
      assert.equal(mediaType(ours.headers), 'application/x-ndjson');
      same(ours, theirs, readers.lines, { isOfOwnType: true });
    },
  };
}
