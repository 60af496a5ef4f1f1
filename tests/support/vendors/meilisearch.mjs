// The same two requests of Meilisearch's client.
import assert from 'node:assert/strict';
import { isComplete, only, readers, same } from './compare.mjs';

const answer = { status: 202, json: { taskUid: 1, indexUid: 'articles', status: 'enqueued', type: 'x', enqueuedAt: '2026-11-20T12:00:00Z' } };
const isDelete = ({ url }) => url.endsWith('/delete-batch');

export default ({ require, record }) => {
  const { MeiliSearch } = require('meilisearch');
  return {
    host: 'meili.internal',
    // The three rows are one statement, so that they become one request. The delete is for Cloudflare, too.
    statements: [[
      "INSERT INTO shop.articles (id, slug, title, body, published_at) VALUES (17, 'green tea', 'Green \"tea\"', NULL, NULL), "
        + "(18, 'straße/1?x#y', 'Black tea', 'Leaves', '2026-11-20 12:00:00'), (19, 'gone', 'Gone', '', NULL)",
      [],
    ], ['DELETE FROM shop.articles WHERE id IN (17, 18)', []]],
    isComplete: isComplete(2),
    answer: () => answer,
    judge: async (requests) => {
      const client = async (call, ours) => {
        const theirs = await record(async (url) => {
          await call(new MeiliSearch({ host: url, apiKey: process.env.MEILI_API_KEY }).index('articles'));
        }, answer);
        same(only(ours), only(theirs), readers.json);
      };
      await client((index) => index.addDocuments([
        { id: 17, slug: 'green tea', title: 'Green "tea"', body: '', visible: false },
        { id: 18, slug: 'straße/1?x#y', title: 'Black tea', body: 'Leaves', visible: true, published_at: 1795176000 },
        { id: 19, slug: 'gone', title: 'Gone', body: '', visible: false },
      ], { primaryKey: 'id' }), requests.filter((request) => !isDelete(request)));
      await client((index) => index.deleteDocuments([17, 18]), requests.filter(isDelete));
      assert.equal(requests.length, 2);
    },
  };
};
