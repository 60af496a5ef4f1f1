// The same call of Slack's client, which sends a form where rowhook sends JSON: Slack takes both.
import assert from 'node:assert/strict';
import { isComplete, only, readers, same } from './compare.mjs';

const answer = { json: { ok: true, channel: 'C0123456789', ts: '1795176000.000100' } };

export default ({ require, record }) => {
  const { WebClient } = require('@slack/web-api');
  return {
    host: 'slack.com',
    isComplete: isComplete(1),
    answer: () => answer,
    judge: async (requests) => {
      const ours = only(requests);
      assert.equal(ours.headers['content-type'], 'application/json; charset=utf-8');
      const theirs = await record(async (url) => {
        const client = new WebClient(process.env.SLACK_BOT_TOKEN, { slackApiUrl: `${url}/api/`, retryConfig: { retries: 0 } });
        await client.chat.postMessage({
          channel: 'C0123456789',
          text: 'Order 42 is paid: 1250.10 EUR (Tom &amp; &lt;Jerry&gt; ]]&gt; "ü" &lt;!channel&gt; 🎉)',
          unfurl_links: false,
        });
      }, answer);
      const read = (body) => {
        const isForm = !body.toString().startsWith('{');
        const args = isForm ? readers.form(body) : readers.json(body);
        return Object.fromEntries(Object.entries(args).map(([name, value]) => [name, String(value)]));
      };
      same(ours, only(theirs), read, { isOfOwnType: true });
    },
  };
};
