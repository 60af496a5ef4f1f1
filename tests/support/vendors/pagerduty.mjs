// The same two events of PagerDuty's client.
import assert from 'node:assert/strict';
import { isComplete, only, readers, same } from './compare.mjs';

const answer = { status: 202, json: { status: 'success', message: 'Event processed', dedup_key: 'shop-check-3' } };

export default ({ require, record }) => {
  const { event } = require('@pagerduty/pdjs');
  const message = 'no "connection" <ü>';
  return {
    host: 'events.pagerduty.com',
    statements: [
      ["INSERT INTO shop.checks (id, host, state, message) VALUES (3, 'db1.internal', 'critical', ?)", [message]],
      ["UPDATE shop.checks SET state = 'ok' WHERE id = 3", []],
    ],
    isComplete: isComplete(2),
    answer: () => answer,
    judge: async ([trigger, resolve, ...more]) => {
      assert.equal(more.length, 0);
      const { timestamp } = readers.json(trigger.body).payload;
      assert.ok(Math.abs(Date.now() - Date.parse(timestamp)) < 300_000, timestamp);
      const common = { routing_key: process.env.PAGERDUTY_ROUTING_KEY, dedup_key: 'shop-check-3' };
      const payload = { summary: message, source: 'db1.internal', severity: 'critical', timestamp };
      const calls = [[trigger, { ...common, event_action: 'trigger', payload }], [resolve, { ...common, event_action: 'resolve' }]];
      for (const [ours, data] of calls) {
        const theirs = await record((url, port) => event({ server: `localhost:${port}`, data }), answer);
        same(ours, only(theirs), readers.json);
      }
    },
  };
};
