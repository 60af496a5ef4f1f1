// The same purge of Cloudflare's client. The articles are those of Meilisearch.
import { isComplete, only, readers, same } from './compare.mjs';

const answer = { json: { success: true, errors: [], messages: [], result: { id: 'x' } } };
const zone = '0123456789abcdef0123456789abcdef';

export default ({ require, record }) => {
  const { Cloudflare } = require('cloudflare');
  return {
    host: 'api.cloudflare.com',
    isComplete: isComplete(1),
    answer: () => answer,
    judge: async (requests) => {
      const theirs = await record(async (url) => {
        const client = new Cloudflare({ apiToken: process.env.CLOUDFLARE_TOKEN, baseURL: `${url}/client/v4` });
        const address = (slug) => `https://www.shop.example/articles/${slug}`;
        await client.cache.purge({ zone_id: zone, files: ['green%20tea', encodeURIComponent('straße/1?x#y')].map(address) });
      }, answer);
      same(only(requests), only(theirs), readers.json);
    },
  };
};
