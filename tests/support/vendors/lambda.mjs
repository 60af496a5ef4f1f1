// The signature, made again by AWS's library. A function URL takes any body: there is no client for it.
import assert from 'node:assert/strict';
import { isComplete, readers } from './compare.mjs';
import { verify } from './aws.mjs';

export default ({ require }) => ({
  host: '0123456789abcdef.lambda-url.eu-central-1.on.aws',
  isComplete: isComplete(5),
  answer: () => ({ json: { ok: true } }),
  judge: async (requests) => {
    for (const request of requests) {
      await verify(require, { service: 'lambda', region: 'eu-central-1' }, request);
    }
    const events = requests.map(({ body }) => readers.json(body));
    const of = (id) => events.filter(({ before, after }) => (after ?? before).id === id).map(({ op }) => op);
    assert.deepEqual([of(42), of(43)], [['insert', 'update', 'update'], ['insert', 'delete']]);
  },
});
