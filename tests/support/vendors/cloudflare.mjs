// The same purges of Cloudflare's client. The articles are those of Meilisearch.
import assert from 'node:assert/strict';
import { isComplete, only, readers, same } from './compare.mjs';

const answer = { json: { success: true, errors: [], messages: [], result: { id: 'x' } } };
const zone = '0123456789abcdef0123456789abcdef';

export default ({ require, record }) => {
  const { Cloudflare } = require('cloudflare');
  return {
    host: 'api.cloudflare.com',
    isComplete: isComplete(2),
    answer: () => answer,
    judge: async (requests) => {
      const [moved, ours, ...more] = requests;
      assert.equal(more.length, 0);
      const address = (slug) => `https://www.shop.example/articles/${slug}`;
      const client = (slugs) => record(async (url) => {
        const { cache } = new Cloudflare({ apiToken: process.env.CLOUDFLARE_TOKEN, baseURL: `${url}/client/v4` });
        await cache.purge({ zone_id: zone, files: slugs.map(address) });
      }, answer);
      // It does not wait for more saves, so it comes first.
      same(moved, only(await client(['white'])), readers.json);
      same(ours, only(await client(['white%20tea', 'green%20tea', encodeURIComponent('straße/1?x#y')])), readers.json);
    },
  };
};
