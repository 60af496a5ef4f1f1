// The same requests of Meilisearch's client.
import assert from 'node:assert/strict';
import { only, readers, same } from './compare.mjs';

const answer = {
  status: 202,
  json: { taskUid: 1, indexUid: 'articles', status: 'enqueued', type: 'documentDeletion', enqueuedAt: '2026-11-20T12:00:00Z' },
};
const documents = (requests) => requests.filter((request) => !isDelete(request)).flatMap(({ body }) => readers.json(body));
const isDelete = ({ url }) => url.endsWith('/delete-batch');

export default ({ require, record }) => {
  const { MeiliSearch } = require('meilisearch');
  return {
    host: 'meili.internal',
    // An article that has moved, and two that are deleted, are for Cloudflare, too.
    statements: [
      [
        "INSERT INTO shop.articles (id, slug, title, body, published_at) VALUES (17, 'green tea', 'Green \"tea\"', NULL, NULL), "
          + "(18, 'straße/1?x#y', 'Black tea', 'Leaves', '2026-11-20 12:00:00'), (19, 'white', 'White tea', '', NULL)",
        [],
      ],
      ["UPDATE shop.articles SET slug = 'white tea' WHERE id = 19", []],
      ['DELETE FROM shop.articles WHERE id IN (17, 18)', []],
    ],
    isComplete: (requests) => documents(requests).length >= 4 && requests.some(isDelete),
    answer: () => answer,
    judge: async (requests) => {
      const client = async (ours, call) => {
        const theirs = await record(async (url) => {
          await call(new MeiliSearch({ host: url, apiKey: process.env.MEILI_API_KEY }).index('articles'));
        }, answer);
        same(ours, only(theirs), readers.json);
      };
      const sent = documents(requests);
      assert.deepEqual(sent, [
        { id: 17, slug: 'green tea', title: 'Green "tea"', body: '', visible: false },
        { id: 18, slug: 'straße/1?x#y', title: 'Black tea', body: 'Leaves', visible: true, published_at: 1795176000 },
        { id: 19, slug: 'white', title: 'White tea', body: '', visible: false },
        { id: 19, slug: 'white tea', title: 'White tea', body: '', visible: false },
      ]);
      // A row that changes twice is in one request or in two.
      for (const ours of requests.filter((request) => !isDelete(request))) {
        await client(ours, (index) => index.addDocuments(readers.json(ours.body), { primaryKey: 'id' }));
      }
      await client(only(requests.filter(isDelete)), (index) => index.deleteDocuments([17, 18]));
    },
  };
};
